"""The stand-in's library, compiled once per machine and kept in the user's cache."""

import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import torch
from torch.utils.cpp_extension import include_paths, library_paths

SOURCE = Path(__file__).with_name("device.cpp")
FLAGS = ("-O0", "-w", "-std=c++20", "-fPIC", "-shared")
"""Unoptimised: the kernels are PyTorch's, and compiling is what takes time."""


class NoCompilerError(Exception):
    """There is no C++ compiler here, or it can't compile the stand-in."""


def library() -> Path:
    """Path of the compiled library; the first call on a machine compiles it.

    Raises:  NoCompilerError: with the reason, for a test to be skipped with.
    """
    compiler = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        raise NoCompilerError("no C++ compiler (g++ or clang++) on this machine")
    abi = f"-D_GLIBCXX_USE_CXX11_ABI={int(torch.compiled_with_cxx11_abi())}"
    key = hashlib.sha256(SOURCE.read_bytes())
    key.update(repr((torch.__version__, compiler, *FLAGS, abi)).encode())
    made = _cache() / f"standin-{key.hexdigest()[:16]}.so"
    if not made.exists():
        made.parent.mkdir(parents=True, exist_ok=True)
        with made.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # of several test processes one compiles
            if not made.exists():
                _compile(compiler, abi, made)
    return made


def _compile(compiler: str, abi: str, made: Path) -> None:
    aside = made.with_suffix(f".{os.getpid()}.so")
    folders = [f"-isystem{path}" for path in include_paths()]
    links = [f"-L{path}" for path in library_paths()] + ["-lc10", "-ltorch_cpu"]
    command = [compiler, *FLAGS, abi, *folders, str(SOURCE), "-o", str(aside), *links]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        raise NoCompilerError(f"{compiler} can't compile the stand-in: {ended.stderr[-2000:]}")
    os.replace(aside, made)


def _cache() -> Path:
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "isoflop-tests"
