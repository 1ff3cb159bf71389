"""The console of a command: what it prints is data, never markup."""

from typing import Any

from rich.console import Console
from rich.text import Text

from train.commands.terminal import visible


class DataConsole(Console):
    """A rich console that renders every string as it stands, with control characters written out.

    Run names and error texts hold brackets (`[/root/x.cc:12]`), which rich would take for markup,
    and may hold escape sequences, which the terminal would obey.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(markup=False, emoji=False, **settings)

    def render_str(self, text: str, **settings: Any) -> Text:
        settings |= {"markup": False, "emoji": False}
        return super().render_str(visible(text), **settings)
