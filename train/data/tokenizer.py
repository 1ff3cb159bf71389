"""Text to ids: bytes, an alphabet's characters, BPE trained here, or anything Hugging Face loads.

Each kind becomes a `tokenizers.Tokenizer`, so that a checkpoint carries it and `AutoTokenizer`
loads it offline. Bytes and characters encode through a lookup table, which is much faster.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from train.config.spec import SpecError, TokenizerSpec, known

END = "<|end|>"
"""Separates documents, ends generation and pads."""


@dataclass(frozen=True)
class TextCodec:
    """A tokenizer ready for use: ids of text, vocabulary size, the id of `END`."""

    tokenizer: Tokenizer
    end_id: int
    table: NDArray[np.int64] | None = None
    ids_alone: bool = False
    """Whether ids stand for themselves, as those of files whose tokenizer is not known."""

    @property
    def vocab_size(self) -> int:
        return self.tokenizer.get_vocab_size()

    @property
    def identity(self) -> str:
        """Hash of the tokenizer's own definition."""
        return hashlib.sha256(self.tokenizer.to_str().encode()).hexdigest()[:16]

    def encode(self, text: str) -> NDArray[np.int64]:
        """Ids of a text, without any special token.

        Raises:  SpecError: a character outside the alphabet.
        """
        if self.table is None:
            return np.asarray(self.tokenizer.encode(text, add_special_tokens=False).ids, np.int64)
        ids = self.table[np.frombuffer(text.encode("utf-8"), dtype=np.uint8)]
        if (ids < 0).any():
            bad = text.encode("utf-8")[int(np.argmax(ids < 0))]
            raise SpecError(
                f"character {chr(bad)!r} is not in tokenizer.alphabet; add it, or use bytes"
            )
        return ids


def build_codec(spec: TokenizerSpec, train_texts: Callable[[], Iterator[str]]) -> TextCodec:
    """The codec of a spec; `train_texts` is read by `bpe` alone, which trains on it.

    Raises:  SpecError: an alphabet that is not ASCII, or a Hugging Face name that can't be loaded.
    """
    if spec.kind == "bytes":
        return _byte_codec()
    if spec.kind == "characters":
        return _character_codec(known(spec.alphabet, "tokenizer.alphabet"))
    if spec.kind == "bpe":
        return codec_of(_train_bpe(known(spec.vocab_size, "tokenizer.vocab_size"), train_texts()))
    return _load_hf(known(spec.name, "tokenizer.name"))


def ids_codec(vocab_size: int, end_id: int | None) -> TextCodec:
    """Ids without a tokenizer: their text is their number, so that a checkpoint has a tokenizer.

    Without an end token there is one more id, above all others.
    Raises:  SpecError: an end token outside the vocabulary.
    """
    end = vocab_size if end_id is None else end_id
    if end_id is not None and end_id >= vocab_size:
        raise SpecError(
            f"tokenizer.end_id={end_id} lies outside the {vocab_size} ids of tokenizer.vocab_size"
        )
    vocab = {
        END if number == end else str(number): number for number in range(max(vocab_size, end + 1))
    }
    tokenizer = Tokenizer(models.WordLevel(vocab=vocab, unk_token=END))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens([END])
    return TextCodec(tokenizer, end, ids_alone=True)


def save_tokenizer(codec: TextCodec, directory: Path, max_length: int) -> None:
    """Write the files from which `AutoTokenizer.from_pretrained(directory)` loads it."""
    from transformers import PreTrainedTokenizerFast

    end = codec.tokenizer.id_to_token(codec.end_id)
    PreTrainedTokenizerFast(
        tokenizer_object=codec.tokenizer,
        eos_token=end,
        pad_token=end,
        model_max_length=max_length,
        clean_up_tokenization_spaces=False,
    ).save_pretrained(directory)


def _byte_codec() -> TextCodec:
    vocab = {symbol: byte for byte, symbol in enumerate(_byte_symbols())}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([END])
    return codec_of(tokenizer, np.arange(256, dtype=np.int64))


def _byte_symbols() -> list[str]:
    """The printable stand-in of each byte in byte-level BPE (Radford et al. 2019)."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = iter(range(256, 512))
    return [chr(byte if byte in printable else next(others)) for byte in range(256)]


def _character_codec(alphabet: str) -> TextCodec:
    characters = sorted(set(alphabet))
    if not alphabet.isascii() or not characters:
        raise SpecError(
            f"tokenizer.alphabet={alphabet!r} must be ASCII and not empty; or use bytes"
        )
    vocab = {character: index for index, character in enumerate(characters)}
    tokenizer = Tokenizer(models.WordLevel(vocab=vocab, unk_token=""))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens([END])
    table = np.full(256, -1, dtype=np.int64)
    table[[ord(character) for character in characters]] = np.arange(len(characters))
    return codec_of(tokenizer, table)


def _train_bpe(vocab_size: int, texts: Iterator[str]) -> Tokenizer:
    if vocab_size < 257:
        raise SpecError(f"tokenizer.vocab_size={vocab_size} must be at least 257 (bytes and {END})")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def _load_hf(name: str) -> TextCodec:
    from transformers import AutoTokenizer

    try:
        loaded = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise SpecError(f"tokenizer.name={name!r} can't be loaded: {reason}") from error
    backend = getattr(loaded, "backend_tokenizer", None)
    if backend is None or loaded.eos_token_id is None:
        raise SpecError(f"tokenizer.name={name!r} needs a fast tokenizer with an end token")
    return TextCodec(tokenizer=backend, end_id=loaded.eos_token_id)


def codec_of(tokenizer: Tokenizer, table: NDArray[np.int64] | None = None) -> TextCodec:
    end_id = tokenizer.token_to_id(END)
    if end_id is None:
        raise SpecError(f"the tokenizer has no {END} token; delete it from the cache")
    return TextCodec(tokenizer=tokenizer, end_id=end_id, table=table)
