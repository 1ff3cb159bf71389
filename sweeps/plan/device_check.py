"""Whether torch can compute on a device that nvidia-smi lists, asked in a child process."""

import os
import subprocess
import sys

from sweeps.plan.machine import Slot, environment

CHECK = """
import sys, torch
device = torch.accelerator.current_accelerator(check_available=True)
if device is None:
    sys.exit(f"torch {torch.__version__} sees no GPU")
assert torch.ones(2, device=device).sum().item() == 2
"""

TIMEOUT_SECONDS = 120.0


def why_unusable(device: str) -> str:
    """The reason in one line, empty where torch computes on the device."""
    try:
        ended = subprocess.run(
            [sys.executable, "-P", "-c", CHECK],
            env=environment(Slot(0, device, (), 1), dict(os.environ)),
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"no answer in {TIMEOUT_SECONDS:.0f} s"
    except OSError as error:
        return str(error)
    lines = [line.strip() for line in ended.stderr.splitlines() if line.strip()]
    if ended.returncode == 0:
        return ""
    return lines[-1] if lines else f"exit status {ended.returncode}"
