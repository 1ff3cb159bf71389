"""What a GPU would be given to do: waits of a step, and the graph that is traced."""

from dataclasses import replace

import pytest

from tests.standin.apart import on_standin
from tests.standin.test_whole_runs import job_of, trained


@pytest.mark.parametrize("family", ["llama", "qwen3", "olmo2", "gpt2"])
@pytest.mark.parametrize("data", ["text", "masked"])
@on_standin
def test_no_step_waits_for_the_device(tmp_path, tiny_job, masked_job, data, family):
    """As many waits in twenty steps as in ten, between which nothing is logged."""
    from tests.standin import device

    job = job_of(tiny_job if data == "text" else masked_job, family, "bf16")
    waits = {}
    for n_steps in (10, 20):
        tokens = n_steps * float(job.spec.optim.batch_tokens)
        horizon = replace(job.spec.horizon, n_tokens=tokens)
        longer = replace(job, spec=replace(job.spec, horizon=horizon, n_steps=n_steps))
        device.clear()
        trained(tmp_path / str(n_steps), longer, device="auto", log_every=1000, n_evals=1)
        waits[n_steps] = device.counts("wait")
    assert waits[10]
    assert waits[20] == waits[10]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("family", ["llama", "qwen3", "olmo2", "gpt2"])
@on_standin
def test_training_and_validation_are_one_graph_each_with_causal_attention(family, precision):
    import torch

    from train.config.shapes import complete_shape
    from train.config.spec import ModelSpec
    from train.model.build import SummedLoss, build_model

    shape = ModelSpec(family=family, d_model=32, vocab_size=61, seq_len=24, n_layers=2)
    if family == "qwen3":
        shape = replace(shape, n_heads=4, n_kv_heads=2)
    module = SummedLoss(build_model(complete_shape(shape), seed=0)).to("standin")
    tokens = torch.randint(0, 61, (3, 24)).to("standin")
    graphs = []

    def keep(graph, _):
        graphs.append(graph)
        return graph.forward

    torch.compiler.reset()  # of what other families left
    traced = torch.compile(module, backend=keep, fullgraph=True)
    for gradients in (True, False):
        graphs.clear()
        with (
            torch.set_grad_enabled(gradients),
            torch.autocast("standin", torch.bfloat16, enabled=precision == "bf16"),
        ):
            expected = module(tokens, tokens)
            assert float(traced(tokens, tokens)) == pytest.approx(float(expected), rel=1e-6)
        assert len(graphs) == 1
        calls = [
            node
            for node in graphs[0].graph.nodes
            if "scaled_dot_product_attention" in str(node.target)
        ]
        assert len(calls) == 2
        for call in calls:
            assert call.kwargs.get("is_causal") is True
            assert call.kwargs.get("attn_mask") is None
            assert len(call.args) == 3
