"""Emergence made on purpose in small vision models. May import analysis."""
