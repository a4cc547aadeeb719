"""Workflows run as the deployed state machine, their SQL for real, and give what plain Python computes."""

import random
import uuid
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from freshet.cli import run_command
from freshet.cli.context import ROOT, Place
from tests.batch_jobs.analyst import Analyst
from tests.patience import HANGS_S

DAY = date(2026, 5, 1)
ROWS = 6000


def utc(*parts: int) -> datetime:
    """Give a time as Redshift's TIMESTAMP has it, without a zone."""
    return datetime(*parts, tzinfo=UTC).replace(tzinfo=None)  # type: ignore[arg-type, misc]


# ---- daily_sales


@pytest.fixture(scope="module")
def sold(place: Place) -> Iterator[list[tuple[Any, ...]]]:
    """Thousands of tickets sold on four days, in the table that the pipeline keeps."""
    choice = random.Random(11)
    sports = ["baseball", "football", "soccer", "", None]
    rows = []
    for ticket in range(ROWS):
        at = datetime.combine(DAY, datetime.min.time()) + timedelta(seconds=choice.randrange(-86400, 3 * 86400))
        price = Decimal(choice.randrange(500, 30000)) / 100 if choice.random() < 0.98 else None
        rows.append((ticket, choice.randrange(20), choice.choice(sports), price, choice.randrange(500), at))
    # On the edges of the day.
    rows[0] = (0, 1, "edge", Decimal(1), 1, utc(2026, 5, 1, 0, 0, 0))
    rows[1] = (1, 1, "edge", Decimal(2), 1, utc(2026, 5, 1, 23, 59, 59))
    rows[2] = (2, 1, "edge", Decimal(4), 1, utc(2026, 5, 2, 0, 0, 0))
    ddl = (ROOT / "tests/golden/pipeline/sport_event_activity.target.sql").read_text().partition(";\n")[0]
    place.warehouse.run(["drop table if exists public.sport_event_activity", ddl])
    bucket, key = place.endpoints["staging_bucket"], f"sold-{uuid.uuid4().hex}.csv"
    lines = ["|".join("\\N" if value is None else str(value) for value in (*row, "0", "s")) for row in rows]
    place.client("s3").put_object(Bucket=bucket, Key=key, Body="\n".join(lines).encode())
    columns = "ticket_id, event_id, sport_type, ticket_price, purchased_by, created_at, _freshet_hash, _freshet_commit"
    place.warehouse.run(
        [
            f"copy public.sport_event_activity ({columns}) from 's3://{bucket}/{key}' "
            f"iam_role '{place.endpoints['copy_role_arn']}' delimiter '|' null '\\\\N'"
        ]
    )
    yield rows
    place.warehouse.run(["drop table public.sport_event_activity"])


def by_sport(rows: list[tuple[Any, ...]], day: date) -> dict[str, tuple[Any, ...]]:
    """Compute the summary of a day in plain Python."""
    groups = defaultdict(list)
    for row in rows:
        if row[5].date() == day:
            groups["unknown" if row[2] is None else row[2]].append(row)
    return {
        sport: (
            len(group), len({row[4] for row in group}), len({row[1] for row in group}),
            sum((row[3] for row in group if row[3] is not None), Decimal(0)),
        )
        for sport, group in groups.items()
    }  # fmt: skip


def unloaded_sales(analyst: Analyst, day: date) -> dict[str, tuple[Any, ...]]:
    """Read a day's summary back from S3."""
    found = analyst.parquet(f"daily_sales/day={day}")
    empty = "__HIVE_DEFAULT_PARTITION__"
    return {
        "" if row["sport_type"] in {None, empty} else row["sport_type"]:
        (row["tickets"], row["buyers"], row["events"], row["revenue"])
        for row in found
    }  # fmt: skip


def summary(analyst: Analyst, day: date) -> dict[str, tuple[Any, ...]]:
    """Read a day's summary from its table."""
    found = analyst.query(f"select * from public.daily_sales where day = '{day}'")
    return {row["sport_type"]: (row["tickets"], row["buyers"], row["events"], Decimal(row["revenue"])) for row in found}


def test_daily_sales(analyst: Analyst, sold: list[tuple[Any, ...]]) -> None:
    """Thousands of rows become the summary that plain Python computes, in the table and in S3; run again, it is the same."""
    expected = by_sport(sold, DAY)
    assert len(expected) == 6
    assert sum(row[0] for row in expected.values()) > 1000
    for _ in range(2):
        told = analyst.runs("daily_sales", "-p", f"day={DAY}")
        assert ("SUCCEEDED", ["transform", "unload"]) == (told["status"], [item["state"] for item in told["items"]])
        assert {"done"} == {item["outcome"] for item in told["items"]}
        assert expected == summary(analyst, DAY)
        assert expected == unloaded_sales(analyst, DAY)
    assert len(expected) == told["items"][-1]["rows"]
    assert [] == analyst.hears()


def test_a_day_that_changed_is_computed_anew(analyst: Analyst, sold: list[tuple[Any, ...]]) -> None:
    """A ticket that came late is in the second run's summary, and other days stay as they were."""
    next_day = DAY + timedelta(days=1)
    analyst.runs("daily_sales", "-p", f"day={next_day}")
    before = summary(analyst, next_day)
    analyst.runs("daily_sales", "-p", f"day={DAY}")
    late = (ROWS + 7, 1, "edge", Decimal(8), 9, utc(2026, 5, 1, 12))
    analyst.place.warehouse.run(
        [
            "insert into public.sport_event_activity (ticket_id, event_id, sport_type, ticket_price, purchased_by, created_at, "
            f"_freshet_hash, _freshet_commit) values ({late[0]}, 1, 'edge', 8, 9, '2026-05-01 12:00:00', 0, 's')"
        ]
    )
    analyst.runs("daily_sales", "-p", f"day={DAY}")
    assert by_sport([*sold, late], DAY) == summary(analyst, DAY) == unloaded_sales(analyst, DAY)
    assert before == summary(analyst, next_day)
    analyst.place.warehouse.run([f"delete from public.sport_event_activity where ticket_id = {late[0]}"])


def test_two_runs_at_once(analyst: Analyst, sold: list[tuple[Any, ...]]) -> None:
    """Both end well, and the summary holds each ticket once."""
    with ThreadPoolExecutor(2) as pool:
        processes = [analyst.process("daily_sales", "-p", f"day={DAY}") for _ in range(2)]
        said = list(pool.map(lambda process: process.communicate(timeout=HANGS_S), processes))
    assert [0, 0] == [process.returncode for process in processes], said
    assert by_sport(sold, DAY) == summary(analyst, DAY) == unloaded_sales(analyst, DAY)


# ---- reviews


def simulated_reviews(analyst: Analyst, rows: int, seed: int) -> list[dict[str, Any]]:
    """Write the sample with the simulator; give all rows as they lie in S3."""
    assert 0 == run_command(["simulate", "reviews", "--rows", str(rows), "--seed", str(seed)])
    return analyst.parquet("reviews")


def test_reviews(analyst: Analyst) -> None:
    """From Parquet in S3 to a table with its keys, and each category's most helpful reviews; the second run follows new files."""
    for rows, seed in ((5000, 3), (3000, 4)):
        lake = simulated_reviews(analyst, rows, seed)
        assert rows == len(lake)
        told = analyst.runs("reviews", "-p", "most=7")
        assert ["external.sql", "reviews.sql", "most_helpful.sql"] == [item["item"] for item in told["items"]]
        columns = (
            "review_id",
            "product_id",
            "product_category",
            "star_rating",
            "helpful_votes",
            "review_headline",
            "review_date",
        )
        inside = analyst.query(f"select {', '.join(columns)} from public.reviews")
        assert sorted(tuple(str(row[name]) for name in columns) for row in lake) == sorted(
            tuple(str(row[name]) for name in columns) for row in inside
        )
        expected = {}
        for category in {row["product_category"] for row in lake}:
            own = [row for row in lake if row["product_category"] == category]
            ranked = sorted(own, key=lambda row: (-row["helpful_votes"], row["total_votes"], row["review_id"]))
            expected |= {(category, place): row["review_id"] for place, row in enumerate(ranked[:7], 1)}
        unloaded = {
            (row["product_category"], row["place"]): row["review_id"] for row in analyst.parquet("most_helpful_reviews")
        }
        assert expected == unloaded
    (keys,) = analyst.query("select diststyle, sortkey1 from svv_table_info where \"table\" = 'reviews'")
    assert ("KEY(product_id)", "product_category") == (keys["diststyle"], keys["sortkey1"])


def test_no_files_lose_no_table(analyst: Analyst) -> None:
    """Where no review is found the table stays as it was, and somebody is told."""
    simulated_reviews(analyst, 100, 5)
    analyst.runs("reviews")
    told = analyst.runs("reviews", "-p", f"from=s3://{analyst.bucket}/nothing/{uuid.uuid4().hex}", code=1)
    assert "reviews.sql" in told["cause"]
    assert [{"count": 100}] == analyst.query("select count(*) as count from public.reviews")
    (message,) = analyst.hears()
    assert ("reviews", "Transform", "reviews.sql") == (message["workflow"], message["state"], message["item"])


# ---- all three states


def test_load_transform_unload(analyst: Analyst) -> None:
    """Files are loaded once, summed up and unloaded; the second run finds nothing new to load, and gives the same."""
    prefix = "currents/news_feed_impression/"
    earlier = analyst.place.client("s3").list_objects_v2(Bucket=analyst.bucket, Prefix=prefix).get("Contents", [])
    for one in earlier:
        analyst.place.client("s3").delete_object(Bucket=analyst.bucket, Key=one["Key"])
    assert 0 == run_command(["simulate", "currents", "--files", "6", "--rows", "500", "--seed", "5"])
    flow = analyst.writes(
        """
parameters: {to: "{data}/impressions/"}
load: [{load: news_feed_impression}]
transform: [{file: a.sql}]
unload: [{file: b.sql}]
""",
        a="create table if not exists SCHEMA.sums (platform varchar(20), n bigint); delete from SCHEMA.sums; "
        "insert into SCHEMA.sums select platform, count(*) from public.news_feed_impression group by 1;",
        b="unload ('select * from SCHEMA.sums') to :to iam_role :role format parquet cleanpath;",
    )
    first, second = analyst.runs(flow), analyst.runs(flow)
    assert [("load", 3000), ("load", 0)] == [
        (told["items"][0]["state"], told["items"][0]["rows"]) for told in (first, second)
    ]
    unloaded = {row["platform"]: row["n"] for row in analyst.parquet("impressions")}
    inside = analyst.query("select platform, count(*) as n from public.news_feed_impression group by 1")
    assert {row["platform"]: row["n"] for row in inside} == unloaded
    assert 3000 <= sum(unloaded.values())


def test_a_load_that_fails_is_told(analyst: Analyst) -> None:
    """The cause is the load's own, and nothing after it ran."""
    key = f"currents/news_feed_impression/bad-{uuid.uuid4().hex}.avro"
    analyst.place.client("s3").put_object(Bucket=analyst.bucket, Key=key, Body=b"this is no Avro")
    flow = analyst.writes(
        "load: [{load: news_feed_impression}]\ntransform: [{file: a.sql}]", a="insert into SCHEMA.t values (1)"
    )
    try:
        told = analyst.runs(flow, code=1)
    finally:
        analyst.place.client("s3").delete_object(Bucket=analyst.bucket, Key=key)
    assert "Freshet.LoadFailed" == told["error"]
    assert "set aside" in told["cause"]
    (message,) = analyst.hears()
    assert ("Load", "news_feed_impression") == (message["state"], message["item"])
    assert [] == analyst.query("select n from SCHEMA.t")
