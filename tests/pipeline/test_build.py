"""Definition, source and Spark agree on one pipeline, or the place where they do not is named."""

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from freshet.errors import DefinitionError
from freshet.pipeline.build import build_pipeline
from freshet.pipeline.definition import load_definition
from freshet.pipeline.model import ADMITTED, ROWS, Output, Pipeline
from freshet.pipeline.source import SourceSchema
from tests.pipeline.schema import FROM, SHOP, YAML, schema, table, write


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


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        *((expression, message.replace("x", "where", 1)) for expression, message in CONVERSIONS if "=" in expression),
        ("o.price", "after WHERE stands a condition, not decimal(8,2): compare it with something"),
        ("o.code", "after WHERE stands a condition, not string"),
        ("null", "after WHERE stands a condition, not void"),
        ("not o.price", "Spark refuses where:"),
        ("o.paid and o.quantity", "Spark refuses where:"),
        ("tokenize(o.id) = 'a'", "where: tokenize() and mask_digits() take text"),
    ],
)
def test_a_where_that_is_no_condition_or_could_throw_is_refused(
    built: Callable[..., Pipeline], condition: str, message: str
) -> None:
    """The condition is of type boolean, and is checked for conversions as the outputs are, at its own line."""
    with pytest.raises(DefinitionError) as caught:
        built(f"select o.id{FROM}\nwhere {condition}")
    assert message in caught.value.message
    assert caught.value.line == 4


@pytest.mark.parametrize(
    "condition", ["o.paid", "true", "o.paid is null or o.price > 1.5", "tokenize(c.email) = 'k1:0'"]
)
def test_a_condition_over_the_joined_row_passes(built: Callable[..., Pipeline], condition: str) -> None:
    """Any condition of the language may filter, over the fact and its dimensions."""
    assert built(f"select o.id{FROM}\nwhere {condition}").where is not None


def test_a_where_and_an_output_that_spark_refuses_are_told_together(built: Callable[..., Pipeline]) -> None:
    """A wrong output does not hide a wrong condition."""
    with pytest.raises(DefinitionError) as caught:
        built(f"select o.id, o.paid + 1 as x{FROM}\nwhere not o.price")
    assert ["Spark refuses x", "Spark refuses where"] == [
        error.message.split(":")[0] for error in getattr(caught.value, "errors", ())
    ]


def test_a_row_is_admitted_by_its_inner_joins_and_its_condition(
    built: Callable[..., Pipeline], spark: SparkSession
) -> None:
    """A row without its inner-joined row, and one whose condition is false or unknown, is not admitted."""
    select = (
        "select o.id from orders as o left join customer as c on c.id = o.customer_id"
        "\njoin customer as p on p.id = c.parent where o.price > 5"
    )
    pipeline = built(select, "target: public.orders\nkeys: [id]\n")
    assert [False, True] == [dimension.inner for dimension in pipeline.dimensions]
    rows = "(1, 1, 1, 9), (2, 1, null, 9), (3, 1, 1, 5), (4, 1, 1, null), (5, null, 1, 9), (6, null, null, null)"
    session = spark.newSession()
    session.sql(f"create temporary view {ROWS} as select * from values {rows} as r(`o.id`, `c.id`, `p.id`, `o.price`)")
    admitted = {row["id"]: row[ADMITTED] for row in session.sql(pipeline.select_sql()).collect()}
    assert {1: True, 2: False, 3: False, 4: False, 5: True, 6: False} == admitted


def test_a_pipeline_travels_to_tasks(built: Callable[..., Pipeline]) -> None:
    """A pipeline pickles, and its SELECT reads the joined row and carries what it is asked to."""
    pipeline = built(f"select o.id, -- which order\n  mask_digits(c.phone) as phone{FROM}")
    assert pipeline == pickle.loads(pickle.dumps(pipeline))
    assert pipeline.select_sql(["asked"]) == (
        "select\n    `o.id` as `id`,\n    `c.phone` as `phone`,\n    true as _freshet_admitted,\n    `asked`\nfrom freshet_rows"
    )
    assert pipeline.outputs[1] == Output(
        "phone", None, "string", "varchar(160)", "`c.phone`", ("customer.phone",), "mask_digits", "mask_digits"
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


def test_a_fact_may_be_joined_to_itself(built: Callable[..., Pipeline]) -> None:
    """A self-join is a dimension that is the fact's own table, under another alias; its key is another one."""
    select = "select c.id, tokenize(p.email) as x from customer as c join customer as p on p.id = c.parent"
    pipeline = built(select, "target: public.c\nkeys: [id]\npii: {customer.email: tokenize}\n")
    assert ("c", "customer") == (pipeline.fact.alias, pipeline.fact.name)
    assert [("p", "customer", True)] == [(each.alias, each.name, each.inner) for each in pipeline.dimensions]
    assert "`p.id` is not null as _freshet_admitted" in pipeline.select_sql()


def test_a_table_alone_is_a_pipeline_and_needs_no_qualified_columns(built: Callable[..., Pipeline]) -> None:
    """Replicating one table is the same thing with no join; its columns are its own, with or without their table."""
    select = "select id, lower(note) as note, orders.day as `day` from orders where price > 1 and `day` is not null"
    pipeline = built(select, "target: public.orders\nkeys: [id]\n")
    assert () == pipeline.dimensions
    assert ["`orders.id`", "lower(`orders.note`)", "`orders.day`"] == [output.sql for output in pipeline.outputs]
    assert ("orders.note",) == pipeline.outputs[1].sources
    assert "varchar(65535)" == pipeline.outputs[1].redshift
    assert "((`orders.price` > 1) and (not (`orders.day` is null)))" == pipeline.where


def test_a_backtick_in_a_name_stays_a_name(built: Callable[..., Pipeline]) -> None:
    """Names are quoted for Spark, whatever they hold."""
    odd = table("orders", "id", {"id": "int(11)", "a `b` c": "int(11)"})
    pipeline = built("select o.id, o.`a ``b`` c` as x from orders as o", "target: public.o\nkeys: [id]\n", schema(odd))
    assert pipeline.outputs[1].sql == "`o.a ``b`` c`"


def test_statements_must_fit_the_data_api(built: Callable[..., Pipeline]) -> None:
    """A table whose statements the Data API would refuse is told before it is made."""
    columns = {f"c{n}_{'x' * 60}": "int(11)" for n in range(700)}
    wide = schema(table("orders", "id", {"id": "int(11)", **columns}))
    select = "select o.id, " + ", ".join(f"o.{name}" for name in columns) + " from orders as o"
    with pytest.raises(DefinitionError) as caught:
        built(select, "target: public.o\nkeys: [id]\n", wide)
    assert "and the Redshift Data API takes 100,000" in caught.value.message
