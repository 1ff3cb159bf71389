"""One model over many items: read each prompt once, then score and decode from the same cache."""

import math
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from eval.lm.chat import in_chat
from eval.lm.context import TOO_LONG, UNBOUNDED, fitted, new_tokens
from eval.lm.generate import Decoded, greedy, sample
from eval.lm.load import DTYPES
from eval.lm.loglikelihood import Read, read_prompts, score
from eval.lm.memory import batch_tokens, in_batches
from eval.lm.pair_scores import PairScorer
from eval.lm.tokenization import BOS, Encoded, Vocabulary, encode_items, encode_prompt
from eval.metrics.outcome import Outcome
from eval.tasks.generated import TaskError
from eval.tasks.grading import grading_of
from eval.tasks.prompt_formats import STOP, Item

VERDICTS = ("yes", "no")
"""What a model may say of its own output, asked as `prompt + output + "?"` (format `verdict`)."""


@dataclass(frozen=True)
class GenerationSettings:
    """How answers are obtained; `batch_tokens` bounds rows x tokens and changes speed alone.

    None takes as many as memory is estimated to hold. `pmi_prompt` is the prompt behind which
    choices are scored a second time for their pointwise mutual information ("": the start token),
    None for not at all. `chat_template` and `system_prompt`: see `eval.lm.chat`; `dtype`:
    see `eval.lm.load`.
    """

    decode: bool = True
    samples: int = 0
    temperature: float = 0.7
    self_evaluate: bool = False
    max_new_tokens: int | None = None
    batch_tokens: int | None = None
    seed: int = 0
    bos: str = "auto"
    too_long: str = "skip"
    pmi_prompt: str | None = None
    chat_template: bool | str = False
    system_prompt: str | None = None
    dtype: str = "auto"

    def __post_init__(self) -> None:
        if not 0 <= self.samples <= 64 or self.temperature <= 0:
            raise TaskError(
                f"samples={self.samples} must lie in 0..64, temperature={self.temperature} be "
                f"positive"
            )
        if self.batch_tokens is not None and self.batch_tokens < 1:
            raise TaskError(f"batch_tokens={self.batch_tokens} must be positive, or null")
        for name, allowed in (("bos", BOS), ("too_long", TOO_LONG), ("dtype", DTYPES)):
            if getattr(self, name) not in allowed:
                raise TaskError(
                    f"{name}={getattr(self, name)!r} is unknown; expected {', '.join(allowed)}"
                )


def answer_items(
    model: Any,
    vocab: Vocabulary,
    items: Sequence[Item],
    layout: str,
    settings: GenerationSettings,
    advance: Callable[[int], None] = lambda n_items: None,
) -> list[Outcome]:
    """The outcome of every item that fits, in order; equal for every batch size up to rounding.

    Args:    layout: the format, for finding the graded part; advance: told of items as they finish.
    Raises:  TaskError: no items, texts that can't be expressed, a context that is too
             short, or logits that are NaN.
    """
    if not items:
        raise TaskError("the task has no items; raise n_items or check its file")
    rules = grading_of(layout)
    vocab = vocab if rules is None else vocab.stopping_at(rules.stop, rules.keep_stop)
    items = in_chat(vocab.tokenizer, items, settings.chat_template, settings.system_prompt)
    if settings.chat_template:
        vocab = vocab.in_turns()
    encoded = encode_items(vocab, items)
    context = getattr(model.config, "max_position_embeddings", None) or UNBOUNDED
    encoded, kept = fitted(encoded, context, settings.too_long, vocab.bos_id)
    longer = rules is not None and rules.takes_longer
    limit = new_tokens([encoded[i] for i in kept], settings.max_new_tokens, longer)
    advance(len(items) - len(kept))
    outcomes: list[Outcome | None] = [None] * len(items)
    most = batch_tokens(model, settings.batch_tokens)
    order = sorted(kept, key=lambda i: -len(encoded[i].prompt))

    def end_of(start: int, share: float) -> int:
        """Of prompts of one length, so that decoding needs no padding."""
        length = len(encoded[order[start]].prompt)
        alike = bisect_right(order, -length, key=lambda i: -len(encoded[i].prompt))
        return min(alike, start + max(1, int(share * most / (length + limit))))

    def run(start: int, end: int) -> None:
        batch = order[start:end]
        read = read_prompts(model, [encoded[i].prompt for i in batch])
        room = min(limit, context - len(encoded[batch[0]].prompt) + 1)
        found = _answer_batch(model, vocab, read, batch, items, encoded, layout, room, settings)
        for i, outcome in zip(batch, found, strict=True):
            outcomes[i] = outcome
        advance(len(batch))

    in_batches(len(order), end_of, run)
    complete = [outcome for outcome in outcomes if outcome is not None]
    if settings.pmi_prompt is not None:
        complete = _with_base(model, vocab, [encoded[i] for i in kept], complete, settings)
    _check_numbers(complete)
    return _self_evaluated(model, vocab, complete, settings) if settings.self_evaluate else complete


def _answer_batch(
    model: Any,
    vocab: Vocabulary,
    read: Read,
    batch: list[int],
    items: Sequence[Item],
    encoded: Sequence[Encoded],
    layout: str,
    limit: int,
    settings: GenerationSettings,
) -> Iterator[Outcome]:
    chosen = [encoded[i] for i in batch]
    targets = score(model, read, [[*one.target, vocab.stop_id] for one in chosen])
    choices = _score_choices(model, read, chosen)
    leading = _n_leading(vocab, chosen)
    decoded = greedy(model, read, sorted(vocab.stop_ids), limit) if settings.decode else []
    outputs = _texts(vocab, decoded)
    samples = _samples(model, vocab, read, batch, limit, settings)
    for row, i in enumerate(batch):
        logprobs, hits = targets[row]
        yield Outcome(
            prompt=items[i].prompt,
            target=items[i].target,
            target_tokens=tuple(encoded[i].target),
            answer=items[i].answer,
            accepted=items[i].accepted,
            target_logprobs=tuple(logprobs),
            target_hits=tuple(hits),
            choices=items[i].choices,
            choice_scores=items[i].choice_scores,
            choice_logprobs=tuple(choices[row]),
            choice_n_tokens=tuple(map(len, encoded[i].choices)),
            layout=layout,
            n_leading=leading[row],
            sample_outputs=tuple(text for text, _ in samples[row]),
            sample_stopped=tuple(ended for _, ended in samples[row]),
            **(_decoded_fields(vocab, decoded[row], outputs[row]) if decoded else {}),
        )


def _n_leading(vocab: Vocabulary, chosen: Sequence[Encoded]) -> list[int]:
    """1 where a target's first token is space alone and others follow, else 0."""
    firsts = sorted({one.target[0] for one in chosen if one.target})
    texts = vocab.decode([[one] for one in firsts])
    spaces = {one for one, text in zip(firsts, texts, strict=True) if text.isspace()}
    return [int(len(one.target) > 1 and one.target[0] in spaces) for one in chosen]


def _check_numbers(outcomes: Sequence[Outcome]) -> None:
    """Refuse NaN, which would count as right or wrong by where the answer stands."""
    # Of log-probabilities, none of which is +inf, a sum is NaN where one of them is.
    bad = sum(
        math.isnan(sum(o.target_logprobs) + sum(o.choice_logprobs) + (o.output_logprob or 0.0))
        for o in outcomes
    )
    if bad:
        raise TaskError(
            f"{bad} of {len(outcomes)} items have log-probabilities that are NaN, expected none; "
            f"the checkpoint's weights are damaged or overflow in its number type"
        )


def _decoded_fields(vocab: Vocabulary, one: Decoded, text: str) -> dict[str, Any]:
    if vocab.stop_text != STOP:
        return _cut_fields(vocab, one, text)
    return {
        "output": text,
        "output_tokens": tuple(one.tokens),
        "output_logprob": one.logprob,
        "stopped": one.stop is not None,
    }


def _cut_fields(vocab: Vocabulary, one: Decoded, text: str) -> dict[str, Any]:
    """An output that ends at a stop text of its own, somewhere in what was decoded to the limit.

    Its log-probability is not known: that of all decoded tokens counts what stands behind.
    """
    ended = vocab.stop_text in text
    n_kept = len(one.tokens)
    if ended:
        grown = vocab.decode([one.tokens[: n + 1] for n in range(len(one.tokens))])
        # Tokens of the answer alone: the stop text may begin before the token that completes it.
        answer = vocab.cut(text)
        n_kept = sum(answer.startswith(part) for part in grown)
    return {
        "output": vocab.cut(text),
        "output_tokens": tuple(one.tokens[:n_kept]),
        "output_logprob": None if ended else one.logprob,
        "stopped": ended or one.stop is not None,
    }


def _texts(vocab: Vocabulary, decoded: Sequence[Decoded]) -> list[str]:
    """Text of each output; where a line break ended it, with what its last token has before it."""
    asked, of_its_own = [], []
    for one in decoded:
        stop = one.stop if vocab.stop_text == STOP and one.stop != vocab.stop_id else None
        asked.append(one.tokens if stop is None else [*one.tokens, stop])
        of_its_own.append(stop is not None)
    texts = zip(vocab.decode(asked), of_its_own, strict=True)
    return [text.split(STOP)[0] if holds else text for text, holds in texts]


def _score_choices(model: Any, read: Read, chosen: Sequence[Encoded]) -> list[list[float]]:
    """Summed log-probability of each row's choices; rows with fewer choices repeat their last."""
    totals: list[list[float]] = [[] for _ in chosen]
    for k in range(max(len(one.choices) for one in chosen)):
        texts = [one.choices[min(k, len(one.choices) - 1)] if one.choices else one.target
                 for one in chosen]  # fmt: skip
        for row, (logprobs, _) in enumerate(score(model, read, texts)):
            if k < len(chosen[row].choices):
                totals[row].append(sum(logprobs))
    return totals


def _with_base(
    model: Any,
    vocab: Vocabulary,
    asked: Sequence[Encoded],
    outcomes: Sequence[Outcome],
    settings: GenerationSettings,
) -> list[Outcome]:
    """The outcomes with the log-probability of each choice behind `pmi_prompt` alone."""
    prompt = tuple(encode_prompt(vocab, settings.pmi_prompt or ""))
    pairs = [(prompt, tuple(choice)) for one in asked for choice in one.choices]
    scorer = PairScorer(model, settings.batch_tokens)
    found = iter(scorer(pairs))
    return [
        replace(outcome, choice_base_logprobs=tuple(next(found)[0] for _ in one.choices))
        for outcome, one in zip(outcomes, asked, strict=True)
    ]


def _samples(
    model: Any,
    vocab: Vocabulary,
    read: Read,
    batch: list[int],
    limit: int,
    settings: GenerationSettings,
) -> list[list[tuple[str, bool]]]:
    """Sampled outputs of each row with whether they stopped; an item's draws depend on it alone."""
    found: list[list[tuple[str, bool]]] = [[] for _ in batch]
    for k in range(settings.samples):
        uniforms = np.stack(
            [np.random.default_rng([settings.seed, k, i]).random(limit) for i in batch]
        )
        drawn = sample(model, read, sorted(vocab.stop_ids), uniforms, settings.temperature)
        for row, (one, text) in enumerate(zip(drawn, _texts(vocab, drawn), strict=True)):
            ended = one.stop is not None or (vocab.stop_text != STOP and vocab.stop_text in text)
            found[row].append((text if vocab.stop_text == STOP else vocab.cut(text), ended))
    return found


def _self_evaluated(
    model: Any, vocab: Vocabulary, outcomes: list[Outcome], settings: GenerationSettings
) -> list[Outcome]:
    """The outcomes with P(yes) / (P(yes) + P(no)) of the model's judgement on its own output."""
    asked = [
        Item(f"{one.prompt}{one.output}?", VERDICTS[0], choices=VERDICTS, choice_scores=(1.0, 0.0))
        for one in outcomes
    ]
    # Outcomes hold their prompts as the model saw them, chat template included.
    quiet = replace(
        settings, decode=False, samples=0, self_evaluate=False, too_long="fail", pmi_prompt=None,
        chat_template=False, system_prompt=None,
    )  # fmt: skip
    judgements = answer_items(model, vocab, asked, "plain", quiet)
    return [
        replace(one, p_true=_first_of_two(*judgement.choice_logprobs))
        for one, judgement in zip(outcomes, judgements, strict=True)
    ]


def _first_of_two(first: float, second: float) -> float:
    return float(1 / (1 + np.exp(np.clip(second - first, -700, 700))))
