"""Checkpoints that are not ours: BOS, padded vocabularies, NaN, spaces, items that are too long."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from eval.lm.load import load_checkpoint
from eval.lm.loglikelihood import read_prompts
from eval.lm.responses import GenerationSettings, answer_items
from eval.lm.tokenization import Vocabulary, encode_items, vocabulary
from eval.metrics.aggregate import measure
from eval.metrics.outcome import Outcome
from eval.metrics.per_item import multiple_choice_grade, token_accuracy
from eval.tasks.generated import TaskError
from eval.tasks.prompt_formats import Item
from tests.support.tiny_checkpoint import DIGITS, save_checkpoint, tiny_model


@pytest.fixture
def loaded(tmp_path: Path) -> tuple[Any, Vocabulary]:
    return tiny_model(tmp_path, context=12, alphabet=DIGITS + " ")


def test_bos_stands_where_the_tokenizer_asks_for_it(loaded) -> None:
    from tokenizers.processors import TemplateProcessing

    tokenizer = loaded[1].tokenizer
    item = Item("1+1=", "2")
    plain = encode_items(vocabulary(tokenizer), [item])[0].prompt
    with pytest.raises(TaskError, match="bos=always, but the tokenizer has no BOS"):
        vocabulary(tokenizer, "always")
    tokenizer.bos_token = tokenizer.eos_token
    bos = tokenizer.bos_token_id
    assert encode_items(vocabulary(tokenizer), [item])[0].prompt == plain
    assert encode_items(vocabulary(tokenizer, "always"), [item])[0].prompt == [bos, *plain]
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{tokenizer.bos_token} $A", special_tokens=[(tokenizer.bos_token, bos)]
    )
    assert encode_items(vocabulary(tokenizer), [item])[0].prompt == [bos, *plain]
    assert encode_items(vocabulary(tokenizer, "never"), [item])[0].prompt == plain


def test_ids_beyond_the_tokenizer_have_no_probability(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    name = str(save_checkpoint(tmp_path))
    wide = AutoModelForCausalLM.from_pretrained(name)
    wide.resize_token_embeddings(20)
    wide.save_pretrained(name)
    model, vocab = load_checkpoint(name, "cpu")
    assert json.loads((tmp_path / "config.json").read_text())["vocab_size"] == 20
    logits = read_prompts(model, vocab.encode(["1+1="])).logits[0]
    assert torch.isinf(logits[14:]).all()
    assert torch.isfinite(logits[:14]).all()


def test_nan_is_counted_and_refused(loaded) -> None:
    model, vocab = loaded
    with torch.no_grad():
        model.lm_head.weight[3] = float("nan")
    with pytest.raises(TaskError, match="2 of 2 items have log-probabilities that are NaN"):
        answer_items(
            model,
            vocab,
            [Item("1+1=", "2"), Item("2+1=", "3")],
            "plain",
            GenerationSettings(samples=1),
        )


def test_ties_count_one_over_k_and_nan_counts_nothing() -> None:
    def graded(*logprobs: float) -> float | None:
        one = Outcome("p", "a", (1,), choices=("a", "b", "c"), choice_scores=(1.0, 0.0, 0.0),
                      choice_logprobs=logprobs)  # fmt: skip
        return multiple_choice_grade(one)

    assert graded(-1.0, -1.0, -2.0) == 0.5
    assert graded(-1.0, -1.0, -1.0) == pytest.approx(1 / 3)
    assert graded(-2.0, float("nan"), -1.0) is None


def test_an_empty_choice_is_refused(loaded) -> None:
    with pytest.raises(TaskError, match="has an empty one"):
        encode_items(loaded[1], [Item("1+1=", "2", "", ("2", ""), (1.0, 0.0))])
    with pytest.raises(TaskError, match="has an empty one"):  # behind "1+1= " of a file
        encode_items(loaded[1], [Item("1+1=", " 2", "", (" 2", " "), (1.0, 0.0))])


def test_a_space_of_its_own_is_no_answer_position(loaded) -> None:
    (one,) = answer_items(*loaded, [Item("1+1=", " 46")], "question", GenerationSettings())
    assert (one.n_leading, len(one.target_tokens), len(one.answer_hits)) == (1, 3, 2)
    first = Outcome("p", " 46", (0, 4, 6), target_hits=(True, False, True, True), n_leading=1)
    assert token_accuracy(first) == 0.5
    found = {(m.metric, m.target_length, m.position): m.value for m in measure([first])}
    assert found["token_accuracy", 2, 1] == 0


def test_one_item_that_is_too_long_does_not_end_a_file(loaded, caplog) -> None:
    items = [Item("1+1=", "2"), Item("1+1+1+1+1+1+1+1=", "8"), Item("2+2=", "4")]
    found = answer_items(*loaded, items, "plain", GenerationSettings())
    assert [one.target for one in found] == ["2", "4"]
    assert "1 items exceed the context of 12 tokens and are skipped: items 1 (17 tokens)" in (
        caplog.text
    )
    with pytest.raises(TaskError, match=r"context of 17 tokens .* has 12; .* \(1 of 3 items"):
        answer_items(*loaded, items, "plain", GenerationSettings(too_long="fail"))
    cut = answer_items(*loaded, items, "plain", GenerationSettings(too_long="truncate"))
    (alone,) = answer_items(
        *loaded, [Item("1+1+1+1+1+1+1+1="[-11:], "8")], "plain", GenerationSettings()
    )
    assert cut[1].target_logprobs == pytest.approx(alone.target_logprobs, abs=1e-5)
    assert len(cut) == 3


def test_a_tokenizer_that_decodes_in_its_own_way_is_asked(loaded) -> None:
    from transformers import PreTrainedTokenizerFast

    class Shouting(PreTrainedTokenizerFast):
        def _decode(self, *args: Any, **kwargs: Any) -> str:
            return super()._decode(*args, **kwargs).upper() + "!"

    plain = loaded[1].tokenizer
    eos = plain.eos_token
    own = Shouting(tokenizer_object=plain.backend_tokenizer, eos_token=eos)
    ids = [plain("12 3")["input_ids"], [*plain("4")["input_ids"], plain.eos_token_id]]
    assert vocabulary(own).decode(ids) == ["12 3!", "4!"]
    assert vocabulary(plain).decode(ids) == plain.batch_decode(ids, skip_special_tokens=True)
