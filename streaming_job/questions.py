"""What a round asks of the world, each question a value: the job answers it with MySQL, a test with a model.

A round decides what is asked next and what follows from the answer, and knows nothing else. So its order - pages, then the
probe, then the rows - is written once and can be run without a database.

Gives:  one class a question, with the form of its answer.
"""

from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias

from freshet.ledger.keys import Key


class Limits(NamedTuple):
    """What every statement at the source keeps to.

    Attributes:
        statement_s: The server ends the statement after that; an application's statement may wait behind ours no longer.
        lock_wait_s: Ours waits behind a metadata lock no longer.
        buffered: The result is fetched whole, so no cursor stays open.
        autocommit: Each statement is its own transaction and sees what is visible now, not what was when a transaction began.
    """

    statement_s: float | None = 2.0
    lock_wait_s: float = 1.0
    buffered: bool = True
    autocommit: bool = True


LIMITS: Final = Limits()


def limits() -> Limits:
    """Give the limits of the next statement."""
    return LIMITS


@dataclass(frozen=True)
class Look:
    """What does the source look like? Answer: `Sight`."""


@dataclass(frozen=True)
class Sight:
    """Server, and for each used table its generation, as `freshet.ledger.commit.Seen` keeps them.

    Attributes:
        server: `server_uuid`; MariaDB: `server_uid`.
        read_only: A server that takes no writes may lag.
        tables: Table name and generation: CREATE_TIME, columns, key, InnoDB's table id where it may be read.
    """

    server: str
    read_only: bool
    tables: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class SkipLocked:
    """Which of these rows does no transaction hold? `FOR SHARE SKIP LOCKED`. Answer: keys; if not all, as the source spells."""

    table: str
    keys: tuple[Key, ...]
    limits: Limits


@dataclass(frozen=True)
class NoWait:
    """Does a transaction hold any of these keys? `FOR SHARE NOWAIT`. Answer: True if one is held (error 3572 or 1205)."""

    table: str
    keys: tuple[Key, ...]
    limits: Limits


@dataclass(frozen=True)
class Wait:
    """Let some seconds go by. No answer."""

    seconds: float


@dataclass(frozen=True)
class Referring:
    """Which rows refer to these keys through an alias? Answer: at most `limit` keys of the referring table after `after`, in
    MySQL's order; None if they do not come within a statement's time, never for a single key.

    The referring column is compared with the keys. The table of the keys is not in the statement: its row may be gone.
    """

    alias: str
    keys: tuple[Key, ...]
    after: Key | None
    limit: int
    limits: Limits


@dataclass(frozen=True)
class FactKeys:
    """The fact's next keys. Answer: at most `limit` keys after `after`, in MySQL's order."""

    after: Key | None
    limit: int
    limits: Limits


@dataclass(frozen=True)
class TargetKeys:
    """The next keys that the warehouse holds: the target's, and the quarantined ones, whose rows may be gone from the source
    too.

    Answer: at most `limit` keys after `after`, in the order of the UNLOAD that holds them.
    """

    after: Key | None
    limit: int


class Asked(NamedTuple):
    """One key to read, and how.

    Attributes:
        key: In the warehouse's form.
        moved: A row that is gone is removed in every mode of deletes.
        forced: A row that is there is written even if the target has it.
    """

    key: Key
    moved: bool
    forced: bool


@dataclass(frozen=True)
class Rows:
    """Read these keys and stage what becomes of them, a task a piece. Answer: `StagedRows`."""

    tasks: tuple[tuple[Asked, ...], ...]


@dataclass(frozen=True)
class StagedRows:
    """What tasks staged.

    Attributes:
        staged: The rows, or in the job the manifest that names what tasks returned.
        rows: How many.
    """

    staged: object
    rows: int


@dataclass(frozen=True)
class Answer:
    """The answer to any question.

    Attributes:
        value: As the question's class says.
        servers: (server, read_only), as every statement at the source tells of the server that answered it; empty if none was
        asked.
    """

    value: Any
    servers: frozenset[tuple[str, bool]] = frozenset()


Question: TypeAlias = Look | SkipLocked | NoWait | Wait | Referring | FactKeys | TargetKeys | Rows
