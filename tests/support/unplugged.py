"""Runs tests as on a machine that lacks a fast path: pytest -p tests.support.unplugged.

ISOFLOP_UNPLUGGED names what is missing, both unless it is set: onednn (PyTorch's private operator),
compiler (of C++, which torch.compile needs).
"""

import os
import shutil
from typing import Any

LACKING = os.environ.get("ISOFLOP_UNPLUGGED", "onednn,compiler").split(",")
COMPILERS = ("c++", "g++", "clang++", "cc", "gcc")

if "compiler" in LACKING:
    found = shutil.which

    def which(name: Any, *arguments: Any, **options: Any) -> Any:
        """What is on the path, but for compilers."""
        if os.path.basename(name) in COMPILERS:
            return None
        return found(name, *arguments, **options)

    shutil.which = which

if "onednn" in LACKING:
    import torch

    torch.backends.mkldnn.is_available = lambda: False
