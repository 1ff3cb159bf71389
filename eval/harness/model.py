"""A checkpoint as lm-evaluation-harness sees one: it serves the three kinds of requests.

Tokenisation, truncation and stop strings are those of the harness's own Hugging Face model, so that
numbers agree. Texts are encoded together and once, equal requests are served once, contexts that
several requests share are read once (`eval.lm.pair_scores`), and prompts of unlike length are
batched together.
"""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import Any

import torch
from lm_eval.api.model import TemplateLM
from lm_eval.models.utils import (
    handle_stop_sequences,
    has_bos_prefix,
    normalize_gen_kwargs,
    postprocess_generated_text,
)
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from eval.lm.generate import Decoded, greedy
from eval.lm.loglikelihood import read_prompts
from eval.lm.memory import in_batches
from eval.lm.pair_scores import PairScorer
from eval.lm.tokenization import Vocabulary, batch_ids
from eval.tasks.generated import TaskError

Pair = tuple[Any, list[int], list[int]]
"""(texts or None, context ids, continuation ids), as the harness passes them."""

DEFAULT_CONTEXT = 2048
"""Of models that state none, as in the harness."""

MAX_GEN_TOKS = 256
"""Tokens of an output where a task sets no limit, as in the harness."""


class HarnessModel(TemplateLM):
    """The harness's model interface over a loaded checkpoint.

    `batch_tokens` bounds rows x tokens of a batch (None: by memory); `advance` is told of requests
    as they finish.
    """

    def __init__(
        self,
        model: Any,
        vocab: Vocabulary,
        batch_tokens: int | None = None,
        bos: str = "auto",
        advance: Callable[[int], None] = lambda n: None,
    ) -> None:
        super().__init__()
        self.model, self.vocab, self.tokenizer = model, vocab, vocab.tokenizer
        self.advance = advance
        # None: as the tokenizer itself does.
        self._special = {"always": True, "never": False}.get(bos)
        self._prefix_text = self.tokenizer.decode(self.prefix_token_id)
        self.scorer = PairScorer(model, batch_tokens)

    @property
    def eot_token_id(self) -> int:
        return self.tokenizer.eos_token_id

    @property
    def prefix_token_id(self) -> int:
        """What stands for an empty context."""
        bos = self.tokenizer.bos_token_id
        return bos if bos is not None else self.vocab.start_id

    @property
    def max_length(self) -> int:
        return getattr(self.model.config, "max_position_embeddings", None) or DEFAULT_CONTEXT

    @property
    def tokenizer_name(self) -> str:
        return self.tokenizer.name_or_path.replace("/", "__")

    def tok_encode(
        self, string: str, add_special_tokens: bool | None = None, **kwargs: Any
    ) -> list[int]:
        """Ids of a text, with the special tokens of the tokenizer unless they are set or there."""
        special = self._flag(string) if add_special_tokens is None else add_special_tokens
        options = {} if special is None else {"add_special_tokens": special}
        return self.tokenizer.encode(string, **options)

    def _flag(self, text: str) -> bool | None:
        """Whether special tokens are added; None: as the tokenizer itself does."""
        return False if has_bos_prefix(text, self._prefix_text) else self._special

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """A conversation as the tokenizer's chat template writes it."""
        return self.tokenizer.apply_chat_template(
            chat_history, tokenize=False, add_generation_prompt=add_generation_prompt,
            continue_final_message=not add_generation_prompt,
        )  # fmt: skip

    def loglikelihood(self, requests: Any, disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """(log-probability, is it the greedy output) of each continuation behind its context."""
        given = [_split(*request.args) for request in requests]
        ids = self._encoded({text for pair in given for text in (pair[0] + pair[1], pair[0])})
        bare = self._encoded({text for context, text in given if not context}, special=False)
        pairs = []
        for context, continuation in given:
            if context:
                prompt = ids[context]
                pairs.append((None, prompt, ids[context + continuation][len(prompt) :]))
            else:
                text = bare[continuation]
                # A text that begins with the token that stands for an empty context has it twice.
                whole = (
                    text if text[:1] == [self.prefix_token_id] else [self.prefix_token_id, *text]
                )
                pairs.append((None, whole[:1], whole[1:]))
        return self._loglikelihood_tokens(pairs)

    def _loglikelihood_tokens(
        self, requests: Sequence[Pair], disable_tqdm: bool = False, **kwargs: Any
    ) -> list[tuple[float, bool]]:
        pairs = []
        for _, context, continuation in requests:
            if not continuation or len(continuation) > self.max_length:
                raise TaskError(
                    f"a continuation has {len(continuation)} tokens; expected 1 to "
                    f"{self.max_length}, the checkpoint's context"
                )
            # The harness keeps one token more than the context holds: the last is only predicted.
            whole = (context + continuation)[-(self.max_length + 1) :]
            pairs.append((tuple(whole[: len(whole) - len(continuation)]), tuple(continuation)))
        return self.scorer(pairs, self.advance)

    def _encoded(self, texts: Collection[str], special: bool | None = None) -> dict[str, list[int]]:
        """Ids of every text, as `tok_encode` gives them."""
        found = {"": self.tok_encode("", special)} if "" in texts else {}
        by_flag: dict[bool | None, list[str]] = {}
        for text in texts:
            if text:
                flag = self._flag(text) if special is None else special
                by_flag.setdefault(flag, []).append(text)
        for flag, members in by_flag.items():
            # None: a tokenizer that adds special tokens by itself is asked as it is.
            options = {} if flag is None else {"add_special_tokens": flag}
            found |= zip(members, batch_ids(self.tokenizer, members, **options), strict=True)
        return found

    def loglikelihood_rolling(self, requests: Any, disable_tqdm: bool = False) -> list[float]:
        """Log-probability of whole texts, in windows of the context that do not overlap."""
        texts = [request.args[0] for request in requests]
        ids = self._encoded(set(texts))
        owners, windows = [], []
        for i, text in enumerate(texts):
            found = get_rolling_token_windows(
                token_list=ids[text],
                prefix_token=self.prefix_token_id,
                max_seq_len=self.max_length,
                context_len=1,
            )
            for context, continuation in map(make_disjoint_window, found):
                owners.append(i)
                windows.append((None, context, continuation))
        totals = [0.0] * len(requests)
        scored = self._loglikelihood_tokens(windows)
        for i, (logprob, _) in zip(owners, scored, strict=True):
            totals[i] += logprob
        return totals

    def generate_until(self, requests: Any, disable_tqdm: bool = False) -> list[str]:
        """Greedy outputs, cut at the first stop string.

        Raises:  TaskError: a task that samples, or a limit that leaves no room for its prompt.
        """
        outputs = [""] * len(requests)
        groups: dict[str, list[int]] = {}
        for i, request in enumerate(requests):
            groups.setdefault(repr(request.args[1]), []).append(i)
        for members in groups.values():
            texts = [requests[i].args[0] for i in members]
            for i, text in zip(members, self._generate(texts, requests[members[0]].args[1]),
                               strict=True):  # fmt: skip
                outputs[i] = text
        return outputs

    def _generate(self, contexts: list[str], settings: dict[str, Any]) -> list[str]:
        options: dict[str, Any] = dict(normalize_gen_kwargs(settings, MAX_GEN_TOKS))
        if options.get("do_sample") or options.get("temperature"):
            raise TaskError(
                "the task samples its outputs (do_sample or temperature); only greedy decoding is "
                "served here: set do_sample: false in its generation_kwargs"
            )
        eos = self.tokenizer.decode(self.eot_token_id)
        until = handle_stop_sequences(options.get("until"), eos=eos)
        limit = int(options["max_gen_toks"])
        room = self.max_length - limit
        if room <= 0:
            raise TaskError(
                f"the task decodes up to {limit} tokens, the checkpoint's context is "
                f"{self.max_length}; set max_gen_toks in its generation_kwargs to less"
            )
        ids = self._encoded(set(contexts))
        prompts = [ids[text][-room:] or [self.prefix_token_id] for text in contexts]
        stops = [self.eot_token_id]
        if "\n" in until:
            # A token that holds a line break ends the output wherever the text is cut.
            stops = sorted({*self.vocab.stop_ids, *stops})
        asked = Counter(map(tuple, prompts))
        found: dict[tuple[int, ...], str] = {}
        ordered = sorted(asked, key=len, reverse=True)  # alike ones together, to pad little

        def end_of(start: int, share: float) -> int:
            most = share * self.scorer.batch_tokens / (len(ordered[start]) + limit)
            return min(len(ordered), start + max(1, int(most)))

        def run(start: int, end: int) -> None:
            batch = ordered[start:end]
            read = read_prompts(self.model, batch)
            decoded = greedy(self.model, read, stops, limit, ended=self._has_stop(until))
            for prompt, one in zip(batch, decoded, strict=True):
                found[prompt] = postprocess_generated_text(self._text(one), until, None)
            self.advance(sum(asked[prompt] for prompt in batch))

        in_batches(len(ordered), end_of, run)
        return [found[tuple(prompt)] for prompt in prompts]

    def _text(self, one: Decoded) -> str:
        tokens = one.tokens if one.stop is None else [*one.tokens, one.stop]
        return self.tokenizer.decode(tokens, skip_special_tokens=True)

    def _has_stop(self, until: Sequence[str]) -> Callable[[torch.Tensor], list[bool]]:
        """Whether each row of decoded tokens holds a stop string already."""

        def ended(rows: torch.Tensor) -> list[bool]:
            texts = self.tokenizer.batch_decode(rows.tolist(), skip_special_tokens=True)
            return [any(stop and stop in text for stop in until) for text in texts]

        return ended


def _split(context: str, continuation: str) -> tuple[str, str]:
    """Spaces that end a context begin its continuation, as the harness has it."""
    bare = context.rstrip() if context else context
    return bare, context[len(bare) :] + continuation
