"""Replicas of one tiny shape trained together by stacking their parameters, against one by one.

    python -m benchmarks.stacked [replicas=8]

Gradients of R models, each with its own batch: `SummedLoss` R times, or `torch.func.vmap` of a
functional Llama over stacked parameters. The outcome, in docs/log.md, is why the launcher has no
such option.
"""

import statistics
import sys
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import grad, vmap

from benchmarks.figures import Figure, parse, report
from train.config.shapes import complete_shape
from train.config.spec import ModelSpec, known
from train.model.build import SummedLoss, build_model
from train.model.forward import _rotation

CASES = ((8, 4, 128, 257), (16, 4, 128, 257), (32, 4, 128, 257), (16, 2, 128, 257), (8, 64, 12, 20))
"""(d_model, rows, context, vocabulary) as in the demo's two sweeps."""


def functional_loss(spec: ModelSpec) -> Callable[[dict[str, Tensor], Tensor, Tensor], Tensor]:
    """The mean loss of a Llama as a function of named parameters, in operations that vmap has."""
    heads, head_dim = known(spec.n_heads, "model.n_heads"), spec.head_dim
    cos, sin = _rotation(spec.seq_len, head_dim, 10_000.0)
    mask = torch.full((spec.seq_len, spec.seq_len), -torch.inf).triu(1)

    def norm(x: Tensor, weight: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6) * weight

    def turn(x: Tensor) -> Tensor:
        first, second = x.chunk(2, -1)
        return x * cos + torch.cat((-second, first), -1) * sin

    def loss(weights: dict[str, Tensor], tokens: Tensor, labels: Tensor) -> Tensor:
        x = F.embedding(tokens.flatten(), weights["model.embed_tokens.weight"])
        for number in range(known(spec.n_layers, "model.n_layers")):
            layer = {
                name.split(".", 3)[3]: weight
                for name, weight in weights.items()
                if name.startswith(f"model.layers.{number}.")
            }
            n = norm(x, layer["input_layernorm.weight"])
            query, key, value = (
                (n @ layer[f"self_attn.{name}_proj.weight"].t())
                .reshape(*tokens.shape, heads, head_dim)
                .transpose(1, 2)
                for name in "qkv"
            )
            scores = turn(query) @ turn(key).transpose(-1, -2) * head_dim**-0.5 + mask
            mixed = (scores.softmax(-1) @ value).transpose(1, 2).reshape(x.shape)
            x = x + mixed @ layer["self_attn.o_proj.weight"].t()
            n = norm(x, layer["post_attention_layernorm.weight"])
            gate = F.silu(n @ layer["mlp.gate_proj.weight"].t())
            up = n @ layer["mlp.up_proj.weight"].t()
            x = x + (gate * up) @ layer["mlp.down_proj.weight"].t()
        logits = norm(x, weights["model.norm.weight"]) @ weights["lm_head.weight"].t()
        return F.cross_entropy(logits, labels.flatten())

    return loss


def compare(case: tuple[int, int, int, int], replicas: int) -> tuple[float, float]:
    """How many times faster stacked gradients are, and their largest relative difference."""
    d_model, rows, seq_len, vocab = case
    spec = complete_shape(ModelSpec(d_model=d_model, vocab_size=vocab, seq_len=seq_len))
    modules = [SummedLoss(build_model(spec, seed)) for seed in range(replicas)]
    named = [dict(module.model.named_parameters()) for module in modules]
    stacked = {name: torch.stack([one[name].detach() for one in named]) for name in named[0]}
    tokens, labels = torch.randint(0, vocab, (2, replicas, rows, seq_len))
    together = vmap(grad(functional_loss(spec)))

    def serial() -> list[tuple[Tensor, ...]]:
        return [
            torch.autograd.grad(module(x, y) / y.numel(), list(module.parameters()))
            for module, x, y in zip(modules, tokens, labels, strict=True)
        ]

    expected, got = serial(), together(stacked, tokens, labels)
    gap = max(
        float((got[name][number] - gradient).norm() / gradient.norm())
        for number, gradients in enumerate(expected)
        for name, gradient in zip(named[0], gradients, strict=True)
    )
    ratios = []
    for _ in range(9):
        times = [time.process_time()]
        for task in (serial, lambda: together(stacked, tokens, labels)):
            task()
            task()
            times.append(time.process_time())
        ratios.append((times[1] - times[0]) / (times[2] - times[1]))
    return statistics.median(ratios), gap


def main(arguments: list[str]) -> int:
    settings = parse(arguments, __doc__, ("replicas",))
    torch.set_num_threads(1)
    figures = []
    for case in CASES:
        ratio, gap = compare(case, int(settings.get("replicas", 8)))
        name = "d{} rows {} T {} V {}".format(*case)
        figures.append(Figure(f"{name}: one by one / stacked", ratio, "x", note=f"gap {gap:.0e}"))
    return report(figures, settings)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
