"""Small trainings that show what the models do, each a command: ``python -m examples.NAME --help``."""
