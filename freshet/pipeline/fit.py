"""Bring a definition and its source together, before Spark is asked for types.

Reads:  a Definition, a SourceSchema.
Gives:  a Pipeline whose outputs have no types yet; every reason why the two do not fit.
"""

import re

from freshet.errors import InputError
from freshet.pipeline.definition import Definition
from freshet.pipeline.model import Column, Dimension, JoinTerm, Output, Pipeline, Table
from freshet.pipeline.privacy import protections, split_protection
from freshet.pipeline.problems import Place, Problems, did_you_mean
from freshet.pipeline.select import Item, Join, Use
from freshet.pipeline.source import ForeignKey, SourceColumn, SourceSchema, SourceTable
from freshet.pipeline.types import ColumnType, column_type, key_refusal

Types = dict[tuple[str, str], ColumnType]  # by alias and column


def fit(definition: Definition, source: SourceSchema) -> tuple[Pipeline, Types]:
    """Check a definition against its source.

    Returns:
        The pipeline, its outputs without types; the type of each used column by alias and name.

    Raises:
        DefinitionError: They do not fit together; DefinitionErrors for several reasons.
    """
    problems = Problems()
    types = _types(definition, source, problems)
    problems.raise_if_any()
    _check_joins(definition, source, types, problems)
    key_columns = _check_fact(definition, source, problems)
    parents = _check_cascades(definition, source, problems)
    problems.raise_if_any()
    tables = [_table(alias, definition, source, types) for alias in definition.select.aliases]
    dimensions = tuple(
        Dimension(
            **vars(table),
            on=tuple(JoinTerm(term.column.column, term.left.alias, term.left.column) for term in join.terms),
            inner=join.inner,
        )
        for table, join in zip(tables[1:], definition.select.joins, strict=True)
    )
    pipeline = Pipeline(
        name=definition.name,
        folder=definition.folder,
        database=source.database,
        target_schema=definition.target_schema,
        target_table=definition.target_table,
        keys=definition.keys,
        key_columns=key_columns,
        fact=tables[0],
        dimensions=dimensions,
        outputs=tuple(_untyped(item, definition) for item in definition.select.items),
        deletes=definition.deletes,
        readers=definition.readers,
        freshness_s=definition.freshness_s,
        distkey=definition.distkey,
        sortkey=definition.sortkey,
        where=definition.select.where.sql if definition.select.where else None,
        cascades=definition.cascades,
        sweeping_parents=parents,
    )
    return pipeline, types


def _types(definition: Definition, source: SourceSchema, problems: Problems) -> Types:
    select, types = definition.select, Types()
    missing = {table for table in definition.tables if table not in source.tables}
    for alias, table in select.aliases.items():
        place = _place(definition, alias)
        if table in missing:
            hint = did_you_mean(table, source.names)
            problems.add(f"the database {source.database} has no table {table}{hint}", place)
        elif source.tables[table].is_view:
            problems.add(f"{table} is a view, and a view's changes are in no binlog: read its tables", place)
    keys, followed = _keys(definition), _followed(definition)
    for use in select.uses():
        table, at = select.aliases[use.alias], (use.alias, use.column)
        if table not in missing and at not in types:
            found = _use_type(use, source.tables[table], problems, is_key=at in keys, is_followed=at in followed)
            if found:
                types[at] = found
    _check_generated(definition, source, problems)
    for name in definition.pii:
        table, _, column = name.partition(".")
        if table not in missing and column not in source.tables[table].columns:
            hint = did_you_mean(column, source.tables[table].columns)
            problems.add(f"{table} has no column {column}{hint}", definition.places["pii", name])
    return types


def _place(definition: Definition, alias: str) -> Place:
    return next((join.place for join in definition.select.joins if join.alias == alias), definition.select.fact_place)


def _keys(definition: Definition) -> set[tuple[str, str]]:
    """Give the columns, by alias and name, that change records must hold: each table's key."""
    fact = {(use.alias, use.column) for use in _fact_keys(definition).values()}
    return fact | {(term.column.alias, term.column.column) for join in definition.select.joins for term in join.terms}


def _followed(definition: Definition) -> set[tuple[str, str]]:
    """Give the columns whose values are compared as keys: each table's key, and what refers to it."""
    lefts = {(term.left.alias, term.left.column) for join in definition.select.joins for term in join.terms}
    return _keys(definition) | lefts


def _fact_keys(definition: Definition) -> dict[str, Use]:
    bare = {item.name: item.bare for item in definition.select.items}
    return {key: use for key in definition.keys if (use := bare[key])}


def _use_type(
    use: Use, table: SourceTable, problems: Problems, *, is_key: bool, is_followed: bool
) -> ColumnType | None:
    column = table.columns.get(use.column)
    if column is None:
        problems.add(f"{table.name} has no column {use.column}{did_you_mean(use.column, table.columns)}", use.place)
    elif is_key and column.hidden:
        problems.add(
            f"{table.name}.{use.column} is {column.hidden}, and DMS does not send such a column: it cannot be a key",
            use.place,
        )
    elif is_followed and (why := key_refusal(column.type)):
        problems.add(
            f"{table.name}.{use.column} is {column.type}, which cannot be a key or refer to one: {why}", use.place
        )
    elif column.name.startswith("_freshet_"):
        problems.add(f"{use.column}: names that begin with _freshet_ are Freshet's own; rename the column", use.place)
    else:
        try:
            return column_type(column.type)
        except InputError as error:
            problems.add(f"{table.name}.{use.column}: {error}", use.place)
    return None


def _check_joins(definition: Definition, source: SourceSchema, types: Types, problems: Problems) -> None:
    select = definition.select
    for join in select.joins:
        table = source.tables[join.table]
        _check_join_key(join, table, problems)
        for term in join.terms:
            left = source.tables[select.aliases[term.left.alias]]
            one = types[join.alias, term.column.column]
            other = types[term.left.alias, term.left.column]
            if one.family != other.family:
                problems.add(
                    f"{join.table}.{term.column.column} is {one.mysql}, but {left.name}.{term.left.column} is {other.mysql}: "
                    "join a number with a number, a text with a text, a time with a time of the same type",
                    term.column.place,
                )


def _check_join_key(join: Join, table: SourceTable, problems: Problems) -> None:
    written = [term.column.column for term in join.terms]
    if not table.primary_key:
        problems.add(f"{table.name} has no primary key, so a join could double rows: give it one", join.place)
    elif sorted(written) != sorted(table.primary_key):
        key = " and ".join(f"{join.alias}.{column} = ..." for column in table.primary_key)
        problems.add(f"join {table.name} on exactly its primary key, or rows could double: write on {key}", join.place)


def _check_fact(definition: Definition, source: SourceSchema, problems: Problems) -> tuple[str, ...]:
    select = definition.select
    fact = source.tables[select.aliases[select.fact_alias]]
    columns = tuple(use.column for use in _fact_keys(definition).values())
    if not fact.primary_key:
        problems.add(f"{fact.name} has no primary key, so its changes name no row: give it one", select.fact_place)
    elif sorted(columns) != sorted(fact.primary_key):
        names = {
            item.bare.column: item.name for item in select.items if item.bare and item.bare.alias == select.fact_alias
        }
        lacking = [f"{select.fact_alias}.{column}" for column in fact.primary_key if column not in names]
        keys = ", ".join(names.get(column, column) for column in fact.primary_key)
        also = f" and select {', '.join(lacking)}" if lacking else ""
        place = definition.places["keys",]
        problems.add(f"keys must be exactly the primary key of {fact.name}: write keys: [{keys}]{also}", place)
    return columns


def _check_generated(definition: Definition, source: SourceSchema, problems: Problems) -> None:
    # A generated column holds what it is computed from: a personal one, or a part of it.
    personal = set(definition.pii)
    for table in source.tables.values():
        generated = [column for column in table.columns.values() if column.expression]
        for _ in generated:  # one may be computed from another
            for column in generated:
                if any(
                    _names(column, name.partition(".")[2]) for name in personal if name.startswith(f"{table.name}.")
                ):
                    personal.add(f"{table.name}.{column.name}")
    for use in definition.select.uses():
        name = f"{definition.select.aliases[use.alias]}.{use.column}"
        if name in personal and name not in definition.pii:
            problems.add(f"{name} is generated from a personal column: declare it under pii too", use.place)


def _names(column: SourceColumn, other: str) -> bool:
    return bool(re.search(rf"(?<!\w){re.escape(other)}(?!\w)", column.expression, re.IGNORECASE))


def _check_cascades(definition: Definition, source: SourceSchema, problems: Problems) -> tuple[str, ...]:
    """Give the tables whose deleted and moved rows change others by foreign keys, up to the last parent."""
    if source.logs_cascades:
        return ()
    parents: dict[str, None] = {}
    waiting = list(definition.tables)
    known = {**source.parents, **source.tables}
    for alias, table in definition.select.aliases.items():
        for key in source.tables[table].foreign_keys or ():
            if key.changes_rows and not definition.cascades:
                problems.add(
                    f"the foreign key {key.name} of {table} changes its rows by itself (ON UPDATE {key.on_update}, ON DELETE "
                    f"{key.on_delete}), which no binlog tells: make it RESTRICT, or write cascades: sweep in pipeline.yaml, and "
                    f"each deleted or moved row of {key.references} makes the job read every row again",
                    _place(definition, alias),
                )
    while waiting:
        child = known.get(waiting.pop())
        for key in (child.foreign_keys or ()) if child else ():
            if not key.changes_rows:
                continue
            if child and definition.cascades and (why := _no_sweep(key, known.get(key.references), source.database)):
                problems.add(f"the foreign key {key.name} of {child.name} {why}", definition.select.fact_place)
            if key.references not in parents:
                parents[key.references] = None
                waiting.append(key.references)
    return tuple(sorted(parents)) if definition.cascades else ()


def _no_sweep(key: ForeignKey, parent: SourceTable | None, database: str) -> str | None:
    """Say why no record of the parent would ask for a sweep; None when one does."""
    if parent is None:
        return (
            f"changes rows when {key.references} changes, which the user cannot see in the database {database}: "
            "make it RESTRICT"
        )
    if key.changes_rows_on_update and not set(key.refers_to) <= set(parent.primary_key):
        return (
            f"changes rows when {', '.join(key.refers_to)} of {parent.name} changes, which is not in its primary key, so no "
            "record tells of it: make it ON UPDATE RESTRICT"
        )
    return None


def _table(alias: str, definition: Definition, source: SourceSchema, types: Types) -> Table:
    found = source.tables[definition.select.aliases[alias]]
    used = {column for table, column in types if table == alias} | set(found.primary_key)
    columns = tuple(
        Column(column.name, column_type(column.type), column.nullable, column.tells_blanks_apart)
        for column in found.columns.values()
        if column.name in used
    )
    return Table(alias, found.name, columns, found.primary_key)


def _untyped(item: Item, definition: Definition) -> Output:
    aliases = definition.select.aliases
    sources = tuple(dict.fromkeys(f"{aliases[use.alias]}.{use.column}" for use in item.uses))
    sql, outermost = split_protection(item)
    return Output(item.name, item.comment, "", "", sql, sources, protections(item), outermost)
