"""Anybody's file to a frame with this project's columns. May import data.table_error only."""
