"""Optimal learning rates and batches of swept cells and their laws; may import studies' layers."""
