"""Data made ready once: tokenised on all cores, divided, mapped. May import train.data."""
