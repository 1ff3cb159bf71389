"""Abilities over scale: scores, their null, the token model. May import data."""
