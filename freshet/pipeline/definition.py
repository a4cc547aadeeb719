"""Read a pipeline's folder and check all that can be checked without a database.

A leak of personal data, a typing mistake or a construct that cannot work is told within a second, before anything is
started or asked.

Reads:  NAME/select.sql and NAME/pipeline.yaml.
Gives:  a Definition, or every mistake of the folder with file, line and column.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from freshet.errors import DefinitionError
from freshet.pipeline.definition_folder import EntryPath, find_folder, read_entries, read_file
from freshet.pipeline.functions import MASK_DIGITS, PROTECTIONS
from freshet.pipeline.privacy import in_the_clear, looks_personal, protect
from freshet.pipeline.problems import SELECT_FILE, YAML_FILE, Place, Problems, did_you_mean
from freshet.pipeline.select import NAME, Select, read_select

PIPELINES = Path("sql/pipelines")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_SCHEMAS = ("freshet", "information_schema", "pg_catalog", "pg_internal")
SORTKEY_MAX = 400
_SHAPES = {
    "target": "target: schema.table",
    "keys": "keys: [column]",
    "deletes": "deletes: ignore",
    "cascades": "cascades: sweep",
    "pii": "pii: {table.column: tokenize}",
    "readers": "readers: [role]",
    "freshness": "freshness: 30s",
    "distkey": "distkey: column",
    "sortkey": "sortkey: [column]",
}


class _Yaml(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    target: str
    keys: list[str]
    deletes: Literal["ignore", "apply", "mark"] = "ignore"
    cascades: Literal["sweep"] | None = None
    pii: dict[str, str] = {}
    readers: list[str] = []
    freshness: str = "30s"
    distkey: str | None = None
    sortkey: list[str] = []


@dataclass(frozen=True)
class Definition:
    """What a pipeline's folder says, free of contradictions in itself.

    `pii` holds the declared protections by "table.column". With `cascades` a foreign key that changes rows by itself is
    answered by a sweep; without it is refused. `places` finds an entry of pipeline.yaml: ("pii", "contact.email").
    """

    name: str
    folder: Path
    target_schema: str
    target_table: str
    keys: tuple[str, ...]
    deletes: str
    cascades: bool
    pii: Mapping[str, str]
    readers: tuple[str, ...]
    freshness_s: float
    distkey: str | None
    sortkey: tuple[str, ...]
    select: Select
    places: Mapping[EntryPath, Place]
    advice: tuple[str, ...]

    @property
    def tables(self) -> tuple[str, ...]:
        """Names of the source tables, each once, the fact's first."""
        return tuple(dict.fromkeys(self.select.aliases.values()))


def find_pipeline(name_or_path: str | Path, root: Path = PIPELINES) -> Path:
    """Find a pipeline's folder by a path, or by its name below `root`.

    Raises:
        InputError: There is none; the message names those that there are.
    """
    return find_folder("pipeline", name_or_path, root, (YAML_FILE, SELECT_FILE))


def load_definition(folder: Path) -> Definition:
    """Read and check a folder.

    Raises:
        DefinitionError: A mistake, with its place; DefinitionErrors for several.
    """
    name = folder.resolve().name
    text = read_file(folder, SELECT_FILE)
    written, places = read_entries(read_file(folder, YAML_FILE), YAML_FILE, _Yaml, _SHAPES["target"], _explain)
    problems = Problems()
    if not NAME.fullmatch(name) or len(name) > 63:
        problems.add(
            f"the folder's name {name} names tables too: use lower-case letters, digits and _", Place(YAML_FILE)
        )
    schema, _, table = written.target.partition(".")
    _check_target(schema, table, places[("target",)], problems)
    _check_yaml(written, places, problems)
    select = _select(text, problems)
    outputs = [item.name for item in select.items]
    _check_outputs(written, outputs, places, problems)
    _check_keys(written, select, places, problems)
    _check_pii(written.pii, select, places, problems)
    protect(select, written.pii, problems)
    problems.raise_if_any()
    return Definition(
        name=name,
        folder=folder,
        target_schema=schema,
        target_table=table,
        keys=tuple(written.keys),
        deletes=written.deletes,
        cascades=written.cascades == "sweep",
        pii=written.pii,
        readers=tuple(written.readers),
        freshness_s=_seconds(written.freshness) or 0.0,
        distkey=written.distkey,
        sortkey=tuple(written.sortkey),
        select=select,
        places=places,
        advice=tuple(_advice(written, select)),
    )


def _explain(kind: str, message: str, at: EntryPath) -> str:
    known = tuple(_Yaml.model_fields)
    name = str(at[0]) if at else ""
    if kind == "extra_forbidden":
        return f"there is no entry {name}{did_you_mean(name, known) or '; the entries are ' + ', '.join(known)}"
    if kind == "missing":
        return f"the entry {name} is missing: write {_SHAPES[name]}"
    return f"{message}: write {_SHAPES.get(name, name)}"


def _select(text: str, problems: Problems) -> Select:
    try:
        return read_select(text, problems)
    except DefinitionError as error:
        problems.add(error.message, Place(error.file, error.line, error.column))
        problems.raise_if_any()
        raise


def _check_target(schema: str, table: str, place: Place, problems: Problems) -> None:
    if not NAME.fullmatch(schema) or not NAME.fullmatch(table):
        problems.add("target is schema.table, both of lower-case letters, digits and _, at most 127 long", place)
    elif schema in _SCHEMAS or schema.startswith("pg_"):
        problems.add(f"the schema {schema} is not for targets: write another, such as public.{table}", place)


def _check_yaml(written: _Yaml, places: Mapping[EntryPath, Place], problems: Problems) -> None:
    seconds = _seconds(written.freshness)
    if seconds is None or not 0.1 <= seconds <= 3600:
        problems.add("freshness is a time from 100ms to 1h: write 30s, 500ms or 2m", places[("freshness",)])
    for index, reader in enumerate(written.readers):
        if not NAME.fullmatch(reader):
            message = f"{reader} is not a role's name of lower-case letters, digits and _, at most 127 long"
            problems.add(message, places[("readers", index)])


def _seconds(freshness: str) -> float | None:
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?(ms|s|m|h)", freshness)
    return float(found[1]) * _UNITS[found[2]] if found else None


def _check_outputs(written: _Yaml, outputs: list[str], places: Mapping[EntryPath, Place], problems: Problems) -> None:
    named: list[tuple[EntryPath, str]] = [(("keys", index), name) for index, name in enumerate(written.keys)]
    named += [(("sortkey", index), name) for index, name in enumerate(written.sortkey)]
    named += [(("distkey",), written.distkey)] if written.distkey is not None else []
    for at, name in named:
        if name not in outputs:
            problems.add(f"{at[0]} names {name}, which is no output{did_you_mean(name, outputs)}", places[at])
    for entry, names in (("keys", written.keys), ("sortkey", written.sortkey)):
        for name in _doubled(names):
            problems.add(f"{entry} names {name} twice", places[(entry,)])
    if len(written.sortkey) > SORTKEY_MAX:
        problems.add(f"a sort key has at most {SORTKEY_MAX} columns", places[("sortkey",)])
    if not written.keys:
        problems.add("keys names no column: write the outputs that hold the fact's primary key", places[("keys",)])


def _doubled(names: Iterable[str]) -> list[str]:
    listed = list(names)
    return [name for name in dict.fromkeys(listed) if listed.count(name) > 1]


def _check_keys(written: _Yaml, select: Select, places: Mapping[EntryPath, Place], problems: Problems) -> None:
    by_name = {item.name: item for item in select.items}
    for index, key in enumerate(written.keys):
        item = by_name.get(key)
        uses = {f"{select.aliases.get(use.alias)}.{use.column}" for use in item.uses} if item else set()
        personal = sorted(uses & set(written.pii))
        if item is None or (item.bare is not None and item.bare.alias == select.fact_alias and not personal):
            continue
        if personal:
            why = f"{personal[0]} is personal, and keys stand in control tables; give the fact a key that names nobody"
        elif item.bare is not None:
            why = f"it comes from {item.bare.alias}; take it from the fact, {select.fact_alias}"
        elif MASK_DIGITS in item.sql:
            why = "mask_digits() makes different keys equal; pass the fact's column through unchanged"
        else:
            why = "it is computed; pass the fact's column through unchanged"
        problems.add(f"{key} cannot be a key: {why}", places[("keys", index)])


def _check_pii(pii: Mapping[str, str], select: Select, places: Mapping[EntryPath, Place], problems: Problems) -> None:
    tables = dict.fromkeys(select.aliases.values())
    for name, protection in pii.items():
        place = places[("pii", name)]
        table, _, column = name.partition(".")
        if protection not in PROTECTIONS:
            hint = did_you_mean(protection, PROTECTIONS) or f"; write {' or '.join(PROTECTIONS)}"
            problems.add(f"there is no protection {protection}{hint}", place)
        if not column:
            problems.add(f"a personal column is written table.column: {protection}", place)
        elif table not in tables:
            real = select.aliases.get(table)
            hint = f"; {table} is an alias, write {real}.{column}" if real else did_you_mean(table, tables)
            problems.add(f"the SELECT reads no table {table}{hint}", place)


def _advice(written: _Yaml, select: Select) -> Iterable[str]:
    used = {f"{select.aliases[use.alias]}.{use.column}" for use in select.uses()}
    for name in written.pii:
        if name not in used:
            yield f"{name} is declared personal, but the SELECT does not use it"
    for item in select.items:
        clear = in_the_clear(item)
        if clear and looks_personal(item.name, *(name.partition(".")[2] for name in clear)):
            yield f"{item.name} looks personal and leaves in the clear; if it is, declare it under pii"
