"""Statistics that any fit uses: power laws, resampling, Newton steps. May import data."""
