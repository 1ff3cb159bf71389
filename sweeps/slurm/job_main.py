"""The command of a Slurm job: no stop signal is lost from its very first moment.

    python -m sweeps.slurm.job_main TASKS.json

Slurm may signal a job while it is still importing, where a signal would end it without a word. So
signals are held first of all, and answered once `sweeps.slurm.job` has a handler for them.
"""

import sys

from train.engine.signals import hold

if __name__ == "__main__":
    hold()
    from sweeps.slurm.job import main

    sys.exit(main())
