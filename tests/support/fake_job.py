"""`python -m sweeps.slurm.job_main` with the workers of fake_worker.py, which train in
milliseconds.
"""

import sys
from pathlib import Path

from train.engine.signals import hold

hold()

import sweeps.launch.pool  # noqa: E402
from sweeps.slurm.job import main  # noqa: E402

sweeps.launch.pool.WORKER = [sys.executable, str(Path(__file__).with_name("fake_worker.py"))]
sys.exit(main())
