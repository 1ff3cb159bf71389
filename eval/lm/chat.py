"""Prompts as turns of a chat, written by the chat template that a tokenizer brings."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from eval.tasks.generated import TaskError
from eval.tasks.prompt_formats import Item


def in_chat(
    tokenizer: Any, items: Sequence[Item], template: bool | str, system: str | None
) -> list[Item]:
    """Items whose prompt is a user's turn, shots included, and whose answer is the reply.

    A reply begins without the space that stands between prompt and answer in running text.

    Args:
        template: True for the tokenizer's (default) template, or the name of one of several; False
            leaves prompts as they are, behind the system prompt and an empty line where it is set.

    Raises:  TaskError: no such template, or one that refuses the turns.
    """
    if not template:
        before = f"{system}\n\n" if system else ""
        return [replace(one, prompt=before + one.prompt) for one in items] if system else [*items]
    return [
        replace(
            one,
            prompt=as_turns(tokenizer, one.prompt, template, system),
            target=one.target.lstrip(" "),
            answer=one.answer or one.target.strip(),
            choices=tuple(choice.lstrip(" ") for choice in one.choices),
        )
        for one in items
    ]


def as_turns(tokenizer: Any, prompt: str, template: bool | str, system: str | None) -> str:
    """The text of a user's turn behind the system's, up to where the reply begins.

    Raises:  TaskError: no such template, or one that refuses the turns.
    """
    turns = [{"role": "system", "content": system}] if system else []
    turns.append({"role": "user", "content": prompt})
    named = tokenizer.chat_template
    try:
        if template is not True and template not in (named if isinstance(named, dict) else ()):
            have = ", ".join(named) if isinstance(named, dict) else "one without a name"
            raise ValueError(f"the tokenizer has {have if named else 'no template'}")
        return tokenizer.apply_chat_template(
            turns,
            chat_template=None if template is True else template,
            tokenize=False,
            add_generation_prompt=True,
        )
    except Exception as error:  # templates raise jinja2's classes, tokenizers plain ones
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise TaskError(
            f"chat_template={template} can't write the prompt: {reason}; use a tokenizer with a "
            f"chat template, another of its templates by name, or chat_template=false"
            + (", or no system_prompt" if system else "")
        ) from error
