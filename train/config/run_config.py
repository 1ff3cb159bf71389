"""A run as it is launched: the resolved spec, its labels, and how it is executed (spec.json)."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from train.config.decode import decode_stored
from train.config.spec import SCHEMA_VERSION, RunSpec, SpecError, one_of, require

TRACKERS = ("files", "wandb", "tensorboard", "trackio", "mlflow")


@dataclass(frozen=True)
class TrackerSpec:
    """Where metrics go beside metrics.jsonl: files is nowhere else; one name, or a list of several.

    `mode`: offline sends nothing to a server, which `isoflop sweep sync` does later; auto is online
    where a server is known and, for W&B, there is a login; disabled leaves files alone.
    """

    kind: str | list[str] = "files"
    mode: str = "auto"
    project: str = "isoflop"
    entity: str | None = None

    def __post_init__(self) -> None:
        for kind in self.kinds:
            one_of("tracker.kind", kind, TRACKERS)
        one_of("tracker.mode", self.mode, ("auto", "online", "offline", "disabled"))

    @property
    def kinds(self) -> tuple[str, ...]:
        """The names that were given, each once."""
        return tuple(dict.fromkeys([self.kind] if isinstance(self.kind, str) else self.kind))


@dataclass(frozen=True)
class RuntimeSpec:
    """How a run is executed; nothing here changes its numbers beyond floating-point rounding.

    `deterministic`: kernels that give the same bits every time, which a GPU's fastest do not; with
    it a resumed run ends there, as on a CPU, with the bits of an uninterrupted one.
    `kernels`: how a CPU computes float32 products and attention: auto takes what was measured to be
    fastest here (`train.speed`), library PyTorch's own calls; the others are named for comparison.
    `compile`: auto where it was measured, on a GPU is assumed, to be repaid within the run; graphs
    is on, and passes start as CUDA graphs where a step is one pass on one GPU.
    `loss`: what computes head and loss on a GPU: chunked (PyTorch, without a wait for the device),
    or liger (Liger Kernel's fused ones, of `pip install 'isoflop[liger]'`; chunked where it can't).
    `flash`: which FlashAttention PyTorch's attention takes on a GPU: its own, or FA3 or FA4 where
    they are installed; in env.json.
    `tf32`: float32 products on a GPU may take 10 bits of their factors' mantissas; in env.json.
    `branch`: a wsd run starts from the state that a shorter run of its trunk left in the sweep, and
    leaves one where its own decay starts (`train.engine.branch_states`).
    """

    device: str = "auto"
    threads: int = 1
    micro_batch: int | None = None
    auto_micro_batch: bool = False
    compile: str = "auto"
    kernels: str = "auto"
    loss: str = "chunked"
    flash: str = "own"
    deterministic: bool = False
    tf32: bool = False
    log_every: int = 10
    n_evals: int = 8
    save_every_seconds: float = 60.0
    keep_checkpoints: list[float] = field(default_factory=list)
    branch: bool = False

    def __post_init__(self) -> None:
        one_of("runtime.device", self.device, ("auto", "cpu", "cuda", "mps"))
        one_of("runtime.compile", self.compile, ("auto", "on", "off", "graphs"))
        kernels = ("auto", "library", "onednn", "blocks", "onednn_blocks")
        one_of("runtime.kernels", self.kernels, kernels)
        one_of("runtime.flash", self.flash, ("own", "FA3", "FA4"))
        one_of("runtime.loss", self.loss, ("chunked", "liger"))
        require(self.threads >= 1, f"runtime.threads={self.threads} must be at least 1")
        require(self.log_every >= 1, f"runtime.log_every={self.log_every} must be at least 1")
        require(self.n_evals >= 1, f"runtime.n_evals={self.n_evals} must be at least 1")
        require(
            self.micro_batch is None or self.micro_batch >= 1,
            f"runtime.micro_batch={self.micro_batch} (sequences) must be at least 1",
        )
        require(self.save_every_seconds > 0, "runtime.save_every_seconds must be positive")
        for fraction in self.keep_checkpoints:
            require(
                0 < fraction <= 1,
                f"runtime.keep_checkpoints has {fraction}; fractions of the run lie in (0, 1]",
            )

    def keep_steps(self, n_steps: int) -> set[int]:
        """Steps after which a run of so many steps keeps an intermediate model."""
        return {max(1, round(n_steps * fraction)) for fraction in self.keep_checkpoints}


@dataclass(frozen=True)
class RunConfig:
    """A resolved spec with its labels and its way of execution: the content of spec.json.

    `grid` names the cell group that asked for the run; `flops_budget` is what the grid asked for.
    """

    spec: RunSpec
    runtime: RuntimeSpec = field(default_factory=RuntimeSpec)
    tracker: TrackerSpec = field(default_factory=TrackerSpec)
    name: str = "run"
    sweep: str = "single"
    grid: str = "single"
    flops_budget: float | None = None

    @property
    def run_id(self) -> str:
        return self.spec.run_id

    @property
    def dir_name(self) -> str:
        """Name of the run's directory; for people, never parsed."""
        return f"{self.name}-{self.run_id}"


def job_to_json(job: RunConfig) -> dict[str, Any]:
    """Plain JSON content of spec.json, with the run_id that guards it against edits."""
    return {"schema": SCHEMA_VERSION, "run_id": job.run_id, **dataclasses.asdict(job)}


def job_from_json(content: dict[str, Any]) -> RunConfig:
    """The inverse of `job_to_json`.

    Raises:  SpecError: another schema version, unknown or missing fields, or an edited spec.
    """
    require(isinstance(content, dict), f"a run's spec must be a JSON object; got {content!r:.60}")
    got = content.get("schema")
    require(
        got == SCHEMA_VERSION,
        f"spec has schema version {got}; this version reads {SCHEMA_VERSION}; "
        f"train it again, or use the release that wrote it",
    )
    fields = {key: value for key, value in content.items() if key not in ("schema", "run_id")}
    try:
        job = decode_stored(RunConfig, fields, "job")
    except SpecError as error:
        raise SpecError(f"spec can't be read: {error}; restore the file or launch again") from error
    require(
        job.run_id == content.get("run_id"),
        f"spec hashes to {job.run_id} but says run_id={content.get('run_id')}: it was edited; "
        f"restore it, or launch the changed spec as a new run",
    )
    return job
