"""What a machine with a GPU must prove: checks, each with a stated expectation, and their report.

May import everything below `sweeps.design`; nothing imports it.
"""
