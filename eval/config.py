"""The settings of `isoflop eval`, which all that chooses and asks evaluation sets reads."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eval.lm.responses import GenerationSettings
from eval.tasks.generated import TaskError

TEXT_TASKS = ("text", "continuation")
"""Tasks of running text, which have documents instead of items (`eval.text`)."""


@dataclass(frozen=True)
class EvalConfig:
    """What is evaluated and on what; conf/eval.yaml explains the settings.

    `target` is a sweep's directory, or a checkpoint's directory or Hugging Face name. `rescore`
    computes metrics again from the answers that are stored there. `workers` are the processes that
    evaluate a sweep's checkpoints side by side on a processor; None is one per core (over
    `threads`) where checkpoints are small, and changes no answer.
    """

    target: str | None = None
    rescore: bool = False
    task: dict[str, Any] = field(default_factory=lambda: {"task": "own"})
    path: str | None = None
    out: str | None = None
    n_items: int = 10_000
    n_seen: int = 2_000
    n_by_length: int = 3_000
    samples: int = 0
    temperature: float = 0.7
    self_evaluate: bool = False
    max_new_tokens: int | None = None
    batch_tokens: int | None = None
    seed: int = 0
    bos: str = "auto"
    too_long: str = "skip"
    pmi_prompt: str | None = None
    chat_template: Any = False
    system_prompt: str | None = None
    dtype: str = "auto"
    device: str = "auto"
    threads: int = 1
    workers: int | None = None
    allow_untrained: bool = False
    trust_remote_code: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        own = self.task.get("task", "own")
        require(
            own in TEXT_TASKS or (own == "file") == (self.path is not None),
            f"task={own} with path={self.path}; task=file and path=FILE go together",
        )
        require(self.n_items >= 1, f"n_items={self.n_items} must be at least 1")
        for name in ("n_seen", "n_by_length"):
            require(getattr(self, name) >= 0, f"{name}={getattr(self, name)} must be at least 0")
        chats = bool(self.chat_template) or self.system_prompt is not None
        require(
            not (chats and own in TEXT_TASKS),
            f"task={own} is running text, which has no turns; leave out chat_template and "
            f"system_prompt",
        )
        require(self.threads >= 1, f"threads={self.threads} must be at least 1")
        workers = self.workers
        require(workers is None or workers >= 1, f"workers={workers} must be at least 1, or null")

    @property
    def is_sweep(self) -> bool:
        """Whether the target is a sweep's directory rather than a checkpoint."""
        return (Path(self.target or "") / "runs").is_dir()

    @property
    def settings(self) -> GenerationSettings:
        return GenerationSettings(
            samples=self.samples,
            temperature=self.temperature,
            self_evaluate=self.self_evaluate,
            max_new_tokens=self.max_new_tokens,
            batch_tokens=self.batch_tokens,
            seed=self.seed,
            bos=self.bos,
            too_long=self.too_long,
            pmi_prompt=self.pmi_prompt,
            chat_template=self.chat_template,
            system_prompt=self.system_prompt,
            dtype=self.dtype,
        )


def require(condition: bool, message: str) -> None:
    """Raise `TaskError(message)` unless the condition holds."""
    if not condition:
        raise TaskError(message)
