"""A copy of what was pulled: files in a folder, and how far they go.

    FOLDER/TABLE.parquet                 the table as of the last pull that ended
    FOLDER/increments/TABLE/N.parquet    the rows of answer N, not yet merged into it
    FOLDER/state.json                    the puller's memory, replaced at once after the rows it speaks of are on disk

A crash before state.json is replaced leaves an increment that state.json does not know: it is thrown away, and the same rows are
asked for again. A crash after it loses nothing. Merging an increment twice gives the same copy, as the last row of a key wins.

Reads:  answers of the function.
Gives:  files, in Parquet with the warehouse's types, or in CSV.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from batch_jobs.pull.files import GONE, Format, last_of_each_key
from freshet.errors import InputError, TerminalError

VERSION: Final = 1
STATE_FILE: Final = "state.json"
LOCK_FILE: Final = ".lock"
INCREMENTS: Final = "increments"
TABLE_NAME: Final = re.compile(r"\w{1,127}")
Json = dict[str, Any]


@dataclass
class CopyFolder:
    """One folder, open for one puller.

    Attributes:
        path: The folder.
        pull: Name of the pull.
        format: How files are written.
        state: The function's state; what the next request carries.
        columns: Columns and types by table.
        keys: Keys by table.
        next: Number of the next answer.
        merged: Answers below this number are in the copy.
    """

    path: Path
    pull: str
    format: Format
    state: Json = field(default_factory=dict)
    columns: dict[str, dict[str, str]] = field(default_factory=dict)
    keys: dict[str, list[str]] = field(default_factory=dict)
    next: int = 1
    merged: int = 1

    def keep(self, answer: Json) -> int:
        """Write an answer's rows, and then that they are here.

        Returns:
            Bytes written.

        Raises:
            InputError: It is no answer of this function, or a table's columns or keys are others than before.
        """
        self._check(answer)
        size = 0
        for name in sorted(set(answer["insert"]) | set(answer["delete"])):
            rows, gone = answer["insert"].get(name, []), answer["delete"].get(name, [])
            if rows or gone:
                table = self.format.table(name, self.columns[name], [*rows, *gone])
                marks = pa.array([False] * len(rows) + [True] * len(gone), pa.bool_())
                path = self._increments(name) / f"{self.next:09}.{self.format.ending}"
                size += self._write(path, table.append_column(GONE, marks))
        self.state = answer["state"]
        self.next += 1
        self._write_state()
        return size

    def merge(self) -> dict[str, int]:
        """Bring the copy up to the last answer.

        Returns:
            Rows of each table.
        """
        counts = {}
        for name in self.columns:
            increments = self._kept(name)
            current = self._current(name)
            if current.exists() and not increments:
                counts[name] = self.format.count(current, self.columns[name])
                continue
            parts = [self.format.read(path, {**self.columns[name], GONE: "boolean"}) for path in increments]
            if current.exists():
                before = self.format.read(current, self.columns[name])
                parts.insert(0, before.append_column(GONE, pa.array([False] * len(before), pa.bool_())))
            empty = self.format.table(name, self.columns[name], [])
            parts.append(empty.append_column(GONE, pa.array([], pa.bool_())))
            table = last_of_each_key(pa.concat_tables(parts), self.keys[name])
            self._write(current, table)
            counts[name] = len(table)
        self.merged = self.next
        self._write_state()
        self._sweep()
        return counts

    def _check(self, answer: Json) -> None:
        shape = {"state": dict, "insert": dict, "delete": dict, "schema": dict, "columns": dict, "hasMore": bool}
        for name, kind in shape.items():
            if not isinstance(answer.get(name), kind):
                raise InputError(f"the function's answer has no {name}: is it Freshet's, and of this version?")
        for name, columns in answer["columns"].items():
            keys = answer["schema"][name]["primary_key"]
            if not TABLE_NAME.fullmatch(name):
                raise InputError("the function's answer names a table that cannot be a file")
            if name not in self.columns:
                self.columns[name], self.keys[name] = columns, keys
            elif self.columns[name] != columns or self.keys[name] != keys:
                changed = sorted(set(self.columns[name].items()) ^ set(columns.items())) or [("its key", "")]
                raise InputError(
                    f"{name} has changed in the warehouse since this copy was begun ({changed[0][0]}): "
                    "pull it into an empty folder"
                )

    def _current(self, name: str) -> Path:
        return self.path / f"{name}.{self.format.ending}"

    def _increments(self, name: str) -> Path:
        return self.path / INCREMENTS / name

    def _kept(self, name: str) -> list[Path]:
        """Name the increments that count and are not merged, oldest first."""
        found = sorted(self._increments(name).glob(f"*.{self.format.ending}"))
        return [path for path in found if self.merged <= int(path.stem) < self.next]

    def _write(self, path: Path, table: pa.Table) -> int:
        path.parent.mkdir(parents=True, exist_ok=True)
        half = path.with_name(f".{path.name}.half")
        self.format.write(table, half)
        _into_place(half, path)
        return path.stat().st_size

    def _write_state(self) -> None:
        content = {
            "version": VERSION,
            "pull": self.pull,
            "format": self.format.ending,
            "next": self.next,
            "merged": self.merged,
            "columns": self.columns,
            "keys": self.keys,
            "state": self.state,
        }
        half = self.path / f".{STATE_FILE}.half"
        half.write_text(json.dumps(content, indent=1), encoding="utf-8")
        _into_place(half, self.path / STATE_FILE)

    def _sweep(self) -> None:
        """Remove what is merged, what the state does not know, and what was cut short."""
        for path in self.path.rglob(".*.half"):
            path.unlink()
        for path in (self.path / INCREMENTS).glob(f"*/*.{self.format.ending}"):
            if not self.merged <= int(path.stem) < self.next:
                path.unlink()
        if self.merged == self.next:
            shutil.rmtree(self.path / INCREMENTS, ignore_errors=True)


@contextmanager
def open_folder(path: Path, pull: str, form: Format) -> Iterator[CopyFolder]:
    """Open a folder for one puller, make it if it is missing, and clean up what a crash left.

    Raises:
        InputError: It holds something else, or the copy of another pull or format.
        TerminalError: Another puller is at it.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = (path / LOCK_FILE).open("a+")
    except OSError as error:
        raise InputError(f"{path} cannot be written to ({error.strerror})") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise TerminalError(
                f"another pull is writing into {path} (process {lock.read().strip() or 'unknown'}); nothing was pulled. "
                "Wait for it, or take another folder"
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        folder = _read(path, pull, form)
        folder._sweep()
        yield folder


def _read(path: Path, pull: str, form: Format) -> CopyFolder:
    try:
        content = json.loads((path / STATE_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        foreign = sorted({entry.name for entry in path.iterdir()} - {LOCK_FILE, INCREMENTS, f".{STATE_FILE}.half"})
        if foreign:
            raise InputError(
                f"{path} is not empty and no copy of a pull (it has {foreign[0]}): take an empty folder"
            ) from None
        return CopyFolder(path, pull, form)
    except (OSError, ValueError):
        content = None
    try:
        if content["version"] != VERSION:
            raise InputError(f"{path / STATE_FILE} is of another version: pull into an empty folder")
        if (content["pull"], content["format"]) != (pull, form.ending):
            raise InputError(
                f"{path} holds a copy of {content['pull']} in {content['format']}, "
                f"not of {pull} in {form.ending}: take another folder"
            )
        numbers = int(content["next"]), int(content["merged"])
        return CopyFolder(
            path, pull, form, dict(content["state"]), dict(content["columns"]), dict(content["keys"]), *numbers
        )
    except (KeyError, TypeError, ValueError):
        raise InputError(f"{path / STATE_FILE} is damaged: pull into an empty folder") from None


def _into_place(half: Path, path: Path) -> None:
    """Give a file its name once its content is on disk."""
    for flush, then in ((half, lambda: half.replace(path)), (path.parent, lambda: None)):
        number = os.open(flush, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
        then()
