"""A puller: call the function until it has nothing more, and keep a copy.

Reads:  the function, here or on AWS Lambda.
Gives:  a folder with the copy; counts.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from batch_jobs.pull.answer import ANSWER_BYTES_MAX, encoded_size
from batch_jobs.pull.copy_folder import CopyFolder
from batch_jobs.pull.definition import Definition
from batch_jobs.pull.handler import respond
from freshet.errors import EnvironmentFault, FreshetError, InputError, TerminalError
from freshet.redshift.data_api import Warehouse

Json = dict[str, Any]
Call = Callable[[Json], Json]
AGENT = "freshet pull"
ERRORS = {error.__name__: error for error in (InputError, EnvironmentFault, TerminalError)}


@dataclass
class Pulled:
    """What a pull has done: rows given, rows deleted, bytes of the files, answers, and the rows of each table's copy."""

    rows: int = 0
    deleted: int = 0
    bytes: int = 0
    answers: int = 0
    tables: dict[str, int] = field(default_factory=dict)


def pull(call: Call, folder: CopyFolder, told: Callable[[Pulled, int, int], None]) -> Pulled:
    """Pull until there is nothing more, then merge.

    Args:
        call: Sends one request and gives its answer.
        folder: The copy.
        told: Called after each answer that is kept, with the sums, and the rows and bytes of this answer.
    """
    pulled, sync = Pulled(), str(uuid.uuid4())
    more = True
    while more:
        answer = call({**request(folder.pull), "state": folder.state, "sync_id": sync, "describe": True})
        size = folder.keep(answer)
        rows, deleted = (sum(map(len, answer[part].values())) for part in ("insert", "delete"))
        pulled.rows, pulled.deleted = pulled.rows + rows, pulled.deleted + deleted
        pulled.bytes, pulled.answers = pulled.bytes + size, pulled.answers + 1
        told(pulled, rows + deleted, size)
        more = answer["hasMore"]
    pulled.tables = folder.merge()
    return pulled


def request(name: str) -> Json:
    """Write a request for a pull, without a state."""
    return {"agent": AGENT, "state": {}, "secrets": {"pull": name}}


def in_process(warehouse: Warehouse, definitions: Mapping[str, Definition]) -> Call:
    """Give a call of the function in this process, through JSON and its limit, as on AWS Lambda."""

    def call(event: Json) -> Json:
        answer = respond(json.loads(json.dumps(event)), definitions, warehouse)
        size = encoded_size(answer)
        if size > ANSWER_BYTES_MAX:
            raise TerminalError(f"an answer has {size:,} bytes, more than AWS Lambda's {ANSWER_BYTES_MAX:,}")
        return dict(json.loads(json.dumps(answer, ensure_ascii=False)))

    return call


def on_lambda(client: Any, function: str) -> Call:
    """Give a call of the function on AWS Lambda, through a boto3 `lambda` client.

    The call raises what the function raised, as far as its errors are ours; of another only the kind is told.

    Source: AWS Lambda API reference, "Invoke" (`FunctionError`).
    """

    def call(event: Json) -> Json:
        answer = client.invoke(FunctionName=function, Payload=json.dumps(event).encode())
        try:
            content = json.loads(answer["Payload"].read())
        except ValueError:
            content = None
        if answer.get("FunctionError"):
            told = content if isinstance(content, dict) else {}
            kind = str(told.get("errorType", "unknown"))
            if kind in ERRORS or kind == FreshetError.__name__:
                raise ERRORS.get(kind, FreshetError)(str(told.get("errorMessage")))
            raise FreshetError(f"the function {function} failed ({kind}): see its log")
        if not isinstance(content, dict):
            raise InputError(f"the function {function} gave no JSON object: is it Freshet's?")
        return content

    return call
