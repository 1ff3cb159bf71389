"""A run directory and a sweep's: layout, record, lock, atomic writes. May import config."""
