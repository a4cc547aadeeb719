"""What of a definition does not fit its source, told by name and place."""

from dataclasses import replace
from pathlib import Path

import pytest

from freshet.errors import DefinitionError
from freshet.pipeline.definition import load_definition
from freshet.pipeline.fit import fit
from freshet.pipeline.source import ForeignKey, SourceColumn, SourceSchema, SourceTable
from tests.pipeline.schema import CUSTOMER, FROM, ORDERS, SHOP, schema, table, write

FITS = [
    ("select o.id, o.prise from orders as o", "orders has no column prise; did you mean price?", 1),
    ("select o.id from ordrs as o", "the database shop has no table ordrs; did you mean orders?", 1),
    ("select o.id\nfrom orders as o\nleft join custmer as c on c.id = o.customer_id", "has no table custmer", 3),
    ("select o.id, o.kind from orders as o", "orders.kind: ENUM is not supported", 1),
    ("select o.id, o.blob_ from orders as o", "orders.blob_: BLOB is not supported", 1),
    (
        "select o.id from orders as o left join customer as c on c.parent = o.customer_id",
        "on exactly its primary key",
        1,
    ),
    (
        "select o.id from orders as o left join customer as c on c.id = o.customer_id and c.code = o.code",
        "join customer on exactly its primary key, or rows could double: write on c.id = ...",
        1,
    ),
    ("select o.price as id from orders as o", "keys must be exactly the primary key of orders", 2),
]


@pytest.mark.parametrize(("select", "message", "line"), FITS, ids=[message for _, message, _ in FITS])
def test_what_does_not_fit_the_source_is_told(tmp_path: Path, select: str, message: str, line: int) -> None:
    """Unknown names come with a suggestion, unfit types and joins with what to write."""
    with pytest.raises(DefinitionError) as caught:
        fit(load_definition(write(tmp_path, select, "target: public.orders\nkeys: [id]\n")), SHOP)
    assert any(message in error.message for error in getattr(caught.value, "errors", (caught.value,)))
    assert line == caught.value.line


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (schema(replace(ORDERS, primary_key=())), "orders has no primary key"),
        (schema(replace(ORDERS, primary_key=("id", "code"))), "write keys: [id, code] and select o.code"),
        (schema(replace(ORDERS, is_view=True)), "orders is a view"),
    ],
)
def test_a_fact_that_cannot_be_followed_is_refused(tmp_path: Path, source: SourceSchema, message: str) -> None:
    """Views, and tables without a key or with another one, are refused by name."""
    definition = load_definition(write(tmp_path, "select o.id from orders as o", "target: public.o\nkeys: [id]\n"))
    with pytest.raises(DefinitionError) as caught:
        fit(definition, source)
    assert message in str(caught.value)


CHILD = replace(ORDERS, foreign_keys=(ForeignKey("f", ("customer_id",), "customer", "RESTRICT", "SET NULL", ("id",)),))
PARENT = replace(CUSTOMER, foreign_keys=(ForeignKey("g", ("parent",), "company", "CASCADE", "RESTRICT", ("id",)),))
COMPANY = table("company", "id", {"id": "int(11)"})
ALONE = "select o.id from orders as o"
JOINED = "select o.id from orders as o\nleft join customer as c on c.id = o.customer_id"
OWN = "target: public.o\nkeys: [id]\n"


def cascading(*tables: SourceTable, parents: tuple[SourceTable, ...] = ()) -> SourceSchema:
    """A shop in which foreign keys change rows."""
    return replace(schema(*tables), parents={each.name: each for each in parents})


@pytest.mark.parametrize("action", ["CASCADE", "SET NULL", "SET DEFAULT"])
@pytest.mark.parametrize("rule", ["on_update", "on_delete"])
@pytest.mark.parametrize(("name", "line"), [("orders", 1), ("customer", 2)])
def test_a_foreign_key_that_changes_rows_is_refused_on_every_followed_table(
    tmp_path: Path, name: str, line: int, rule: str, action: str
) -> None:
    """A change that no binlog tells is refused on the fact and on each joined table, at the table's line."""
    key = replace(ForeignKey("f", ("id",), "company", "RESTRICT", "RESTRICT"), **{rule: action})
    source = cascading(
        *(replace(each, foreign_keys=(key,)) if each.name == name else each for each in (ORDERS, CUSTOMER))
    )
    with pytest.raises(DefinitionError) as caught:
        fit(load_definition(write(tmp_path, JOINED, OWN)), source)
    assert f"the foreign key f of {name} changes its rows by itself" in caught.value.message
    assert f"{rule.replace('_', ' ').upper()} {action}" in caught.value.message
    assert "make it RESTRICT, or write cascades: sweep in pipeline.yaml" in caught.value.message
    assert "each deleted or moved row of company makes the job read every row again" in caught.value.message
    assert line == caught.value.line


def test_with_cascades_sweep_every_parent_asks_for_a_sweep(tmp_path: Path) -> None:
    """A parent's parent changes rows through the parent; both are named, joined or not."""
    definition = load_definition(write(tmp_path, ALONE, OWN + "cascades: sweep\n"))
    pipeline, _ = fit(definition, cascading(CHILD, parents=(PARENT, COMPANY)))
    assert (True, ("company", "customer")) == (pipeline.cascades, pipeline.sweeping_parents)


def test_without_a_foreign_key_that_changes_rows_nothing_asks_for_a_sweep(tmp_path: Path) -> None:
    """RESTRICT changes nothing by itself, and a server that logs such changes needs no sweep."""
    quiet = replace(ORDERS, foreign_keys=(ForeignKey("f", ("code",), "x", "RESTRICT", "NO ACTION"),))
    definition = load_definition(write(tmp_path, ALONE, OWN))
    assert () == fit(definition, schema(quiet))[0].sweeping_parents
    assert () == fit(definition, replace(cascading(CHILD), logs_cascades=True))[0].sweeping_parents


def test_a_parent_in_another_database_is_refused_with_cascades_too(tmp_path: Path) -> None:
    """What is not captured cannot ask for a sweep."""
    away = replace(ORDERS, foreign_keys=(ForeignKey("f", ("code",), "crm.person", "RESTRICT", "CASCADE"),))
    with pytest.raises(
        DefinitionError, match=r"when crm\.person changes, which the user cannot see in the database shop"
    ):
        fit(load_definition(write(tmp_path, ALONE, OWN + "cascades: sweep\n")), cascading(away))


def test_an_update_that_moves_no_key_of_the_parent_cannot_ask_for_a_sweep(tmp_path: Path) -> None:
    """A record tells of a deleted row and of a moved key; a foreign key on another column of the parent needs more."""
    definition = load_definition(write(tmp_path, ALONE, OWN + "cascades: sweep\n"))
    deleted = ForeignKey("f", ("code",), "customer", "RESTRICT", "CASCADE", ("code",))
    updated = replace(deleted, name="g", on_update="CASCADE")
    one = replace(ORDERS, foreign_keys=(deleted,))
    assert ("customer",) == fit(definition, cascading(one, parents=(CUSTOMER,)))[0].sweeping_parents
    both = replace(ORDERS, foreign_keys=(deleted, updated))
    with pytest.raises(DefinitionError) as caught:
        fit(definition, cascading(both, parents=(CUSTOMER,)))
    assert caught.value.message == (
        "the foreign key g of orders changes rows when code of customer changes, which is not in its primary key, so no record "
        "tells of it: make it ON UPDATE RESTRICT"
    )


KEYS = [
    "tinyint(4)",
    "smallint(6)",
    "mediumint(8) unsigned",
    "int",
    "bigint(20) unsigned zerofill",
    "decimal(20,4)",
    "date",
    "datetime",
    "timestamp",
    "char(3)",
    "varchar(190)",
    "varchar(9) collate utf8mb4_0900_ai_ci",
    "varchar(9) collate latin1_swedish_ci",
]
NO_KEYS = [
    ("float", "its text is rounded"),
    ("double", "its text is rounded"),
    ("datetime(6)", "a change record may cut its fraction of a second; use DATETIME without one"),
    ("timestamp(3)", "a change record may cut its fraction of a second; use TIMESTAMP without one"),
    ("bit(8)", "its form differs from server to server"),
    ("enum('a','b')", "MySQL compares its numbers and sends its labels"),
    ("set('a','b')", "MySQL compares its numbers and sends its labels"),
    ("json", "equal values may be written differently"),
    ("tinytext", "a long text is cut or sent apart; use VARCHAR"),
    ("text", "a long text is cut or sent apart; use VARCHAR"),
    ("time", "its text differs from its value"),
    ("year(4)", "a year of two digits is another one"),
    ("tinyint(1)", "it holds true or false, and a 2 would be neither"),
    ("binary(16)", "its form in change records is not settled"),
    ("varbinary(16)", "its form in change records is not settled"),
    ("inet6", "use an integer, DECIMAL, DATE, DATETIME or VARCHAR"),
]
ROLES = [
    (ALONE, "orders", "id"),
    (JOINED, "customer", "id"),
    (JOINED, "orders", "customer_id"),
]


def with_key(kind: str, role: str, column: str) -> SourceSchema:
    """The shop with one column of another type; text keys have a collation that is not exact."""
    changed = table(role, "id", {column: kind}).columns
    tables = (ORDERS, CUSTOMER)
    return schema(
        *(replace(each, columns={**each.columns, **changed}) if each.name == role else each for each in tables)
    )


@pytest.mark.parametrize(("kind", "why"), NO_KEYS)
@pytest.mark.parametrize(("select", "role", "column"), ROLES)
def test_a_key_whose_text_does_not_name_one_row_is_refused(
    tmp_path: Path, select: str, role: str, column: str, kind: str, why: str
) -> None:
    """The fact's key, a joined table's and what refers to it are refused by name, type and reason."""
    with pytest.raises(DefinitionError) as caught:
        fit(load_definition(write(tmp_path, select, OWN)), with_key(kind, role, column))
    messages = [error.message for error in getattr(caught.value, "errors", (caught.value,))]
    assert [f"{role}.{column} is {kind}, which cannot be a key or refer to one: {why}"] == [
        message[: len(message.split(": ")[0]) + 2 + len(why)] for message in messages
    ]


@pytest.mark.parametrize("kind", KEYS)
def test_exact_numbers_times_and_texts_are_keys(tmp_path: Path, kind: str) -> None:
    """Every exact type is a key, and a text is one under any collation."""
    pipeline, types = fit(load_definition(write(tmp_path, ALONE, OWN)), with_key(kind, "orders", "id"))
    assert (("id",), kind.partition(" collate ")[0]) == (pipeline.key_columns, types["o", "id"].mysql)


def test_a_text_that_tells_blanks_apart_is_known_to_the_job(tmp_path: Path) -> None:
    """MySQL's equality is finer than the warehouse's there, so the job must look at each value."""
    told = []
    for collation in ("utf8mb4_0900_ai_ci", "utf8mb4_nopad_bin", "utf8mb4_general_ci", "utf8mb4_bin"):
        source = with_key(f"varchar(9) collate {collation}", "orders", "id")
        told.append(fit(load_definition(write(tmp_path, ALONE, OWN)), source)[0].fact.column("id").tells_blanks_apart)
    assert [True, True, False, False] == told


JOINS = [
    ("int(10) unsigned", "smallint(6)", True),
    ("bigint(20)", "bigint(20) unsigned", True),
    ("decimal(8,2)", "int(11)", True),
    ("decimal(8,2)", "decimal(38,0)", True),
    ("varchar(10) collate latin1_swedish_ci", "char(3) collate utf8mb4_bin", True),
    ("date", "date", True),
    ("datetime", "datetime", True),
    ("int(11)", "varchar(10)", False),
    ("varchar(10)", "decimal(8,2)", False),
    ("date", "datetime", False),
    ("datetime", "timestamp", False),
    ("date", "int(11)", False),
]


@pytest.mark.parametrize(("key", "referring", "joins"), JOINS)
def test_columns_of_one_kind_join_whatever_their_sizes(tmp_path: Path, key: str, referring: str, joins: bool) -> None:
    """MySQL compares two exact numbers, two texts and two equal times exactly; other mixes are refused by name."""
    source = schema(
        with_key(key, "customer", "id").tables["customer"],
        with_key(referring, "orders", "customer_id").tables["orders"],
    )
    definition = load_definition(write(tmp_path, JOINED, OWN))
    if joins:
        assert "customer" == fit(definition, source)[0].dimensions[0].name
        return
    with pytest.raises(DefinitionError) as caught:
        fit(definition, source)
    one, other = key.partition(" collate")[0], referring.partition(" collate")[0]
    assert (
        f"customer.id is {one}, but orders.customer_id is {other}: join a number with a number" in caught.value.message
    )


@pytest.mark.parametrize("hidden", ["generated", "invisible"])
@pytest.mark.parametrize(("select", "role", "column"), ROLES[:2])
def test_a_key_that_dms_does_not_send_is_refused(
    tmp_path: Path, select: str, role: str, column: str, hidden: str
) -> None:
    """A generated or invisible key would be missing from every change record."""
    changed = {column: SourceColumn(column, "int(10) unsigned", False, None, hidden)}
    source = schema(
        *(replace(t, columns={**t.columns, **changed}) if t.name == role else t for t in (ORDERS, CUSTOMER))
    )
    with pytest.raises(DefinitionError) as caught:
        fit(load_definition(write(tmp_path, select, OWN)), source)
    assert f"{role}.{column} is {hidden}, and DMS does not send such a column: it cannot be a key" in str(caught.value)


@pytest.mark.parametrize("hidden", ["generated", "invisible"])
def test_a_column_that_dms_does_not_send_may_be_used_and_may_refer(tmp_path: Path, hidden: str) -> None:
    """Rows come from MySQL, so only keys must be in the change records."""
    changed = {"customer_id": SourceColumn("customer_id", "int(10) unsigned", True, None, hidden)}
    source = schema(replace(ORDERS, columns={**ORDERS.columns, **changed}), CUSTOMER)
    select = "select o.id, o.customer_id" + JOINED.removeprefix("select o.id")
    assert ("id", "customer_id") == tuple(
        column.name for column in fit(load_definition(write(tmp_path, select, OWN)), source)[0].fact.columns
    )


def test_a_column_generated_from_a_personal_one_is_personal(tmp_path: Path) -> None:
    """What MySQL computes from an address is an address, or a part of it; so is what it computes from that."""
    made = {
        "domain": SourceColumn("domain", "varchar(254)", True, "utf8mb4_general_ci", "generated", "substr(`email`,3)"),
        "shout": SourceColumn("shout", "varchar(254)", True, "utf8mb4_general_ci", "generated", "upper(`domain`)"),
        "twice": SourceColumn("twice", "int(11)", True, None, "generated", "`parent` * 2"),
    }
    columns = dict(reversed({**CUSTOMER.columns, **made}.items()))
    source = schema(ORDERS, replace(CUSTOMER, columns=columns))
    select = "select o.id,\n c.shout as x,\n c.twice as y" + JOINED.removeprefix("select o.id")
    yaml = OWN + "pii:\n  customer.email: tokenize\n"
    with pytest.raises(DefinitionError) as caught:
        fit(load_definition(write(tmp_path, select, yaml)), source)
    assert str(caught.value) == (
        "select.sql:2:2: customer.shout is generated from a personal column: declare it under pii too"
    )
    protected = select.replace("c.shout", "tokenize(c.shout)")
    fit(load_definition(write(tmp_path, protected, yaml + "  customer.shout: tokenize\n")), source)


def test_a_declared_column_must_exist(tmp_path: Path) -> None:
    """A slip in the name of a personal column is told, or the real one would leave in the clear."""
    yaml = "target: public.orders\nkeys: [id]\npii:\n  customer.emial: tokenize\n"
    definition = load_definition(write(tmp_path, f"select o.id{FROM}", yaml))
    with pytest.raises(DefinitionError) as caught:
        fit(definition, schema(ORDERS, CUSTOMER))
    assert str(caught.value) == "pipeline.yaml:4:3: customer has no column emial; did you mean email?"
