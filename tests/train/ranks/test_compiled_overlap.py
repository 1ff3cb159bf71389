"""Ranks under DDP exchange gradients while a compiled model still computes others."""

import pytest
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from train.config.shapes import complete_shape
from train.config.spec import ModelSpec
from train.model.build import SummedLoss, build_model


@pytest.fixture
def alone():
    """A process group of one."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.slow
def test_a_compiled_model_under_ddp_is_a_graph_for_every_bucket_of_gradients(alone):
    """As one graph its backward pass would hand over all gradients at its end.

    Compiled first and wrapped then, as a run does it; the first pass is a trial without exchange.
    """
    graphs: list[int] = []

    def keep(graph, inputs):
        graphs.append(len(graph.graph.nodes))
        return graph.forward

    shape = complete_shape(ModelSpec(d_model=128, n_layers=4, vocab_size=61, seq_len=16))
    tokens = torch.randint(0, 61, (2, 16))
    counts = {}
    for name in ("plain", "ddp"):
        torch.compiler.reset()
        graphs.clear()
        model = SummedLoss(build_model(shape, seed=0))
        compiled = torch.compile(model, backend=keep, dynamic=False)
        if name == "plain":
            compiled(tokens, tokens).backward()
        else:
            ranks = DistributedDataParallel(compiled, bucket_cap_mb=1)
            with ranks.no_sync():
                ranks(tokens, tokens).backward()
            ranks(tokens, tokens).backward()
        counts[name] = len(graphs)
    torch.compiler.reset()
    assert counts["plain"] == 1
    assert counts["ddp"] >= 3  # 3.2 MB of gradients
