"""AdamW in groups: weight decay on matrices, none on norms and biases, each with its transfer."""

from collections import defaultdict

import torch
from torch import nn

from train.config.spec import ModelSpec, OptimSpec, known
from train.model.parametrization import Transfer, transfer_of


def build_optimizer(
    model: nn.Module, optim: OptimSpec, shape: ModelSpec, device: str
) -> torch.optim.AdamW:
    """AdamW over the model's parameters; its learning rate is set again at every step.

    Matrices (two or more dimensions, embeddings included) decay; vectors do not. Under the standard
    parametrization these are the only two groups; `lr_scale` is a group's share of the step's rate.
    """
    members: dict[tuple[bool, Transfer], list[nn.Parameter]] = defaultdict(list)
    for name, parameter in model.named_parameters():
        factors = transfer_of(name, parameter.ndim, shape, optim.parametrization)
        members[parameter.ndim >= 2, factors].append(parameter)
    decay = known(optim.weight_decay, "optim.weight_decay")
    groups = [
        {
            "params": parameters,
            "lr_scale": factors.lr,
            "weight_decay": decay * factors.decay if matrices else 0.0,
            "eps": optim.eps * factors.eps,
        }
        for (matrices, factors), parameters in members.items()
    ]
    return torch.optim.AdamW(
        groups,
        lr=known(optim.lr_peak, "optim.lr_peak"),
        betas=(optim.beta1, known(optim.beta2, "optim.beta2")),
        fused=device != "mps",
    )


@torch.no_grad()
def transfer_initial_weights(model: nn.Module, optim: OptimSpec, shape: ModelSpec) -> None:
    """Scale freshly drawn weights as the parametrization asks; the standard one changes nothing."""
    for name, parameter in model.named_parameters():
        factor = transfer_of(name, parameter.ndim, shape, optim.parametrization).init
        if factor != 1.0:
            parameter.mul_(factor)
