"""Statements in Redshift, through the Data API: submit, follow, cancel; for jobs that run without Freshet's package.

`freshet/redshift/data_api.py` does the same for the streaming job and tells less on the way; this one tells every statement of a
batch as it ends, and runs on Python 3.9.

Reads:  one statement, or the statements of one transaction.
Gives:  what each did: rows and seconds; or which one failed, with Redshift's message and no value in it.

Source: Redshift Data API reference, "DescribeStatement"; Redshift management guide, "Using the Amazon Redshift Data API",
"Idempotency".
"""

import random
import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from botocore.exceptions import BotoCoreError, ClientError

from batch_jobs.sql_file import Stop

POLL_MIN_S, POLL_MAX_S = 0.05, 1.0
ATTEMPTS = 10
CANCEL_S = 60.0
DONE = {"FINISHED", "FAILED", "ABORTED"}
BUSY = {
    "ThrottlingException",
    "ActiveStatementsExceededException",
    "ActiveSessionsExceededException",
    "InternalServerException",
}
CONFLICT = re.compile(r"\b1023\b|\b1018\b|[Ss]erializable isolation|conflict with concurrent|deadlock")
MESSAGE_MAX = 500


class Unreachable(Stop):
    """The Data API, the workgroup or our rights are not there."""

    exit_code = 3


class UnknownOutcome(Stop):
    """No answer came: it may have run, or may still run."""


class Cancelled(Stop):
    """We were asked to stop, and cancelled the statement."""

    exit_code = 130


class Refused(Stop):
    """Redshift refused a statement.

    Attributes:
        place: Which of the submitted statements, from 0; None when it is not known.
        conflict: True when another transaction was in the way: the same may pass later.
    """

    def __init__(self, place: Optional[int], reason: str) -> None:
        super().__init__(reason)
        self.place, self.reason, self.conflict = place, reason, bool(CONFLICT.search(reason))


@dataclass(frozen=True)
class Done:
    """What one statement did: rows changed or returned (None when Redshift does not tell), seconds in Redshift."""

    place: int
    rows: Optional[int]
    seconds: float


@dataclass(frozen=True)
class Redshift:
    """A database to talk to.

    Attributes:
        client: A boto3 `redshift-data` client.
        where: WorkgroupName, Database and perhaps SecretArn.
    """

    client: Any
    where: Mapping[str, str]

    def run(
        self,
        statements: Sequence[str],
        written: Sequence[str],
        *,
        one_transaction: bool,
        stopping: Callable[[], bool] = lambda: False,
    ) -> Iterator[Done]:
        """Run statements and tell each as it ends.

        Args:
            statements: One, or up to 40 when they are one transaction.
            written: The same without values, as their author wrote them; an error may name what they name.
            one_transaction: Submit them as one batch; else the only one is submitted alone, outside of a transaction.
            stopping: Asked while waiting; once it answers True, what runs is cancelled.

        Raises:
            Refused: Redshift refused one; of a transaction nothing is left.
            Cancelled: `stopping` answered True before the end.
            UnknownOutcome: No answer came for half a minute.
            Unreachable: The Data API refuses the call itself.
        """
        sent = {"Sqls": list(statements)} if one_transaction else {"Sql": statements[0]}
        operation = "batch_execute_statement" if one_transaction else "execute_statement"
        # The token makes the call safe to repeat: one whose answer was lost is not carried out again.
        submitted = self._ask(operation, **self.where, **sent, ClientToken=str(uuid.uuid4()))
        statement, told = str(submitted["Id"]), 0
        for state in self._states(statement, stopping):
            parts = state["SubStatements"] if one_transaction else [state]
            while told < len(parts) and parts[told]["Status"] == "FINISHED":
                yield _done(told, parts[told])
                told += 1
            if state["Status"] in {"FAILED", "ABORTED"}:
                raise _failure(state, parts, written)

    def _states(self, statement: str, stopping: Callable[[], bool]) -> Iterator[Any]:
        pause_s, cancelled_at = POLL_MIN_S, 0.0
        while True:
            state = self._ask("describe_statement", Id=statement)
            if cancelled_at and _was_cancelled(state):
                raise Cancelled("cancelled")
            yield state
            if state["Status"] in DONE:
                return
            if stopping() and not cancelled_at:
                self._cancel(statement)
                cancelled_at = time.monotonic()
            if cancelled_at and time.monotonic() - cancelled_at > CANCEL_S:
                raise UnknownOutcome(f"statement {statement} was told to stop and goes on: it may still be carried out")
            time.sleep(pause_s)
            pause_s = POLL_MIN_S if cancelled_at else min(POLL_MAX_S, pause_s * 1.3)

    def _cancel(self, statement: str) -> None:
        try:
            self._ask("cancel_statement", Id=statement)
        except Unreachable:  # it has just ended: the next look tells how
            pass

    def _ask(self, operation: str, **arguments: Any) -> Any:
        for attempt in range(ATTEMPTS):
            if attempt:
                time.sleep(min(5.0, 0.1 * 2**attempt) * random.uniform(0.5, 1.0))  # noqa: S311 - not a secret
            try:
                return getattr(self.client, operation)(**arguments)
            except ClientError as error:
                code = error.response["Error"]["Code"]
                if code not in BUSY:
                    said = without_values(error.response["Error"].get("Message", ""), "")
                    raise Unreachable(f"the Data API refused {operation} ({code}): {said}") from None
                missed = code
            except BotoCoreError as error:
                missed = type(error).__name__
        raise UnknownOutcome(
            f"the Data API did not answer {operation} ({missed}): look at what runs there before you start again"
        )


def without_values(message: str, written: str) -> str:
    """Take what may be a value out of a message of Redshift.

    Args:
        message: As it came.
        written: The statement as its author wrote it, without parameters: what it names itself may be told.

    Returns:
        One line. Text in single quotes and rows are gone; text in double quotes stays if it is a word of the statement.
    """
    message = message.split("Failing row contains", 1)[0]
    words = {word.lower() for word in re.findall(r"[\w$]+", written)}
    # A quote ends where no word goes on: 'O'Brien' is one value.
    message = re.sub(r"(?s)(?<!\w)'.*?'(?!\w)", "'...'", message)
    message = re.sub(r"(?s)'(?!\.\.\.')[^']*'", "'...'", message)
    message = re.sub(r'(?s)"(.*?)"(?!\w)', lambda found: found[0] if _told(found[1], words) else '"..."', message)
    message = re.sub(r"(?s)=\(.*\)", "=(...)", message)  # Key (column)=(value)
    return re.sub(r"\s+", " ", message).strip()[:MESSAGE_MAX]


def _told(quoted: str, words: "set[str]") -> bool:
    return all(word in words for word in re.findall(r"[\w$]+", quoted.lower())) and not re.search(r"\s", quoted)


def _done(place: int, part: Any) -> Done:
    rows = int(part.get("ResultRows", -1))
    return Done(place, rows if rows >= 0 else None, max(0, part.get("Duration", 0)) / 1e9)


def _was_cancelled(state: Any) -> bool:
    return state["Status"] == "ABORTED" or (state["Status"] == "FAILED" and "cancel" in str(state.get("Error")).lower())


def _failure(state: Any, parts: Sequence[Any], written: Sequence[str]) -> Refused:
    place = next((place for place, part in enumerate(parts) if part["Status"] == "FAILED" or part.get("Error")), None)
    said = (parts[place].get("Error") if place is not None else None) or state.get("Error")
    reason = str(said or f"status {state['Status']} without a message")
    return Refused(place, without_values(reason, "" if place is None else written[place]))
