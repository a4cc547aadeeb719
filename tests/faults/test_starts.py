"""A job that starts while a part is away comes up once it is back."""

from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from botocore.exceptions import ConnectTimeoutError

import streaming_job.connect
from sandbox import control
from streaming_job.connect import connect_job
from streaming_job.stopping import Stopping
from tests.river import River, eventually

# Before, none of these was tried more than five times in all: three by botocore, five by `data_api.patiently`.
ABSENT_FOR = 6


class Waits(Stopping):
    """Waits without time passing; the part comes back in the last pause of its absence."""

    def __init__(self, back: Callable[[], object]) -> None:
        super().__init__()
        self.back, self.pauses = back, 0

    def sleep(self, seconds: float) -> None:
        if self.pauses == ABSENT_FOR:
            super().sleep(seconds)
            return
        self.pauses += 1
        if self.pauses == ABSENT_FOR:
            self.back()


def works(river: River, stopping: Waits) -> None:
    """Start the job, which has to wait, and let it carry a row."""
    with closing(connect_job(river.arguments(), lambda: river.spark, stopping)) as job:
        job.work()
    assert ABSENT_FOR == stopping.pauses
    assert [1] == [row[0] for row in river.actual()]


@pytest.mark.parametrize("part", ["mysql", "redshift"])
def test_a_server_that_is_away(own_stream: River, part: str) -> None:
    """The real one, stopped."""
    own_stream.sell([1], 5)
    state = own_stream.place.state
    control.stop_service(state, part)
    try:
        works(own_stream, Waits(lambda: control.start_service(state, part)))
    finally:
        control.start_service(state, part)


@pytest.mark.parametrize("call", ["secretsmanager.GetSecretValue", "kinesis.DescribeStreamSummary"])
def test_a_service_that_is_away(own_stream: River, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    """Nobody answers, whatever botocore tries."""
    service, _, operation = call.partition(".")
    own_stream.sell([1], 5)
    away = True

    def lose(**_: Any) -> None:
        if away:
            raise ConnectTimeoutError(endpoint_url="https://away")

    def back() -> None:
        nonlocal away
        away = False

    def losing(client: Any) -> Any:
        client.meta.events.register(f"before-send.{service}.{operation}", lose)
        return client

    class Session(streaming_job.connect.boto3.Session):  # type: ignore[misc, name-defined]
        def client(self, name: str, **how: Any) -> Any:
            client = super().client(name, **how)
            return losing(client) if name == service else client

    kinesis_client = streaming_job.connect.kinesis_client

    def client_of_the_stream() -> Any:
        return losing(kinesis_client()) if service == "kinesis" else kinesis_client()

    monkeypatch.setattr(streaming_job.connect.boto3, "Session", Session)
    monkeypatch.setattr(streaming_job.connect, "kinesis_client", client_of_the_stream)
    works(own_stream, Waits(back))


def test_redshift_goes_away_between_connecting_and_starting(own_stream: River) -> None:
    """The commit that takes the ledger over waits too."""
    state = own_stream.place.state
    stopping = Waits(lambda: control.start_service(state, "redshift"))
    own_stream.sell([1], 5)
    with closing(connect_job(own_stream.arguments(), lambda: own_stream.spark, stopping)) as job:
        control.stop_service(state, "redshift")
        try:
            job.work()
        finally:
            control.start_service(state, "redshift")
    assert ABSENT_FOR == stopping.pauses
    assert [1] == [row[0] for row in own_stream.actual()]


@pytest.mark.parametrize("part", ["mysql", "redshift", "aws"])
def test_a_part_that_restarts_under_a_running_job(own_stream: River, part: str) -> None:
    """The job connects again, and goes on from where it was; nothing is counted twice."""
    own_stream.sell([9], 5)
    own_stream.drain()
    state = own_stream.place.state
    with own_stream.running():
        own_stream.sell([1, 2], 5)
        eventually(lambda: own_stream.ledger()["received"] == 3, "the job works")
        control.stop_service(state, part)
        control.start_service(state, part)
        own_stream.sell([3], 6)
        eventually(lambda: own_stream.expected() == own_stream.actual(), "the job goes on")
        eventually(lambda: own_stream.ledger()["received"] == 4, "each record is counted")
    assert 4 == own_stream.ledger()["received"]
