"""Training losses along runs, and which losses of a curve approach 1 reads. Imports the tables of
analysis.data alone.
"""
