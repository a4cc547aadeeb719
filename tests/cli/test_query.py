"""What `freshet query` draws."""

import io

from rich.console import Console

from freshet.cli.query import render, render_records

NAMES, ROWS = ["id", "[note]"], [[1, "a[b]c"], [2, None]]


def drawn(width: int, what: object) -> str:
    """Draw as a terminal of this width would show it."""
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(what)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_names_and_values_are_shown_as_they_are() -> None:
    """Square brackets are text, NULL is a word."""
    table = drawn(60, render(NAMES, ROWS))
    assert "[note]" in table
    assert "a[b]c" in table
    assert "null" in table


def test_a_wide_result_loses_nothing() -> None:
    """What does not fit beside each other stands below each other."""
    wide = [f"column_{i}" for i in range(40)]
    text = drawn(40, render_records(wide, [[f"value {i}" for i in range(40)]]))
    assert [] == [i for i in range(40) if f"column_{i} " not in text or f"value {i}" not in text]
