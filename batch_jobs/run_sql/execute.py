"""Run a script's statements in Redshift; the first error ends it and says what is now written.

Reads:  a script.
Gives:  what each statement did, as it ends.

A lost answer is asked for again under the same token, so that nothing runs twice. Where another transaction was in the way,
Redshift rolled ours back, and it is sent again.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import Final

from batch_jobs.run_sql.modes import TRANSACTION
from batch_jobs.run_sql.script import Script
from batch_jobs.run_sql.statements import Statement
from freshet.errors import FreshetError
from freshet.redshift.data_api import Cancelled, Part, StatementFailed, Told, UnknownOutcome, Warehouse, pause
from freshet.words import counted

Report = Callable[[Statement, Part], None]
ATTEMPTS_MAX: Final = 8


class ScriptFailed(FreshetError):
    """Redshift refused a statement of a file."""


def execute(
    warehouse: Warehouse, script: Script, report: Report, stopping: Callable[[], bool] = lambda: False
) -> list[Part]:
    """Run a file.

    Args:
        warehouse: Where.
        script: What.
        report: Told of every statement as it ends; of a transaction nothing is committed before the last.
        stopping: Asked while waiting; once it answers True, what runs is cancelled.

    Returns:
        What each statement did; `number` counts from 1.

    Raises:
        ScriptFailed: Says file, line, statement, Redshift's message, and what is now written.
        Cancelled: `stopping` answered True; says the same.
        UnknownOutcome: No answer came, however often we asked; the statement may still be carried out.
        EnvironmentFault: The workgroup, the database or our rights are not there.
    """
    done: dict[int, Part] = {}

    def told(part: Part) -> None:
        if part.number not in done:  # a transaction that was sent again tells its first statements again
            done[part.number] = part
            report(script.statements[part.number - 1], part)

    try:
        if script.mode == TRANSACTION:
            _insist(lambda token: warehouse.run(script.texts, token=token, stopping=stopping, told=told), stopping)
        else:
            _one_by_one(warehouse, script, stopping, told)
    except StatementFailed as refused:
        number = refused.number or min(len(done) + 1, len(script.statements))
        number = number if script.mode == TRANSACTION else len(done) + 1
        raise ScriptFailed(
            f"{_where(script, number)}: Redshift refused it: {refused.reason}. {_left(script, len(done)).capitalize()}."
        ) from None
    except Cancelled as cancelled:
        left = _left(script, len(done)) if cancelled.certain else "it goes on, and may still be carried out"
        raise Cancelled(f"{_where(script, len(done) + 1)}: stopped; {left}", cancelled.certain) from None
    except UnknownOutcome as error:
        raise UnknownOutcome(
            f"{_where(script, len(done) + 1)}: {error}: look at what runs there before you start it again"
        ) from None
    return [done[number] for number in sorted(done)]


def line_of(script: Script, statement: Statement, part: Part) -> str:
    """Tell what a statement did in one line."""
    rows = "" if part.rows is None else f"{counted(part.rows, 'row')}, "
    place = f"statement {statement.number}/{len(script.statements)}"
    return f"{place}, line {statement.line}: {statement.title}: {rows}{part.seconds:.1f} s"


def _one_by_one(warehouse: Warehouse, script: Script, stopping: Callable[[], bool], told: Told) -> None:
    for number, text in enumerate(script.texts, 1):
        if stopping():
            raise Cancelled("stopped between two statements", certain=True)
        _insist(_sending(warehouse, number, text, stopping, told), stopping)


def _sending(
    warehouse: Warehouse, number: int, text: str, stopping: Callable[[], bool], told: Told
) -> Callable[[str], str]:
    def tell(part: Part) -> None:
        told(Part(number, part.rows, part.seconds))

    return lambda token: warehouse.run_alone(text, token=token, stopping=stopping, told=tell)


def _insist(send: Callable[[str], str], stopping: Callable[[], bool]) -> None:
    """Send until the outcome is known: under the same token when no answer came, under another after a conflict."""
    token = str(uuid.uuid4())
    for attempt in range(ATTEMPTS_MAX):
        last = attempt == ATTEMPTS_MAX - 1 or stopping()
        try:
            send(token)
            return
        except UnknownOutcome:
            if last:
                raise
        except StatementFailed as refused:
            if last or not refused.conflict:
                raise
            token = str(uuid.uuid4())
        pause(attempt)


def _where(script: Script, number: int) -> str:
    statement = script.statements[min(number, len(script.statements)) - 1]
    return (
        f"{script.name}:{statement.line}: statement {statement.number} of {len(script.statements)} ({statement.title})"
    )


def _left(script: Script, done: int) -> str:
    if script.mode == TRANSACTION or not done:
        return "nothing was written" + (", the transaction was rolled back" if script.mode == TRANSACTION else "")
    return f"{counted(done, 'statement')} before it {'is' if done == 1 else 'are'} committed"


def rows_moved(parts: Sequence[Part]) -> int:
    """Add up the rows that the statements changed or returned."""
    return sum(part.rows or 0 for part in parts)
