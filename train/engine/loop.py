"""The training loop, nothing else."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from train.config.flops import flops_per_token
from train.config.run_config import RuntimeSpec
from train.config.spec import RunSpec, known
from train.config.wsd_branching import trunk_end
from train.data.dataset import Dataset
from train.data.prefetch import in_turn, rank_batch
from train.engine.compile import is_compiled
from train.engine.device import has_own_memory, synchronize
from train.engine.evaluate import evaluate, first_passes
from train.engine.optimizer_step import optimizer_step, trial_pass
from train.engine.step_log import Speed, count_spikes, read_numbers
from train.model.ema import average, averaged_weights, first_averaged_step
from train.model.fsdp import is_sharded
from train.ranks.shared_memory_error import TRIED_STEPS, try_out


@dataclass(frozen=True)
class Hooks:
    """What the loop calls and does not know: metrics out, states saved, a stop asked for.

    `save(outcome)` keeps a state from which step `outcome.step` comes next, `share(outcome)` leaves
    one to other runs of the trunk; `keep(step, loss)` writes an intermediate model and
    `keep_average(step, loss)` that of the averaged weights; `stopping()` is asked before each step,
    `word()` after each line of metrics: why the run need not go on, or an empty string.
    """

    write: Callable[[dict[str, float]], None]
    beat: Callable[["Outcome"], None]
    save: Callable[["Outcome"], None]
    share: Callable[["Outcome"], None]
    keep: Callable[[int, float | None], None]
    keep_average: Callable[[int, float | None], None]
    stopping: Callable[[], bool]
    word: Callable[[], str] = field(default=lambda: "")


@dataclass
class Outcome:
    """How far a run came, with its last good numbers; `window` holds losses not yet logged.

    `branched_from` is the step up to which another run had trained; `seconds` counts none of that,
    nor what compiling took, `compile_seconds`, summed over the run's lives. `recent` holds the
    losses that the next steps' are held against to count `loss_spikes` (`train.engine.step_log`).
    """

    status: str = "finished"
    step: int = 0
    train_loss: float | None = None
    loss: float | None = None
    losses: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    window: list[float] = field(default_factory=list)
    message: str = ""
    branched_from: int | None = None
    compile_seconds: float = 0.0
    loss_ema: float | None = None
    loss_spikes: int = 0
    recent: list[float] = field(default_factory=list)

    @property
    def spent_steps(self) -> int:
        return self.step - (self.branched_from or 0)


def train(
    spec: RunSpec,
    runtime: RuntimeSpec,
    dataset: Dataset,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    accelerator: Accelerator,
    hooks: Hooks,
    outcome: Outcome,
) -> Outcome:
    """Train from `outcome.step` to the end, to divergence, or until asked to stop or end early.

    Args:    model: `SummedLoss`, prepared; outcome: a fresh one, or a restored state's numbers.
    Returns: the outcome, whose status is finished, diverged, stopped or preempted.
    """
    n_steps = known(spec.n_steps, "n_steps")
    eval_steps = {round(n_steps * k / runtime.n_evals) for k in range(1, runtime.n_evals + 1)}
    keep_steps = runtime.keep_steps(n_steps)
    fork = trunk_end(spec)
    token_flops = flops_per_token(spec.model)
    rank, world = accelerator.process_index, accelerator.num_processes
    on_gpu = has_own_memory(accelerator.device)
    # Accelerate's own backward, clip and step add fp16 scaling, which no run has, and look up
    # packages at every call, which costs a tiny model a tenth of its step.
    optimizer = getattr(optimizer, "optimizer", optimizer)
    steps = range(outcome.step, n_steps)
    batches = in_turn(lambda s: rank_batch(dataset.batch(s), rank, world, on_gpu), steps, on_gpu)
    window = _restored_window(outcome, accelerator)
    speed = Speed(spec, accelerator.device, world, token_flops)
    started, saved = time.perf_counter() - outcome.seconds, time.perf_counter()
    for step, batch in zip(steps, batches, strict=True):
        due = time.perf_counter() - saved > runtime.save_every_seconds
        stopping, due = _agree(hooks.stopping(), due, step, runtime, accelerator)
        if stopping or due:
            outcome.seconds = time.perf_counter() - started
            outcome.window = _values(window, accelerator)
            hooks.save(outcome)
            saved = time.perf_counter()
        if stopping:
            outcome.status = "preempted"
            return outcome
        if step == fork and step > 0 and runtime.branch:
            outcome.seconds = time.perf_counter() - started
            hooks.share(outcome)
        lr = spec.learning_rate(step)
        for group in optimizer.param_groups:
            group["lr"] = lr * group["lr_scale"]
        compiling = step == steps[0] and is_compiled(model)
        if (compiling or world > 1) and step < steps[0] + TRIED_STEPS and not is_sharded(model):
            before = time.perf_counter()
            try_out(lambda batch=batch: trial_pass(batch, runtime, model, accelerator), accelerator)
            optimizer.zero_grad(set_to_none=True)
            if compiling:
                first_passes(spec, dataset, model, accelerator)
                synchronize(accelerator.device)
                outcome.compile_seconds += time.perf_counter() - before
                started += time.perf_counter() - before
                speed.restart()
        loss, grad_norm = optimizer_step(batch, spec, runtime, model, optimizer, accelerator)
        window.append(loss)
        speed.step()
        outcome.step = done = step + 1
        average(optimizer, spec, done)
        # A line where the trunk ends leaves no open window, so branches log the same afterwards.
        if done % runtime.log_every == 0 or done in eval_steps or done in (fork, n_steps):
            numbers = read_numbers(window, grad_norm, optimizer, accelerator)
            mean, window = numbers.mean, []
            throughput = speed.columns()
            outcome.seconds = time.perf_counter() - started
            if not _healthy(mean, done, spec):
                outcome.status = "diverged"
                outcome.message = f"training loss {mean:.4g} at step {done} of {n_steps}"
                return outcome
            n_tokens = done * known(spec.optim.batch_tokens, "optim.batch_tokens")
            n_spikes, outcome.recent = count_spikes(outcome.recent, numbers.losses)
            outcome.loss_spikes += n_spikes
            row = {
                "step": done,
                "n_tokens": n_tokens,
                "flops": n_tokens * token_flops,
                "train_loss": mean,
                "lr": lr,
                "train/loss_spikes": outcome.loss_spikes,
                "optim/grad_norm": numbers.grad_norm,
                "optim/weight_norm": numbers.weight_norm,
                **throughput,
            }
            outcome.train_loss = mean
            if done in eval_steps:
                losses = evaluate(spec, dataset, model, accelerator)
                row |= _loss_columns(losses, spec)
                outcome.losses, outcome.loss = losses, row["loss"]
            if done == n_steps and first_averaged_step(spec) is not None:
                with averaged_weights(optimizer):
                    averaged = evaluate(spec, dataset, model, accelerator)
                    outcome.loss_ema = row["loss_ema"] = _loss_columns(averaged, spec)["loss"]
                    hooks.keep_average(done, outcome.loss_ema)
            hooks.write(row)
            hooks.beat(outcome)
            # One process alone trains the runs that a launch may stop early (a pool's).
            if world == 1 and done < n_steps and (reason := hooks.word()):
                outcome.status, outcome.message = "stopped", reason
                outcome.seconds = time.perf_counter() - started
                return outcome
            speed.restart()
        if done in keep_steps:
            hooks.keep(done, outcome.loss)
    outcome.seconds = time.perf_counter() - started
    return outcome


def _agree(
    stopping: bool, due: bool, step: int, runtime: RuntimeSpec, accelerator: Accelerator
) -> tuple[bool, bool]:
    """Wishes to stop or save as all ranks see them; several ranks ask one another at log steps."""
    if accelerator.num_processes == 1:
        return stopping, due
    if step % runtime.log_every:
        return False, False
    wishes = torch.tensor([float(stopping), float(due)], device=accelerator.device)
    total = accelerator.reduce(wishes, reduction="sum")
    assert isinstance(total, Tensor)
    return bool(total[0] > 0), bool(total[1] > 0)


def _restored_window(outcome: Outcome, accelerator: Accelerator) -> list[Tensor]:
    """Losses since the last log line, as they were when the state was saved; rank 0 holds them."""
    share = 1.0 if accelerator.is_main_process else 0.0
    return [torch.tensor(loss * share, device=accelerator.device) for loss in outcome.window]


def _values(window: list[Tensor], accelerator: Accelerator) -> list[float]:
    """Each step's loss, summed over the ranks, with one wait for all."""
    if not window:
        return []
    total = accelerator.reduce(torch.stack(window), reduction="sum")
    assert isinstance(total, Tensor)
    return total.tolist()


def _healthy(loss: float, step: int, spec: RunSpec) -> bool:
    """False for NaN or infinity, and after the first tenth for twice a uniform guess's loss."""
    if not math.isfinite(loss):
        return False
    early = step < known(spec.n_steps, "n_steps") / 10
    return early or loss < 2 * math.log(known(spec.model.vocab_size, "model.vocab_size"))


def _loss_columns(losses: dict[str, float], spec: RunSpec) -> dict[str, float]:
    """The mixture's loss, weighted as trained, and each part's own where there are several."""
    weights = {name: part.weight for name, part in spec.data.parts.items()}
    mean = sum(losses[name] * weight for name, weight in weights.items()) / sum(weights.values())
    parts = {f"loss/{name}": value for name, value in losses.items()} if len(losses) > 1 else {}
    return {"loss": mean, **parts}
