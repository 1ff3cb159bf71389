"""Figures of `analysis.studies` that answer one question each; may import what figures may."""
