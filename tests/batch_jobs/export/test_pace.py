"""Not faster than allowed, and not a call that another run could have overtaken."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from hypothesis import given
from hypothesis import strategies as st

from batch_jobs.export_dynamodb import write
from batch_jobs.export_dynamodb.build import Report
from batch_jobs.export_dynamodb.job import shared_out
from batch_jobs.export_dynamodb.pace import Hold, Pace
from batch_jobs.export_dynamodb.write import Stopped, Where, Writer, batches

WHERE = Where("t", "k", "w", "d", "e", "run", 60, "s3://b/notes/")


@dataclass
class Time:
    now: float = 0.0

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@given(st.lists(st.integers(1, 400), min_size=1, max_size=60), st.integers(1, 500))
def test_the_rate_is_kept(units: list[int], rate: int) -> None:
    """All but the last call are paid for when it is sent."""
    time = Time()
    pace = Pace(rate, time.clock, time.sleep)
    for one in units:
        pace.take(one)
    assert time.now >= sum(units[:-1]) / rate - 1e-6
    assert time.now <= sum(units) / rate + 1e-6


def test_a_call_is_sent_only_while_the_hold_is_sure() -> None:
    """The hold is asked for in time; a quarter of it is kept back; no answer is no hold."""
    time, left = Time(), [60.0]
    asked = 0

    def ask() -> float:
        nonlocal asked
        asked += 1
        return left[0]

    hold = Hold(ask, 60, time.clock)
    assert hold.is_sure()
    time.now = 14
    assert hold.is_sure()
    assert 1 == asked
    time.now, left[0] = 15, 45.0
    assert hold.is_sure()
    assert 2 == asked
    left[0] = 15.0
    time.now = 45
    assert not hold.is_sure()
    left[0] = 0.0
    assert not hold.is_sure()


class Table:
    """A client that answers as it is told, and remembers what was put."""

    def __init__(self, *answers: Callable[[list[Any]], Any]) -> None:
        self.answers, self.put, self.calls = list(answers), [], 0  # type: ignore[var-annotated]

    def batch_write_item(self, RequestItems: dict[str, list[Any]], **_: Any) -> Any:  # noqa: N803 - boto3's name
        requests = RequestItems["t"]
        self.calls += 1
        left = self.answers.pop(0)(requests) if self.answers else []
        self.put += [request for request in requests if request not in left]
        return {"UnprocessedItems": {"t": left} if left else {}, "ConsumedCapacity": [{"CapacityUnits": 1.0}]}


def fails(error: Exception) -> Callable[[list[Any]], Any]:
    def answer(_requests: list[Any]) -> Any:
        raise error

    return answer


def client_error(code: str) -> Exception:
    return ClientError({"Error": {"Code": code, "Message": "with 'a value'"}}, "BatchWriteItem")  # type: ignore[arg-type]


def requests(count: int) -> list[tuple[Any, int]]:
    return [({"PutRequest": {"Item": {"k": {"S": str(n)}}}}, 1) for n in range(count)]


def sent(table: Table, count: int = 5, sure: bool = True) -> Writer:
    time = Time()
    hold = Hold(lambda: 60.0 if sure else 0.0, 60, time.clock)
    writer = Writer(table, WHERE, Pace(1e9, time.clock, time.sleep), hold, time.sleep)
    writer.send(requests(count))
    return writer


@pytest.mark.parametrize(
    "answers",
    [
        (lambda all_of_them: all_of_them[:2],),
        (lambda all_of_them: all_of_them, lambda all_of_them: all_of_them[3:]),
        (fails(client_error("ProvisionedThroughputExceededException")), fails(client_error("ThrottlingException"))),
        (fails(ReadTimeoutError(endpoint_url="x")), fails(client_error("InternalServerError"))),
    ],
)
def test_what_is_left_is_sent_again(answers: Any) -> None:
    """Each item once in the end."""
    table = Table(*answers)
    sent(table)
    assert sorted(str(n) for n in range(5)) == sorted(one["PutRequest"]["Item"]["k"]["S"] for one in table.put)


def test_nothing_is_sent_without_a_hold() -> None:
    """A run that may have been overtaken stops."""
    table = Table()
    with pytest.raises(Stopped, match="hold_lost"):
        sent(table, sure=False)
    assert 0 == table.calls


def test_a_refusal_is_told_without_its_text() -> None:
    """The code is enough; the text may quote a value."""
    with pytest.raises(Stopped, match=r"^refused:AccessDeniedException$"):
        sent(Table(fails(client_error("AccessDeniedException"))))


def test_a_table_that_stays_busy_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five minutes without an item are enough."""
    monkeypatch.setattr(write, "STALLED_S", -1)
    with pytest.raises(Stopped, match="busy"):
        sent(Table(lambda all_of_them: all_of_them))


@given(st.lists(st.tuples(st.integers(1, 400), st.integers(1, 6 << 20)), max_size=80), st.floats(0.5, 2000))
def test_a_call_is_within_the_limits(items: list[tuple[int, int]], units_max: float) -> None:
    """25 requests, 16 MB, and a second's units unless one item alone costs more; no item is left out."""
    grouped = list(batches((({"n": n}, *item) for n, item in enumerate(items)), units_max))
    assert list(range(len(items))) == [request["n"] for batch in grouped for request, _ in batch]
    for batch in grouped:
        assert len(batch) <= 25
        if len(batch) > 1:
            assert sum(units for _, units in batch) <= units_max
            assert sum(items[request["n"]][1] for request, _ in batch) <= 16 << 20


def test_shares_follow_the_work() -> None:
    """The rate is divided by what each writer has to write, so that none waits for a smaller one's rest."""
    reports = [
        Report(n, items=10, bytes=size, item_files=[f"f{n}"]) for n, size in enumerate((90_000, 30_000, 60_000, 0))
    ]
    reports[3].items = 0
    shares = shared_out(reports, "w/", 2, 100)
    assert [(("f0", "w/part=0/"),), (("f2", "w/part=2/"), ("f1", "w/part=1/"))] == [share.items for share in shares]
    assert pytest.approx(100) == sum(share.units_per_s for share in shares)
    assert pytest.approx(0.5, abs=0.02) == shares[0].units_per_s / 100
