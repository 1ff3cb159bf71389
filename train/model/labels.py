"""Labels that mean something by convention, in a module that needs no torch."""

IGNORED = -100
"""Label of a position that carries no loss."""
