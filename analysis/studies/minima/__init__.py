"""Laws from minima alone: tables of optima, and runs on one line D = r N; may import
analysis.studies and all below, no words.
"""
