"""The command of a Slurm job: no stop signal is lost from its very first moment.

    python -m sweeps.job TASKS.json

Slurm may signal a job while it is still importing, where a signal would end it without a word. So
signals are held first of all, and answered once `sweeps.task` has a handler for them.
"""

import sys

from train.stopping import hold

if __name__ == "__main__":
    hold()
    from sweeps.task import main

    sys.exit(main())
