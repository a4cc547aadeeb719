"""What is away at the start is waited for; what is wrong is not."""

import logging

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from mysql.connector.errors import OperationalError

from freshet.errors import EnvironmentFault, InputError, TerminalError, TransientError
from freshet.redshift.data_api import Cancelled
from streaming_job.patience import PAUSES_S, awaited
from streaming_job.stopping import Stopping

AWAY = (
    EnvironmentFault("nobody there"), TransientError("no answer"), OperationalError("lost 'kim@example.org'", errno=2013),
    EndpointConnectionError(endpoint_url="https://nowhere"), ClientError({"Error": {"Code": "InternalFailure"}}, "GetRecords"),
)  # fmt: skip


class Waits(Stopping):
    """Waits without time passing, and remembers for how long it was to wait."""

    def __init__(self) -> None:
        super().__init__()
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


@pytest.mark.parametrize("fault", AWAY, ids=lambda fault: type(fault).__name__)
def test_an_outage_is_waited_out_and_told(fault: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """Seven times in a row, with growing pauses and a line each; no value of an error is told."""
    stopping, left = Waits(), [fault] * 7

    def ask() -> str:
        if left:
            raise left.pop()
        return "here"

    with caplog.at_level(logging.WARNING):
        assert "here" == awaited("the part", ask, stopping)
    assert [1, 2, 4, 8, 16, 32, 60] == stopping.slept
    assert ["waiting for the part"] * 7 == [record.message for record in caplog.records]
    assert "kim@" not in str([vars(record) for record in caplog.records])


@pytest.mark.parametrize("fault", AWAY, ids=lambda fault: type(fault).__name__)
def test_an_outage_without_an_end_ends_the_job(fault: Exception) -> None:
    """After half an hour, as an error that has a heading in the runbook."""
    stopping = Waits()

    def ask() -> None:
        raise fault

    with pytest.raises((EnvironmentFault, TransientError)):
        awaited("the part", ask, stopping)
    assert list(PAUSES_S) == stopping.slept
    assert 1800 <= sum(PAUSES_S) <= 2000


@pytest.mark.parametrize("fault", [InputError("wrong"), TerminalError("lost")])
def test_what_is_wrong_is_not_waited_for(fault: Exception) -> None:
    """It would be as wrong in half an hour."""
    stopping = Waits()

    def ask() -> None:
        raise fault

    with pytest.raises(type(fault)):
        awaited("the part", ask, stopping)
    assert [] == stopping.slept


def test_who_waits_can_be_stopped() -> None:
    """A signal ends the waiting."""
    stopping = Stopping()
    stopping._asked.set()

    def ask() -> None:
        raise EnvironmentFault("nobody there")

    with pytest.raises(Cancelled, match="while waiting for the part"):
        awaited("the part", ask, stopping)
