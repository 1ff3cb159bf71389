"""The files of one run: layout, record, lock, atomic writes. May import config."""
