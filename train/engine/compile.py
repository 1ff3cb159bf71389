"""How a run is compiled, and kernels that are kept on disk from one run to the next."""

import os
import re
from pathlib import Path

import torch
from torch._dynamo import OptimizedModule
from torch.nn.parallel import DistributedDataParallel

from train.config.run_config import RuntimeSpec


def uses_graphs(runtime: RuntimeSpec, device: str, rows: int) -> bool:
    """Whether passes are recorded as CUDA graphs: as asked, where a step of `rows` is one pass.

    A graph's results lie where the next pass puts its own, so that gradients of several passes
    would overwrite each other. Not yet tried on a GPU, and so never by itself.
    """
    one_pass = runtime.micro_batch is None or runtime.micro_batch >= rows
    return runtime.compile == "graphs" and device == "cuda" and one_pass


def compiled(module: torch.nn.Module, graphs: bool = False) -> torch.nn.Module:
    """The module under torch.compile, which finds the kernels of earlier runs on disk.

    What a warm worker compiled for earlier runs is forgotten: torch gives up on a function and runs
    it uncompiled, after a few recompilations, and every size of model is one. Shapes are taken as
    fixed: training has one, and validation one of its own.

    Args:    graphs: record the passes as CUDA graphs too, which start as one launch each.
    """
    torch.compiler.reset()
    mode = {"mode": "reduce-overhead"} if graphs else {}
    return torch.compile(module, dynamic=False, **mode)  # type: ignore[return-value]


def is_compiled(module: torch.nn.Module) -> bool:
    """Whether a module is compiled, or one under DDP is."""
    if isinstance(module, DistributedDataParallel):
        module = module.module
    return isinstance(module, OptimizedModule)


def discard_damaged_kernel(error: Exception) -> Path | None:
    """Delete the kernel on disk that an error says can't be loaded, so that it is compiled again.

    A compiler that is killed while it writes leaves half a library, which torch takes for a whole
    one ever after. Returns None where the error is of another kind.
    """
    found = re.search(r"(\S+\.so): (file too short|invalid ELF header)", str(error))
    cache = os.environ.get("TORCHINDUCTOR_CACHE_DIR")  # torch sets it when it first compiles
    if found is None or cache is None:
        return None
    kernel = Path(found[1])
    if Path(cache) not in kernel.parents or not kernel.exists():
        return None
    kernel.unlink()
    return kernel
