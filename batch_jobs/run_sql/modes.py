"""What a file may hold that runs as one transaction, and what one that runs statement by statement.

The Data API would find out too, but half-way, and with a message that does not tell what to do.

Reads:  the statements of a file.
Gives:  nothing; or the first statement that cannot run so, with its line and the way on.

Source: Redshift management guide, "Using the Amazon Redshift Data API" (a batch is one transaction; without a session each
statement has its own connection); database developer guide, "BEGIN", "TRUNCATE", "VACUUM", "CREATE EXTERNAL TABLE",
"ALTER TABLE", "ALTER TABLE APPEND", "CREATE DATABASE", "CREATE LIBRARY", "SVL_MULTI_STATEMENT_VIOLATIONS".
"""

from collections.abc import Sequence

from batch_jobs.run_sql.statements import Statement, WrongFile

STATEMENTS_MAX = 40
STATEMENT_BYTES_MAX = 100_000
TRANSACTION, EACH = "transaction", "statement by statement"
MODES = {"transaction": TRANSACTION, "each": EACH}  # as the job's argument is written
_CONTROL = {"begin", "start", "commit", "end", "rollback", "abort", "savepoint", "release"}
_ALONE = (
    ("vacuum",),
    ("create", "database"), ("alter", "database"), ("drop", "database"),
    ("create", "library"), ("create", "or", "replace", "library"), ("drop", "library"),
    ("create", "external", "table"),
)  # fmt: skip
_ALONE_ALTERS = (("append", "from"), ("add", "partition"), ("add", "if", "not", "exists", "partition"), ("drop", "partition"),
                 ("set", "location"), ("set", "file", "format"))  # fmt: skip
_FOR_LATER = {"set", "reset", "prepare", "declare", "lock"}
_TEMPORARY = (
    ("create", "temp"), ("create", "temporary"), ("create", "local"), ("create", "table", "#"),
    ("create", "table", "if", "not", "exists", "#"),
)  # fmt: skip


def check_mode(statements: Sequence[Statement], mode: str) -> None:
    """See that the statements can run in this mode.

    Args:
        statements: All of a file.
        mode: TRANSACTION or EACH.

    Raises:
        WrongFile: Says the line, and what to do.
    """
    if not statements:
        raise WrongFile("there is no statement in it")
    for statement in statements:
        if statement.words[:1] and statement.words[0] in _CONTROL:
            raise _wrong(
                statement,
                "cannot be sent, each call of the Data API is a transaction of its own: take it out, and choose "
                "--transaction or --statement-by-statement",
            )
        if mode == TRANSACTION:
            _check_in_transaction(statement)
        else:
            _check_alone(statement)
    if mode == TRANSACTION and len(statements) > STATEMENTS_MAX:
        raise WrongFile(
            f"{len(statements)} statements do not fit into one transaction of the Data API, which takes {STATEMENTS_MAX}: "
            "cut the file in two, or say --statement-by-statement"
        )


def check_sizes(statements: Sequence[Statement], texts: Sequence[str]) -> None:
    """See that no statement is longer than the Data API takes, its parameters included.

    Raises:
        WrongFile: Says the line and the size.
    """
    for statement, text in zip(statements, texts):
        size = len(text.encode())
        if size > STATEMENT_BYTES_MAX:
            raise _wrong(statement, f"has {size} bytes, and the Data API takes {STATEMENT_BYTES_MAX}")


def _check_in_transaction(statement: Statement) -> None:
    words = statement.words
    if words[:1] == ["truncate"]:
        raise _wrong(statement, "would commit what came before it: write DELETE FROM, or say --statement-by-statement")
    alters = words[:2] == ["alter", "table"] and any(_holds(words, some) for some in _ALONE_ALTERS)
    if alters or any(tuple(words[: len(some)]) == some for some in _ALONE):
        raise _wrong(statement, "cannot run within a transaction: say --statement-by-statement")


def _check_alone(statement: Statement) -> None:
    words = statement.words
    if (words[:1] and words[0] in _FOR_LATER) or any(tuple(words[: len(some)]) == some for some in _TEMPORARY):
        raise _wrong(
            statement,
            "would be forgotten at once, statement by statement each has a connection of its own: say --transaction",
        )


def _holds(words: Sequence[str], some: "tuple[str, ...]") -> bool:
    return any(tuple(words[place : place + len(some)]) == some for place in range(2, len(words)))


def _wrong(statement: Statement, what: str) -> WrongFile:
    return WrongFile(f"statement {statement.number} ({statement.title}) {what}", statement.line)
