"""Evaluation sets: generated, from files, split from training. Imports no other room."""
