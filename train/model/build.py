"""ModelSpec to a Hugging Face decoder with random weights, and the loss it is trained on."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from train.config.kernels import LIBRARY, Kernels
from train.config.spec import ModelSpec, known
from train.model.forward import computes, hidden_states
from train.model.labels import IGNORED
from train.model.linear import linear
from train.model.loss import chunked_loss


def build_model(spec: ModelSpec, seed: int, end_id: int | None = None) -> PreTrainedModel:
    """A model of the spec's family with weights drawn from the seed, float32 on CPU.

    Raises:  SpecError: the shape is not complete.
    """
    torch.manual_seed(seed)
    return _gpt2(spec, end_id) if spec.family == "gpt2" else _llama(spec, end_id)


def _llama(spec: ModelSpec, end_id: int | None) -> PreTrainedModel:
    shape: dict[str, Any] = {
        "vocab_size": known(spec.vocab_size, "model.vocab_size"),
        "hidden_size": spec.d_model,
        "intermediate_size": known(spec.d_ff, "model.d_ff"),
        "num_hidden_layers": known(spec.n_layers, "model.n_layers"),
        "num_attention_heads": known(spec.n_heads, "model.n_heads"),
        "num_key_value_heads": spec.n_kv_heads or known(spec.n_heads, "model.n_heads"),
        "max_position_embeddings": spec.seq_len,
        "tie_word_embeddings": spec.tied,
        "initializer_range": known(spec.init_std, "model.init_std"),
        "bos_token_id": end_id,
        "eos_token_id": end_id,
        "pad_token_id": None,
    }
    if spec.family == "qwen3":
        return Qwen3ForCausalLM(Qwen3Config(**shape, head_dim=spec.head_size))
    return LlamaForCausalLM(LlamaConfig(**shape))


def _gpt2(spec: ModelSpec, end_id: int | None) -> PreTrainedModel:
    config = GPT2Config(
        vocab_size=known(spec.vocab_size, "model.vocab_size"),
        n_embd=spec.d_model,
        n_inner=known(spec.d_ff, "model.d_ff"),
        n_layer=known(spec.n_layers, "model.n_layers"),
        n_head=known(spec.n_heads, "model.n_heads"),
        n_positions=spec.seq_len,
        tie_word_embeddings=spec.tied,
        initializer_range=known(spec.init_std, "model.init_std"),
        # The same function as GPT-2's "gelu_new", in one kernel instead of eight.
        activation_function="gelu_pytorch_tanh",
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        resid_pdrop=0.0,
        bos_token_id=end_id,
        eos_token_id=end_id,
    )
    return GPT2LMHeadModel(config)


class SummedLoss(nn.Module):
    """Negative log-likelihood summed over the labelled positions of a batch.

    It is a module of its own so that DDP and FSDP, which hook `forward`, see the whole computation.
    The families that `train.model.forward` knows run through it, others through transformers.

    On a CPU the head runs on labelled positions alone, so that prompts and padding cost no logits.
    A GPU would have to wait to learn their number: there all positions count, a chunk at a time, so
    that their logits never lie in memory together.
    """

    def __init__(self, model: PreTrainedModel, kernels: Kernels = LIBRARY) -> None:
        super().__init__()
        self.model = model
        self._kernels = kernels
        # What Accelerate cuts into shards, one at a time, where it is not named.
        self._no_split_modules = model._no_split_modules

    def forward(self, tokens: Tensor, labels: Tensor, masked: bool = False) -> Tensor:
        """Scalar in nats. Args: tokens, labels: int64 (rows, seq_len); masked: some are IGNORED."""
        hidden, labels = self._hidden(tokens), labels.flatten()
        on_cpu = tokens.device.type == "cpu"
        if masked and on_cpu:
            labelled = labels != IGNORED
            hidden, labels = hidden[labelled], labels[labelled]
        head = self.model.get_output_embeddings()
        assert head is not None  # both families have one
        if not on_cpu and type(head) is nn.Linear:
            return chunked_loss(hidden, head.weight, labels)
        if type(head) is nn.Linear:
            logits = linear(hidden, head.weight, self._kernels)
        else:
            logits = head(hidden)
        return F.cross_entropy(logits.float(), labels, reduction="sum")

    def _hidden(self, tokens: Tensor) -> Tensor:
        """Hidden states (rows x seq_len, d_model)."""
        model = self.model
        if computes(model, tokens.device):
            return hidden_states(model, tokens, self._kernels)
        return model.base_model(input_ids=tokens, use_cache=False).last_hidden_state.flatten(0, 1)
