"""What was measured of this machine and what a run takes of it, in words: --explain-speed."""

from collections.abc import Sequence

from train.config.run_config import RunConfig
from train.config.shapes import head_dim_for
from train.speed.choice import best_choice
from train.speed.machine import VARIABLE, is_pinned, measured_table, processor, table_path
from train.speed.table import SpeedTable, StepTime, bf16_pays, candidate_kernels, kernels_for

Row = Sequence[str]


def explanation(job: RunConfig) -> str:
    """The choice table of this machine and the choice of a run; measures what is not known yet."""
    threads, shape = job.runtime.threads, job.spec.model
    if is_pinned():
        return f"{VARIABLE}=library: nothing is measured, PyTorch's own calls are taken"
    table = measured_table(threads)
    if table is None:
        return "this machine could not be measured, PyTorch's own calls are taken (-v says why)"
    choice = best_choice(job, "cpu")
    table = measured_table(threads) or table  # with what compiling gains, where that was tried
    run = (
        f"{job.name}: {shape.n_layers} layers of width {shape.d_model}, context {shape.seq_len}, "
        f"{job.spec.precision}: {choice.label} (on the CPU)"
    )
    head = f"{processor()[0]}, {threads} threads, kept in {table_path(threads)}"
    return "\n\n".join([head, *_sections(table), run])


def _sections(table: SpeedTable) -> list[str]:
    products = [
        (
            f"{p.multiplications:.2g}",
            _faster(p.library, p.onednn, "oneDNN"),
            _faster(p.library_weights, p.onednn_weights, "oneDNN"),
        )
        for p in table.products
    ]
    attention = [
        (str(a.seq_len), str(a.head_dim), _faster(a.library, a.blocks, "blocks"))
        for a in table.attention
    ]
    steps = [_step_row(table, step) for step in table.steps]
    compiled = [
        (
            str(c.d_model),
            c.precision,
            "no compiler" if c.compiled is None else _faster(c.eager, c.compiled, "compiled"),
            f"{c.compile_seconds / c.n_layers:.1f}",
        )
        for c in table.compiled
    ]
    found = [
        _text(("multiplications", "product, over F.linear", "weight gradient"), products),
        _text(("context", "head_dim", "attention, over SDPA"), attention),
        _text(("width", "float32 step, over the library", "bf16, over the better", "taken"), steps),
    ]
    heading = ("width", "precision", "step, over eager", "seconds to compile a layer")
    return found + ([_text(heading, compiled)] if compiled else [])


def _step_row(table: SpeedTable, step: StepTime) -> Row:
    head_dim = head_dim_for(step.d_model)
    candidates = candidate_kernels(table.products, table.attention, head_dim)
    kernels = kernels_for(table, step.d_model, head_dim)
    low = "no such instructions" if step.bf16 is None else f"{step.float32 / step.bf16:.2f}"
    auto = "bf16 for precision=auto" if bf16_pays(table, step.d_model) else "float32"
    if step.kernels is None:
        ours = "the same calls"
    else:
        ours = f"{step.library / step.kernels:.2f} with {candidates.label}"
    return (str(step.d_model), ours, low, f"{kernels.label}; {auto}")


def _faster(library: float, other: float, name: str) -> str:
    return f"{name} {library / other:.2f}"


def _text(heading: Row, rows: Sequence[Row]) -> str:
    """Columns as wide as their widest cell."""
    cells = [heading, *rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(heading))]
    lines = ("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in cells)
    return "\n".join(line.rstrip() for line in lines)
