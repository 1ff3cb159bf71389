"""Figures of the questions in `analysis.studies`, one module a question; numbers to figures, never
fits. May import analysis.figures and below.
"""
