"""Promises of step 6: what Redshift would refuse is set aside by name, and nothing else is."""

import pyarrow as pa
import pytest

from freshet.pipeline.model import Output
from streaming_job.stage import check_rows

OUTPUTS = (
    Output("id", None, "bigint", "bigint", "o.id", ("orders.id",), None),
    Output("note", None, "string", "varchar(8)", "o.note", ("orders.note",), None),
    Output("weight", None, "double", "double precision", "o.weight", ("orders.weight",), None),
)


def checked(key: int | None, note: str | None, weight: float | None, unfit: str | None = None) -> dict[str, object]:
    table = pa.table(
        {
            "id": pa.array([key], pa.int64()),
            "note": pa.array([note], pa.string()),
            "weight": pa.array([weight], pa.float64()),
            "_freshet_version": ["01"],
            "_freshet_records": pa.array([1], pa.int32()),
            "_freshet_shard": ["s"],
            "_freshet_sequence": ["1"],
            "_freshet_unfit": pa.array([unfit], pa.string()),
        }
    )
    row: dict[str, object] = check_rows(table, OUTPUTS, ("id",)).to_pylist()[0]
    return row


@pytest.mark.parametrize(
    ("key", "note", "weight"),
    [(1, "12345678", 1.5), (1, "😀😀", -0.0), (1, None, None), (1, "", 1e308), (1, "        ", 0.0)],
)
def test_a_row_at_the_limit_is_written(key: int, note: str | None, weight: float | None) -> None:
    """Eight bytes fit into VARCHAR(8), whether they are eight letters or two emoji."""
    row = checked(key, note, weight)
    assert ("u", None, None) == (row["_freshet_op"], row["_freshet_reason"], row["_freshet_column"])
    assert (key, note, weight) == (row["id"], row["note"], row["weight"])


@pytest.mark.parametrize(
    ("reason", "column", "row"),
    [
        ("too_many_bytes", "note", (1, "123456789", 1.0, None)),
        ("too_many_bytes", "note", (1, "😀😀x", 1.0, None)),
        ("has_nul_character", "note", (1, "a\x00b", 1.0, None)),
        ("not_a_finite_number", "weight", (1, "a", float("nan"), None)),
        ("not_a_finite_number", "weight", (1, "a", float("-inf"), None)),
        ("key_is_null", "id", (None, "a", 1.0, None)),
        ("not_zero_or_one", "customer.active", (1, "a", 1.0, "customer.active:not_zero_or_one")),
        ("not_json", None, (None, None, None, ":not_json")),
    ],
)
def test_what_redshift_would_refuse_is_set_aside(reason: str, column: str | None, row: tuple[object, ...]) -> None:
    """The row goes to quarantine with column and reason, and none of its values goes with it."""
    aside = checked(*row)  # type: ignore[arg-type]  # a row of the table above
    assert ("q", reason, column) == (aside["_freshet_op"], aside["_freshet_reason"], aside["_freshet_column"])
    assert (None, None, None) == (aside["id"], aside["note"], aside["weight"])
