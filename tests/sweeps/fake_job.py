"""`python -m sweeps.job` with the workers of fake_worker.py, which train in milliseconds."""

import sys
from pathlib import Path

from train.stopping import hold

hold()

import sweeps.pool  # noqa: E402
from sweeps.task import main  # noqa: E402

sweeps.pool.WORKER = [sys.executable, str(Path(__file__).with_name("fake_worker.py"))]
sys.exit(main())
