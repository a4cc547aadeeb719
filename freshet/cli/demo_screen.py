"""How the demo looks: a story that scrolls, and below it, on a terminal, figures that live."""

import time
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

PLAIN_EVERY_S = 5.0


class Screen:
    """Prints the story; keeps the figures at the bottom, or as a line now and then where there is no terminal."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._started = time.monotonic()
        self._plain_at = 0.0
        self._live = (
            Live(Text(""), console=console, auto_refresh=False, transient=True) if console.is_terminal else None
        )

    def __enter__(self) -> Self:
        """Begin to draw."""
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the terminal as it was."""
        if self._live:
            self._live.stop()

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started

    def chapter(self, title: str) -> None:
        """Begin a part of the story."""
        self.console.print()
        self.console.rule(f"[bold]{title}[/bold]", align="left", style="dim")

    def say(self, text: str) -> None:
        """Tell one thing."""
        self.console.print(f"[dim]{self.seconds:6.1f} s[/dim]  {text}")

    def show(self, what: Any) -> None:
        """Show a table."""
        self.console.print(what)

    def figures(self, figures: dict[str, str]) -> None:
        """Show the figures of this moment."""
        if self._live:
            grid = Table.grid(padding=(0, 2))
            for _ in figures:
                grid.add_column()
            grid.add_row(*[f"[dim]{name}[/dim] [bold]{value}[/bold]" for name, value in figures.items()])
            self._live.update(grid, refresh=True)
        elif time.monotonic() - self._plain_at >= PLAIN_EVERY_S:
            self._plain_at = time.monotonic()
            self.say("[dim]" + "  ".join(f"{name} {value}" for name, value in figures.items()) + "[/dim]")
