"""How runs are launched: the settings of every launcher, checked, and the way to the chosen one."""

import re
import shlex
from dataclasses import dataclass, field

from train.config.gpu_peaks import PEAK_BF16_FLOPS, peak_of
from train.config.spec import SpecError, one_of, require

LAUNCHERS = ("inline", "pool", "slurm", "simulate")

_OPTIONAL = ("workers", "threads_per_worker", "runs_per_device", "memory_gb")
_SECRET = re.compile(
    r"KEY|TOKEN(?!IZ)|SECRET|PASSW|CREDENTIAL|(?:^|[_.-])(?:PAT|PWD|AUTH)(?:$|[_.-])", re.IGNORECASE
)
_ASSIGNED = re.compile(r"([A-Za-z_][\w-]*)=")
"""NAME= of a line: `export NAME=...`, `env NAME=... command`, sbatch's `export: ALL,NAME=...`,
`command --api-key=...`."""

_SECRET_VALUE = re.compile(
    r"\b(?:hf_[A-Za-z0-9]{20,}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}"
    r"|sk-[\w-]{20,}|AKIA[0-9A-Z]{16}|xox[abprs]-[\w-]{10,}|wandb_v1_\w{16,}|[0-9a-f]{40})\b"
)
"""Shapes of well-known access tokens: Hugging Face, GitHub, GitLab, OpenAI, AWS, Slack and W&B
(40 hexadecimal digits)."""

_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPTION_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


@dataclass(frozen=True)
class LauncherSpec:
    """Settings of the launchers; each ignores what is another's, and inline and simulate all.

    pool: `workers` processes (default: as many as there are cores for) of `threads_per_worker`
    threads each (default: `runtime.threads`); on GPUs, `runs_per_device` on each of `devices`
    (auto, none, or ids "0,1"): by default the fastest of 1 to 16 that a launch has timed, or a run
    a core where runtime.device=auto and that is faster (packing.json; 1 where nothing is timed).
    `memory_gb` bounds the predicted memory of runs in flight; `hang_seconds` is how long a
    run may show no progress before its worker is replaced.

    slurm: None takes the plan's prediction by size. `runs_per_job` runs go into one job, of which
    `runs_per_gpu` (without GPUs: `cpus` / `threads_per_worker`) train at once; `gpus` and `nodes`
    above 1 put a single run on all of them through Accelerate. `signal_seconds` before its time
    limit a job saves and requeues itself, at most `max_requeues` times. `python` starts Python on
    a node (`apptainer exec IMAGE python`); by default the interpreter that submits does. A job that
    is preempted or whose node dies comes back, at most `max_restarts` times.

    all: after `max_failures` failed runs in a row no more are started (0: never mind). `on_end` is
    a command that is run when the launch is over, with the outcome in its environment. `gpu` names
    the GPUs that runs will have (A100, H100, ...), for times where none is here. `shard`: a
    run over several GPUs cuts its model into shards (FSDP2) never, always, or (auto) where it is
    predicted not to fit one of them; a pool gives such a run all its GPUs, after the others. With
    `mps` a pool of several runs a GPU starts NVIDIA's Multi-Process Service and ends it (default:
    where that was timed to be faster).
    """

    kind: str = "pool"
    workers: int | None = None
    threads_per_worker: int | None = None
    devices: str = "auto"
    runs_per_device: int | None = None
    affinity: bool = True
    memory_gb: float | None = None
    hang_seconds: float = 1800.0
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    python: str | None = None
    extra: dict[str, str] = field(default_factory=dict)
    setup: list[str] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)
    time_minutes: int | None = None
    mem_gb: float | None = None
    cpus: int | None = None
    gpus: int = 0
    nodes: int = 1
    runs_per_job: int = 1
    runs_per_gpu: int = 1
    max_parallel: int = 64
    signal_seconds: int = 120
    max_requeues: int = 20
    max_restarts: int = 10
    max_failures: int = 5
    on_end: str | None = None
    gpu: str | None = None
    shard: str = "auto"
    mps: bool | None = None
    dry_run: bool = False

    def __post_init__(self) -> None:
        one_of("launcher.kind", self.kind, LAUNCHERS)
        one_of("launcher.shard", self.shard, ("auto", "never", "always"))
        require(
            self.gpu is None or peak_of(str(self.gpu)) is not None,
            f"launcher.gpu={self.gpu!r} is not known; expected one of {', '.join(PEAK_BF16_FLOPS)}",
        )
        least_one = ("nodes", "runs_per_job")
        for name in (*least_one, "runs_per_gpu", "max_parallel"):
            require(getattr(self, name) >= 1, f"launcher.{name}={getattr(self, name)} must be >= 1")
        for name in (*_OPTIONAL, "time_minutes", "mem_gb", "cpus"):
            value = getattr(self, name)
            require(value is None or value > 0, f"launcher.{name}={value} must be positive")
        for name in ("gpus", "max_requeues", "max_restarts", "max_failures"):
            require(getattr(self, name) >= 0, f"launcher.{name}={getattr(self, name)} must be >= 0")
        for name in ("hang_seconds", "signal_seconds"):
            require(
                getattr(self, name) > 0, f"launcher.{name}={getattr(self, name)} must be positive"
            )
        require(
            self.devices in ("auto", "none") or bool(device_ids(self.devices)),
            f"launcher.devices={self.devices!r} must be auto, none, or ids such as '0,1'",
        )
        _check_script_parts(self)
        require(
            self.runs_per_job == 1 or (self.gpus <= 1 and self.nodes == 1),
            f"launcher.runs_per_job={self.runs_per_job} packs small runs, but gpus={self.gpus} and "
            f"nodes={self.nodes} spread one run over many; use runs_per_job=1, or one gpu and node",
        )

    @property
    def threads(self) -> int:
        """Threads of one worker; the front door fills in the runs' own where none are set."""
        return self.threads_per_worker or 1

    @property
    def packed(self) -> int:
        """Runs on each GPU of a pool."""
        return self.runs_per_device or 1


def _check_script_parts(launcher: LauncherSpec) -> None:
    """All that goes into a job script is one line of its own kind, and holds no secret.

    Raises:  SpecError: a line break, a name that is none, or what looks like a secret.
    """
    plain = ("partition", "account", "qos", "constraint", "python", "on_end")
    options = {key: getattr(launcher, key) for key in plain}
    options |= {f"extra.{key}": value for key, value in launcher.extra.items()}
    for name, value in options.items():
        one_line(f"launcher.{name}", "" if value is None else str(value))
    _words("python", launcher.python)
    _words("on_end", launcher.on_end)
    for group, names, shape in (
        ("extra", launcher.extra, _OPTION_NAME),
        ("env", launcher.env, _ENV_NAME),
    ):
        for name in names:
            require(
                shape.fullmatch(name) is not None,
                f"launcher.{group} has the name {name!r}; expected letters, digits and _"
                + (" or -" if group == "extra" else ""),
            )
    for name in (*launcher.env, *launcher.extra):
        where = "env" if name in launcher.env else "extra"
        require(_SECRET.search(name) is None, _looks_secret(f"{where}.{name}"))
    texts = {f"env.{name}": value for name, value in launcher.env.items()}
    texts |= {f"setup[{index}]": line for index, line in enumerate(launcher.setup)}
    for name, value in {**options, **texts}.items():
        text = "" if value is None else str(value)
        for given in _ASSIGNED.findall(text):
            require(_SECRET.search(given) is None, _looks_secret(f"{name} ({given}=)"))
        require(_SECRET_VALUE.search(text) is None, _looks_secret(name))


def _words(name: str, command: str | None) -> None:
    """A command must split into words as a shell would split it.

    Raises:  SpecError: an open quotation, nothing, or no text.
    """
    text = command is None or isinstance(command, str)
    require(text, f"launcher.{name}={command!r} must be a command as text")
    try:
        empty = command is not None and not shlex.split(command)
    except ValueError as error:
        raise SpecError(f"launcher.{name}={command!r} is no command: {error}") from error
    require(not empty, f"launcher.{name}={command!r} is empty; expected a command")


def _looks_secret(name: str) -> str:
    """The refusal of a secret, which never repeats its value."""
    return (
        f"launcher.{name} looks like a secret, and launcher settings are written into files; "
        f"export it in the shell that submits: jobs inherit its environment"
    )


def one_line(name: str, value: str) -> None:
    """Refuse control characters: a line break would put lines into a job script.

    Raises:  SpecError: there is one.
    """
    require(
        value.isprintable(),
        f"{name}={value!r} holds a line break or control character; expected one plain line",
    )


def device_ids(devices: str) -> list[str]:
    """The ids of a comma-separated list."""
    return [device.strip() for device in devices.split(",") if device.strip()]
