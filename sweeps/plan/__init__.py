"""From grids to planned runs with predicted cost. May import spec and directory."""
