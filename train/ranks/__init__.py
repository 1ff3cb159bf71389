"""Several processes that train one run: how they fail and end together. May import rundir."""
