"""Bring a definition and its source together, before Spark is asked for types.

Reads:  a Definition, a SourceSchema.
Gives:  a Pipeline whose outputs have no types yet; every reason why the two do not fit.
"""

from freshet.errors import InputError
from freshet.pipeline.definition import Definition
from freshet.pipeline.model import Column, Dimension, JoinTerm, Output, Pipeline, Table
from freshet.pipeline.privacy import protections, split_protection
from freshet.pipeline.problems import Problems, did_you_mean
from freshet.pipeline.select import Item, Join, Use
from freshet.pipeline.source import SourceSchema, SourceTable
from freshet.pipeline.types import ColumnType, column_type

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
    key_columns = _check_fact(definition, source, types, problems)
    problems.raise_if_any()
    tables = [_table(alias, definition, source, types) for alias in definition.select.aliases]
    dimensions = tuple(
        Dimension(
            **vars(table),
            on=tuple(JoinTerm(term.column.column, term.left.alias, term.left.column) for term in join.terms),
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
    )
    return pipeline, types


def _types(definition: Definition, source: SourceSchema, problems: Problems) -> Types:
    select, types = definition.select, Types()
    missing = {table for table in definition.tables if table not in source.tables}
    for alias, table in select.aliases.items():
        if table in missing:
            place = next((join.place for join in select.joins if join.alias == alias), select.fact_place)
            hint = did_you_mean(table, source.names)
            problems.add(f"the database {source.database} has no table {table}{hint}", place)
        elif source.tables[table].is_view:
            place = next((join.place for join in select.joins if join.alias == alias), select.fact_place)
            problems.add(f"{table} is a view, and a view's changes are in no binlog: read its tables", place)
    for use in select.uses():
        table = select.aliases[use.alias]
        if table not in missing and (use.alias, use.column) not in types:
            found = _use_type(use, source.tables[table], problems)
            if found:
                types[use.alias, use.column] = found
    for name in definition.pii:
        table, _, column = name.partition(".")
        if table not in missing and column not in source.tables[table].columns:
            hint = did_you_mean(column, source.tables[table].columns)
            problems.add(f"{table} has no column {column}{hint}", definition.places["pii", name])
    return types


def _use_type(use: Use, table: SourceTable, problems: Problems) -> ColumnType | None:
    column = table.columns.get(use.column)
    if column is None:
        problems.add(f"{table.name} has no column {use.column}{did_you_mean(use.column, table.columns)}", use.place)
    elif column.hidden:
        problems.add(f"{table.name}.{use.column} is {column.hidden}, and DMS does not send such a column", use.place)
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
            if (one.kind, one.spark) != (other.kind, other.spark):
                problems.add(
                    f"{join.table}.{term.column.column} is {one.mysql}, but {left.name}.{term.left.column} is {other.mysql}: "
                    "join columns of one type",
                    term.column.place,
                )
            for owner, use in ((table, term.column), (left, term.left)):
                _check_exact(owner, use, types[use.alias, use.column], "a join", problems)


def _check_join_key(join: Join, table: SourceTable, problems: Problems) -> None:
    written = [term.column.column for term in join.terms]
    if not table.primary_key:
        problems.add(f"{table.name} has no primary key, so a join could double rows: give it one", join.place)
    elif sorted(written) != sorted(table.primary_key):
        key = " and ".join(f"{join.alias}.{column} = ..." for column in table.primary_key)
        problems.add(f"join {table.name} on exactly its primary key, or rows could double: write on {key}", join.place)


def _check_exact(table: SourceTable, use: Use, kind: ColumnType, what: str, problems: Problems) -> None:
    column = table.columns[use.column]
    if kind.kind == "double":
        problems.add(f"{table.name}.{use.column} is {kind.mysql}, which {what} cannot compare exactly", use.place)
    elif not column.compares_exactly:
        problems.add(
            f"{table.name}.{use.column} is a text of collation {column.collation}, so {what} would find other rows in "
            "MySQL than here: give the column the collation utf8mb4_bin, or use a number",
            use.place,
        )


def _check_fact(definition: Definition, source: SourceSchema, types: Types, problems: Problems) -> tuple[str, ...]:
    select = definition.select
    fact = source.tables[select.aliases[select.fact_alias]]
    bare = {item.name: item.bare for item in select.items if item.bare and item.bare.alias == select.fact_alias}
    uses = [use for key in definition.keys if (use := bare[key])]
    columns = tuple(use.column for use in uses)
    place = definition.places["keys",]
    if not fact.primary_key:
        problems.add(f"{fact.name} has no primary key, so its changes name no row: give it one", select.fact_place)
    elif sorted(columns) != sorted(fact.primary_key):
        names = {use.column: name for name, use in bare.items()}
        lacking = [f"{select.fact_alias}.{column}" for column in fact.primary_key if column not in names]
        keys = ", ".join(names.get(column, column) for column in fact.primary_key)
        also = f" and select {', '.join(lacking)}" if lacking else ""
        problems.add(f"keys must be exactly the primary key of {fact.name}: write keys: [{keys}]{also}", place)
    for use in uses:
        _check_exact(fact, use, types[use.alias, use.column], "a key", problems)
        if fact.columns[use.column].tells_blanks_apart:
            problems.add(
                f"{fact.name}.{use.column} tells 'a' from 'a ', and Redshift does not: give it the collation utf8mb4_bin",
                use.place,
            )
    for key in fact.foreign_keys:
        if key.changes_rows:
            problems.add(
                f"the foreign key {key.name} of {fact.name} changes rows by itself (ON UPDATE {key.on_update}, ON DELETE "
                f"{key.on_delete}), which no binlog tells: make it RESTRICT",
                select.fact_place,
            )
    return columns


def _table(alias: str, definition: Definition, source: SourceSchema, types: Types) -> Table:
    found = source.tables[definition.select.aliases[alias]]
    used = {column for table, column in types if table == alias} | set(found.primary_key)
    columns = tuple(
        Column(column.name, column_type(column.type), column.nullable)
        for column in found.columns.values()
        if column.name in used
    )
    return Table(alias, found.name, columns, found.primary_key)


def _untyped(item: Item, definition: Definition) -> Output:
    aliases = definition.select.aliases
    sources = tuple(dict.fromkeys(f"{aliases[use.alias]}.{use.column}" for use in item.uses))
    sql, outermost = split_protection(item)
    return Output(item.name, item.comment, "", "", sql, sources, protections(item), outermost)
