"""What is new: the files that S3 lists against those that the warehouse remembers, both in the order of their names.

Two sorted streams are merged, so a million files take the memory of two.

Reads:  files, and what is known of files.
Gives:  each file with its state; batches of files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from batch_jobs.load.listing import File, from_hex

NEW, LOADED, CHANGED, SET_ASIDE, MENDED, GONE = "new", "loaded", "changed", "set aside", "mended", "gone"
NAMED_MAX: Final = 100


@dataclass(frozen=True)
class Known:
    """What the warehouse remembers of a file; `outcome` is loaded or set_aside."""

    hex: str
    size: int
    etag: str
    outcome: str


def compare(files: Iterable[File], known: Iterable[Known]) -> Iterator[tuple[str, File]]:
    """Give each file with its state.

    Args:
        files: What there is, ascending by the bytes of the url.
        known: What is remembered, ascending in the same way, each file once.

    Returns:
        `new`; `loaded`; `changed`: loaded, and another size or ETag since; `set aside`; `mended`: set aside, and changed since;
        `gone`: known, and no longer there (its size and ETag are those remembered).
    """
    rest = iter(known)
    remembered = next(rest, None)
    for file in files:
        here = file.hex
        while remembered is not None and remembered.hex < here:
            yield _gone(remembered)
            remembered = next(rest, None)
        if remembered is None or remembered.hex != here:
            yield NEW, file
            continue
        is_same = (remembered.size, remembered.etag) == (file.size, file.etag)
        if remembered.outcome == "loaded":
            yield (LOADED if is_same else CHANGED), file
        else:
            yield (SET_ASIDE if is_same else MENDED), file
        remembered = next(rest, None)
    while remembered is not None:
        yield _gone(remembered)
        remembered = next(rest, None)


def _gone(known: Known) -> tuple[str, File]:
    return GONE, File(from_hex(known.hex), known.size, known.etag)


def batches(files: Iterable[File], files_max: int, bytes_max: int) -> Iterator[list[File]]:
    """Cut files into batches in their order; a file larger than `bytes_max` is one by itself."""
    batch: list[File] = []
    size = 0
    for file in files:
        if batch and (len(batch) >= files_max or size + file.size > bytes_max):
            yield batch
            batch, size = [], 0
        batch.append(file)
        size += file.size
    if batch:
        yield batch


@dataclass
class Survey:
    """How many files and bytes are in each state, and the first names of those that somebody must look at."""

    files: dict[str, int] = field(default_factory=dict)
    bytes: dict[str, int] = field(default_factory=dict)
    named: dict[str, list[str]] = field(default_factory=dict)

    def add(self, state: str, file: File) -> None:
        """Count a file."""
        self.files[state] = self.files.get(state, 0) + 1
        self.bytes[state] = self.bytes.get(state, 0) + file.size
        if state not in (LOADED, GONE) and len(self.named.setdefault(state, [])) < NAMED_MAX:
            self.named[state].append(file.url)

    def count(self, *states: str) -> int:
        """How many files are in one of these states."""
        return sum(self.files.get(state, 0) for state in states)

    def size(self, *states: str) -> int:
        """How many bytes they have."""
        return sum(self.bytes.get(state, 0) for state in states)


def survey(found: Iterable[tuple[str, File]]) -> Survey:
    """Count what `compare` gives."""
    counted = Survey()
    for state, file in found:
        counted.add(state, file)
    return counted
