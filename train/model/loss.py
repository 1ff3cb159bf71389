"""What the loss counts: every label but the one that says to pass over its position."""

IGNORED = -100
"""Label of a position that carries no loss."""
