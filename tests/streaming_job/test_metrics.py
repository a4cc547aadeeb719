"""What CloudWatch is told."""

import logging
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.config import Config

from freshet.cli.context import Place
from freshet.redshift.data_api import Spent
from streaming_job import metrics
from streaming_job.kinesis import Marker
from streaming_job.metrics import METRICS, Metrics, Minute, data
from streaming_job.report import Clock


def ledger() -> Any:
    """All that is known of the ledger: whatever else were asked of it would wake the warehouse."""
    return SimpleNamespace(pipeline=SimpleNamespace(name="orders"), warehouse=SimpleNamespace(spent=Spent(1.5)))


def counts(**known: int) -> dict[str, int]:
    """What a commit counted."""
    return {"received": 0, "merged": 0, "superseded": 0, "ignored": 0, "quarantined": 0} | known


def told(place: Place, namespace: str) -> dict[str, float]:
    """Read back the sums of the last minutes."""
    now, found = datetime.now(UTC), {}
    for name in METRICS:
        points = place.client("cloudwatch").get_metric_statistics(
            Namespace=namespace, MetricName=name, Dimensions=[{"Name": "Pipeline", "Value": "orders"}], Period=3600,
            StartTime=now - timedelta(hours=1), EndTime=now + timedelta(minutes=1), Statistics=["Sum"],
        )["Datapoints"]  # fmt: skip
        if points:
            found[name] = points[0]["Sum"]
    return found


def test_a_minute_is_one_call(place: Place) -> None:
    """Values of many rounds are one point a metric, with smallest, largest, sum and count."""
    sent = Metrics(place.client("cloudwatch"), "Freshet/one", ledger(), 72 * 3600)
    clock, as_of = Clock({"read": 0.5, "merge": 0.25}), datetime.now(UTC) - timedelta(seconds=3)
    sent.round([Marker("s", left_out=1)], as_of, counts(received=3, merged=3), clock)
    sent.round([Marker("s", behind_ms=36_000, left_out=2)], as_of, counts(received=4, merged=2, quarantined=2), clock)
    sent.close()
    found = told(place, "Freshet/one")
    assert (7, 5, 2, 1) == tuple(found[n] for n in ("RecordsReceived", "RowsMerged", "RecordsQuarantined", "JobAlive"))
    assert 3 == found["CaptureErrors"]
    assert 36.0 == found["StreamLagSeconds"]
    assert 1.5 == found["DataApiSeconds"]
    assert 6.0 == pytest.approx(found["FreshnessSeconds"], abs=1)


def test_an_idle_job_lives(place: Place) -> None:
    """A round without a batch says that the job lives and the table is fresh."""
    sent = Metrics(place.client("cloudwatch"), "Freshet/idle", ledger(), 72 * 3600)
    sent.round([Marker("s")], datetime.now(UTC), None, Clock())
    sent.close()
    found = told(place, "Freshet/idle")
    assert 1 == found["JobAlive"]
    assert found["FreshnessSeconds"] < 1
    assert "RowsMerged" not in found


def test_headroom_shrinks_with_the_lag() -> None:
    """18 of 72 hours behind leave three quarters."""
    sent = Metrics(None, "n", ledger(), 72 * 3600)
    sent.round([Marker("s", behind_ms=18 * 3600 * 1000)], None, None, Clock())
    assert 75.0 == sent._minute.values["RetentionHeadroomPercent", (("Pipeline", "orders"),)].smallest


def test_one_call_is_within_the_limits() -> None:
    """Each metric has a unit that CloudWatch knows, and there are few."""
    minute = Minute()
    for name in METRICS:
        for step in ("read", "newest", "lookup", "stage", "merge"):
            minute.add(name, 1.0, ("Pipeline", "p"), ("Step", step))
    written = data(minute, datetime.now(UTC))
    assert len(written) < 1000
    assert {"Seconds", "Count", "Percent"} >= {datum["Unit"] for datum in written}


def test_a_silent_cloudwatch_stops_nothing(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said once; the rounds go on at once; the next minute is tried again."""
    monkeypatch.setattr(metrics, "EVERY_S", 0.0)
    nobody = boto3.client(
        "cloudwatch", endpoint_url="http://127.0.0.1:9", region_name="us-east-1",
        config=Config(retries={"total_max_attempts": 1}, connect_timeout=2),
    )  # fmt: skip
    sent = Metrics(nobody, "Freshet/none", ledger(), 3600)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            sent.round([Marker("s")], None, None, Clock())
            while sent._sending and sent._sending.is_alive():
                time.sleep(0.01)
        sent.close()
    assert 1 == len([record for record in caplog.records if "metrics could not be sent" in record.message])
