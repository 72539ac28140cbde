"""The terminal by way of rich, for text from elsewhere: it can neither steer the terminal nor is it read as markup."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from ray_hpo.visible import visible


class Screen(Console):
    """A console on which any text is shown as it is; see `visible`. All that is printed is a string, a table of
    strings, or `plain`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(visible(text), **options)


def plain(text: str, style: str = "") -> Text:
    """Text as a part of something larger, numbers in it not in colours of their own."""
    return Text(visible(text), style)
