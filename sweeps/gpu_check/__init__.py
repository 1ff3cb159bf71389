"""What a machine with a GPU must prove: checks, each with a stated expectation, and their report.

`card` holds the device and the runs, `results` performs checks and reports them, `child` is what
other processes run; every other module holds checks. May import everything below `sweeps.design`,
and `eval`; nothing imports it.
"""
