"""Others' tables of scores: read in any form, as curves over scale with their nulls.

May import analysis.data, analysis.emergence and eval.metrics.
"""
