"""Models that are cheaper to serve than the compute-optimal one; may import analysis.studies and
all below, no words.
"""
