"""Training: a room per task, what all runs share (`run/`), and fine-tuning (`start/`)."""
