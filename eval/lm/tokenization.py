"""Items to token ids: prompts, targets and choices, the stop token, and what can't be expressed."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from transformers import PreTrainedTokenizerFast

from eval.tasks.generated import TaskError
from eval.tasks.prompt_formats import STOP, Item

_NEWLINE_SYMBOLS = ("\n", "Ċ", "<0x0A>")
"""How a newline looks inside vocabularies: as itself, in byte-level BPE, as a byte fallback."""


@dataclass(frozen=True)
class Vocabulary:
    """A Hugging Face tokenizer, with the tokens that end an answer.

    `stop_id` is the token written behind targets; any of `stop_ids` (tokens that hold a newline,
    and the tokenizer's end token) ends a decoded output. `start_id` stands for an empty prompt.
    `bos_id` is put before every prompt where the tokenizer asks for it, None elsewhere.
    `stop_text` is what the stop token stands for; with another one than a line break, outputs are
    decoded to their limit and cut at it (see `stopping_at`).
    """

    tokenizer: Any
    stop_id: int
    stop_ids: frozenset[int]
    start_id: int
    bos_id: int | None = None
    stop_text: str = STOP
    keep_stop: bool = False

    def cut(self, output: str) -> str:
        """An output up to its stop text, which is its last part where `keep_stop` is set."""
        before, stop, _ = output.partition(self.stop_text)
        return before + stop if self.keep_stop else before

    def stopping_at(self, text: str, keep_stop: bool = False) -> "Vocabulary":
        """This vocabulary for a task whose outputs end at another text than a line break.

        The first token of the text then stands behind targets, and of tokens only the tokenizer's
        end token ends a decoded output, since no token need hold the whole text.
        """
        if text == self.stop_text:
            return self
        end = self.tokenizer.eos_token_id
        return replace(
            self,
            stop_id=self.encode([text])[0][0],
            stop_ids=frozenset() if end is None else frozenset((end,)),
            stop_text=text,
            keep_stop=keep_stop,
        )

    def in_turns(self) -> "Vocabulary":
        """This vocabulary for chat turns, which the end token ends, where there is one."""
        end = self.tokenizer.eos_token_id
        return self if end is None or self.stop_text != STOP else replace(self, stop_id=end)

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text, without special tokens.

        Raises:  TaskError: a character that the vocabulary can't express.
        """
        if not texts:
            return []
        self._check_expressible(texts)
        return batch_ids(self.tokenizer, texts, add_special_tokens=False)

    def decode(self, token_ids: Sequence[Sequence[int]]) -> list[str]:
        """Text of each token sequence, special tokens left out."""
        lists = [list(ids) for ids in token_ids]
        if _decodes_alone(self.tokenizer):
            return self.tokenizer.backend_tokenizer.decode_batch(lists, skip_special_tokens=True)
        return self.tokenizer.batch_decode(
            lists,
            skip_special_tokens=True,
            clean_up_tokenization_spaces=False,
        )

    def _check_expressible(self, texts: Sequence[str]) -> None:
        lacking = [c for c in sorted(set().union(*texts)) if not self._expresses(c)]
        if lacking:
            # Characters of special tokens, which chat templates write out, need no token each.
            special = sorted(self.tokenizer.get_added_vocab(), key=len, reverse=True)
            pattern = re.compile("|".join(map(re.escape, special)) or "(?!)")
            bare = set().union(*(pattern.sub("", text) for text in texts))
            lacking = [c for c in lacking if c in bare]
        if lacking:
            more = f" and {len(lacking) - 8} more" if len(lacking) > 8 else ""
            raise TaskError(
                f"the checkpoint's vocabulary has no {' '.join(map(repr, lacking[:8]))}{more}, "
                f"which the task needs; train with an alphabet that has it, or with bytes"
            )

    def _expresses(self, character: str) -> bool:
        try:
            ids = self.tokenizer(character, add_special_tokens=False)["input_ids"]
        except Exception:  # tokenizers raises a bare Exception for a character without a token
            return False
        return bool(ids) and self.tokenizer.unk_token_id not in ids


def _decodes_alone(tokenizer: Any) -> bool:
    """Whether transformers adds nothing to what the tokenizers library decodes.

    Its wrapper looks at every id of every text, which takes longer than the decoding.
    """
    kind = type(tokenizer)
    return isinstance(tokenizer, PreTrainedTokenizerFast) and all(
        getattr(kind, name) is getattr(PreTrainedTokenizerFast, name)
        for name in ("batch_decode", "decode", "_decode")
    )


def batch_ids(tokenizer: Any, texts: Sequence[str], **options: Any) -> list[list[int]]:
    """What `tokenizer(texts, **options)` gives as input_ids, at least one text."""
    first, *others = texts
    given = {"return_attention_mask": False, "verbose": False, **options}
    ids = tokenizer([first], **given)["input_ids"]
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return ids + (tokenizer(others, **given)["input_ids"] if others else [])
    # The same call without the wrapper's dictionary for every text, which takes three times as
    # long as the encoding; the first text has left padding and truncation as it wants them.
    return ids + [one.ids for one in backend.encode_batch_fast(others, **options)]


@dataclass(frozen=True, slots=True)
class Encoded:
    """Token ids of one item. `target` has no stop token; `choices` are in the item's order."""

    prompt: list[int]
    target: list[int]
    choices: list[list[int]]


BOS = ("auto", "always", "never")
"""auto: a BOS token before prompts where the tokenizer itself puts one before texts."""


def vocabulary(tokenizer: Any, bos: str = "auto") -> Vocabulary:
    """The vocabulary of a tokenizer, its newline tokens found.

    Raises:  TaskError: bos=always without a BOS token, or neither a newline nor an end token,
             so no answer could ever end.
    """
    end_id = tokenizer.eos_token_id
    symbols = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    candidates = [
        index
        for index, symbol in enumerate(symbols)
        if symbol is not None and any(newline in symbol for newline in _NEWLINE_SYMBOLS)
    ]
    texts = tokenizer.batch_decode([[index] for index in candidates]) if candidates else []
    newlines = {index: text for index, text in zip(candidates, texts, strict=True) if STOP in text}
    alone = [index for index, text in newlines.items() if text == STOP]
    if not alone and end_id is None:
        raise TaskError(
            "the checkpoint's vocabulary has neither a newline nor an end token, so no answer can "
            "end; add one of them to its tokenizer"
        )
    start_id = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else end_id
    return Vocabulary(
        tokenizer=tokenizer,
        stop_id=alone[0] if alone else end_id,
        stop_ids=frozenset(newlines) | ({end_id} if end_id is not None else set()),
        start_id=alone[0] if start_id is None else start_id,
        bos_id=_bos_id(tokenizer, bos),
    )


def _bos_id(tokenizer: Any, bos: str) -> int | None:
    bos_id = tokenizer.bos_token_id
    if bos == "always" and bos_id is None:
        raise TaskError("bos=always, but the tokenizer has no BOS token; use bos=auto or bos=never")
    if bos_id is None or bos == "never":
        return None
    asked = bos == "always" or bos_id in tokenizer("")["input_ids"][:1]
    return bos_id if asked else None


def encode_items(vocab: Vocabulary, items: Sequence[Item]) -> list[Encoded]:
    """Prompts as they stand, continuations as they are tokenised behind their prompt.

    Where prompt and continuation would share a token, the continuation is tokenised by itself.
    Raises:  TaskError: a text that the vocabulary can't express, or a target with the stop string.
    """
    for item in items:
        if vocab.stop_text in item.target and not item.choices:
            raise TaskError(
                f"target {item.target!r:.60} holds {vocab.stop_text!r} (a line break by default), "
                f"which ends an answer"
            )
    prompts = vocab.encode([item.prompt for item in items])
    continuations = [(i, text) for i, item in enumerate(items) for text in _texts(item)]
    behind = _continuations(vocab, items, prompts, continuations)
    encoded = []
    for item, prompt in zip(items, prompts, strict=True):
        target, *choices = (next(behind) for _ in _texts(item))
        # A space that ended the prompt stands before every choice, so an empty one is blank here.
        if not all(choices) or not all(choice.strip(" ") for choice in item.choices):
            raise TaskError(
                f"an item with the choices {item.choices!r:.80} has an empty one, whose "
                f"log-probability of 0 would always win; give every choice a text"
            )
        encoded.append(Encoded(_begun(vocab, prompt), target, choices))
    return encoded


def encode_prompt(vocab: Vocabulary, text: str) -> list[int]:
    """Ids of a prompt as items have them, its start token included."""
    return _begun(vocab, vocab.encode([text])[0] if text else [])


def _begun(vocab: Vocabulary, prompt: list[int]) -> list[int]:
    """A prompt behind its BOS, once: chat templates write one themselves."""
    if vocab.bos_id is not None and prompt[:1] != [vocab.bos_id]:
        prompt = [vocab.bos_id, *prompt]
    return prompt or [vocab.start_id]


def _texts(item: Item) -> tuple[str, ...]:
    return (item.target, *item.choices)


def _continuations(vocab: Vocabulary, items: Any, prompts: Any, continuations: Any) -> Any:
    wholes = vocab.encode([items[i].prompt + text for i, text in continuations])
    for (i, text), whole in zip(continuations, wholes, strict=True):
        n_prompt = len(prompts[i])
        if whole[:n_prompt] == prompts[i] and len(whole) > n_prompt:
            yield whole[n_prompt:]
        else:
            yield vocab.encode([text])[0]
