"""Tensors that may lie in shards over several ranks (FSDP): made whole, and cut again.

FSDP2 keeps each parameter, and with it each optimiser moment, as a DTensor. A file holds whole
tensors, so that it can be read back on any number of ranks.
"""

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor


def is_sharded(model: nn.Module) -> bool:
    """Whether any parameter lies in shards, so that reading one takes every rank."""
    return any(isinstance(parameter, DTensor) for parameter in model.parameters())


def whole(tensor: Tensor) -> Tensor:
    """The whole tensor on the CPU; of a sharded one every rank must ask at the same time."""
    return on_device(tensor).cpu().contiguous()


def on_device(tensor: Tensor) -> Tensor:
    """The whole tensor where it is; of a sharded one every rank must ask at the same time."""
    tensor = tensor.detach()
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def cut_like(tensor: Tensor, parameter: Tensor) -> Tensor:
    """A copy of a whole tensor, placed as a parameter is: on its device, and in its shards."""
    tensor = tensor.to(parameter.device)
    if not isinstance(parameter, DTensor):
        return tensor.clone()
    # Every rank has read the same file, so none need send anything to another.
    cut = distribute_tensor(tensor, parameter.device_mesh, parameter.placements, src_data_rank=None)
    assert isinstance(cut, DTensor)
    return cut


def parameters(model: nn.Module) -> dict[str, Tensor]:
    """Every parameter by name, whole, on the CPU."""
    return {name: whole(parameter) for name, parameter in model.named_parameters()}


def moments(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """What an optimiser keeps for each parameter as NAME.KEY, whole, on the CPU."""
    return {name: whole(value) for name, value in optimizer_tensors(model, optimizer).items()}


def optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """What an optimiser keeps for each parameter as NAME.KEY, as it is."""
    return {
        f"{name}.{key}": value
        for name, parameter in model.named_parameters()
        for key, value in optimizer.state[parameter].items()
    }
