"""Text that would act on a terminal is written out; text of any language stays as it is."""

import pytest

from train.commands.terminal import visible


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("a\rb\x08\x00", r"a\rb\x08\x00"),
        ("\x9b31m", r"\x9b31m"),
        ("\u202eabc", r"\u202eabc"),
        ("\ud83d", r"\ud83d"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("Größe 大小 😀 [/bold]", "Größe 大小 😀 [/bold]"),
    ],
)
def test_what_is_not_seen_is_written_out(given: str, shown: str):
    assert visible(given) == shown
