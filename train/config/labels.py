"""Labels that mean something by convention; here, where neither planner nor data need torch."""

IGNORED = -100
"""Label of a position that carries no loss."""
