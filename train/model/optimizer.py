"""AdamW, or Muon for matrices and AdamW for the rest, in groups of one decay and transfer."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from train.config.spec import ModelSpec, OptimSpec, known
from train.model.parametrization import Transfer, muon_transfer_of, transfer_of

NOT_HIDDEN = ("embed_tokens", "wte", "wpe", "lm_head")
"""Matrices that Muon leaves to AdamW: embeddings and the head (Jordan et al. 2024)."""


@dataclass(frozen=True)
class _Kind:
    """What makes a group of parameters."""

    muon: bool
    decays: bool
    factors: Transfer


def build_optimizer(
    model: nn.Module, optim: OptimSpec, shape: ModelSpec, device: str
) -> torch.optim.Optimizer:
    """The optimiser over the model's parameters; its learning rate is set again at every step.

    Matrices (two or more dimensions, embeddings included) decay; vectors do not. Under the standard
    parametrization and AdamW these are the only two groups; `lr_scale` is a group's share of the
    step's rate.
    """
    members: dict[_Kind, list[nn.Parameter]] = defaultdict(list)
    for name, parameter in model.named_parameters():
        muon = optim.optimizer == "muon" and takes_muon(name, parameter)
        if muon:
            turned = "transformer.h." in name  # GPT-2 stores its matrices as (in, out)
            factors = muon_transfer_of(name, tuple(parameter.shape), shape, optim, turned)
        else:
            factors = transfer_of(name, parameter.ndim, shape, optim.parametrization)
        members[_Kind(muon, parameter.ndim >= 2, factors)].append(parameter)
    decay = known(optim.weight_decay, "optim.weight_decay")
    groups: dict[bool, list[dict[str, Any]]] = {False: [], True: []}
    for kind, parameters in members.items():
        group = {
            "params": parameters,
            "lr_scale": kind.factors.lr,
            "weight_decay": decay * kind.factors.decay if kind.decays else 0.0,
        }
        # Muon's own epsilon guards a division and is no part of its published settings.
        groups[kind.muon].append(
            group if kind.muon else group | {"eps": optim.eps * kind.factors.eps}
        )
    adamw = torch.optim.AdamW(
        groups[False],
        lr=known(optim.lr_peak, "optim.lr_peak"),
        betas=(optim.beta1, known(optim.beta2, "optim.beta2")),
        fused=device != "mps",
    )
    if not groups[True]:
        return adamw
    muon = torch.optim.Muon(
        groups[True],
        lr=known(optim.lr_matrices, "optim.lr_matrices"),
        momentum=optim.muon_momentum,
        adjust_lr_fn=optim.muon_scale,
    )
    return TwoOptimizers(muon, adamw)


def takes_muon(name: str, parameter: torch.Tensor) -> bool:
    """Whether a parameter is a matrix of a layer, by its name in the Hugging Face module."""
    return parameter.ndim == 2 and not any(word in name for word in NOT_HIDDEN)


class TwoOptimizers(torch.optim.Optimizer):
    """Two optimisers of different parameters that step, are saved and are sharded as one.

    They share their groups and states with this object, so that whoever sets a rate, replaces
    parameters by shards or restores a state need not know that there are two.
    """

    def __init__(self, first: torch.optim.Optimizer, second: torch.optim.Optimizer) -> None:
        super().__init__([*first.param_groups, *second.param_groups], dict(second.defaults))
        self.parts = (first, second)
        self._share()

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step of each.

        Gradients are laid out as their parameters are: Muon's buffers take their layout, which a
        saved state does not keep, and its sums in bfloat16 depend on it.
        """
        loss = closure() if closure is not None else None
        self._share()  # loading a state, as Accelerate does, puts other objects in their place
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.grad = parameter.grad.contiguous()
        for part in self.parts:
            part.step()
        return loss

    def _share(self) -> None:
        first, second = self.parts
        n_first = len(first.param_groups)
        first.param_groups = self.param_groups[:n_first]
        second.param_groups = self.param_groups[n_first:]
        for part in self.parts:
            part.state = self.state


@torch.no_grad()
def transfer_initial_weights(model: nn.Module, optim: OptimSpec, shape: ModelSpec) -> None:
    """Scale freshly drawn weights as the parametrization asks; the standard one changes nothing."""
    for name, parameter in model.named_parameters():
        factor = transfer_of(name, parameter.ndim, shape, optim.parametrization).init
        if factor != 1.0:
            parameter.mul_(factor)
