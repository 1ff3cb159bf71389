"""Others' tables of scores: read in whatever form they come, as curves over scale with their nulls.

May import analysis.data, analysis.emergence and eval.metrics.
"""
