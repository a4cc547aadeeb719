"""What the tests of workflows share."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from freshet.cli.context import ROOT, Place
from tests.batch_jobs.analyst import Analyst


@pytest.fixture
def analyst(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Analyst]:
    """The command finds the sandbox of this test run; a queue hears the topic."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "sandbox").symlink_to(place.state)
    monkeypatch.setenv("FRESHET_HOME", str(home))
    monkeypatch.chdir(ROOT)
    sns, sqs = place.client("sns"), place.client("sqs")
    topic = sns.create_topic(Name="sandbox-workflows")["TopicArn"]
    queue = sqs.create_queue(QueueName=f"q-{uuid.uuid4().hex}")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    subscription = sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)["SubscriptionArn"]
    analyst = Analyst(place, tmp_path, capsys, queue)
    place.warehouse.run([f"create schema {analyst.schema}", f"create table {analyst.schema}.t (n integer)"])
    yield analyst
    sns.unsubscribe(SubscriptionArn=subscription)
    with psycopg.connect(place.endpoints["redshift"]["postgres_uri"]) as postgres:
        postgres.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and query like %s",
            [f"%{analyst.schema}%"],
        )
    place.warehouse.run([f"drop schema {analyst.schema} cascade"])
