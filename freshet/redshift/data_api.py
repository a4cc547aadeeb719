"""The Redshift Data API, with every answer taken at its word and no more.

A statement is submitted, goes on by itself, and is asked about. What was not answered is not known: `UnknownOutcome` says
so, and the ledger decides (see `ledger.py`). SQL errors are not exceptions of the API but a status. It runs on Python 3.9 too,
as AWS Glue's Python shell has it.

Source: Redshift Management Guide, "Using the Amazon Redshift Data API"; limits in aws "Considerations" there.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from freshet.errors import EnvironmentFault, FreshetError, InputError, TransientError
from freshet.unsent import unsent

STATEMENTS_MAX: Final = 40
STATEMENT_BYTES_MAX: Final = 100_000
LONG_POLL_S: Final = 5
POLL_MAX_S: Final = 0.5
READS_MAX: Final = 5
CANCEL_MAX_S: Final = 30.0
MESSAGE_MAX: Final = 500
DONE: Final = frozenset({"FINISHED", "FAILED", "ABORTED"})
THROTTLED: Final = frozenset(
    {
        "ThrottlingException",
        "ActiveStatementsExceededException",
        "ActiveSessionsExceededException",
        "InternalServerException",
    }
)
SUBMITS: Final = frozenset({"execute_statement", "batch_execute_statement"})
# Redshift enforces no unique constraint but its catalog's: two that make the same thing at once.
CONFLICT: Final = re.compile(
    r"\b1023\b|\b1018\b|[Ss]erializable isolation|conflict with concurrent|deadlock|violates unique constraint"
)
# The names of a statement, and what is none: strings, comments, $$ bodies.
NAMES: Final = re.compile(
    r"""(?s)'(?:''|\\.|[^'\\])*'|--[^\n]*|/\*.*?\*/|\$(\w*)\$.*?\$\1\$|(?P<name>"[^"]*"|[\w$]+)"""
)
WORDS: Final = re.compile(r"[\w$]+")

Row = dict[str, Any]
Answer = TypeVar("Answer")


class UnknownOutcome(TransientError):
    """The statement may or may not have run: no answer came."""


class Cancelled(FreshetError):
    """We cancelled the statement because we were asked to stop.

    Attributes:
        certain: Whether Redshift says that nothing was changed; else the outcome is the ledger's.
    """

    def __init__(self, message: str, certain: bool) -> None:
        self.certain = certain
        super().__init__(message)


class StatementFailed(FreshetError):
    """Redshift refused a statement and rolled everything back.

    Attributes:
        number: Which statement of the batch, from 1; None when unknown.
        reason: Redshift's message with quoted values taken out.
        conflict: True when another transaction was in the way, so that the same may pass later.
    """

    def __init__(self, statement_id: str, number: int | None, reason: str, sent: str = "") -> None:
        made_meanwhile = "already exists" in reason and re.search(r"(?i)\bif\s+not\s+exists\b", sent)
        self.number, self.reason = number, reason
        self.conflict = bool(CONFLICT.search(reason) or made_meanwhile)
        place = f"statement {number}" if number else "statement"
        super().__init__(f"Redshift refused {place} of {statement_id}: {reason}")


@dataclass
class Spent:
    """Seconds spent in waiting for the Data API."""

    seconds: float = 0.0


@dataclass(frozen=True)
class Part:
    """What one statement did: rows changed or returned (None when Redshift does not tell), seconds in Redshift."""

    number: int
    rows: int | None
    seconds: float


Told = Callable[[Part], None]


@dataclass(frozen=True)
class Warehouse:
    """A workgroup and database to talk to, through a boto3 `redshift-data` client.

    Attributes:
        client: The client.
        workgroup: Name of the serverless workgroup.
        database: The database.
        secret: Name or ARN of the secret to sign in with; without one the caller's own identity does.
        spent: Seconds spent in waiting.
    """

    client: Any
    workgroup: str
    database: str
    secret: str | None = None
    spent: Spent = field(default_factory=Spent, compare=False)

    def run(
        self,
        statements: Sequence[str],
        *,
        token: str | None = None,
        stopping: Callable[[], bool] = lambda: False,
        told: Told = lambda _part: None,
    ) -> str:
        """Run statements in one transaction and wait for the end.

        Args:
            statements: 1 to 40, each at most 100 KB; no BEGIN or COMMIT.
            token: Idempotency token; the same one never runs twice (for 8 hours). One is made up when not given.
            stopping: Asked while waiting; once it answers True the statement is cancelled.
            told: Called with each statement as it ends; of a transaction nothing is committed before the last.

        Returns:
            The statement's id; its sub-statements are `<id>:1`, `<id>:2`...

        Raises:
            StatementFailed: Redshift refused; nothing was changed.
            UnknownOutcome: No answer; it may have run, or may still run.
            Cancelled: `stopping` answered True.
            EnvironmentFault: The workgroup, the database or our rights are not there.
            TerminalError: boto3 here does not know a parameter; nothing was sent.
        """
        check_limits(statements)
        extra = {"ClientToken": token} if token else {}
        answer = self._ask("batch_execute_statement", **self._where, Sqls=list(statements), **extra)
        self._wait(str(answer["Id"]), statements, stopping, told)
        return str(answer["Id"])

    def run_alone(
        self,
        statement: str,
        *,
        token: str | None = None,
        stopping: Callable[[], bool] = lambda: False,
        told: Told = lambda _part: None,
    ) -> str:
        """Run one statement outside of a transaction block, as VACUUM or CREATE EXTERNAL TABLE ask for; else as `run`."""
        check_limits([statement])
        extra = {"ClientToken": token} if token else {}
        answer = self._ask("execute_statement", **self._where, Sql=statement, **extra)
        self._wait(str(answer["Id"]), [statement], stopping, told)
        return str(answer["Id"])

    @property
    def _where(self) -> dict[str, str]:
        secret = {"SecretArn": self.secret} if self.secret else {}
        return {"WorkgroupName": self.workgroup, "Database": self.database, **secret}

    def query(self, sql: str, parameters: dict[str, str] | None = None) -> list[Row]:
        """Run one SELECT and give its rows; reads are repeated when no answer came.

        Args:
            sql: One statement.
            parameters: Values of its `:name` placeholders.

        Returns:
            One dict a row, column names as Redshift folds them; decimals, dates and timestamps as text.
        """
        return self.query_with_columns(sql, parameters)[1]

    def query_with_columns(self, sql: str, parameters: dict[str, str] | None = None) -> tuple[list[str], list[Row]]:
        """As `query`, with the column names first: an empty result has them too."""
        check_limits([sql])
        extra = {"Parameters": [{"name": k, "value": v} for k, v in parameters.items()]} if parameters else {}

        def ask() -> tuple[list[str], list[Row]]:
            answer = self._ask("execute_statement", **self._where, Sql=sql, **extra)
            self._wait(str(answer["Id"]), [sql])
            return self._result(str(answer["Id"]))

        return patiently(ask)

    def pages(self, sql: str, parameters: dict[str, str] | None = None) -> Iterator[list[list[Any]]]:
        """Run one SELECT and give its rows page by page, as the Data API cuts them; what is not asked for is not fetched.

        Args:
            sql: One statement.
            parameters: Values of its `:name` placeholders.

        Yields:
            Rows as lists of values, in the order of the columns; no page when there are no rows.
        """
        check_limits([sql])
        extra = {"Parameters": [{"name": k, "value": v} for k, v in parameters.items()]} if parameters else {}

        def ask() -> str:
            answer = self._ask("execute_statement", **self._where, Sql=sql, **extra)
            self._wait(str(answer["Id"]), [sql])
            return str(answer["Id"])

        for page in self._pages(patiently(ask)):
            if page["Records"]:
                yield [list(map(_value, record)) for record in page["Records"]]

    def locked_query(self, lock: str, sql: str) -> list[Row]:
        """Run one SELECT after waiting for every transaction that holds a lock on a table."""

        return self.locked_queries(lock, [sql])[0]

    def locked_queries(self, lock: str, queries: Sequence[str]) -> list[list[Row]]:
        """Run SELECTs as of one moment, after waiting for every transaction that holds a lock on a table."""

        def ask() -> list[list[Row]]:
            statement = self.run([f"lock {lock}", *queries])
            return [self._result(f"{statement}:{number}")[1] for number in range(2, len(queries) + 2)]

        return patiently(ask)

    def rows_of(self, statement: str, number: int) -> list[Row]:
        """Give the rows of one statement of a transaction that `run` gave the id of."""
        return patiently(lambda: self._result(f"{statement}:{number}")[1])

    def _wait(
        self,
        statement: str,
        sent: Sequence[str],
        stopping: Callable[[], bool] = lambda: False,
        told: Told = lambda _part: None,
    ) -> None:
        number = 0
        for state in self._states(statement, stopping):
            parts = state.get("SubStatements") or [state]
            while number < len(parts) and parts[number]["Status"] == "FINISHED":
                number += 1
                told(_part(number, parts[number - 1]))
        if state["Status"] != "FINISHED":
            failed, reason = _failure(state)
            text = "" if failed is None else sent[failed - 1]
            raise StatementFailed(statement, failed, without_values(reason, text), text)

    def _states(self, statement: str, stopping: Callable[[], bool]) -> Iterator[Any]:
        asked, cancelled_at = 0, 0.0
        while True:
            wait = {"WaitTimeSeconds": 1 if cancelled_at or stopping() else LONG_POLL_S} if self._polls_long else {}
            state = self._ask("describe_statement", Id=statement, **wait)
            if cancelled_at and _was_cancelled(state):
                raise Cancelled(f"statement {statement} was cancelled; nothing was changed", certain=True)
            yield state
            if state["Status"] in DONE:
                return
            if stopping() and not cancelled_at:
                cancelled_at = time.monotonic()
                self._cancel(statement)
            elif cancelled_at and time.monotonic() - cancelled_at > CANCEL_MAX_S:
                raise Cancelled(
                    f"statement {statement} was told to stop and goes on: it may still be carried out", certain=False
                )
            if not self._polls_long:
                pause_s = min(POLL_MAX_S, 0.05 * 1.5**asked)
                time.sleep(pause_s)
                self.spent.seconds += pause_s
                asked += 1

    def _cancel(self, statement: str) -> None:
        with suppress(FreshetError):  # it has just ended, or nobody answers: the next look tells
            self._ask("cancel_statement", Id=statement)

    @property
    def _polls_long(self) -> bool:
        """Whether boto3 knows the long poll: that of Glue 6.0, 1.42.84, does not."""
        shape = self.client.meta.service_model.operation_model("DescribeStatement").input_shape
        return "WaitTimeSeconds" in shape.members

    def _result(self, statement: str) -> tuple[list[str], list[Row]]:
        names: list[str] = []
        rows: list[Row] = []
        for page in self._pages(statement):
            names = [str(column["name"]) for column in page["ColumnMetadata"]]
            rows += [dict(zip(names, map(_value, record))) for record in page["Records"]]
        return names, rows

    def _pages(self, statement: str) -> Iterator[Any]:
        following: dict[str, str] = {}
        while True:
            page = self._ask("get_statement_result", Id=statement, **following)
            yield page
            if not page.get("NextToken"):
                return
            following = {"NextToken": page["NextToken"]}

    def _ask(self, operation: str, **arguments: Any) -> Any:
        began = time.perf_counter()
        try:
            return self._ask_again(operation, **arguments)
        finally:
            self.spent.seconds += time.perf_counter() - began

    def _ask_again(self, operation: str, **arguments: Any) -> Any:
        for attempt in range(8):
            try:
                return getattr(self.client, operation)(**arguments)
            except ClientError as error:
                code = error.response["Error"]["Code"]
                if code not in THROTTLED:
                    raise _refusal(operation, code, error, self.workgroup) from None
                if attempt == 7:
                    raise UnknownOutcome(f"the Data API kept answering {code} to {operation}") from None
            except ParamValidationError as error:  # it was never sent, and would be refused for ever
                raise unsent(error, operation) from None
            except BotoCoreError as error:
                if attempt < 4 and operation not in SUBMITS:
                    pause(attempt)
                    continue
                raise UnknownOutcome(f"the Data API did not answer {operation} ({type(error).__name__})") from None
            pause(attempt)
        raise AssertionError("unreachable")


def check_limits(statements: Sequence[str]) -> None:
    """Refuse what the Data API would refuse: 40 statements, 100 KB each.

    Raises:
        InputError: Says which statement is too long, or how many there are.
    """
    if len(statements) > STATEMENTS_MAX:
        raise InputError(
            f"{len(statements)} statements do not fit into one transaction of the Data API (at most {STATEMENTS_MAX})"
        )
    for number, statement in enumerate(statements, 1):
        size = len(statement.encode())
        if size > STATEMENT_BYTES_MAX:
            raise InputError(
                f"statement {number} has {size} bytes; the Data API takes {STATEMENT_BYTES_MAX}: use fewer columns"
            )


def patiently(ask: Callable[[], Answer]) -> Answer:
    """Do what may be done twice (ask a question, make what is missing) up to five times, until an answer comes."""
    for attempt in range(READS_MAX - 1):
        try:
            return ask()
        except UnknownOutcome:
            pass
        except StatementFailed as failed:
            if not failed.conflict:
                raise
        pause(attempt)
    return ask()


def pause(attempt: int) -> None:
    """Wait before another attempt: 0.1 s doubling up to 5 s, with jitter so that two jobs do not keep in step."""
    time.sleep(min(5.0, 0.1 * 2**attempt) * random.uniform(0.5, 1.0))  # noqa: S311 - not a secret


def without_values(message: str, sent: str = "") -> str:
    """Take what may be a value out of a message of Redshift.

    Args:
        message: As it came.
        sent: The statement. Text in double quotes may be a value too, and stays only if the statement has such a name.

    Returns:
        One line, without text in single quotes and without rows.
    """
    message = message.split("Failing row contains", 1)[0]
    names = {name.lower() for found in NAMES.finditer(sent) if found["name"] for name in WORDS.findall(found["name"])}
    # A quote ends where no word goes on: 'O'Brien' is one value.
    message = re.sub(r"(?s)(?<!\w)'.*?'(?!\w)", "'...'", message)
    message = re.sub(r"(?s)'(?!\.\.\.')[^']*'", "'...'", message)
    message = re.sub(r'(?s)"(.*?)"(?!\w)', lambda quoted: quoted[0] if _is_name(quoted[1], names) else '"..."', message)
    message = re.sub(r"(?s)=\(.*\)", "=(...)", message)  # Key (column)=(value)
    return re.sub(r"\s+", " ", message).strip()[:MESSAGE_MAX]


def _is_name(quoted: str, names: set[str]) -> bool:
    return not re.search(r"\s", quoted) and all(word in names for word in WORDS.findall(quoted.lower()))


def _part(number: int, state: Any) -> Part:
    rows = int(state.get("ResultRows", -1))
    return Part(number, rows if rows >= 0 else None, max(0, state.get("Duration", 0)) / 1e9)


def _was_cancelled(state: Any) -> bool:
    return state["Status"] == "ABORTED" or (state["Status"] == "FAILED" and "cancel" in str(state.get("Error")).lower())


def _failure(state: Any) -> tuple[int | None, str]:
    parts = state.get("SubStatements", ())
    for number, part in enumerate(parts, 1):
        if part.get("Error"):
            return number, part["Error"]
    return None if parts else 1, state.get("Error") or f"status {state['Status']} without a message"


def _refusal(operation: str, code: str, error: ClientError, workgroup: str) -> FreshetError:
    missing = code == "ValidationException" and "doesn't exist" in error.response["Error"].get("Message", "")
    if missing or code in {"ResourceNotFoundException", "AccessDeniedException", "UnrecognizedClientException"}:
        return EnvironmentFault(
            f"the Data API refused {operation} on workgroup {workgroup} ({code}): check the workgroup and the role's rights"
        )
    return FreshetError(
        f"the Data API refused {operation} ({code}): {without_values(error.response['Error'].get('Message', ''))}"
    )


def _value(field: dict[str, Any]) -> Any:
    return None if field.get("isNull") else next(iter(field.values()))
