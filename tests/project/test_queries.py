"""The analyst's queries answer what their first line asks, in Redshift's SQL."""

import time
from pathlib import Path
from typing import Any

import pytest

from freshet.cli.context import Place

QUERIES = Path(__file__).parents[2] / "sql" / "queries"
TABLE = "public.sport_event_activity"
ROWS = """
insert into activity values
    (1, 'tennis', 'Standard', 100.00, '2026-05-01 10:05:00', '2026-05-01 10:05:00'),
    (2, 'tennis', 'Premium',  310.50, '2026-05-01 10:59:59', '2026-05-01 11:30:00'),
    (3, 'tennis', 'Premium',  290.00, '2026-05-01 11:00:00', '2026-05-01 11:00:00'),
    (4, 'soccer', 'Standard',  95.25, '2026-05-01 11:10:00', '2026-05-01 11:10:00'),
    (5, null,     null,        null,  '2026-05-01 11:20:00', '2026-05-01 11:20:00')
"""
ANSWERS = {
    "revenue_by_sport": [["tennis", 3, "700.50"], ["soccer", 1, "95.25"], ["unknown", 1, None]],
    "sold_by_hour": [["2026-05-01 11:00:00", 3, 0, "385.25"], ["2026-05-01 10:00:00", 2, 1, "410.50"]],
    "seat_level_mix": [
        ["soccer", "Standard", 1, "100.0", "95.25"],
        ["tennis", "Premium", 2, "66.7", "300.25"],
        ["tennis", "Standard", 1, "33.3", "100.00"],
        ["unknown", "unknown", 1, "100.0", None],
    ],
}


@pytest.mark.parametrize("path", sorted(QUERIES.glob("*.sql")), ids=lambda path: path.stem)
def test_a_query_answers_its_question(place: Place, path: Path) -> None:
    """On five rows, one of them without its dimensions, the answer is the one worked out by hand."""
    query = path.read_text(encoding="utf-8")
    assert query.startswith("-- ")
    assert TABLE in query
    columns = "sport_type varchar(160), seat_level varchar(80), ticket_price decimal(8,2)"
    statements = [
        f"create temp table activity (ticket_id bigint, {columns}, created_at timestamp, updated_at timestamp)",
        ROWS,
        query.replace(TABLE, "activity"),
    ]
    assert ANSWERS[path.stem] == last_result(place, statements)


def last_result(place: Place, statements: list[str]) -> list[list[Any]]:
    """Run statements as one batch of the Data API; give the rows of the last."""
    client = place.client("redshift-data")
    where = place.endpoints["redshift"]
    batch = client.batch_execute_statement(
        Sqls=statements, WorkgroupName=where["workgroup"], Database=where["database"]
    )
    while (state := client.describe_statement(Id=batch["Id"]))["Status"] not in {"FINISHED", "FAILED", "ABORTED"}:
        time.sleep(0.05)
    assert state["Status"] == "FINISHED", state.get("Error")
    records = client.get_statement_result(Id=state["SubStatements"][-1]["Id"])["Records"]
    client.close()
    return [[None if "isNull" in field else next(iter(field.values())) for field in record] for record in records]
