"""Which form of the loss predicts runs that it was not fitted to; may import analysis.studies and
all below, no words.
"""
