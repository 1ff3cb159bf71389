"""The shapes along a grid's first side, and how they are called."""

from dataclasses import replace

from sweeps.spec.grids import GridSpec, SweepSpec
from sweeps.spec.heads import LadderHeads, with_head_dim
from train.config.decode import merge
from train.config.shapes import complete_shape, nearest_shape
from train.config.spec import ModelSpec

ANY_VOCABULARY = 1024
"""Stands in for a vocabulary not known yet where only a width is asked for."""


def drafts_of(grid: GridSpec, template: ModelSpec) -> list[ModelSpec]:
    """Shapes in the order given, each with what is left to rules, heads among it, still open.

    Args:    template: what they start from, with vocabulary.
    """
    chosen = [merge(template, {"d_model": d}, "shapes") for d in grid.d_models]
    chosen += [replace(nearest_shape(n, template), n_heads=None) for n in grid.n_params]
    return chosen + [merge(template, shape, "shapes") for shape in grid.shapes]


def shapes_of(
    grid: GridSpec, template: ModelSpec, heads: LadderHeads | None = None
) -> list[ModelSpec]:
    """Complete shapes in the order given.

    Args:    template: what they start from, with vocabulary; heads: the ladder's, None for those
             that each width has by itself.
    """
    return [complete_shape(with_head_dim(m, heads)) for m in drafts_of(grid, template)]


def labelled(shapes: list[ModelSpec]) -> list[tuple[str, ModelSpec]]:
    """Each with its width for a name, and its depth where that leaves two alike."""
    widths = [shape.d_model for shape in shapes]
    return [
        (f"d{m.d_model}" if widths.count(m.d_model) == 1 else f"d{m.d_model}l{m.n_layers}", m)
        for m in shapes
    ]


def widest(sweep: SweepSpec, model: ModelSpec) -> int:
    """Width of the widest shape that any grid names; the base model's own where there is no grid.

    Raises:  SpecError: a shape that can't be built.
    """
    template = replace(model, vocab_size=model.vocab_size or ANY_VOCABULARY)
    widths = [model.d_model] if not sweep.grids else []
    for name, grid in sweep.grids.items():
        changes = grid.base.get("model", {})
        start = merge(template, changes, f"sweep.grids.{name}.base.model")
        widths += [shape.d_model for shape in shapes_of(grid, start)]
    return max(widths, default=model.d_model)
