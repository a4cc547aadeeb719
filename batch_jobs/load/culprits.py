"""Find the files that COPY refuses, set them aside, and let all others through.

Redshift often names the file; else it is found by halves. But until a file of the run has passed, nothing tells a bad file from a
wrong definition: a few files from all over the batch are tried by themselves, and if none passes, the load stops and no file
is blamed.

Reads:  batches of files.
Gives:  what became of each.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from batch_jobs.load.commit import Committer, Copied, Taken
from batch_jobs.load.listing import File, look
from batch_jobs.load.refusals import is_of_the_load, passes_by_itself
from batch_jobs.load.transaction import Batch, Refusal
from freshet.errors import TerminalError, TransientError

PROBES: Final = 8
BAD_IN_A_ROW_MAX: Final = 100
Tell = Callable[[dict[str, Any]], None]


@dataclass
class Moved:
    """What a run has done so far; files are urls."""

    files: int = 0
    rows: int = 0
    bytes: int = 0
    batches: int = 0
    by_others: int = 0
    vanished: int = 0
    set_aside: list[tuple[str, Refusal]] = field(default_factory=list)
    unsteady: list[str] = field(default_factory=list)


@dataclass
class Loader:
    """Loads batches one after the other.

    Attributes:
        committer: Commits them.
        s3: The boto3 client: a file that was refused is looked at again before it is blamed.
        run: Id of the run.
        tell: Is told each step.
        moved: What was done.
        proved_before: Whether a file of the load passed in an earlier run; counts once nothing is left to try.
        proved: Whether a file has passed in this run.
    """

    committer: Committer
    s3: Any
    run: str
    tell: Tell
    moved: Moved = field(default_factory=Moved)
    proved_before: bool = False
    proved: bool = False
    _suspects: list[tuple[File, Refusal]] = field(default_factory=list)
    _bad_in_a_row: int = 0
    _looked_again: set[str] = field(default_factory=set)
    _tried_again: set[File] = field(default_factory=set)

    def load(self, files: Sequence[File]) -> None:
        """Load files; what cannot be loaded is set aside, and the others go on.

        Raises:
            TerminalError: The load as a whole is refused.
            TransientError, Cancelled: As `Committer.copy`.
        """
        work = [list(files)]
        while work:
            part = work.pop()
            if not part:
                continue
            began = time.monotonic()
            batch = Batch(str(uuid.uuid4()), self.run, tuple(part))
            outcome = self.committer.copy(batch)
            if isinstance(outcome, Copied):
                self._copied(batch, outcome, time.monotonic() - began)
            elif isinstance(outcome, Taken):
                self.moved.by_others += len(outcome.urls)
                work.append([file for file in part if file.url not in outcome.urls])
            else:
                work += self._refused(part, outcome)

    def finish(self) -> None:
        """Decide about what is still suspected once there is nothing more to try.

        Raises:
            TerminalError: No file was ever accepted.
        """
        if self._suspects and not (self.proved or self.proved_before):
            raise self._none_passes()
        self._clear_suspects()

    def _copied(self, batch: Batch, copied: Copied, seconds: float) -> None:
        rows = copied.rows or 0
        self.proved = True
        self.moved.files += len(batch.files)
        self.moved.rows += rows
        self.moved.bytes += batch.size
        self.moved.batches += 1
        self.tell(
            {
                "event": "batch",
                "files": len(batch.files),
                "rows": rows,
                "bytes": batch.size,
                "seconds": round(seconds, 2),
            }
        )
        self._clear_suspects()
        self._bad_in_a_row = 0

    def _clear_suspects(self) -> None:
        while self._suspects:
            self._set_aside(*self._suspects.pop(0))

    def _refused(self, part: list[File], refusal: Refusal) -> list[list[File]]:
        """Give what is to be tried next."""
        if is_of_the_load(refusal):
            raise TerminalError(
                f"load {self._name}: Redshift refuses the load itself, not a file: {refusal}. Files loaded before stay "
                f"loaded, and none was set aside; look at load.yaml, at {self._target} and at the rights of the COPY role"
            )
        if passes_by_itself(refusal):
            raise TransientError(
                f"load {self._name}: Redshift could not copy just now: {refusal}. Files loaded before stay loaded, and none "
                "was set aside: run it again"
            )
        culprit = next((file for file in part if file.url == refusal.file), None) if refusal.code is not None else None
        if len(part) == 1:
            culprit = part[0]
            if refusal.code is None and culprit not in self._tried_again:
                self._tried_again.add(culprit)  # unless it fails twice, it was the moment and not the file
                return [part]
        others = [file for file in part if file is not culprit]
        tried_next = halves(others) if self.proved else probing(others)
        return tried_next if culprit is None else [*tried_next, *self._blame(culprit, refusal)]

    def _blame(self, file: File, refusal: Refusal) -> list[list[File]]:
        now = look(self.s3, file.url)
        if now is None:
            self.moved.vanished += 1
            return []
        if now != file:  # it was changed since it was listed
            if file.url in self._looked_again:
                self.moved.unsteady.append(file.url)
                return []
            self._looked_again.add(file.url)
            return [[now]]
        if self.proved:
            self._set_aside(file, refusal)
            self._check_row()
        else:
            self._suspects.append((file, refusal))
            if len(self._suspects) > PROBES:  # the one that COPY named, and all that were tried
                raise self._none_passes()
        return []

    def _set_aside(self, file: File, refusal: Refusal) -> None:
        if not self.committer.set_aside(Batch(str(uuid.uuid4()), self.run, ()), file, refusal):
            self.moved.by_others += 1
            return
        self._bad_in_a_row += 1
        self.moved.set_aside.append((file.url, refusal))
        self.tell({"event": "set_aside", "file": file.url, **told(refusal)})

    def _check_row(self) -> None:
        if self._bad_in_a_row >= BAD_IN_A_ROW_MAX:
            url, refusal = self.moved.set_aside[-1]
            raise TerminalError(
                f"load {self._name}: {self._bad_in_a_row} files one after the other were set aside, the last {url}: {refusal}. "
                "Stopped, for it may be the definition that is wrong. Is it: correct load.yaml, then freshet load "
                f"{self._name} --retry. Are the files bad indeed: run it again, and it goes on behind them"
            )

    def _none_passes(self) -> TerminalError:
        file, refusal = self._suspects[0]
        return TerminalError(
            f"load {self._name}: Redshift refused every file that was tried, {len(self._suspects)} from all over, the first "
            f"{file.url}: {refusal}. Nothing was loaded and no file was set aside, for the definition may be wrong: look at "
            f"load.yaml, at the columns of {self._target} and at the rights of the COPY role"
        )

    @property
    def _name(self) -> str:
        return self.committer.table.load.name

    @property
    def _target(self) -> str:
        return self.committer.table.load.target


def told(refusal: Refusal) -> dict[str, Any]:
    """Give a refusal as entries of an event."""
    return {"line": refusal.line, "column": refusal.column, "code": refusal.code, "reason": refusal.reason}


def halves(files: list[File]) -> list[list[File]]:
    """Cut in two, so that the first half is tried first; one file stays one."""
    if len(files) < 2:
        return [files] if files else []
    middle = len(files) // 2
    return [files[middle:], files[:middle]]


def probing(files: list[File]) -> list[list[File]]:
    """Cut so that a few from all over are tried first, each by itself."""
    probes = spread(files, PROBES)
    return [[file for file in files if file not in probes], *([file] for file in reversed(probes))]


def spread(files: list[File], count: int) -> list[File]:
    """Take up to so many files from all over."""
    if len(files) <= count:
        return list(files)
    return [files[place * (len(files) - 1) // (count - 1)] for place in range(count)]
