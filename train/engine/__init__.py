"""The training loop, checkpoints and trackers. May import data and the rooms below it."""
