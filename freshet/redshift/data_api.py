"""The Redshift Data API, with every answer taken at its word and no more.

A statement is submitted, goes on by itself, and is asked about. What was not answered is not known: `UnknownOutcome` says
so, and the ledger decides (see `ledger.py`). SQL errors are not exceptions of the API but a status.

Source: Redshift Management Guide, "Using the Amazon Redshift Data API"; limits in aws "Considerations" there.
"""

import random
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from freshet.errors import EnvironmentFault, FreshetError, InputError, TransientError

STATEMENTS_MAX: Final = 40
STATEMENT_BYTES_MAX: Final = 100_000
LONG_POLL_S: Final = 5
POLL_MAX_S: Final = 0.5
READS_MAX: Final = 5
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
CONFLICT: Final = re.compile(r"\b1023\b|\b1018\b|[Ss]erializable isolation|conflict with concurrent|deadlock")

Row = dict[str, Any]
Answer = TypeVar("Answer")


class UnknownOutcome(TransientError):
    """The statement may or may not have run: no answer came."""


class Cancelled(FreshetError):
    """We cancelled the statement because we were asked to stop; its outcome is the ledger's."""


class StatementFailed(FreshetError):
    """Redshift refused a statement and rolled everything back.

    Attributes:
        number: Which statement of the batch, from 1; None when unknown.
        reason: Redshift's message with quoted values taken out.
        conflict: True when another transaction was in the way, so that the same may pass later.
    """

    def __init__(self, statement_id: str, number: int | None, reason: str) -> None:
        self.number, self.reason, self.conflict = number, reason, bool(CONFLICT.search(reason))
        place = f"statement {number}" if number else "statement"
        super().__init__(f"Redshift refused {place} of {statement_id}: {reason}")


@dataclass
class Spent:
    """Seconds spent in waiting for the Data API."""

    seconds: float = 0.0


@dataclass(frozen=True)
class Warehouse:
    """A workgroup and database to talk to, through a boto3 `redshift-data` client."""

    client: Any
    workgroup: str
    database: str
    spent: Spent = field(default_factory=Spent, compare=False)

    def run(
        self,
        statements: Sequence[str],
        *,
        token: str | None = None,
        stopping: Callable[[], bool] = lambda: False,
    ) -> str:
        """Run statements in one transaction and wait for the end.

        Args:
            statements: 1 to 40, each at most 100 KB; no BEGIN or COMMIT.
            token: Idempotency token; the same one never runs twice (for 8 hours). One is made up when not given.
            stopping: Asked while waiting; once it answers True the statement is cancelled.

        Returns:
            The statement's id; its sub-statements are `<id>:1`, `<id>:2`...

        Raises:
            StatementFailed: Redshift refused; nothing was changed.
            UnknownOutcome: No answer; it may have run, or may still run.
            Cancelled: `stopping` answered True.
            EnvironmentFault: The workgroup, the database or our rights are not there.
        """
        check_limits(statements)
        extra = {"ClientToken": token} if token else {}
        answer = self._ask(
            "batch_execute_statement",
            WorkgroupName=self.workgroup,
            Database=self.database,
            Sqls=list(statements),
            **extra,
        )
        self._wait(str(answer["Id"]), stopping)
        return str(answer["Id"])

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
            answer = self._ask(
                "execute_statement", WorkgroupName=self.workgroup, Database=self.database, Sql=sql, **extra
            )
            self._wait(str(answer["Id"]), lambda: False)
            return self._result(str(answer["Id"]))

        return patiently(ask)

    def locked_query(self, lock: str, sql: str) -> list[Row]:
        """Run one SELECT after waiting for every transaction that holds a lock on a table."""

        def ask() -> list[Row]:
            statement = self.run([f"lock {lock}", sql])
            return self._result(f"{statement}:2")[1]

        return patiently(ask)

    def _wait(self, statement: str, stopping: Callable[[], bool]) -> None:
        asked = 0
        while True:
            wait = {"WaitTimeSeconds": LONG_POLL_S if not stopping() else 1} if self._polls_long else {}
            state = self._ask("describe_statement", Id=statement, **wait)
            if state["Status"] in DONE:
                break
            if stopping():
                self._ask("cancel_statement", Id=statement)
                raise Cancelled(f"statement {statement} was cancelled; the ledger knows its outcome")
            if not self._polls_long:
                pause_s = min(POLL_MAX_S, 0.05 * 1.5**asked)
                time.sleep(pause_s)
                self.spent.seconds += pause_s
                asked += 1
        if state["Status"] != "FINISHED":
            number, reason = _failure(state)
            raise StatementFailed(statement, number, without_values(reason))

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
            rows += [dict(zip(names, map(_value, record), strict=True)) for record in page["Records"]]
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
    """Ask a question that changes nothing up to five times, until an answer comes."""
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


def without_values(message: str) -> str:
    """Take quoted text and row contents out of a message of Redshift: they may be values."""
    message = message.split("Failing row contains", 1)[0]
    message = re.sub(r"(?s)'[^']*'", "'...'", message)
    return re.sub(r"\s+", " ", message).strip()[:500]


def _failure(state: Any) -> tuple[int | None, str]:
    for number, part in enumerate(state.get("SubStatements", ()), 1):
        if part.get("Error"):
            return number, part["Error"]
    return None, state.get("Error") or f"status {state['Status']} without a message"


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
