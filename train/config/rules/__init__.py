"""Hyperparameter rules that are read from files; may import train.config, no torch."""
