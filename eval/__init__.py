"""Checkpoints on tasks: answers, metrics, stored samples. May import train."""
