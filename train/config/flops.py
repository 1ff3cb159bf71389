"""Parameter counts by group and FLOPs per token, under every convention that papers use.

`n_params` counts the parameters that multiply (matmuls), LM head included, input embedding
excluded; tied or not, the head counts once. A run's cost is
n_tokens * (6 n_params + 12 n_layers d_model seq_len): two FLOPs a multiply-add, forward once and
backward twice, plus the attention scores and their weighted sum over the full (unmasked) context.
"""

from dataclasses import dataclass
from typing import Any

from train.config.spec import ModelSpec, SpecError, known

N_EXPERTS, EXPERTS_PER_TOKEN = 8, 2
"""Mixtral's own (Jiang et al. 2024)."""


@dataclass(frozen=True)
class ParamCounts:
    """Parameters by group; the sums that papers quote are properties.

    `idle` are those of the experts that a token does not take, in the mean over tokens.
    """

    embedding: int
    position: int
    attention: int
    feed_forward: int
    norm_and_bias: int
    head: int
    tied: bool
    idle: int = 0

    @property
    def n_params(self) -> int:
        """Matmul parameters with the LM head, without the input embedding (this project's N)."""
        return self.attention + self.feed_forward + self.head

    @property
    def n_params_active(self) -> int:
        """`n_params` that one token meets: of experts those that it takes."""
        return self.n_params - self.idle

    @property
    def n_params_total(self) -> int:
        """Every distinct parameter of the module; a tied head shares the embedding's."""
        head = 0 if self.tied else self.head
        return self.n_params_non_embedding + self.embedding + self.position + head

    @property
    def n_params_non_embedding(self) -> int:
        """Without token and position embeddings and without the head (Kaplan et al. 2020)."""
        return self.attention + self.feed_forward + self.norm_and_bias


def count_params(model: ModelSpec) -> ParamCounts:
    """Parameters of a complete shape, equal to the built module's own count.

    Raises:  SpecError: a field of the shape is still None.
    """
    if model.family == "hf":
        return built_model(model).counts
    d, layers = model.d_model, known(model.n_layers, "model.n_layers")
    d_ff, vocab = known(model.d_ff, "model.d_ff"), known(model.vocab_size, "model.vocab_size")
    gpt2 = model.family == "gpt2"
    norms = {
        "gpt2": 2 * 2 * d + (3 * d + d + d_ff + d),
        "qwen3": 2 * d + 2 * model.head_size,
        "olmo2": 2 * d + d + _kv_width(model),
        "gemma2": 4 * d,
    }
    n_experts, taken = experts(model)
    one = (2 if gpt2 else 3) * d * d_ff
    router = d * n_experts if model.family == "mixtral" else 0
    return ParamCounts(
        embedding=vocab * d,
        position=model.seq_len * d if gpt2 else 0,
        attention=layers * 2 * d * (d + _kv_width(model)),
        feed_forward=layers * (n_experts * one + router),
        norm_and_bias=layers * norms.get(model.family, 2 * d) + (2 * d if gpt2 else d),
        head=vocab * d,
        tied=model.tied,
        idle=layers * (n_experts - taken) * one,
    )


def experts(model: ModelSpec) -> tuple[int, int]:
    """Feed-forwards of a layer, and how many of them a token takes; one and one without experts."""
    if model.family != "mixtral":
        return 1, 1
    return model.n_experts or N_EXPERTS, model.experts_per_token or EXPERTS_PER_TOKEN


def built_model(model: ModelSpec) -> Any:
    """What only the module itself tells of a family=hf, built without memory for its weights.

    Returns: `train.model.built.Built`.
    """
    from train.model.built import built

    return built(model)


def _kv_width(model: ModelSpec) -> int:
    """Width of all keys together, and of all values."""
    return model.head_size * (model.n_kv_heads or known(model.n_heads, "model.n_heads"))


def flops_per_token(model: ModelSpec) -> int:
    """Training FLOPs a token: 6 n_params_active + 12 n_layers d_model seq_len."""
    width = built_model(model).attention_width if model.family == "hf" else model.d_model
    attention = 12 * known(model.n_layers, "model.n_layers") * width * model.seq_len
    return 6 * count_params(model).n_params_active + attention


def flops_per_token_6nd(model: ModelSpec) -> int:
    """The rule of thumb C = 6 N D with all parameters that a token meets."""
    counts = count_params(model)
    return 6 * (counts.n_params_total - counts.idle)


def flops_per_token_chinchilla(model: ModelSpec) -> float:
    """Training FLOPs a token as counted in Hoffmann et al. 2022, appendix F (embedding included).

    Their feed-forward has two matrices; ours counts as many as the family has. Of a family=hf it is
    the sum over its matrices, whichever they are.
    """
    if model.family == "hf":
        counts = count_params(model)
        scores = 4 * model.seq_len * known(model.n_layers, "model.n_layers")
        width = built_model(model).attention_width
        return 3 * (2 * (counts.n_params_active + counts.embedding) + scores * width)
    d, seq, heads = model.d_model, model.seq_len, known(model.n_heads, "model.n_heads")
    d_ff, vocab = known(model.d_ff, "model.d_ff"), known(model.vocab_size, "model.vocab_size")
    matrices = 2 if model.family == "gpt2" else 3
    embedding = 2 * vocab * d
    projections = 2 * d * (d + 2 * _kv_width(model)) + 2 * d * d
    scores = 2 * seq * d + 3 * heads * seq + 2 * seq * d
    dense = 2 * matrices * d * d_ff * experts(model)[1]
    logits = 2 * d * vocab
    layers = known(model.n_layers, "model.n_layers")
    return 3 * (embedding + layers * (projections + scores + dense) + logits)


def steps_for(n_tokens: float, batch_tokens: int) -> int:
    """Whole optimiser steps nearest to `n_tokens`.

    Raises:  SpecError: the tokens do not fill one step.
    """
    if n_tokens < batch_tokens:
        raise SpecError(
            f"{n_tokens:.6g} tokens do not fill one step of batch_tokens={batch_tokens}; "
            f"raise the horizon to at least {batch_tokens} tokens or lower optim.batch_tokens"
        )
    return round(n_tokens / batch_tokens)
