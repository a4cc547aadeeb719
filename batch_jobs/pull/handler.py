"""The function that a puller calls: AWS Lambda, with the request and answer of Fivetran's function connector.

    request   {"agent": ..., "state": {...}, "secrets": {"pull": NAME}, "sync_id": ..., "setup_test": true}
    answer    {"state": {...}, "insert": {TABLE: [rows]}, "delete": {TABLE: [rows]}, "schema": {TABLE: {"primary_key": [...]}},
               "hasMore": false}

`state` is {} at first and then what the last answer gave. `secrets` only says which definition is meant, when the function has
several: signing in to Redshift is the function's own affair. A row that is marked as deleted stands, whole, in `delete` and not
in `insert`, as no order between the two is documented. What goes wrong is raised: Lambda then answers with `errorMessage`, which
names identifiers and never values. `setup_test` gives a whole answer without rows, and `success`, `message`, `tests` beside it.
Freshet's own puller also asks for `"describe": true`: the types of the columns.

The definitions are in `pulls.json` beside this module, as JSON: {NAME: definition}, as in sql/pulls/NAME.yaml. `freshet deploy`
puts it into the function's code: all variables of a function together have 4 KB at most.

Environment:
    FRESHET_WORKGROUP  the serverless workgroup
    FRESHET_DATABASE   the database
    FRESHET_SECRET     ARN of a secret to sign in with; without it the function's role does

Source: fivetran.com/docs/connectors/functions/aws-lambda ("Function request and response"); its changelog (`delete` needs
`schema`; `sync_id`; more than ten empty answers in a row end the connection); samples in github.com/fivetran/functions.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import boto3
from botocore.config import Config

from batch_jobs.pull.answer import next_answer, test_table
from batch_jobs.pull.catalogue import find_tables
from batch_jobs.pull.definition import Definition, read_definition
from batch_jobs.pull.state import read_state
from freshet.errors import EnvironmentFault, InputError
from freshet.redshift.data_api import Warehouse

DEFINITIONS: Final = Path(__file__).with_name("pulls.json")
SECRETS_KNOWN: Final = frozenset({"pull"})
Json = dict[str, Any]


def handler(event: Any, context: Any) -> Json:
    """Answer a puller; what AWS Lambda calls.

    Raises:
        FreshetError: The request, the definition or the warehouse is wrong; the message says which.
    """
    began = time.monotonic()
    definitions = _definitions(DEFINITIONS)
    answer = respond(event, definitions, _warehouse(), lambda: context.get_remaining_time_in_millis() / 1000)
    line = {
        "event": "pull",
        "sync_id": _plain(event.get("sync_id")),
        "rows": {name: len(rows) for name, rows in answer["insert"].items()},
        "deleted": {name: len(rows) for name, rows in answer.get("delete", {}).items()},
        "more": answer["hasMore"],
        "seconds": round(time.monotonic() - began, 3),
    }
    sys.stdout.write(json.dumps(line) + "\n")
    return answer


def respond(
    event: Any,
    definitions: Mapping[str, Definition],
    warehouse: Warehouse,
    seconds_left: Callable[[], float] = lambda: float("inf"),
) -> Json:
    """Answer one request; see the module.

    Args:
        event: The request.
        definitions: What may be pulled, by name.
        warehouse: Where it is.
        seconds_left: How long this call may still run.

    Raises:
        InputError: The request is wrong, or the definition does not fit the warehouse.
        TerminalError: A row is larger than an answer.
        EnvironmentFault: The warehouse refuses.
    """
    if not isinstance(event, dict):
        raise InputError("the request is no JSON object with state and secrets")
    definition = _chosen(event.get("secrets"), definitions)
    if event.get("setup_test"):
        return _set_up(event, definition, warehouse)
    state = read_state(event.get("state"), definition)
    return next_answer(warehouse, definition, state, describe=event.get("describe") is True, seconds_left=seconds_left)


def _set_up(event: Json, definition: Definition, warehouse: Warehouse) -> Json:
    read_state(event.get("state"), definition)
    wrong = [test_table(warehouse, definition, number) for number in range(len(definition.tables))]
    if any(wrong):
        raise InputError("; ".join(dict.fromkeys(message for message in wrong if message)))
    tables = find_tables(warehouse, definition.tables)
    return {
        "success": True,
        "message": f"{len(tables)} tables of {definition.name} can be pulled",
        "tests": [
            {"table": table.place, "cursor": table.to_pull.cursor, "keys": list(table.to_pull.keys)} for table in tables
        ],
        "state": event.get("state") or {},
        "insert": {},
        "schema": {table.name: {"primary_key": list(table.to_pull.keys)} for table in tables},
        "hasMore": False,
    }


def _chosen(secrets: Any, definitions: Mapping[str, Definition]) -> Definition:
    if secrets is not None and not isinstance(secrets, dict):
        raise InputError('secrets is no JSON object: give {} or {"pull": NAME}')
    unknown = sorted(str(name) for name in (secrets or {}) if name not in SECRETS_KNOWN)
    if unknown:
        raise InputError(f"secrets holds {_plain(unknown[0])}, which this function does not take: give only pull")
    name = (secrets or {}).get("pull")
    if name is None and len(definitions) == 1:
        return next(iter(definitions.values()))
    if not isinstance(name, str) or name not in definitions:
        said = "names no pull" if name is None else "names an unknown pull"
        raise InputError(f"secrets {said}: write pull with one of {', '.join(sorted(definitions))}")
    return definitions[name]


@lru_cache(maxsize=1)
def _definitions(file: Path) -> Mapping[str, Definition]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        content = None
    if not isinstance(content, dict) or not content:
        raise EnvironmentFault(
            f"{file.name} with what may be pulled, as JSON of the form {{NAME: definition}}, is not in the function's code: "
            "freshet deploy puts it there"
        )
    return {name: read_definition(name, body) for name, body in content.items()}


@lru_cache(maxsize=1)
def _warehouse() -> Warehouse:
    missing = [name for name in ("FRESHET_WORKGROUP", "FRESHET_DATABASE") if not os.environ.get(name)]
    if missing:
        raise EnvironmentFault(f"{missing[0]} is not set on the function")
    client = boto3.client("redshift-data", config=Config(retries={"mode": "standard", "total_max_attempts": 3}))
    secret = os.environ.get("FRESHET_SECRET") or None
    return Warehouse(client, os.environ["FRESHET_WORKGROUP"], os.environ["FRESHET_DATABASE"], secret)


def _plain(value: Any) -> str:
    """Keep what an identifier may hold, for a log or a message."""
    return re.sub(r"[^\w.:-]", "?", str(value))[:64] if value is not None else ""
