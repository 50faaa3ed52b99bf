"""A run on disk: its folder, checkpoints, training states and results."""
