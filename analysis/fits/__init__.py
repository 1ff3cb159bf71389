"""The laws, each fitted to arrays of runs. May import emergence, stats and data."""
