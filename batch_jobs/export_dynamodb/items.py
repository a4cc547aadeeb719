"""Group a part's rows into items, one a key: ordered, duplicates as asked, each with its size and digest.

Pure: the same rows, in whatever order they come, give the same items byte for byte. That is what makes a repeated write
harmless and a digest comparable.

Source: Amazon DynamoDB Developer Guide, "DynamoDB Item sizes and formats": an item's size is that of its attributes' names and
values; a list or map adds 3 bytes, each of its elements 1; "Quotas" there: an item has 400 KB at most, a partition key 2048
bytes.
"""

import hashlib
import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from batch_jobs.export_dynamodb.values import KEY_KINDS, NULL, Column, normalized, number_size, values_of

ITEM_BYTES_MAX: Final = 400 * 1024
KEY_BYTES_MAX: Final = 2048
ROWS_AT_ONCE: Final = 20_000


@dataclass(frozen=True)
class Shape:
    """What an item looks like; see `Definition` for the words."""

    key: Column
    columns: tuple[Column, ...]
    list_name: str
    order: tuple[tuple[str, bool], ...]
    duplicates: str
    same: tuple[str, ...]
    nulls: str


@dataclass(frozen=True)
class Item:
    """One item: its key's hash, DynamoDB's JSON, its size in bytes, its rows; `problem` when it cannot be written."""

    key_hash: str
    json: str
    bytes: int
    rows: int
    problem: str = ""

    @property
    def digest(self) -> str:
        """SHA-256 of the JSON."""
        return hashlib.sha256(self.json.encode()).hexdigest()

    @property
    def units(self) -> int:
        """Write capacity units: one a KB begun."""
        return units_of(self.bytes)


def units_of(size: int) -> int:
    """Give the write capacity units of so many bytes."""
    return max(1, -(-size // 1024))


def key_hash(key: str) -> str:
    """Give what stands for a key in the ledger and in messages: in Redshift, `sha2(key, 256)`."""
    return hashlib.sha256(key.encode()).hexdigest()


def items_of(rows: pa.Table, shape: Shape) -> Iterator[Item]:
    """Group rows into items.

    Args:
        rows: All rows of some keys, in any order, columns as Parquet has them; a row without a key is left out.
        shape: Of the items.
    """
    if not rows.num_rows:
        return
    table = _sorted(rows, shape)
    keys = values_of(table[shape.key.name].combine_chunks(), shape.key.kind)
    starts = [0, *_changes(table[shape.key.name].combine_chunks()), table.num_rows]
    first = 0
    for place in range(1, len(starts)):
        if starts[place] - starts[first] >= ROWS_AT_ONCE or place == len(starts) - 1:
            yield from _chunk(table, keys.texts, starts[first : place + 1], shape)
            first = place


def _sorted(rows: pa.Table, shape: Shape) -> pa.Table:
    columns = [shape.key, *shape.columns]
    table = pa.table({column.name: normalized(rows[column.name], column.kind) for column in columns})
    table = table.filter(pc.is_valid(table[shape.key.name]))
    named: list[tuple[str, Any]] = [(name, "descending" if descends else "ascending") for name, descends in shape.order]
    rest: list[tuple[str, Any]] = [
        (column.name, "ascending") for column in shape.columns if column.name not in dict(named)
    ]
    # By every column: rows that the order leaves equal must not stand as they happened to come.
    return table.sort_by([(shape.key.name, "ascending"), *named, *rest])


def _changes(keys: Any) -> list[int]:
    if len(keys) < 2:
        return []
    differs = pc.not_equal(keys.slice(1), keys.slice(0, len(keys) - 1))
    return (np.flatnonzero(differs.to_numpy(zero_copy_only=False)) + 1).tolist()


def _chunk(table: pa.Table, keys: list[str | None], starts: list[int], shape: Shape) -> Iterator[Item]:
    offset, end = starts[0], starts[-1]
    if offset == end:
        return
    texts: list[list[str]] = []
    sizes = [4] * (end - offset)  # 3 of the map, 1 as an element of the list
    unfit: dict[int, str] = {}
    places = {}
    for place, column in enumerate(shape.columns):
        values = values_of(table[column.name].slice(offset, end - offset).combine_chunks(), column.kind)
        name, name_size = json.dumps(column.name), len(column.name.encode()) + 1
        places[column.name] = place
        null = f"{name}:{NULL}" if shape.nulls == "write" else ""
        texts.append([null if text is None else f"{name}:{text}" for text in values.texts])
        null_size = name_size + 1 if null else 0
        for row, (text, size) in enumerate(zip(values.texts, values.sizes, strict=True)):
            sizes[row] += null_size if text is None else name_size + size
        for row, problem in values.unfit.items():
            unfit.setdefault(row, f"{problem}:{column.name}")
    rows = (
        [f'{{"M":{{{",".join(filter(None, row))}}}}}' for row in zip(*texts, strict=True)]
        if texts
        else ['{"M":{}}'] * len(sizes)
    )
    sames = list(zip(*(texts[places[name]] for name in shape.same), strict=True))
    for start, stop in itertools.pairwise(starts):
        group = range(start - offset, stop - offset)
        kept = _kept(group, rows, sames, shape.duplicates)
        problem = next((unfit[row] for row in group if row in unfit), "") if unfit else ""
        yield _item(keys[start] or "", [rows[row] for row in kept], sum(sizes[row] for row in kept), problem, shape)


def _kept(group: range, rows: list[str], sames: list[tuple[str, ...]], duplicates: str) -> list[int]:
    if duplicates == "keep":
        return list(group)
    if duplicates == "distinct":
        return sorted({rows[row]: row for row in reversed(group)}.values())
    found: dict[tuple[str, ...], int] = {}
    for row in group if duplicates == "first" else reversed(group):
        found.setdefault(sames[row], row)
    return sorted(found.values())


def _item(key_value: str, rows: list[str], rows_size: int, problem: str, shape: Shape) -> Item:
    key = json.loads(key_value)[KEY_KINDS[shape.key.kind]]
    key_size = len(key.encode()) if KEY_KINDS[shape.key.kind] == "S" else number_size(key)
    size = len(shape.key.name.encode()) + key_size + len(shape.list_name.encode()) + 3 + rows_size
    text = f'{{{json.dumps(shape.key.name)}:{key_value},{json.dumps(shape.list_name)}:{{"L":[{",".join(rows)}]}}}}'
    if not key:
        problem = "key_is_empty"
    elif key_size > KEY_BYTES_MAX:
        problem = "key_too_long"
    elif size > ITEM_BYTES_MAX:
        problem = problem or "item_too_large"
    return Item(key_hash(key), text, size, len(rows), problem)
