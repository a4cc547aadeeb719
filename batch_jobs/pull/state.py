"""The state that a puller keeps for us between two calls: how far each table was read.

It holds cursor values and the key of the last row given, so whoever keeps it keeps it as he keeps the rows. No name of it ever
reaches SQL. Its check finds what was cut, mixed up or edited; it is no signature.

Reads and gives:  JSON.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from batch_jobs.pull.definition import Definition
from freshet.errors import InputError

VERSION: Final = 1


@dataclass
class Round:
    """The table that is being read.

    Attributes:
        table: Its name in the answer.
        now: The warehouse's clock when its reading began, UTC, as text.
        low: The first cursor value that is read; None: all.
        after: Cursor and key of the last row given; None before the first.
    """

    table: str
    now: str
    low: str | None
    after: list[Any] | None = None


@dataclass
class State:
    """How far each table was read, by its name in the answer: the highest cursor value that counts.

    `done` are the tables that this round has read; `round` is the one that it is reading.
    """

    high: dict[str, str] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)
    round: Round | None = None


def read_state(content: Any, definition: Definition) -> State:
    """Read what the puller has kept.

    Args:
        content: An empty object, or one that `write_state` gave.
        definition: The definition that is being pulled.

    Raises:
        InputError: It is another version's, another definition's, or was changed.
    """
    if content is None or content == {}:
        return State()
    again = "start anew with an empty state (in Fivetran: re-sync; with `freshet pull`: an empty folder)"
    if not isinstance(content, Mapping) or "freshet_pull" not in content:
        raise InputError(f"the state is not one that this function gave: {again}")
    if content["freshet_pull"] != VERSION:
        raise InputError(
            f"the state is of version {str(content['freshet_pull'])[:20]}, and this function writes {VERSION}: {again}"
        )
    if content.get("check") != _check(content):
        raise InputError(f"the state was changed or cut since this function gave it: take the one before, or {again}")
    if content["pull"] != definition.name:
        raise InputError(f"the state belongs to another pull than {definition.name}: one puller, one pull; or {again}")
    digests = {table.name: table.digest for table in definition.tables}
    state = State()
    for name, kept in content["tables"].items():
        if name not in digests:
            continue  # no longer pulled
        if kept["digest"] != digests[name]:
            raise InputError(
                f"the state of {name} was written for another table, cursor or key than the definition now has: {again}"
            )
        if kept["high"] is not None:
            state.high[name] = kept["high"]
    state.done = [name for name in content["done"] if name in digests]
    reading = content["round"]
    if reading is not None and reading["table"] in digests:
        state.round = Round(reading["table"], reading["now"], reading["low"], reading["after"])
    return state


def write_state(state: State, definition: Definition) -> dict[str, Any]:
    """Give what the puller shall keep."""
    reading = state.round
    content: dict[str, Any] = {
        "freshet_pull": VERSION,
        "pull": definition.name,
        "tables": {
            table.name: {"digest": table.digest, "high": state.high.get(table.name)}
            for table in definition.tables
            if table.name in state.high or table.name in state.done or (reading and reading.table == table.name)
        },
        "done": list(state.done),
        "round": reading and {"table": reading.table, "now": reading.now, "low": reading.low, "after": reading.after},
    }
    return {**content, "check": _check(content)}


def _check(content: Mapping[str, Any]) -> str:
    told = {name: value for name, value in content.items() if name != "check"}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
