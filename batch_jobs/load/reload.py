"""Load files once more that somebody names: rows of theirs that are loaded already are replaced in the same transaction.

COPY cannot write a file's name beside its rows. What it can do at full speed is to fill a stage, whose rows then get the id of
their batch; so the batch is what can be replaced: the named file and those that came with it, which must be as they were.

Reads:  the files table; the files as they are now.
Gives:  batches to commit.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from batch_jobs.load.files_table import FilesTable
from batch_jobs.load.listing import File, in_hex, look
from batch_jobs.load.transaction import Batch
from freshet.errors import InputError
from freshet.redshift.literals import quote


@dataclass(frozen=True)
class Again:
    """What a reload is: files that are not loaded, and batches that replace others."""

    fresh: tuple[File, ...]
    batches: tuple[Batch, ...]


def again(table: FilesTable, s3: Any, run: str, keys: Iterable[str]) -> Again:
    """Find out what reloading files means.

    Args:
        table: The load's tables.
        s3: The boto3 client.
        run: Id of the run.
        keys: Urls of files, their keys, or their names below the prefix.

    Raises:
        InputError: A file is not there, its rows cannot be told from others', or a file that came with it has changed or is gone.
    """
    urls = list(dict.fromkeys(url_of(table, key) for key in keys))
    fresh: list[File] = []
    replaced: list[str] = []
    for url in urls:
        file = look(s3, url)
        if file is None:
            raise InputError(f"there is no file {url}: --reload takes urls, keys, or names below {table.load.url}")
        rows = table.warehouse.query(
            f"select outcome, batch, replaced_by from {table.files} where file_hex = {quote(in_hex(url))}"
        )
        if not rows or rows[0]["outcome"] != "loaded":
            fresh.append(file)
            continue
        if not table.load.replace or rows[0]["replaced_by"] != table.load.replace:
            raise InputError(_no_replacing(table, url))
        replaced.append(rows[0]["batch"])
    return Again(
        tuple(fresh), tuple(_instead(table, s3, run, batch, frozenset(urls)) for batch in dict.fromkeys(replaced))
    )


def url_of(table: FilesTable, key: str) -> str:
    """Give the url of what somebody wrote."""
    load = table.load
    if key.startswith("s3://"):
        url = key
    elif key.startswith(load.prefix):
        url = f"s3://{load.bucket}/{key}"
    else:
        url = load.url + key
    if not url.startswith(load.url):
        raise InputError(f"{url} is no file of load {load.name}, which reads {load.url}")
    return url


def _instead(table: FilesTable, s3: Any, run: str, batch: str, named: frozenset[str]) -> Batch:
    rows = table.warehouse.query(
        f"select file, size, etag from {table.files} where batch = {quote(batch)} and outcome = 'loaded' order by file_hex"
    )
    files = []
    for row in rows:
        then = File(row["file"], int(row["size"]), row["etag"])
        now = look(s3, then.url)
        if now is None:
            raise InputError(
                f"{then.url} was loaded in the same batch and is gone: its rows would be lost. Nothing was changed: put it back "
                f"or correct the rows of {table.load.target} by hand"
            )
        if now != then and now.url not in named:
            raise InputError(
                f"{now.url} was loaded in the same batch and has changed too: name it with --reload as well"
            )
        files.append(now)
    return Batch(str(uuid.uuid4()), run, tuple(files), instead_of=batch, instead_of_files=len(rows))


def _no_replacing(table: FilesTable, url: str) -> str:
    load = table.load
    if not load.replace:
        why = "load.yaml names no column that tells its rows from others (replace: COLUMN)"
    else:
        why = f"it was loaded before load.yaml said replace: {load.replace}, so its rows do not bear their batch"
    return (
        f"{url} is loaded, and its rows cannot be replaced: {why}. Nothing was changed. Correct {load.target} by hand, "
        f"or begin anew: drop {load.target}, {table.files}, {table.head} and {table.lock}, and load all files again"
    )
