from pathlib import Path

import pytest
from transformers import AutoTokenizer

from train.config.spec import SpecError, TokenizerSpec
from train.data.tokenizer import build_codec, save_tokenizer

SPECS = {
    "bytes": (TokenizerSpec(), "héllo\n x  =1\t\x00Ω"),
    "characters": (TokenizerSpec("characters", alphabet="0123456789+=\n "), "12 +3=15\n"),
    "bpe": (TokenizerSpec("bpe", vocab_size=300), "the theory of the thing"),
}


@pytest.mark.parametrize("kind", SPECS)
def test_the_saved_tokenizer_agrees_and_round_trips(kind, tmp_path: Path):
    spec, text = SPECS[kind]
    codec = build_codec(spec, lambda: iter(["the theory of the thing " * 30]))
    save_tokenizer(codec, tmp_path, max_length=64)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    ids = codec.encode(text).tolist()
    assert loaded(text)["input_ids"] == ids
    assert loaded.decode(ids) == text
    assert loaded.eos_token_id == loaded.pad_token_id == codec.end_id
    assert len(loaded) == codec.vocab_size


def test_bytes_are_their_own_ids():
    codec = build_codec(TokenizerSpec(), lambda: iter(()))
    assert codec.encode("é").tolist() == [0xC3, 0xA9]
    assert (codec.vocab_size, codec.end_id) == (257, 256)


def test_bpe_learns_from_the_text_it_is_given():
    spec = TokenizerSpec("bpe", vocab_size=270)
    codec = build_codec(spec, lambda: iter(["banana " * 200]))
    assert len(codec.encode("banana")) < 6


def test_a_character_outside_the_alphabet_is_named():
    codec = build_codec(TokenizerSpec("characters", alphabet="01"), lambda: iter(()))
    with pytest.raises(SpecError, match="character '2' is not in"):
        codec.encode("012")


def test_a_name_that_is_nowhere_is_one_clear_line():
    with pytest.raises(SpecError, match="'no/such' can't be loaded"):
        build_codec(TokenizerSpec("hf", name="no/such"), lambda: iter(()))


def test_a_directory_of_ours_loads_as_hf(tmp_path: Path):
    codec = build_codec(SPECS["characters"][0], lambda: iter(()))
    save_tokenizer(codec, tmp_path, max_length=64)
    again = build_codec(TokenizerSpec("hf", name=str(tmp_path)), lambda: iter(()))
    assert again.encode("1+1=2\n").tolist() == codec.encode("1+1=2\n").tolist()
    assert again.end_id == codec.end_id
