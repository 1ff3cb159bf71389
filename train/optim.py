"""AdamW in two groups: weight decay on matrices, none on norms and biases."""

import torch
from torch import nn

from train.spec import OptimSpec, known


def build_optimizer(model: nn.Module, optim: OptimSpec, device: str) -> torch.optim.AdamW:
    """AdamW over the model's parameters; its learning rate is set anew at every step.

    Matrices (two or more dimensions, embeddings included) decay; vectors do not.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": optim.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        groups,
        lr=known(optim.lr_peak, "optim.lr_peak"),
        betas=(optim.beta1, known(optim.beta2, "optim.beta2")),
        eps=optim.eps,
        fused=device in ("cpu", "cuda"),
    )
