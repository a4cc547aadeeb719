"""Requests of others are objects in S3: listed now and then, taken as a whole, deleted once they are pending work."""

import json
import logging
import uuid
from typing import Any

import pytest

from freshet.cli.context import Place
from freshet.ledger.commit import Outcome
from freshet.ledger.keys import encoded
from freshet.ledger.pending import Entry, What
from freshet.ledger.requests import entries, may_be_deleted
from streaming_job import requests as module
from streaming_job.requests import Requests


@pytest.fixture
def requests(place: Place) -> Requests:
    """The requests for a pipeline of its own."""
    return Requests(place.client("s3"), place.endpoints["staging_bucket"], f"{uuid.uuid4()}/orders/requests")


def ask(requests: Requests, name: str, body: object) -> str:
    key = f"{requests.prefix}/{name}.json"
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    requests.s3.put_object(Bucket=requests.bucket, Key=key, Body=text)
    return key


def test_requests_become_pending_work_and_then_go(requests: Requests) -> None:
    """Keys are read whatever the target has; a sweep has two sides; another pipeline's requests are its own."""
    other = Requests(requests.s3, requests.bucket, requests.prefix.replace("orders", "orders2"))
    keys = ask(requests, "a", {"what": "keys", "keys": [encoded((1, "x  ")), encoded((2, "y"))]})
    sweep = ask(requests, "b", {"what": "sweep"})
    theirs = ask(other, "a", {"what": "sweep"})
    found = requests.found()
    assert {keys, sweep} == found.keys()
    assert [Entry(What.KEY, key=(1, "x"), forced=True), Entry(What.KEY, key=(2, "y"), forced=True)] == list(found[keys])
    assert {What.FACTS, What.TARGET} == {entry.what for entry in found[sweep]}
    requests.delete(list(found))
    assert {} == requests.found(at_once=True)
    assert {theirs} == other.found().keys()


def test_an_idle_job_lists_every_ten_seconds(requests: Requests, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each list is a call that costs; and whoever waits for an answer may ask at once."""
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    assert {} == requests.found()
    asked = ask(requests, "a", {"what": "sweep"})
    now[0] += 9.9
    assert {} == requests.found()
    assert {asked} == requests.found(at_once=True).keys()
    now[0] += 9.9
    assert {} == requests.found()
    now[0] += 0.2
    assert {asked} == requests.found().keys()


WRONG: list[Any] = [b"\xff", b"{", [], {}, {"what": "drop"}, {"what": "keys"}, {"what": "keys", "keys": ["no key"]},
                    {"what": "keys", "keys": 5}, {"what": "keys", "keys": [encoded((1,)), 7]}]  # fmt: skip


@pytest.mark.parametrize("body", WRONG)
def test_what_is_no_request_stays_and_stops_nothing(
    requests: Requests, body: object, caplog: pytest.LogCaptureFixture
) -> None:
    """It is named in the log, and nothing of it is taken; the others are."""
    wrong = ask(requests, "a", body)
    right = ask(requests, "b", {"what": "sweep"})
    with caplog.at_level(logging.ERROR):
        assert {right} == requests.found().keys()
    assert [f"the request {wrong} cannot be read and is left where it is"] == [
        record.message for record in caplog.records
    ]
    assert wrong in {
        each["Key"] for each in requests.s3.list_objects_v2(Bucket=requests.bucket, Prefix=requests.prefix)["Contents"]
    }


def test_a_request_without_keys_asks_for_nothing() -> None:
    """And is answered."""
    assert [] == list(entries(b'{"what": "keys", "keys": []}'))


@pytest.mark.parametrize(
    ("expected", "outcome"),
    [(True, Outcome.COMMITTED), (False, Outcome.SEND_AGAIN), (False, Outcome.STALE), (False, None)],
)
def test_a_request_goes_once_its_commit_is_known_to_be_made(expected: bool, outcome: Outcome | None) -> None:
    """Before that a crash would lose it; after it, it is only asked twice."""
    assert expected == may_be_deleted(outcome)
