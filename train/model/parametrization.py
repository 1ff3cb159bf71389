"""How initialisation, rate, decay and epsilon of each weight follow the model's width and depth.

`standard` treats all alike. `completep` (Dey et al. 2025, alpha = 1) lets one learning rate serve
every width and depth. The paper multiplies residual branches by 1/m_depth and logits by 1/m_width;
those factors are folded into the weights behind them here: a weight that is smaller by c, learns
slower by c and decays faster by 1/c computes the same function under AdamW. So the model stays an
ordinary Hugging Face one.
"""

from dataclasses import dataclass

from train.config.spec import ModelSpec, OptimSpec, known

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


def muon_transfer_of(
    name: str, size: tuple[int, ...], model: ModelSpec, optim: OptimSpec, turned: bool = False
) -> Transfer:
    """The factors of a matrix that Muon trains, beside its own scale of the update.

    `lr` turns the step's rate into that of matrices. An update of AdamW's size (match_rms_adamw)
    follows width as AdamW's does. One of spectral norm sqrt(rows / columns) (original) is right at
    every width by itself (Bernstein 2025); only the folded 1/m_d of residual branches stays. The
    product of rate and decay is the same for all.

    Args:    size: of the stored matrix, (out, in), or (in, out) where it is `turned`.
    """
    standard = transfer_of(name, 2, model, optim.parametrization)
    rate = known(optim.lr_matrices, "optim.lr_matrices") / known(optim.lr_peak, "optim.lr_peak")
    if optim.muon_scale == "match_rms_adamw":
        return Transfer(lr=standard.lr * rate, decay=standard.decay)
    width = 1.0 if optim.parametrization == "standard" else model.d_model / BASE_WIDTH
    fold = standard.lr * width
    # torch takes the first side for the rows; its factor is replaced by that of the other side.
    right = max(1.0, size[1] / size[0]) / max(1.0, size[0] / size[1]) if turned else 1.0
    return Transfer(lr=fold * right**0.5 * rate, decay=1 / (fold * right**0.5))
