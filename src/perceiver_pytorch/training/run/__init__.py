"""What every training run shares: folder, lock, checkpoints, loop, interruptions. It knows no task."""
