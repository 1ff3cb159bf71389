"""ModelSpec to a Hugging Face decoder with random weights, and the loss it is trained on."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MixtralConfig,
    MixtralForCausalLM,
    Olmo2Config,
    Olmo2ForCausalLM,
    PreTrainedModel,
    Qwen3Config,
    Qwen3ForCausalLM,
)
from transformers.models.mixtral.modeling_mixtral import load_balancing_loss_func

from train.config.flops import experts
from train.config.kernels import LIBRARY, Kernels
from train.config.spec import ModelSpec, known
from train.model.built import hf_architecture
from train.model.forward import computes, hidden_states, is_plain, rotation
from train.model.labels import IGNORED
from train.model.linear import linear
from train.model.loss import HeadLoss, chunked_loss


def build_model(spec: ModelSpec, seed: int, end_id: int | None = None) -> PreTrainedModel:
    """A model of the spec's family with weights drawn from the seed, float32 on CPU.

    Raises:  SpecError: the shape is not complete.
    """
    torch.manual_seed(seed)
    cls, config = architecture(spec, end_id)
    return cls(config)


def architecture(spec: ModelSpec, end_id: int | None = None) -> tuple[type[PreTrainedModel], Any]:
    """Class and configuration in transformers of a complete shape."""
    if spec.family == "hf":
        return hf_architecture(spec, end_id)
    return (
        (GPT2LMHeadModel, _gpt2(spec, end_id)) if spec.family == "gpt2" else _rotary(spec, end_id)
    )


def _rotary(spec: ModelSpec, end_id: int | None) -> tuple[type[PreTrainedModel], Any]:
    n_layers = known(spec.n_layers, "model.n_layers")
    shape: dict[str, Any] = {
        "vocab_size": known(spec.vocab_size, "model.vocab_size"),
        "hidden_size": spec.d_model,
        "intermediate_size": known(spec.d_ff, "model.d_ff"),
        "num_hidden_layers": n_layers,
        "num_attention_heads": known(spec.n_heads, "model.n_heads"),
        "num_key_value_heads": spec.n_kv_heads or known(spec.n_heads, "model.n_heads"),
        "max_position_embeddings": spec.seq_len,
        "tie_word_embeddings": spec.tied,
        "initializer_range": known(spec.init_std, "model.init_std"),
        "bos_token_id": end_id,
        "eos_token_id": end_id,
        "pad_token_id": None,
    }
    if spec.rope_theta is not None:
        shape["rope_parameters"] = {"rope_type": "default", "rope_theta": spec.rope_theta}
    head: dict[str, Any] = {"head_dim": spec.head_size}
    if spec.family == "qwen3":
        return Qwen3ForCausalLM, Qwen3Config(**shape, **head)
    if spec.family == "olmo2":
        return Olmo2ForCausalLM, Olmo2Config(**shape)
    if spec.family == "mixtral":
        n_experts, taken = experts(spec)
        routed: dict[str, Any] = {"num_local_experts": n_experts, "num_experts_per_tok": taken}
        return MixtralForCausalLM, MixtralConfig(**shape, **head, **routed)
    if spec.family == "gemma2":
        # Full attention without a cap on its scores, so that fast kernels can serve it.
        full: dict[str, Any] = {
            "layer_types": ["full_attention"] * n_layers,
            "attn_logit_softcapping": None,
            "query_pre_attn_scalar": spec.head_size,
            "final_logit_softcapping": spec.logit_softcap,
        }
        return Gemma2ForCausalLM, Gemma2Config(**shape, **head, **full)
    return LlamaForCausalLM, LlamaConfig(**shape)


def _gpt2(spec: ModelSpec, end_id: int | None) -> GPT2Config:
    return GPT2Config(
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


class SummedLoss(nn.Module):
    """Negative log-likelihood summed over the labelled positions of a batch.

    It is a module of its own so that DDP and FSDP, which hook `forward`, see the whole computation.
    The families that `train.model.forward` knows run through it, others through transformers.

    On a CPU the head runs on labelled positions alone, so that prompts and padding cost no logits.
    A GPU would have to wait to learn their number: there all positions count, a chunk at a time, so
    that their logits never lie in memory together.

    In training the gradient is also that of `z_loss` times the squared log-sum-exp of the logits,
    and of an even use of experts; the value is the log-likelihood alone.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        kernels: Kernels = LIBRARY,
        z_loss: float = 0.0,
        head_loss: HeadLoss | None = None,
    ) -> None:
        """Args:    head_loss: in place of `chunked_loss` where the device is not a CPU."""
        super().__init__()
        self.model = model
        self._kernels = kernels
        self._head_loss = head_loss or chunked_loss
        self.z_loss = z_loss
        self.softcap: float | None = getattr(model.config, "final_logit_softcapping", None)
        self.is_plain = is_plain(model)
        turn = rotation(model) if self.is_plain else None
        self.turns = turn is not None
        if turn is not None:  # buffers, which follow the module to its device
            self.register_buffer("cosines", turn[0], persistent=False)
            self.register_buffer("sines", turn[1], persistent=False)
        # What Accelerate cuts into shards, one at a time, where it is not named.
        self._no_split_modules = model._no_split_modules

    def forward(self, tokens: Tensor, labels: Tensor, masked: bool = False) -> Tensor:
        """Scalar in nats. Args: tokens, labels: int64 (rows, seq_len); masked: some are IGNORED."""
        hidden, balance = self._hidden(tokens)
        loss = self._nll(hidden, labels.flatten(), masked)
        if balance is not None:
            term = balance * (labels != IGNORED).sum()
            loss = loss + (term - term.detach())
        return loss

    def _nll(self, hidden: Tensor, labels: Tensor, masked: bool) -> Tensor:
        on_cpu = hidden.device.type == "cpu"
        if masked and on_cpu:
            labelled = labels != IGNORED
            hidden, labels = hidden[labelled], labels[labelled]
        head = self.model.get_output_embeddings()
        assert head is not None  # every decoder has one
        z_loss = self.z_loss if self.training else 0.0
        if not on_cpu and type(head) is nn.Linear and head.bias is None:
            return self._head_loss(hidden, head.weight, labels, z_loss=z_loss, softcap=self.softcap)
        plain = type(head) is nn.Linear and head.bias is None
        logits = (linear(hidden, head.weight, self._kernels) if plain else head(hidden)).float()
        if self.softcap is not None:
            logits = self.softcap * torch.tanh(logits / self.softcap)
        loss = F.cross_entropy(logits, labels, reduction="sum")
        if z_loss:
            squares = torch.logsumexp(logits, -1).square()[labels != IGNORED]
            term = z_loss * squares.sum()
            loss = loss + (term - term.detach())
        return loss

    def _hidden(self, tokens: Tensor) -> tuple[Tensor, Tensor | None]:
        """Hidden states (rows x seq_len, d_model), and the loss of an uneven use of experts."""
        model = self.model
        if self.is_plain and computes(model, tokens.device):
            turn = (self.cosines, self.sines) if self.turns else None
            return hidden_states(model, tokens, self._kernels, turn), None  # type: ignore[arg-type]
        share = getattr(model.config, "router_aux_loss_coef", 0.0)
        if not (self.training and share and isinstance(model, MixtralForCausalLM)):
            out = model.base_model(input_ids=tokens, use_cache=False)
            return out.last_hidden_state.flatten(0, 1), None
        out = model.base_model(input_ids=tokens, use_cache=False, output_router_logits=True)
        uneven = load_balancing_loss_func(
            out.router_logits, model.config.num_local_experts, model.config.num_experts_per_tok
        )
        assert isinstance(uneven, Tensor)  # an integer without experts alone
        return out.last_hidden_state.flatten(0, 1), share * uneven
