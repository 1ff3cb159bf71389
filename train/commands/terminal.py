"""Text from files, shown on a terminal: what it would do to the terminal is written out instead."""

import sys
import unicodedata
from typing import TextIO

_HIDDEN = ("Cc", "Cf", "Cs")
"""Control characters, invisible ones that reorder text, and halves of surrogate pairs."""


def visible(text: object) -> str:
    """The text with what is not seen written as its escape, \\x1b or \\u202e; lines and tabs stay.

    Names, error texts and labels come from run directories that anybody may have written.
    """
    return "".join(map(_shown, str(text)))


def say(text: object, file: TextIO | None = None) -> None:
    """`print` for text with names, messages or labels in it that come from files."""
    print(visible(text), file=file or sys.stdout)


def _shown(character: str) -> str:
    if character in "\n\t" or unicodedata.category(character) not in _HIDDEN:
        return character
    return character.encode("unicode_escape").decode("ascii")
