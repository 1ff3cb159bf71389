"""What a sweep is asked to do: grids, launcher, presets. Imports no other room."""
