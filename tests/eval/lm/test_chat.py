"""Chat templates and system prompts: turns as the tokenizer writes them, BOS exactly once."""

from pathlib import Path
from typing import Any

import pytest

from eval.lm.chat import in_chat
from eval.lm.responses import GenerationSettings, answer_items
from eval.lm.tokenization import Vocabulary, encode_items, vocabulary
from eval.tasks.generated import TaskError
from eval.tasks.prompt_formats import Item
from tests.support.tiny_checkpoint import DIGITS, tiny_model

TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
LETTERS = DIGITS + " <>abcdefghijklmnopqrstuvwxyz"


@pytest.fixture
def loaded(tmp_path: Path) -> tuple[Any, Vocabulary]:
    from tokenizers.processors import TemplateProcessing

    model, vocab = tiny_model(tmp_path, context=128, alphabet=LETTERS)
    tokenizer = vocab.tokenizer
    tokenizer.bos_token = tokenizer.eos_token
    tokenizer.chat_template = TEMPLATE
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{tokenizer.bos_token} $A",
        special_tokens=[(tokenizer.bos_token, tokenizer.bos_token_id)],
    )
    return model, vocabulary(tokenizer)


def test_a_prompt_is_a_user_s_turn_and_the_answer_the_reply(loaded) -> None:
    tokenizer = loaded[1].tokenizer
    item = Item("1+1=", " 2", "", (" 2", " 3"), (1.0, 0.0))
    (plain,) = in_chat(tokenizer, [item], True, None)
    assert plain.prompt == f"{tokenizer.bos_token}<user>1+1=\n<assistant>"
    assert (plain.target, plain.answer, plain.choices) == ("2", "2", ("2", "3"))
    (led,) = in_chat(tokenizer, [item], True, "add")
    assert led.prompt == f"{tokenizer.bos_token}<system>add\n<user>1+1=\n<assistant>"
    (bare,) = in_chat(tokenizer, [item], False, "add")
    assert (bare.prompt, bare.target) == ("add\n\n1+1=", " 2")
    assert in_chat(tokenizer, [item], False, None) == [item]


def test_bos_stands_exactly_once_whoever_writes_it(loaded) -> None:
    _, vocab = loaded
    bos = vocab.bos_id
    for template in (TEMPLATE, TEMPLATE.replace("{{ bos_token }}", "")):
        vocab.tokenizer.chat_template = template
        items = in_chat(vocab.tokenizer, [Item("1+1=", "2")], True, None)
        prompt = encode_items(vocab, items)[0].prompt
        assert (prompt[0], prompt.count(bos)) == (bos, 1)


def test_answers_behind_a_template_end_with_the_end_token(loaded) -> None:
    model, vocab = loaded
    settings = GenerationSettings(chat_template=True, system_prompt="add")
    (one,) = answer_items(model, vocab, [Item("1+1=", " 2")], "question", settings)
    assert one.prompt.endswith("<user>1+1=\n<assistant>")
    assert one.target_tokens == tuple(vocab.encode(["2"])[0])
    assert vocab.in_turns().stop_id == vocab.tokenizer.eos_token_id != vocab.stop_id


def test_a_tokenizer_without_the_template_is_refused(loaded) -> None:
    tokenizer = loaded[1].tokenizer
    with pytest.raises(TaskError, match="chat_template=other can't write the prompt"):
        tokenizer.chat_template = {"default": TEMPLATE}
        in_chat(tokenizer, [Item("1+1=", "2")], "other", None)
    (named,) = in_chat(tokenizer, [Item("1+1=", "2")], "default", None)
    assert "<assistant>" in named.prompt
    tokenizer.chat_template = "{{ raise_exception('no system role') }}"
    with pytest.raises(TaskError, match=r"no system role.* or no system_prompt"):
        in_chat(tokenizer, [Item("1+1=", "2")], True, "add")
    tokenizer.chat_template = None
    with pytest.raises(TaskError, match="use a tokenizer with a chat template"):
        in_chat(tokenizer, [Item("1+1=", "2")], True, None)
