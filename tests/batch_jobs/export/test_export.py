"""A whole export on the sandbox: Redshift's rows in, DynamoDB's items out."""

import json
from datetime import datetime
from decimal import Decimal

import pytest

from batch_jobs.export_dynamodb.job import Differs
from freshet.redshift import runs
from freshet.redshift.literals import quote
from tests.batch_jobs.export.mart import Mart, some_rows
from tests.faults.control import inject, injected

ROWS, USERS = 4000, 900


def test_every_row_of_a_key_is_in_its_item(mart: Mart) -> None:
    """The table equals a calculation of its own, digit for digit; nothing staged stays; the ledger has the run."""
    mart.make(some_rows(ROWS, USERS))
    result = mart.export()
    expected = mart.expected()
    assert expected == mart.items()
    assert (ROWS, len(expected), len(expected)) == (result.rows, result.keys, result.put)
    assert len(expected) == result.items_there
    assert (0, set()) == mart.leftovers()
    last = next(run for run in runs.recent(mart.place.warehouse) if run["name"] == mart.name)
    assert ("export", "done", ROWS, result.item_bytes) == (last["kind"], last["outcome"], last["rows"], last["bytes"])
    assert max(len(rows) for rows in expected.values()) > 20 * ROWS / len(expected)  # there was a heavy user


def test_incremental_writes_what_changed(mart: Mart) -> None:
    """Only keys whose rows changed are written, keys that are gone are deleted, the rest is not touched."""
    mart.make(some_rows(600, 200))
    mart.export()
    assert 0 == mart.export(incremental=True).put
    users = sorted({str(row[0]) for row in mart.rows})
    gone, changed = users[1], users[2]
    mart.remove(gone)
    at = datetime(2025, 1, 1)  # noqa: DTZ001
    mart.add(
        [(changed, 10_001, Decimal("0.00000001"), None, at, None, None), ("new", 10_002, None, None, at, True, "x")]
    )
    result = mart.export(incremental=True)
    assert (2, 2, 1, 1) == (result.put, result.to_put, result.deleted, result.to_delete)
    assert mart.expected() == mart.items()
    assert gone not in mart.items()
    assert (0, set()) == mart.leftovers()


def test_a_full_export_deletes_what_is_gone_and_repairs_what_was_changed(mart: Mart) -> None:
    """Without --incremental every item is written, whatever somebody did to the table."""
    mart.make(some_rows(100, 40))
    mart.export()
    users = sorted({str(row[0]) for row in mart.rows})
    dynamodb = mart.place.client("dynamodb")
    dynamodb.delete_item(TableName=mart.table, Key={"user_id": {"S": users[0]}})
    dynamodb.put_item(TableName=mart.table, Item={"user_id": {"S": users[1]}, "items": {"L": []}})
    mart.remove(users[2])
    result = mart.export()
    assert (len(users) - 1, 1) == (result.put, result.deleted)
    assert mart.expected() == mart.items()


def test_items_of_somebody_else_are_kept_and_told(mart: Mart) -> None:
    """An item that this export never wrote is not deleted; the counts differ, and that is an error."""
    mart.make(some_rows(50, 20))
    mart.place.client("dynamodb").put_item(TableName=mart.table, Item={"user_id": {"S": "theirs"}})
    with pytest.raises(Differs, match="never deleted"):
        mart.export()
    assert mart.count() == len(mart.expected()) + 1


def test_an_item_that_was_deleted_by_somebody_is_told(mart: Mart) -> None:
    """--incremental trusts its ledger for what to write, and the count for what is there."""
    mart.make(some_rows(50, 20))
    mart.export()
    mart.place.client("dynamodb").delete_item(TableName=mart.table, Key={"user_id": {"S": "u-0"}})
    with pytest.raises(Differs, match="come back by a run without --incremental"):
        mart.export(incremental=True)


def test_a_table_that_was_made_anew_is_written_whole(mart: Mart) -> None:
    """--incremental does not believe that another table of the same name holds what the old one held."""
    mart.make(some_rows(80, 30))
    mart.export()
    mart.place.client("dynamodb").delete_table(TableName=mart.table)
    mart.make_items()
    assert len(mart.expected()) == mart.export(incremental=True).put
    assert mart.expected() == mart.items()


def test_what_a_busy_table_leaves_undone_is_sent_again(mart: Mart) -> None:
    """Unprocessed items, throttling and lost answers cost time, and no item."""
    mart.make(some_rows(400, 300))
    url = mart.place.endpoints["aws"]["endpoint_url"]
    before = injected(url)
    inject(url, operation="BatchWriteItem", fault="fail_entries", value=10, times=4)
    inject(url, operation="BatchWriteItem", fault="throttle", times=3)
    inject(url, operation="BatchWriteItem", fault="lose_response", times=2)
    result = mart.export()
    assert 9 == injected(url) - before
    assert 5 == result.busy_answers
    assert result.sent_again >= 40
    assert mart.expected() == mart.items()


def test_an_empty_source_empties_the_table(mart: Mart) -> None:
    """No rows is a result like any other."""
    mart.make([])
    assert (0, 0, 0) == ((result := mart.export()).rows, result.put, result.items_there)
    mart.add(some_rows(30, 10))
    mart.export(incremental=True)
    assert mart.expected() == mart.items()
    for user in {str(row[0]) for row in mart.rows}:
        mart.remove(user)
    mart.export(incremental=True)
    assert {} == mart.items()


def test_a_dry_run_writes_nothing(mart: Mart) -> None:
    """It tells what would be written; the next run starts from the same state."""
    mart.make(some_rows(60, 30))
    result = mart.export(dry_run=True)
    assert (len(mart.expected()), 0, None) == (result.to_put, result.put, result.items_there)
    assert 0 == mart.count()
    assert (0, set()) == mart.leftovers()
    assert len(mart.expected()) == mart.export(incremental=True).put


def test_a_query_is_a_source_too(mart: Mart) -> None:
    """Of rows that are the same in some columns the last one stays; NULL is written when asked for; a number is a key."""
    rows = some_rows(300, 12)
    mart.make(rows, key_type="N")
    select = f"select cast(substring(user_id, 3) as integer) as user_id, mod(n, 5) as kind, n, ok from {mart.source} -- all\n;"
    (mart.folder / "export.yaml").unlink()
    mart.define(select, order=["n"], duplicates="last", same=["kind"], nulls="write", list="latest")
    mart.export(parts=5)
    expected: dict[int, dict[int, dict[str, object]]] = {}
    for user, n, *_, ok, _note in rows:
        kinds = expected.setdefault(int(str(user)[2:]), {})
        kinds[n % 5] = {"kind": n % 5, "n": n, "ok": ok}
    pages = mart.place.client("dynamodb").get_paginator("scan").paginate(TableName=mart.table)
    found = {}
    for page in pages:
        for item in page["Items"]:
            found[int(item["user_id"]["N"])] = [
                {
                    name: value["N"] and int(value["N"]) if "N" in value else value.get("BOOL")
                    for name, value in row["M"].items()
                }
                for row in item["latest"]["L"]
            ]
    assert {
        user: sorted(kinds.values(), key=lambda row: int(str(row["n"]))) for user, kinds in expected.items()
    } == found


def test_texts_that_differ_by_blanks_are_two_keys(mart: Mart) -> None:
    """DynamoDB tells them apart, and so do the counts."""
    at = datetime(2025, 1, 1)  # noqa: DTZ001
    mart.make(
        [
            ("a", 1, None, None, at, None, None),
            ("a ", 2, None, None, at, None, None),
            ("A", 3, None, None, at, None, None),
        ]
    )
    assert 3 == mart.export().items_there
    assert mart.expected() == mart.items()


def test_super_becomes_its_json(mart: Mart) -> None:
    """A SUPER column is a text that holds the same JSON; a NULL has no attribute."""
    documents = {"a": '{"n": 1.50, "list": [1, null, "é"]}', "b": "[]", "c": None}
    mart.place.warehouse.run(
        [
            f"create table {mart.source} (user_id varchar(8), document super)",
            *(
                f"insert into {mart.source} select {quote(user)}, " + (f"json_parse({quote(text)})" if text else "null")
                for user, text in documents.items()
            ),
        ]
    )
    mart.make_items()
    mart.define(order=[])
    mart.export()
    found = {user: [row.get("document") for row in rows] for user, rows in mart.items().items()}
    assert {"a", "b", "c"} == found.keys()
    for user, text in documents.items():
        (written,) = found[user]
        assert (json.loads(text) if text else None) == (json.loads(written) if written else None)


def test_how_far_it_is_can_be_seen_while_it_writes(mart: Mart, caplog: pytest.LogCaptureFixture) -> None:
    """In the log and in the ledger of runs: a part of the items, while the rest is still to come."""
    mart.make(some_rows(300, 250))
    caplog.set_level("INFO", "batch_jobs")
    result = mart.export(rate=60, hold_s=4.0)
    told = [record.__dict__["fields"] for record in caplog.records if record.getMessage() == "writing"]
    assert {result.to_put} == {each["to_put"] for each in told}
    assert sorted(each["put"] for each in told) == [each["put"] for each in told]
    assert 0 < told[0]["put"] < result.put
    last = next(run for run in runs.recent(mart.place.warehouse) if run["name"] == mart.name)
    assert (300, f"{result.put} items written, 0 deleted, {result.put} there") == (last["rows"], last["message"])
