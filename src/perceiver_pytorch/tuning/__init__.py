"""Search for settings: ``perceiver tune``, on Optuna."""
