"""Numbers as people read them; it runs on Python 3.9 too, as AWS Glue's Python shell has it."""

from __future__ import annotations


def counted(count: int, what: str) -> str:
    """Write a number of things: 1 row, 2,000 rows."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"
