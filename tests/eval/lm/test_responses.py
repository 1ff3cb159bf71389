"""Decoding and scoring agree with the plain forward pass, at any batch size."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from eval.lm.generate import greedy, sample
from eval.lm.load import CheckpointError, load_checkpoint
from eval.lm.loglikelihood import read_prompts, score
from eval.lm.responses import GenerationSettings, answer_items
from eval.lm.tokenization import Vocabulary, encode_items
from eval.tasks.generated import TaskError, TaskSpec, heldout_items
from eval.tasks.grading import FIRST_SENTENCE, Grading
from eval.tasks.prompt_formats import Item
from tests.support.tiny_checkpoint import DIGITS, save_checkpoint, tiny_model
from train.config.spec import TokenizerSpec


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Vocabulary]:
    return tiny_model(tmp_path_factory.mktemp("tiny"))


def plain_logprobs(model: Any, tokens: list[int]) -> torch.Tensor:
    with torch.no_grad():
        return model(torch.tensor([tokens])).logits[0].float().log_softmax(-1)


def test_scores_equal_a_forward_pass_without_cache(loaded) -> None:
    model, vocab = loaded
    items = [Item("12+3=", "15"), Item("99+9=", "1089"), Item("11+1=", "1")]
    encoded = encode_items(vocab, items)
    read = read_prompts(model, [one.prompt for one in encoded])
    for one, (logprobs, hits) in zip(
        encoded, score(model, read, [one.target for one in encoded]), strict=True
    ):
        full = plain_logprobs(model, one.prompt + one.target)
        for i, token in enumerate(one.target):
            row = full[len(one.prompt) - 1 + i]
            assert logprobs[i] == pytest.approx(float(row[token]), abs=1e-5)
            assert hits[i] == (int(row.argmax()) == token)


def test_greedy_equals_decoding_without_cache(loaded) -> None:
    model, vocab = loaded
    prompts = [vocab.encode([text])[0] for text in ("12+3=", "99+9=", "45+6=", "70+7=")]
    read = read_prompts(model, prompts)
    for prompt, found in zip(prompts, greedy(model, read, sorted(vocab.stop_ids), 9), strict=True):
        tokens, total, stop = list(prompt), 0.0, None
        while len(tokens) < len(prompt) + 9 and stop is None:
            row = plain_logprobs(model, tokens)[-1]
            token = int(row.argmax())
            total += float(row[token])
            stop = token if token in vocab.stop_ids else None
            tokens += [] if stop is not None else [token]
        assert found.tokens == tokens[len(prompt) :]
        assert found.stop == stop
        assert found.logprob == pytest.approx(total, abs=1e-4)


def test_outcomes_do_not_depend_on_the_batch_size(loaded) -> None:
    model, vocab = loaded
    items = heldout_items(TaskSpec(operands="uniform_length"), 40, 3)
    settings = GenerationSettings(samples=2, seed=5)
    one, many = (
        answer_items(model, vocab, items, "plain", dataclasses.replace(settings, batch_tokens=size))
        for size in (1, 4096)
    )
    assert [o.prompt for o in one] == [item.prompt for item in items]
    for a, b in zip(one, many, strict=True):
        assert (a.output, a.stopped, a.sample_outputs) == (b.output, b.stopped, b.sample_outputs)
        assert np.allclose(a.target_logprobs, b.target_logprobs, atol=1e-5)
    assert len({o.output for o in one}) > 5, "a model that always says the same tests nothing"


def test_samples_follow_the_model(loaded) -> None:
    model, vocab = loaded
    n = 4000
    prompt = vocab.encode(["12+3="])[0]
    read = read_prompts(model, [prompt] * n)
    uniforms = np.random.default_rng(0).random((n, 1))
    drawn = sample(model, read, [], uniforms, temperature=1.5)
    found = np.bincount([one.tokens[0] for one in drawn], minlength=14) / n
    expected = (read.logits[0] / 1.5).softmax(-1).numpy()
    assert np.abs(found - expected).max() < 0.03


def test_choices_are_scored_from_the_same_prompt(loaded) -> None:
    model, vocab = loaded
    item = Item("1+1=", "2", choices=("2", "33"), choice_scores=(1.0, 0.0))
    two = Item("2+1=", "3", choices=("3",), choice_scores=(1.0,))
    first, second = answer_items(model, vocab, [item, two], "plain", GenerationSettings())
    full = plain_logprobs(model, vocab.encode(["1+1=33"])[0])
    three = vocab.encode(["3"])[0][0]
    assert first.choice_logprobs[1] == pytest.approx(
        float(full[3, three] + full[4, three]), abs=1e-5
    )
    assert len(second.choice_logprobs) == 1


def test_an_output_that_never_stops_is_cut(loaded) -> None:
    model, vocab = loaded
    outcomes = answer_items(
        model,
        vocab,
        heldout_items(TaskSpec(), 200, 0),
        "plain",
        GenerationSettings(max_new_tokens=1),
    )
    cut = [one for one in outcomes if not one.stopped]
    assert cut
    assert all(len(one.output_tokens) == 1 and one.graded is None for one in cut)


def test_the_context_bounds_decoding_and_refuses_what_cannot_fit(tmp_path: Path) -> None:
    model, vocab = tiny_model(tmp_path, context=12)
    items = [Item("999+999=", "1998"), Item("1+1=", "2")]
    long, short = answer_items(model, vocab, items, "plain", GenerationSettings(max_new_tokens=50))
    assert len(long.output_tokens) <= 5
    assert len(short.output_tokens) <= 9
    with pytest.raises(TaskError, match=r"needs a context of 25 tokens .* has 12; use fewer shots"):
        answer_items(
            model, vocab, [Item("1+1=2\n1+1=2\n999+999=", "19982")], "plain", GenerationSettings()
        )


def test_what_the_vocabulary_lacks_is_named(loaded) -> None:
    model, vocab = loaded
    with pytest.raises(TaskError, match="vocabulary has no ':'"):
        answer_items(model, vocab, [Item("1+1:", "#2")], "scratchpad", GenerationSettings())


def test_an_empty_item_set_is_refused(loaded) -> None:
    with pytest.raises(TaskError, match="no items"):
        answer_items(*loaded, [], "plain", GenerationSettings())


@pytest.mark.parametrize(
    "tokenizer",
    [TokenizerSpec(kind="bytes"), TokenizerSpec(kind="bpe", vocab_size=280)],
    ids=["bytes", "bpe"],
)
def test_other_vocabularies_stop_at_a_line_break(tmp_path: Path, tokenizer: TokenizerSpec) -> None:
    model, vocab = tiny_model(tmp_path, tokenizer=tokenizer)
    assert vocab.decode([[vocab.stop_id]]) == ["\n"]
    (encoded,) = encode_items(vocab, [Item("Q: 12+34?\nA:", " 46", choices=(" 46", " no"))])
    joined = vocab.decode([encoded.prompt + encoded.target])[0]
    assert joined == "Q: 12+34?\nA: 46"
    assert vocab.decode([encoded.choices[1]]) == [" no"]
    (found,) = answer_items(model, vocab, [Item("12+34=", "46")], "plain", GenerationSettings())
    assert "\n" not in (found.output or "")


def test_self_evaluation_asks_the_model_about_its_own_output(tmp_path: Path) -> None:
    model, vocab = tiny_model(tmp_path, alphabet=DIGITS + "?yesno")
    items = heldout_items(TaskSpec(digits=1), 6, 0)
    outcomes = answer_items(model, vocab, items, "plain", GenerationSettings(self_evaluate=True))
    for one in outcomes:
        start = vocab.encode([f"{one.prompt}{one.output}?"])[0]
        yes, no = (
            sum(
                float(plain_logprobs(model, start + ids)[len(start) - 1 + i, token])
                for i, token in enumerate(ids)
            )
            for ids in vocab.encode(["yes", "no"])
        )
        assert one.p_true == pytest.approx(1 / (1 + np.exp(no - yes)), abs=1e-4)


def test_a_checkpoint_without_tokenizer_is_refused(tmp_path: Path) -> None:
    save_checkpoint(tmp_path)
    for path in tmp_path.glob("tokenizer*"):
        path.unlink()
    with pytest.raises(CheckpointError, match="no tokenizer files"):
        load_checkpoint(str(tmp_path), "cpu")


def test_names_that_lead_nowhere(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no config.json"):
        load_checkpoint(str(tmp_path), "cpu")
    with pytest.raises(CheckpointError, match="hub can't provide it"):
        load_checkpoint("nobody/no-such-model", "cpu")
    with pytest.raises(CheckpointError, match="device=quantum"):
        load_checkpoint(str(save_checkpoint(tmp_path / "c")), "quantum")


def test_outputs_end_at_a_stop_text_of_the_task(loaded) -> None:
    model, vocab = loaded
    items = [Item("12+3=", "15"), Item("99+9=", "1089"), Item("45+6=", "51")]
    settings = GenerationSettings(max_new_tokens=12)
    encoded = encode_items(vocab, items)
    end = vocab.tokenizer.eos_token_id
    whole = [
        vocab.decode([greedy(model, read_prompts(model, [one.prompt]), [end], 12)[0].tokens])[0]
        for one in encoded
    ]
    stop = next(text[3:5] for text in whole if len(text) > 5)
    found = answer_items(model, vocab, items, Grading(stop=stop).layout, settings)
    for outcome, text in zip(found, whole, strict=True):
        assert outcome.output == text.split(stop)[0]
        assert vocab.decode([outcome.output_tokens])[0] == outcome.output
        assert stop not in text or (outcome.stopped and outcome.output_logprob is None)
        assert len(outcome.target_logprobs) == len(outcome.target_tokens) + 1
    assert any(stop in text for text in whole)
    kept = answer_items(model, vocab, items, Grading(stop=stop, keep_stop=True).layout, settings)
    for outcome, text in zip(kept, whole, strict=True):
        before, found_stop, _ = text.partition(stop)
        assert outcome.output == before + found_stop


def test_answers_within_longer_outputs_are_decoded_and_those_that_are_complete_count(
    loaded,
) -> None:
    """Outputs of the target's length never reach the number in "The answer is 42"."""
    model, vocab = loaded
    items = [Item(f"{a}+{a + 1}=", "1") for a in range(12, 40)]
    short = answer_items(model, vocab, items, Grading().layout, GenerationSettings())
    assert max(len(one.output_tokens) for one in short) <= 6
    rules = (Grading(extract="1."), Grading(numeric=True), Grading(normalize="squad"))
    for one in rules:
        found = answer_items(model, vocab, items, one.layout, GenerationSettings())
        assert max(len(outcome.output_tokens) for outcome in found) > 20, one
    default = Grading(extract=FIRST_SENTENCE)
    first = answer_items(model, vocab, items, default.layout, GenerationSettings())
    assert max(len(outcome.output_tokens) for outcome in first) <= 6, "its end is near"


def test_choices_are_scored_again_without_their_question(loaded) -> None:
    model, vocab = loaded
    items = [Item("1+1=", "2", "", ("2", "46", "3"), (1.0, 0.0, 0.0)), Item("2+2=", "4")]
    found = answer_items(model, vocab, items, "plain", GenerationSettings(pmi_prompt="="))
    (behind,) = answer_items(
        model, vocab, [Item("=", "2", "", ("2", "46", "3"), (1.0, 0.0, 0.0))], "plain",
        GenerationSettings(),
    )  # fmt: skip
    assert found[0].choice_base_logprobs == pytest.approx(behind.choice_logprobs, abs=1e-5)
    assert found[0].choice_n_tokens == (1, 2, 1)
    assert (found[1].choice_n_tokens, found[1].choice_base_logprobs) == ((), ())
    asked = answer_items(model, vocab, items, "plain", GenerationSettings())
    assert asked[0].choice_base_logprobs == ()
    start = answer_items(model, vocab, items, "plain", GenerationSettings(pmi_prompt=""))
    assert start[0].choice_base_logprobs != found[0].choice_base_logprobs
