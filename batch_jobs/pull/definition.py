"""What may be pulled: tables, each with its cursor, its keys and its overlap.

A person writes it as `sql/pulls/NAME.yaml`; the function has it as JSON in its environment, as AWS Lambda's Python has no reader
of YAML. The puller only chooses one of the definitions by name: no identifier ever comes from a request.

Reads:  the content of a definition, whatever its file looked like.
Gives:  a Definition, or an InputError that names the place.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any, Final

from freshet.errors import InputError

COMMIT_COLUMN: Final = "_freshet_commit"
OVERLAP_S: Final = 600
ROWS_MAX: Final = 50_000
NAME_MAX: Final = 127  # Redshift, "Names and identifiers"
PULL_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True)
class TableToPull:
    """One table of a definition, as it is written; `catalogue.py` compares it with the warehouse.

    Attributes:
        schema: Its schema.
        table: Its name.
        name: Its name in the answer.
        cursor: The column that grows with every change of a row.
        keys: The columns that tell one row from another.
        overlap: How far behind the last cursor value the next round begins: seconds, or numbers for a numeric cursor.
            None: not said.
        pipeline: The pipeline that keeps the table, when the cursor is its commit.
    """

    schema: str
    table: str
    name: str
    cursor: str
    keys: tuple[str, ...]
    overlap: int | None
    pipeline: str | None

    @property
    def digest(self) -> str:
        """Tells whether a state was written for this very table, cursor and keys."""
        content = [self.schema, self.table, self.name, self.cursor, self.keys, self.pipeline]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Definition:
    """Tables that are pulled together, in this order; at most `rows_max` rows of a table in one answer."""

    name: str
    tables: tuple[TableToPull, ...]
    rows_max: int = ROWS_MAX


def read_definition(name: str, content: Any) -> Definition:
    """Check a definition.

    Args:
        name: Its name.
        content: `{"tables": {"schema.table": {"cursor", "keys", "overlap", "pipeline", "as"}}, "rows": N}`.

    Raises:
        InputError: It is none; the message says where.
    """
    where = f"the pull {name}"
    if not isinstance(name, str) or not PULL_NAME.fullmatch(name):
        raise InputError("a pull's name has letters, digits, _, - and . only, at most 100, and begins with no - or .")
    _only(where, content, {"tables", "rows"})
    tables = content.get("tables")
    if not isinstance(tables, dict) or not tables:
        raise InputError(f"{where} names no tables: write tables: with schema.table: below it")
    rows_max = content.get("rows", ROWS_MAX)
    if not _is_whole(rows_max) or not 1 <= rows_max <= ROWS_MAX:
        raise InputError(f"{where}: rows is the number of rows in one answer, from 1 to {ROWS_MAX}")
    found = tuple(_table(where, written, body) for written, body in tables.items())
    names = [table.name for table in found]
    doubled = sorted({each for each in names if names.count(each) > 1})
    if doubled:
        raise InputError(
            f"{where}: two tables would be called {doubled[0]} in the answer: give one of them another name with as:"
        )
    return Definition(name, found, rows_max)


def _table(where: str, written: Any, body: Any) -> TableToPull:
    schema, point, table = str(written).partition(".")
    if not point or not schema or not table:
        raise InputError(f"{where}: write {written} as schema.table")
    place = f"{where}, table {written}"
    _only(place, body, {"cursor", "keys", "overlap", "pipeline", "as"})
    keys = body.get("keys")
    if not isinstance(keys, list) or not keys or not all(isinstance(key, str) for key in keys):
        raise InputError(f"{place}: keys is the list of the columns that tell one row from another")
    if len(set(keys)) < len(keys):
        raise InputError(f"{place}: keys names a column twice")
    cursor, pipeline, name = body.get("cursor"), body.get("pipeline"), body.get("as", table)
    if not isinstance(cursor, str):
        raise InputError(f"{place}: cursor is the column that grows with every change of a row")
    if (cursor == COMMIT_COLUMN) != isinstance(pipeline, str):
        raise InputError(f"{place}: cursor: {COMMIT_COLUMN} and pipeline: (the one that keeps the table) go together")
    if not isinstance(name, str) or not re.fullmatch(r"\w{1,127}", name):
        raise InputError(f"{place}: its name in the answer has letters, digits and _ only: choose one with as:")
    table_names = {"schema": schema, "table": table, "cursor": cursor, "pipeline": pipeline or "-"}
    for what, text in [*table_names.items(), *(("key", key) for key in keys)]:
        if not text or len(text.encode()) > NAME_MAX or not text.isprintable():
            raise InputError(f"{place}: the {what} is no name in Redshift (1 to {NAME_MAX} bytes, printable)")
    return TableToPull(schema, table, name, cursor, tuple(keys), _overlap(place, body.get("overlap")), pipeline)


def _overlap(place: str, written: Any) -> int | None:
    if written is None:
        return None
    found = re.fullmatch(r"(\d{1,9})\s*([smhd]?)", str(written).strip())
    if not found or isinstance(written, bool):
        raise InputError(f"{place}: overlap is a time such as 30s, 10m, 2h or 1d, or a number for a numeric cursor")
    return int(found[1]) * _UNITS.get(found[2], 1)


def _only(where: str, body: Any, known: set[str]) -> None:
    if not isinstance(body, dict):
        raise InputError(f"{where} has nothing below it but should hold {', '.join(sorted(known))}")
    unknown = sorted(str(word) for word in body if word not in known)
    if unknown:
        raise InputError(f"{where} says {unknown[0]}, which is not known: write {', '.join(sorted(known))}")


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
