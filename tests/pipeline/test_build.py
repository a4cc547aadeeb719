"""Definition, source and Spark agree on one pipeline, or the place where they do not is named."""

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from freshet.errors import DefinitionError
from freshet.pipeline.build import build_pipeline
from freshet.pipeline.definition import load_definition
from freshet.pipeline.fit import fit
from freshet.pipeline.model import Output, Pipeline
from freshet.pipeline.source import ForeignKey, SourceColumn, SourceSchema
from tests.pipeline.schema import CUSTOMER, ORDERS, SHOP, schema, table

YAML = """\
target: public.orders
keys: [id]
pii:
  customer.email: tokenize
  customer.phone: mask_digits
"""
FROM = "\nfrom orders as o\nleft join customer as c on c.id = o.customer_id"


def write(folder: Path, select: str, yaml: str = YAML) -> Path:
    made = folder / "orders"
    made.mkdir(exist_ok=True)
    (made / "select.sql").write_text(select)
    (made / "pipeline.yaml").write_text(yaml)
    return made


@pytest.fixture
def built(tmp_path: Path, spark: SparkSession) -> Callable[..., Pipeline]:
    """Build a pipeline from a SELECT, over the tables of the shop."""

    def build(select: str, yaml: str = YAML, source: SourceSchema = SHOP) -> Pipeline:
        return build_pipeline(load_definition(write(tmp_path, select, yaml)), source, spark)

    return build


TYPES = [
    # plain columns, exact from MySQL to Redshift
    ("o.id", "decimal(20,0)", "decimal(20,0)"),
    ("o.customer_id", "bigint", "bigint"),
    ("o.code", "string", "varchar(40)"),
    ("o.note", "string", "varchar(65535)"),
    ("o.price", "decimal(8,2)", "decimal(8,2)"),
    ("o.huge", "decimal(38,0)", "decimal(38,0)"),
    ("o.weight", "double", "double precision"),
    ("o.quantity", "smallint", "smallint"),
    ("o.total", "bigint", "bigint"),
    ("o.paid", "boolean", "boolean"),
    ("o.day", "date", "date"),
    ("o.at", "timestamp_ntz", "timestamp"),
    ("o.seen", "timestamp_ntz", "timestamp"),
    # Redshift keeps decimal(19) in 64 bits: one digit more
    ("o.wide", "decimal(20,2)", "decimal(20,2)"),
    # what sqlglot's types get wrong
    ("o.price * 2", "decimal(19,2)+", "decimal(20,2)"),
    ("o.price / 3", "decimal(19,13)+", "decimal(20,13)"),
    ("coalesce(o.price, 0)", "decimal(12,2)", "decimal(12,2)"),
    ("year(o.at)", "int", "integer"),
    ("if(o.paid, 1.5, 2)", "decimal(11,1)", "decimal(11,1)"),
    ("o.quantity + 1", "int", "integer"),
    ("o.total / 2", "double", "double precision"),
    ("round(o.price, 1)", "decimal(8,1)", "decimal(8,1)"),
    ("date_trunc('month', o.at)", "timestamp_ntz", "timestamp"),
    ("trunc(o.at, 'month')", "date", "date"),
    ("o.day + 1", "date", "date"),
    ("o.price > 1", "boolean", "boolean"),
    ("try_cast(o.ref as timestamp)", "timestamp_ntz", "timestamp"),
    ("date '2024-12-31'", "date", "date"),
    ("timestamp '2024-12-31 23:59:59.5'", "timestamp_ntz", "timestamp"),
    # bytes of text
    ("tokenize(lower(c.email))", "string", "varchar(80)"),
    ("mask_digits(c.phone)", "string", "varchar(160)"),
    ("try_cast(o.note as varchar(99))", "string", "varchar(99)"),
    ("lower(try_cast(o.note as varchar(9)))", "string", "varchar(27)"),
    ("upper(o.code)", "string", "varchar(120)"),
    ("trim(o.code)", "string", "varchar(40)"),
    ("concat(o.code, '-', o.ref)", "string", "varchar(81)"),
    ("o.code || o.quantity", "string", "varchar(61)"),
    ("concat_ws('😀', o.code, o.ref)", "string", "varchar(84)"),
    ("coalesce(o.code, 'none')", "string", "varchar(40)"),
    ("case when o.paid then 'paid' when o.price > 9 then 'big' else o.code end", "string", "varchar(40)"),
    ("if(o.paid, 'äöü', 'b')", "string", "varchar(6)"),
    ("''", "string", "varchar(1)"),
    ("md5(o.note)", "string", "varchar(32)"),
    ("sha2(o.note, 512)", "string", "varchar(128)"),
    ("replace(o.code, 'a', 'bb')", "string", "varchar(65535)"),
    ("try_cast(o.price as string)", "string", "varchar(11)"),
    ("try_cast(null as varchar(7))", "string", "varchar(7)"),
]


def test_types_are_sparks_and_fit_redshift(built: Callable[..., Pipeline]) -> None:
    """Every output has the type that Spark's analyzer gives, and the narrowest Redshift type that holds its values."""
    items = ",\n".join(f"{expression} as x{index}" for index, (expression, _, _) in enumerate(TYPES))
    outputs = built(f"select o.id,\n{items}{FROM}").outputs[1:]
    for (expression, spark, redshift), output in zip(TYPES, outputs, strict=True):
        if not spark.endswith("+"):
            assert (expression, spark, redshift) == (expression, output.spark, output.redshift)
        assert output.arrow is not None


CONVERSIONS = [
    ("o.ref = 5", "x mixes types: Spark would turn STRING into BIGINT"),
    ("o.ref in (1, 2)", "x mixes types: Spark would turn STRING into BIGINT"),
    ("case when o.paid then 'a' else 2 end", "x mixes types: Spark would turn STRING into BIGINT"),
    ("o.at > '2024-12-31'", "x mixes types: Spark would turn STRING into TIMESTAMP_NTZ"),
    ("o.at > 'now'", "x mixes types: Spark would turn STRING into TIMESTAMP_NTZ"),
    ("coalesce(o.price, o.ref)", "x mixes types: Spark would turn STRING into"),
    ("o.ref + 1", "x mixes types: Spark would turn STRING into BIGINT"),
    ("o.at > o.day + 1", "x mixes types: Spark would turn DATE into TIMESTAMP_NTZ"),
    ("left(o.ref, 1e300)", "x mixes types: Spark would turn DOUBLE into INT"),
    ("date '2024-13-01'", "Spark refuses x:"),
    ("o.huge = o.fine", "x mixes types: Spark would turn DECIMAL"),
    ("year(o.ref)", "x mixes types: Spark would turn STRING into DATE"),
    ("tokenize(o.id)", "x: tokenize() and mask_digits() take text"),
    ("mask_digits(o.price)", "x: tokenize() and mask_digits() take text"),
    ("null", "x has the type void, which Redshift cannot hold: give it a type"),
    ("o.paid + 1", "Spark refuses x:"),
    ("case when o.price then 1 end", "Spark refuses x:"),
    ("not o.price", "Spark refuses x:"),
    ("try_cast(o.paid as date)", "Spark refuses x:"),
]


@pytest.mark.parametrize(("expression", "message"), CONVERSIONS)
def test_a_conversion_that_could_throw_is_refused(
    built: Callable[..., Pipeline], expression: str, message: str
) -> None:
    """What Spark would convert by itself, and could throw over, is told with the output's line."""
    with pytest.raises(DefinitionError) as caught:
        built(f"select o.id,\n  {expression} as x{FROM}")
    assert message in caught.value.message
    assert caught.value.line == 2


def test_a_pipeline_travels_to_tasks(built: Callable[..., Pipeline]) -> None:
    """A pipeline pickles, and its SELECT names views by alias and carries what it is asked to."""
    pipeline = built(f"select o.id, -- which order\n  mask_digits(c.phone) as phone{FROM}")
    assert pipeline == pickle.loads(pickle.dumps(pipeline))
    assert pipeline.select_sql(["_freshet_version"]) == (
        "select\n    `o`.`id` as `id`,\n    mask_digits(`c`.`phone`) as `phone`,\n    `o`.`_freshet_version`\n"
        "from `o`\nleft join `c` on `c`.`id` = `o`.`customer_id`"
    )
    assert pipeline.outputs[1] == Output(
        "phone", None, "string", "varchar(160)", "mask_digits(`c`.`phone`)", ("customer.phone",), "mask_digits"
    )
    assert pipeline.outputs[0].comment == "which order"
    assert tuple(column.name for column in pipeline.fact.columns) == ("id", "customer_id")
    assert tuple(column.name for column in pipeline.dimensions[0].columns) == ("id", "phone")
    assert pipeline.target == "public.orders"


def test_one_table_may_be_joined_twice(built: Callable[..., Pipeline]) -> None:
    """A table under two aliases is two dimensions, each with its own columns."""
    select = f"select o.id, c.parent, tokenize(p.email) as x{FROM}\nleft join customer as p on p.id = c.parent"
    pipeline = built(select)
    assert [("c", {"id", "parent"}), ("p", {"id", "email"})] == [
        (dimension.alias, {column.name for column in dimension.columns}) for dimension in pipeline.dimensions
    ]


def test_a_table_alone_is_a_pipeline(built: Callable[..., Pipeline]) -> None:
    """Replicating one table is the same thing with no join."""
    assert built("select orders.id from orders", "target: public.orders\nkeys: [id]\n").dimensions == ()


def test_a_backtick_in_a_name_stays_a_name(built: Callable[..., Pipeline]) -> None:
    """Names are quoted for Spark, whatever they hold."""
    odd = table("orders", "id", {"id": "int(11)", "a `b` c": "int(11)"})
    pipeline = built("select o.id, o.`a ``b`` c` as x from orders as o", "target: public.o\nkeys: [id]\n", schema(odd))
    assert pipeline.outputs[1].sql == "`o`.`a ``b`` c`"


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
    ("select o.id from orders as o left join customer as c on c.id = o.quantity", "join columns of one type", 1),
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
        (
            schema(replace(ORDERS, foreign_keys=(ForeignKey("f", ("code",), "x", "RESTRICT", "SET NULL"),))),
            "the foreign key f of orders changes rows by itself (ON UPDATE RESTRICT, ON DELETE SET NULL)",
        ),
        (
            schema(table("orders", "id", {"id": "varchar(9)"})),
            "orders.id is a text of collation utf8mb4_general_ci, so a key would find other rows",
        ),
        (
            schema(table("orders", "id", {"id": "varchar(9) collate utf8mb4_0900_bin"})),
            "orders.id tells 'a' from 'a ', and Redshift does not: give it the collation utf8mb4_bin",
        ),
        (schema(table("orders", "id", {"id": "double"})), "which a key cannot compare exactly"),
        (
            schema(replace(ORDERS, columns={"id": SourceColumn("id", "int(11)", False, None, "generated")})),
            "orders.id is generated, and DMS does not send such a column",
        ),
    ],
)
def test_a_fact_that_cannot_be_followed_is_refused(tmp_path: Path, source: SourceSchema, message: str) -> None:
    """Views, foreign keys that change rows, inexact keys and hidden columns are refused by name."""
    definition = load_definition(write(tmp_path, "select o.id from orders as o", "target: public.o\nkeys: [id]\n"))
    with pytest.raises(DefinitionError) as caught:
        fit(definition, source)
    assert message in str(caught.value)


def test_a_text_key_of_binary_collation_passes(tmp_path: Path) -> None:
    """Equal means the same bytes in MySQL, Spark and Redshift, so such a key is allowed."""
    source = schema(table("orders", "id", {"id": "varchar(9) collate utf8mb4_bin"}))
    definition = load_definition(write(tmp_path, "select o.id from orders as o", "target: public.o\nkeys: [id]\n"))
    assert fit(definition, source)[0].key_columns == ("id",)


def test_a_declared_column_must_exist(tmp_path: Path) -> None:
    """A slip in the name of a personal column is told, or the real one would leave in the clear."""
    yaml = "target: public.orders\nkeys: [id]\npii:\n  customer.emial: tokenize\n"
    definition = load_definition(write(tmp_path, f"select o.id{FROM}", yaml))
    with pytest.raises(DefinitionError) as caught:
        fit(definition, schema(ORDERS, CUSTOMER))
    assert str(caught.value) == "pipeline.yaml:4:3: customer has no column emial; did you mean email?"


def test_statements_must_fit_the_data_api(built: Callable[..., Pipeline]) -> None:
    """A table whose statements the Data API would refuse is told before it is made."""
    columns = {f"c{n}_{'x' * 60}": "int(11)" for n in range(700)}
    wide = schema(table("orders", "id", {"id": "int(11)", **columns}))
    select = "select o.id, " + ", ".join(f"o.{name}" for name in columns) + " from orders as o"
    with pytest.raises(DefinitionError) as caught:
        built(select, "target: public.o\nkeys: [id]\n", wide)
    assert "and the Redshift Data API takes 100,000" in caught.value.message
