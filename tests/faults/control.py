"""The sandbox's own switches, outside the AWS protocol: faults, and retention that comes at once."""

import json
import urllib.request
from typing import Any


def inject(endpoint_url: str, **fault: Any) -> None:
    _post(endpoint_url + "/_sandbox/faults", fault)


def injected(endpoint_url: str) -> int:
    with urllib.request.urlopen(endpoint_url + "/_sandbox/faults") as answer:
        return sum(json.load(answer)["injected"].values())


def forget(endpoint_url: str, stream: str) -> None:
    """Let a stream forget all its records, as retention would."""
    _post(endpoint_url + "/_sandbox/trim", {"stream": stream, "older_than_s": 0})


def _post(url: str, body: dict[str, Any]) -> None:
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"Content-Type": "application/json"}, method="POST"
    )
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 200
