"""Abilities predicted through the loss of their answers; may import analysis.studies and all below,
no words.
"""
