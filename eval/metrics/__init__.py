"""Scores per item and their aggregates. May import tasks."""
