"""Runs whose losses are drawn from a known surface. May import launch and below."""
