"""Checkpoints on running text: bits per byte by domain, continuations. May import lm and tasks."""
