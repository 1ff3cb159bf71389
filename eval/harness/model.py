"""A checkpoint as lm-evaluation-harness sees one: it serves the three kinds of requests.

Tokenisation, truncation and stop strings are those of the harness's own Hugging Face model, so that
numbers agree; a prompt that several requests share is read once, and prompts are batched by length
without padding.
"""

from collections.abc import Callable, Iterator, Sequence
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
from eval.lm.loglikelihood import read_prompts, score
from eval.lm.tokenization import Vocabulary
from eval.tasks.generated import TaskError

Pair = tuple[Any, list[int], list[int]]
"""(texts or None, context ids, continuation ids), as the harness passes them."""

DEFAULT_CONTEXT = 2048
"""Of models that state none, as in the harness."""

MAX_GEN_TOKS = 256
"""Tokens of an output where a task sets no limit, as in the harness."""


class HarnessModel(TemplateLM):
    """The harness's model interface over a loaded checkpoint.

    `batch_tokens` bounds rows x tokens of a batch; `advance` is told of requests as they finish.
    """

    def __init__(
        self,
        model: Any,
        vocab: Vocabulary,
        batch_tokens: int,
        bos: str = "auto",
        advance: Callable[[int], None] = lambda n: None,
    ) -> None:
        super().__init__()
        self.model, self.vocab, self.tokenizer = model, vocab, vocab.tokenizer
        self.batch_tokens, self.advance = batch_tokens, advance
        # None: as the tokenizer itself does.
        self._special = {"always": True, "never": False}.get(bos)

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
        special = self._special if add_special_tokens is None else add_special_tokens
        if add_special_tokens is None and has_bos_prefix(
            string, self.tokenizer.decode(self.prefix_token_id)
        ):
            special = False
        options = {} if special is None else {"add_special_tokens": special}
        return self.tokenizer.encode(string, **options)

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """A conversation as the tokenizer's chat template writes it."""
        return self.tokenizer.apply_chat_template(
            chat_history, tokenize=False, add_generation_prompt=add_generation_prompt,
            continue_final_message=not add_generation_prompt,
        )  # fmt: skip

    def _loglikelihood_tokens(
        self, requests: Sequence[Pair], disable_tqdm: bool = False, **kwargs: Any
    ) -> list[tuple[float, bool]]:
        """(log-probability, is it the greedy output) of each continuation behind its context."""
        by_context: dict[tuple[int, ...], list[tuple[int, list[int]]]] = {}
        for i, (_, context, continuation) in enumerate(requests):
            if not continuation or len(continuation) > self.max_length:
                raise TaskError(
                    f"a continuation has {len(continuation)} tokens; expected 1 to "
                    f"{self.max_length}, the checkpoint's context"
                )
            # The harness keeps one token more than the context holds: the last is only predicted.
            whole = (context + continuation)[-(self.max_length + 1) :]
            prompt = tuple(whole[: len(whole) - len(continuation)])
            by_context.setdefault(prompt, []).append((i, continuation))
        results: list[tuple[float, bool]] = [(0.0, False)] * len(requests)
        for batch in self._batches(by_context):
            read = read_prompts(self.model, [list(prompt) for prompt, _ in batch])
            for k in range(max(len(asked) for _, asked in batch)):
                # A prompt with fewer continuations repeats its last, which is then not counted.
                texts = [asked[min(k, len(asked) - 1)][1] for _, asked in batch]
                scored = score(self.model, read, texts)
                for (_, asked), (logprobs, hits) in zip(batch, scored, strict=True):
                    if k < len(asked):
                        results[asked[k][0]] = (sum(logprobs), all(hits))
            self.advance(sum(len(asked) for _, asked in batch))
        return results

    def _batches(
        self, by_context: dict[tuple[int, ...], list[tuple[int, list[int]]]]
    ) -> Iterator[list[tuple[tuple[int, ...], list[tuple[int, list[int]]]]]]:
        """Prompts of one length and alike numbers of continuations, the longest first."""

        def size(entry: tuple[tuple[int, ...], list[tuple[int, list[int]]]]) -> tuple[int, ...]:
            prompt, asked = entry
            return (len(prompt), len(asked), max(len(text) for _, text in asked))

        batch: list[Any] = []
        for entry in sorted(by_context.items(), key=size, reverse=True):
            length, _, longest = size(entry)
            if batch:
                first, _, most = size(batch[0])
                full = (len(batch) + 1) * (first + max(most, longest)) > self.batch_tokens
                if full or first != length:
                    yield batch
                    batch = []
            batch.append(entry)
        if batch:
            yield batch

    def loglikelihood_rolling(self, requests: Any, disable_tqdm: bool = False) -> list[float]:
        """Log-probability of whole texts, in windows of the context that do not overlap."""
        owners, windows = [], []
        for i, request in enumerate(requests):
            found = get_rolling_token_windows(
                token_list=self.tok_encode(request.args[0]),
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
        prompts = [self.tok_encode(text)[-room:] or [self.prefix_token_id] for text in contexts]
        stops = [self.eot_token_id]
        if "\n" in until:
            # A token that holds a line break ends the output wherever the text is cut.
            stops = sorted({*self.vocab.stop_ids, *stops})
        outputs = [""] * len(contexts)
        keyed = {(*prompt, -1 - i): [(i, [0] * limit)] for i, prompt in enumerate(prompts)}
        for batch in self._batches(keyed):
            members = [asked[0][0] for _, asked in batch]
            read = read_prompts(self.model, [prompts[i] for i in members])
            decoded = greedy(self.model, read, stops, limit, ended=self._has_stop(until))
            for i, one in zip(members, decoded, strict=True):
                outputs[i] = postprocess_generated_text(self._text(one), until, None)
            self.advance(len(members))
        return outputs

    def _text(self, one: Decoded) -> str:
        tokens = one.tokens if one.stop is None else [*one.tokens, one.stop]
        return self.tokenizer.decode(tokens, skip_special_tokens=True)

    def _has_stop(self, until: Sequence[str]) -> Callable[[torch.Tensor], list[bool]]:
        """Whether each row of decoded tokens holds a stop string already."""

        def ended(rows: torch.Tensor) -> list[bool]:
            texts = self.tokenizer.batch_decode(rows.tolist(), skip_special_tokens=True)
            return [any(stop and stop in text for stop in until) for text in texts]

        return ended
