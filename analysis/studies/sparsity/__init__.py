"""Sparsity as a third variable beside N and D, of mixtures of experts. May import studies' own
bootstrap and allocation, fits and below.
"""
