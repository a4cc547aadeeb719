"""A pipeline written by hand, for tests that need no source: a fact with a composite key, one of whose columns is text."""

from pathlib import Path

from freshet.pipeline.model import Column, Output, Pipeline, Table
from freshet.pipeline.types import column_type

KEY = (
    Column("id", column_type("bigint(20)"), nullable=False),
    Column("code", column_type("varchar(8)"), nullable=False),
)


def pipeline(
    name: str = "orders",
    deletes: str = "ignore",
    *,
    columns: int = 1,
    width: str = "varchar(80)",
    distkey: str | None = "id",
) -> Pipeline:
    """A pipeline with the key (id, code) and some more outputs of one type: "order", "order_2", ..."""
    more = ["order", *(f"order_{number}" for number in range(2, columns + 1))]
    outputs = [
        Output("id", None, "bigint", "bigint", "`o.id`", ("orders.id",), None),
        Output("code", None, "string", "varchar(32)", "`o.code`", ("orders.code",), None),
        *(Output(each, None, "string", width, f"`o.{each}`", (f"orders.{each}",), None) for each in more),
    ]
    return Pipeline(
        name=name,
        folder=Path(name),
        database="shop",
        target_schema="public",
        target_table=f"{name}_wide",
        keys=("id", "code"),
        key_columns=("id", "code"),
        fact=Table("o", "orders", KEY, ("id", "code")),
        dimensions=(),
        outputs=tuple(outputs),
        deletes=deletes,
        readers=("analysts",),
        freshness_s=30,
        distkey=distkey,
        sortkey=(),
    )
