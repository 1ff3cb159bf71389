"""How initialisation, rate, decay and epsilon of each weight follow the model's width and depth.

`standard` treats all alike. `completep` (Dey et al. 2025, alpha = 1) lets one learning rate serve
every width and depth. The paper multiplies residual branches by 1/m_depth and logits by 1/m_width;
those factors are folded into the weights behind them here: a weight that is smaller by c, learns
slower by c and decays faster by 1/c computes the same function under AdamW. So the model stays an
ordinary Hugging Face one.
"""

from dataclasses import dataclass

from train.config.spec import ModelSpec, known

BASE_WIDTH = 256
BASE_DEPTH = 2


@dataclass(frozen=True)
class Transfer:
    """Factors on a weight's initial std, learning rate, weight decay and epsilon."""

    init: float = 1.0
    lr: float = 1.0
    decay: float = 1.0
    eps: float = 1.0


def transfer_of(name: str, ndim: int, model: ModelSpec, parametrization: str) -> Transfer:
    """The factors of one parameter, by its name in the Hugging Face module.

    With m_w = width/256 and m_d = depth/2: hidden matrices start with variance 1/m_w, learn at
    1/m_w and decay at m_w; those that end a residual branch carry the folded 1/m_d; an untied head
    carries the folded 1/m_w.
    """
    if parametrization == "standard":
        return Transfer()
    width = model.d_model / BASE_WIDTH
    depth = known(model.n_layers, "model.n_layers") / BASE_DEPTH
    if ndim < 2:
        return Transfer(eps=1 / (width * depth))
    if any(word in name for word in ("embed_tokens", "wte", "wpe")):
        return Transfer(eps=1 / width)
    if "lm_head" in name:
        return Transfer(init=1 / width, lr=1 / width, decay=width, eps=1 / width)
    fold = 1 / depth if any(end in name for end in ("o_proj", "down_proj", "c_proj")) else 1.0
    return Transfer(
        init=width**-0.5 * fold,
        lr=fold / width,
        decay=width / fold,
        eps=1 / (width * depth) / fold,
    )
