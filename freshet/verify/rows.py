"""A row of the source and a row of the target in one form, and what the two say of a key.

Nothing here asks a database. A key has the form in which the warehouse compares it; the values of a key's columns are
compared in that form too, since the target stores them so. Every other value is compared exactly.

Reads:  Arrow tables of a pipeline's outputs, from either side.
Gives:  rows by key; digests; differences that name keys and columns, and no value.

Source: Amazon Redshift Database Developer Guide, "Character types": trailing blanks are not significant in comparisons.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, NamedTuple, TypeAlias

import pyarrow as pa

from freshet.errors import TerminalError
from freshet.pipeline.model import Output, Pipeline

Key: TypeAlias = tuple[Any, ...]
Values: TypeAlias = tuple[Any, ...]

KEPT: Final = "kept"


class Expected(NamedTuple):
    """What the source says of a key.

    Attributes:
        is_there: The fact has a row of this key.
        values: The outputs, protected; None if the row is gone, not admitted, or unfit.
        unfit: "table.column" of a value that its type cannot hold, so that no output can be computed.
    """

    is_there: bool = False
    values: Values | None = None
    unfit: str | None = None


class Stored(NamedTuple):
    """What the target says of a key: the outputs, whether the row is marked deleted, and how many rows have the key."""

    values: Values
    is_marked: bool = False
    copies: int = 1


GONE: Final = Expected()


@dataclass(frozen=True)
class Difference:
    """One key whose row is not what it should be.

    `kind` is missing, extra, unmarked, marked, doubled, different or unfit. `verdict` is stale, wrong, in_flight or
    quarantined; empty while it is open.
    """

    key: Key
    kind: str
    columns: tuple[str, ...] = ()
    verdict: str = ""


@dataclass(frozen=True)
class Form:
    """The form of one pipeline's rows."""

    pipeline: Pipeline

    @cached_property
    def key_names(self) -> tuple[str, ...]:
        """The outputs that are the key, in the order of the fact's primary key, which is the order of the job's keys."""
        names = dict(zip(self.pipeline.key_columns, self.pipeline.keys, strict=True))
        return tuple(names[column] for column in self.pipeline.fact.primary_key)

    @cached_property
    def _key_places(self) -> tuple[int, ...]:
        names = [output.name for output in self.pipeline.outputs]
        return tuple(map(names.index, self.key_names))

    @cached_property
    def _of_key(self) -> dict[str, Callable[[Any], Any]]:
        pairs = zip(self.pipeline.keys, self.pipeline.key_columns, strict=True)
        return {name: _key_form(self.pipeline.fact.column(column).type.kind) for name, column in pairs}

    def rows(self, table: pa.Table) -> Iterator[tuple[Key, Values]]:
        """Give a table's rows in the one form.

        Args:
            table: Has the outputs by name; each is cast to the type that Spark gives it.

        Raises:
            TerminalError: A column holds something that its type cannot.
        """
        columns = [self._column(output, table[output.name]) for output in self.pipeline.outputs]
        for values in zip(*columns, strict=True):
            yield tuple(values[place] for place in self._key_places), values

    def _column(self, output: Output, column: Any) -> list[Any]:
        try:
            values: list[Any] = column.cast(output.arrow).to_pylist()
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):  # the message quotes the value
            raise TerminalError(
                f"pipeline {self.pipeline.name}: column {output.name} of {self.pipeline.target} is not of the type "
                f"{output.redshift}: freshet plan {self.pipeline.name} names what differs"
            ) from None
        if pa.types.is_floating(output.arrow):  # -0.0 and 0.0 are one number
            return [None if value is None else value + 0.0 for value in values]
        form = self._of_key.get(output.name)
        return [None if value is None else form(value) for value in values] if form else values

    def key_value(self, place: int, value: Any) -> Any:
        """Give one typed value of the source's key in the warehouse's form."""
        return self._of_key[self.key_names[place]](value)

    def difference(self, key: Key, expected: Expected, stored: Stored | None) -> Difference | None:
        """Hold both sides of a key against each other.

        Returns:
            None if they agree. `KEPT` as kind for a row of a deleted fact that the pipeline's mode of deletes keeps.
        """
        if expected.unfit is not None:
            return Difference(key, "unfit", (expected.unfit,))
        if stored is None:
            return None if expected.values is None else Difference(key, "missing")
        if stored.copies > 1:
            return Difference(key, "doubled")
        if expected.values is None:
            return Difference(key, self._superfluous(expected, stored))
        if stored.is_marked:
            return Difference(key, "marked")
        columns = tuple(
            output.name
            for output, one, other in zip(self.pipeline.outputs, expected.values, stored.values, strict=True)
            if one != other
        )
        return Difference(key, "different", columns) if columns else None

    def _superfluous(self, expected: Expected, stored: Stored) -> str:
        if expected.is_there or self.pipeline.deletes == "apply":
            return "extra"
        return KEPT if self.pipeline.deletes == "ignore" or stored.is_marked else "unmarked"


def digest(values: Sequence[Any]) -> bytes:
    """Give 8 bytes that stand for a row while the other side is read; types and values decide, and nothing else.

    A different row passes for an equal one once in 2^64.
    """
    return hashlib.blake2b(repr(tuple(values)).encode("utf-8", "surrogatepass"), digest_size=8).digest()


def _key_form(kind: str) -> Callable[[Any], Any]:
    if kind == "integer":  # an unsigned BIGINT is a DECIMAL of the warehouse
        return int
    return _trimmed if kind == "text" else lambda value: value


def _trimmed(text: str) -> str:
    return text.rstrip(" ")
