"""What was measured of this machine and what a run takes of it, in words: --explain-speed."""

from collections.abc import Sequence

from train.config.run_config import RunConfig
from train.config.shapes import head_dim_for
from train.speed.choice import best_choice
from train.speed.machine import VARIABLE, is_pinned, measured_table, processor, table_path
from train.speed.table import SpeedTable, StepTime, bf16_pays, kernels_for

Row = Sequence[str]

STEP_HEADING = ("width", "float32 step", "bf16 step", "bf16 over float32")


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
    return "\n\n".join([head, *_sections(table, shape.seq_len), run])


def _sections(table: SpeedTable, seq_len: int) -> list[str]:
    products = [
        (
            f"{p.multiplications:.2g}",
            _faster(p.library, p.onednn, "oneDNN"),
            _faster(p.library_weights, p.onednn_weights, "oneDNN"),
        )
        for p in table.products
    ]
    attention = [
        (
            str(a.seq_len),
            str(a.head_dim),
            _faster(a.library, a.blocks, "blocks"),
            _faster(a.bf16, a.bf16_wide, "float32"),
        )
        for a in table.attention
    ]
    steps = [_step_row(table, step, seq_len) for step in table.steps]
    compiled = [
        (
            str(c.d_model),
            c.precision,
            "no compiler" if c.compiled is None else _faster(c.eager, c.compiled, "compiled"),
            f"{c.compile_seconds:.0f}",
        )
        for c in table.compiled
    ]
    found = [
        _text(("multiplications", "product, over F.linear", "weight gradient"), products),
        _text(("context", "head_dim", "attention, over SDPA", "under bf16, over SDPA"), attention),
        _text(
            (
                "width",
                "float32 step",
                "bf16 step",
                "bf16 over float32",
                f"taken at context {seq_len}",
            ),
            steps,
        ),
    ]
    heading = ("width", "precision", "step, over eager", "seconds to compile")
    return found + ([_text(heading, compiled)] if compiled else [])


def _step_row(table: SpeedTable, step: StepTime, seq_len: int) -> Row:
    head_dim = head_dim_for(step.d_model)
    precision = "bf16" if bf16_pays(table, step.d_model) else "fp32"
    kernels = kernels_for(table, step.d_model, head_dim, seq_len, precision)
    return (
        str(step.d_model),
        _faster(step.library, step.kernels, "kernels"),
        _faster(step.bf16, step.bf16_kernels, "kernels"),
        _faster(step.seconds("fp32"), step.seconds("bf16"), ""),
        f"precision=auto is {precision}, with {kernels.label}",
    )


def _faster(before: float | None, after: float | None, name: str) -> str:
    """How many times as fast, or nothing where that was not tried."""
    return "-" if before is None or after is None else f"{name} {before / after:.2f}".strip()


def _text(heading: Row, rows: Sequence[Row]) -> str:
    """Columns as wide as their widest cell."""
    cells = [heading, *rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(heading))]
    lines = ("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in cells)
    return "\n".join(line.rstrip() for line in lines)
