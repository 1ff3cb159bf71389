"""Command lines, and how our processes are started. May import train.config."""
