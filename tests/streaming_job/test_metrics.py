"""What CloudWatch is told."""

import logging
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, Final

import boto3
import pytest
from botocore.config import Config

from freshet.cli.context import Place
from freshet.ledger.commit_sql import Particulars
from freshet.ledger.pending import Entry, What
from freshet.redshift.data_api import Spent
from streaming_job import metrics
from streaming_job.metrics import METRICS, Metrics, Minute, data
from streaming_job.report import Clock
from streaming_job.running import STEP_OF

PIPELINE: Final = (("Pipeline", "orders"),)


class Silent:
    """All that is known of the warehouse: whatever else were asked of it would wake it."""

    spent = Spent(1.5)


def running(counts: dict[str, int] | None = None, *entries: Entry, **told: Any) -> Any:
    """A pipeline after a round: what its commit did, None if it made none, and what is pending."""
    particulars = Particulars(kind="round", run="r", started_at=datetime.now(UTC), **told)
    counted = (
        None
        if counts is None
        else {**dict.fromkeys(("written", "unchanged", "removed", "marked", "unfit"), 0), **counts}
    )
    pending = {entry.id: entry for entry in entries}
    return SimpleNamespace(name="orders", pending=pending, counts=counted, told=None if counts is None else particulars)


def reader(*behind_ms: int) -> Any:
    """A reader whose shards are so far behind their tips."""
    return SimpleNamespace(open_shards=[SimpleNamespace(behind_ms=each) for each in behind_ms])


def metrics_of(client: Any, namespace: str = "n", retention_s: float = 72 * 3600) -> Metrics:
    return Metrics(client, namespace, Silent(), retention_s)  # type: ignore[arg-type]


def sent_by(place: Place, namespace: str) -> dict[str, dict[str, float]]:
    """Read back the last minutes: sum, largest and smallest of each metric of the pipeline."""
    now, found = datetime.now(UTC), {}
    for name in METRICS:
        points = place.client("cloudwatch").get_metric_statistics(
            Namespace=namespace, MetricName=name, Dimensions=[{"Name": "Pipeline", "Value": "orders"}], Period=3600,
            StartTime=now - timedelta(hours=1), EndTime=now + timedelta(minutes=1), Statistics=["Sum", "Maximum", "Minimum"],
        )["Datapoints"]  # fmt: skip
        if points:
            found[name] = points[0]
    return found


def test_a_minute_is_one_call(place: Place) -> None:
    """Values of many rounds are one point a metric, with smallest, largest, sum and count."""
    sent = metrics_of(place.client("cloudwatch"), "Freshet/one")
    as_of = datetime.now(UTC) - timedelta(seconds=3)
    sent.read(reader(0, 0), 1)
    first = running({"written": 3, "removed": 1, "marked": 1}, received=9, ignored=2, quarantined=1)
    sent.round(first, as_of, Clock({"rows": 0.5, "commit": 0.25}))
    sent.read(reader(0, 36_000), 2)
    sent.round(running({"written": 2, "unchanged": 4, "unfit": 2}, received=4), as_of, Clock({"commit": 0.75}))
    sent.close()
    found = sent_by(place, "Freshet/one")
    sums = {name: point["Sum"] for name, point in found.items()}
    expected = {
        "RecordsReceived": 13, "RowsWritten": 5, "RowsUnchanged": 4, "RowsRemoved": 2, "RecordsIgnored": 2,
        "RecordsQuarantined": 3, "JobAlive": 1, "DataApiSeconds": 1.5,
    }  # fmt: skip
    assert expected == {name: sums[name] for name in expected}
    assert 36.0 == found["StreamLagSeconds"]["Maximum"]
    assert 6.0 == pytest.approx(sums["FreshnessSeconds"], abs=1)
    steps = place.client("cloudwatch").list_metrics(Namespace="Freshet/one", MetricName="BatchSeconds")["Metrics"]
    assert {"rows", "commit"} == {
        each["Value"] for metric in steps for each in metric["Dimensions"] if each["Name"] == "Step"
    }


def test_what_dms_left_out_is_told_once() -> None:
    """The alarm rings for each record that says so, and for none of them twice."""
    sent = metrics_of(None)
    for left_out in (2, 0, 1):
        sent.read(reader(0), left_out)
        sent.round(running({}), None, Clock())
    assert 3 == sent._minute.values["CaptureErrors", PIPELINE].total


def test_what_dms_left_out_is_told_without_a_commit() -> None:
    """Such records commit nothing by themselves: a row of DMS's own tables names no key."""
    sent = metrics_of(None)
    sent.read(reader(0), 1)
    sent.round(running(), None, Clock())
    assert 1 == sent._minute.values["CaptureErrors", PIPELINE].total


def test_pending_work_is_counted_and_aged() -> None:
    """Entries, and seconds since the oldest was first owed; nothing pending is zero, which an alarm can tell from silence."""
    sent, now = metrics_of(None), time.time()
    sent.round(running(None, Entry(What.FACTS, since=now - 60), Entry(What.TARGET, since=now - 90)), None, Clock())
    values = sent._minute.values
    assert 2 == values["PendingEntries", PIPELINE].largest
    assert 90 == pytest.approx(values["PendingSeconds", PIPELINE].largest, abs=5)
    sent.round(running(), None, Clock())
    assert (0, 0) == (values["PendingEntries", PIPELINE].smallest, values["PendingSeconds", PIPELINE].smallest)


def test_an_idle_job_lives(place: Place) -> None:
    """A round without a commit says that the job lives and the table is fresh."""
    sent = metrics_of(place.client("cloudwatch"), "Freshet/idle")
    sent.read(reader(0), 0)
    sent.round(running(), datetime.now(UTC), Clock())
    sent.close()
    found = sent_by(place, "Freshet/idle")
    assert 1 == found["JobAlive"]["Sum"]
    assert found["FreshnessSeconds"]["Maximum"] < 1
    assert not {"RowsWritten", "BatchSeconds"} & found.keys()


def test_headroom_shrinks_with_the_lag() -> None:
    """18 of 72 hours behind leave three quarters; the shard furthest behind decides."""
    sent = metrics_of(None)
    sent.read(reader(0, 18 * 3600 * 1000), 0)
    sent.round(running(), None, Clock())
    assert 75.0 == sent._minute.values["RetentionHeadroomPercent", PIPELINE].smallest


def test_one_call_is_within_the_limits() -> None:
    """Each metric has a unit that CloudWatch knows, and there are few."""
    minute = Minute()
    for name in METRICS:
        for step in sorted({*STEP_OF.values(), "commit"}):
            minute.add(name, 1.0, ("Pipeline", "p"), ("Step", step))
    written = data(minute, datetime.now(UTC))
    assert 5 * len(METRICS) == len(written) < 1000
    assert {"Seconds", "Count", "Percent"} >= {datum["Unit"] for datum in written}


def test_a_silent_cloudwatch_stops_nothing(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said once; the rounds go on at once; the next minute is tried again."""
    monkeypatch.setattr(metrics, "EVERY_S", 0.0)
    nobody = boto3.client(
        "cloudwatch", endpoint_url="http://127.0.0.1:9", region_name="us-east-1",
        config=Config(retries={"total_max_attempts": 1}, connect_timeout=2),
    )  # fmt: skip
    sent = metrics_of(nobody, "Freshet/none", 3600)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            sent.round(running(), None, Clock())
            while sent._sending and sent._sending.is_alive():
                time.sleep(0.01)
        sent.close()
    assert 1 == len([record for record in caplog.records if "metrics could not be sent" in record.message])
