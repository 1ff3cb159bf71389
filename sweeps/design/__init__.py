"""Which runs to train next, and tests of a fit. May import every other room of sweeps."""
