"""Read an export's folder and check all that can be checked without a database.

Reads:  NAME/export.yaml, and NAME/select.sql unless export.yaml names a table as its source.
Gives:  a Definition, or every mistake of export.yaml with line and column.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from freshet.pipeline.ddl import quoted
from freshet.pipeline.definition_folder import EntryPath, find_folder, read_entries, read_file
from freshet.pipeline.problems import Place, Problems, did_you_mean

EXPORTS: Final = Path("sql/exports")
YAML_FILE: Final = "export.yaml"
SELECT_FILE: Final = "select.sql"
PARTS_MAX: Final = 1000
OURS: Final = "_freshet_"  # columns of the pipelines and of this job begin so
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,29}")  # tables of the ledger are named after it
_IDENTIFIER: Final = re.compile(r"[a-z_][a-z0-9_$]{0,126}")
_TABLE: Final = re.compile(r"[A-Za-z0-9_.\-]{3,255}")
_ATTRIBUTE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]{0,254}")
_SHAPES: Final = {
    "source": "source: schema.table",
    "table": "table: NAME",
    "key": "key: column",
    "list": "list: items",
    "order": "order: [column desc]",
    "duplicates": "duplicates: keep, distinct, first or last",
    "same": "same: [column]",
    "nulls": "nulls: omit or write",
    "write_units_per_s": "write_units_per_s: 100",
    "parts": "parts: 8",
}


class _Yaml(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    source: str | None = None
    table: str
    key: str
    list_name: str = Field(default="items", alias="list")
    order: list[str] = []
    duplicates: Literal["keep", "distinct", "first", "last"] = "keep"
    same: list[str] = []
    nulls: Literal["omit", "write"] = "omit"
    write_units_per_s: int
    parts: int = 8


@dataclass(frozen=True)
class Definition:
    """What an export's folder says.

    Attributes:
        name: Of the export, which is the folder's.
        source: (schema, table) in Redshift; None when `select` is the source.
        select: The query; None when `source` is a table.
        table: DynamoDB table.
        key: Column, and attribute, that is the partition key.
        list_name: Attribute that holds the list of rows.
        order: (column, whether it descends), for the rows in a list.
        duplicates: keep all rows of a list; distinct rows; of rows with the same `same` columns the first or the last.
        same: Those columns.
        nulls: omit: a NULL column has no attribute; write: it has one of type NULL.
        write_units_per_s: Write capacity units a second, at most.
        parts: Into how many parts the keys are split.
    """

    name: str
    source: tuple[str, str] | None
    select: str | None
    table: str
    key: str
    list_name: str
    order: tuple[tuple[str, bool], ...]
    duplicates: str
    same: tuple[str, ...]
    nulls: str
    write_units_per_s: int
    parts: int

    @property
    def source_sql(self) -> str:
        """The source as it stands behind FROM."""
        if self.source is not None:
            return ".".join(map(quoted, self.source))
        return f"(\n{self.select}\n)"

    @property
    def source_name(self) -> str:
        """The source as an error names it."""
        return f"{self.source[0]}.{self.source[1]}" if self.source is not None else f"the result of {SELECT_FILE}"


def find_export(name_or_path: str | Path, root: Path = EXPORTS) -> Path:
    """Find an export's folder by a path, or by its name below `root`.

    Raises:
        InputError: There is none; the message names those that there are.
    """
    return find_folder("export", name_or_path, root, (YAML_FILE,))


def load_definition(folder: Path) -> Definition:
    """Read and check a folder.

    Raises:
        DefinitionError: A mistake, with its place; DefinitionErrors for several.
    """
    name = folder.resolve().name
    problems = Problems()
    text = read_file(folder, YAML_FILE)
    written, places = read_entries(text, YAML_FILE, _Yaml, _SHAPES["table"], _explain)
    if not _NAME.fullmatch(name):
        problems.add(
            f"the folder's name {name} names tables too: write lower-case letters, digits and _, at most 30",
            Place(YAML_FILE),
        )
    select = read_file(folder, SELECT_FILE) if (folder / SELECT_FILE).exists() else None
    source = _source(written, select, places, problems)
    _check_names(written, places, problems)
    order = _order(written, places, problems)
    problems.raise_if_any()
    return Definition(
        name=name,
        source=source,
        select=_one_query(select) if source is None and select is not None else None,
        table=written.table,
        key=written.key,
        list_name=written.list_name,
        order=order,
        duplicates=written.duplicates,
        same=tuple(written.same),
        nulls=written.nulls,
        write_units_per_s=written.write_units_per_s,
        parts=written.parts,
    )


def _one_query(text: str) -> str:
    """Give the query without a closing semicolon; what stands in it, Redshift judges."""
    text = text.strip()
    return text.removesuffix(";").rstrip()


def _source(
    written: _Yaml, select: str | None, places: Mapping[EntryPath, Place], problems: Problems
) -> tuple[str, str] | None:
    if written.source is None:
        if select is None or not _one_query(select):
            problems.add(
                f"there is no source: write `{_SHAPES['source']}`, or a query into {SELECT_FILE}", Place(YAML_FILE)
            )
        return None
    if select is not None:
        problems.add(f"{SELECT_FILE} is a source too: remove the file or this entry", places[("source",)])
    schema, _, table = written.source.partition(".")
    if not _IDENTIFIER.fullmatch(schema) or not _IDENTIFIER.fullmatch(table):
        problems.add(
            "source is schema.table, both of lower-case letters, digits, _ and $, at most 127 long",
            places[("source",)],
        )
    return schema, table


def _check_names(written: _Yaml, places: Mapping[EntryPath, Place], problems: Problems) -> None:
    if not _TABLE.fullmatch(written.table):
        problems.add("a DynamoDB table's name has 3 to 255 of A-Z a-z 0-9 _ - .", places[("table",)])
    if not _ATTRIBUTE.fullmatch(written.list_name):
        problems.add("the list's name has letters, digits, _ - . and begins with a letter or _", places[("list",)])
    if written.list_name == written.key:
        problems.add(
            f"list and key are both named {written.key}: an item has one attribute of a name", places[("list",)]
        )
    columns: list[tuple[EntryPath, str]] = [(("key",), written.key)]
    columns += [(("same", index), name) for index, name in enumerate(written.same)]
    for at, column in columns:
        if not _IDENTIFIER.fullmatch(column) or column.startswith(OURS):
            problems.add(_not_a_column(column), places[at])
    if bool(written.same) != (written.duplicates in {"first", "last"}):
        where = places.get(("same",)) or places.get(("duplicates",)) or Place(YAML_FILE)
        problems.add(
            "`same` names the columns that make two rows of a key the same, for `duplicates: first` or `last` only",
            where,
        )
    if not 1 <= written.write_units_per_s <= 1_000_000:
        problems.add("write_units_per_s is from 1 to 1000000", places[("write_units_per_s",)])
    if not 1 <= written.parts <= PARTS_MAX:
        problems.add(f"parts is from 1 to {PARTS_MAX}", places[("parts",)])


def _order(written: _Yaml, places: Mapping[EntryPath, Place], problems: Problems) -> tuple[tuple[str, bool], ...]:
    order = []
    for index, text in enumerate(written.order):
        column, _, direction = text.strip().partition(" ")
        direction = direction.strip().lower() or "asc"
        if not _IDENTIFIER.fullmatch(column) or column.startswith(OURS):
            problems.add(_not_a_column(column), places[("order", index)])
        elif direction not in {"asc", "desc"}:
            problems.add(f"order is a column with asc or desc: write `{_SHAPES['order']}`", places[("order", index)])
        elif column == written.key:
            problems.add(
                "the rows of one list have the same key: order them by another column", places[("order", index)]
            )
        order.append((column, direction == "desc"))
    return tuple(order)


def _not_a_column(name: str) -> str:
    if name.startswith(OURS):
        return f"{name} is Freshet's own column, and is not exported: name another"
    return (
        "a column's name has lower-case letters, digits, _ and $, at most 127: name the column otherwise in select.sql"
    )


def _explain(kind: str, message: str, at: EntryPath) -> str:
    known = tuple(field.alias or name for name, field in _Yaml.model_fields.items())
    name = str(at[0]) if at else ""
    if kind == "extra_forbidden":
        return f"there is no entry {name}{did_you_mean(name, known) or '; the entries are ' + ', '.join(known)}"
    if kind == "missing":
        return f"the entry {name} is missing: write `{_SHAPES[name]}`"
    return f"{message}: write `{_SHAPES.get(name, name)}`"
