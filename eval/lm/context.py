"""What of a task fits a checkpoint's context, and how many tokens are decoded."""

import logging
from collections.abc import Sequence
from dataclasses import replace

from eval.lm.tokenization import Encoded
from eval.tasks.generated import TaskError

_log = logging.getLogger(__name__)

EXTRA_TOKENS = 4
"""Tokens granted beyond the longest target and its stop token, so that overlong outputs show."""

LONGER = 256
"""Tokens decoded where an answer may stand within a longer output, as in lm-evaluation-harness."""

UNBOUNDED = 2**31
"""Context of models that state none."""

TOO_LONG = ("skip", "fail", "truncate")
"""What becomes of an item that exceeds the context; truncate drops the start of its prompt."""


def new_tokens(encoded: Sequence[Encoded], most: int | None, longer: bool = False) -> int:
    """Tokens to decode: what was asked for, else the longest target, its stop token and a few.

    Args:    longer: right outputs may be far longer than their targets.
    """
    longest = max(len(one.target) for one in encoded)
    return most or max(longest + 1 + EXTRA_TOKENS, LONGER if longer else 0)


def fitted(
    encoded: list[Encoded], context: int, too_long: str, bos_id: int | None
) -> tuple[list[Encoded], list[int]]:
    """Items within the context, as (all encoded, numbers of those to ask); others are named.

    Decoding stops where the context ends, at the earliest with the target's own stop token.
    Raises:  TaskError: too_long=fail and an item does not fit, or none fits.
    """
    answers = [max(len(text) for text in (one.target, *one.choices)) for one in encoded]
    needed = [len(one.prompt) + n for one, n in zip(encoded, answers, strict=True)]
    over = [i for i, n in enumerate(needed) if n > context]
    if too_long == "truncate":
        encoded = list(encoded)
        head = [] if bos_id is None else [bos_id]
        for i in over:
            room = context - answers[i] - len(head)
            if room > 0:
                encoded[i] = replace(encoded[i], prompt=head + encoded[i].prompt[-room:])
        over = [i for i in over if context - answers[i] - len(head) <= 0]
    if over and (too_long == "fail" or len(over) == len(encoded)):
        raise TaskError(
            f"the task needs a context of {max(needed)} tokens (prompt and answer), the checkpoint "
            f"has {context}; use fewer shots ({len(over)} of {len(encoded)} items do not fit) or "
            f"shorter problems, too_long=skip or truncate, or train with a longer model.seq_len"
        )
    if over:
        named = ", ".join(f"{i} ({needed[i]} tokens)" for i in over[:5])
        more = f" and {len(over) - 5} more" if len(over) > 5 else ""
        _log.warning("%d items exceed the context of %d tokens and are skipped: items %s%s",
                     len(over), context, named, more)  # fmt: skip
    return encoded, sorted(set(range(len(encoded))) - set(over))
