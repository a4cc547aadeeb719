"""Why COPY refused: a file of its own, or the load as a whole.

Redshift tells a bad row in SYS_LOAD_ERROR_DETAIL, with its file; a file that cannot be read at all only in the statement's error,
often without the file's name. Both are told without values: that view's message may quote one, and STL_LOAD_ERRORS' raw line is
never read.

Reads:  the statement's error; SYS_LOAD_ERROR_DETAIL, found by the url of the manifest.
Gives:  a `Refusal`, and whether it is about the load as a whole.

Source: Redshift database developer guide, "SYS_LOAD_ERROR_DETAIL", "SYS_LOAD_HISTORY", "Load error reference".
"""

from __future__ import annotations

import re
import time
from typing import Final

from batch_jobs.load.transaction import Batch, Refusal
from freshet.redshift.data_api import StatementFailed, Warehouse, without_values
from freshet.redshift.literals import quote

# What no other file would change. A refusal of S3 is not here: it may be about one file.
OF_THE_LOAD: Final = re.compile(
    r"(?i)nonexistent table|relation .*does not exist|column .*does not exist|permission denied|not authorized to assume"
    r"|not authorized to get credentials|syntax error|is not supported|conflicting or redundant options|must be owner"
    r"|the sandbox('s \w+)? does not know|spectrum is not enabled|cannot copy into"
)
NAMED_BYTES_MAX: Final = 256  # file_name is a CHAR(256)
LOOKS: Final = 5
# What passes by itself, and says nothing about a file.
PASSING: Final = re.compile(
    r"(?i)cancel|\babort|timed? ?out|connection|out of memory|insufficient (memory|resources)|disk full|restart"
    r"|SlowDown|Status 50\d"
)


def is_of_the_load(refusal: Refusal) -> bool:
    """Tell whether the load as a whole is refused, so that no other file would pass."""
    return refusal.code is None and bool(OF_THE_LOAD.search(refusal.reason))


def passes_by_itself(refusal: Refusal) -> bool:
    """Tell whether it was the warehouse's or S3's bad moment, so that no file is to blame."""
    return refusal.code is None and bool(PASSING.search(refusal.reason))


def why(warehouse: Warehouse, failed: StatementFailed, batch: Batch, manifest_url: str) -> Refusal:
    """Find out why COPY refused a batch.

    Args:
        warehouse: Where.
        failed: What the statement said.
        batch: The files.
        manifest_url: Of the batch, which no other COPY has read.
    """
    expects_more = "load_error" in failed.reason
    for look in range(LOOKS if expects_more else 1):
        if look:
            time.sleep(0.5 * 2**look)  # system views lag behind
        rows = warehouse.query(
            "select d.file_name, d.line_number, d.column_name, d.error_code, d.error_message "
            "from sys_load_error_detail as d join sys_load_history as h on h.query_id = d.query_id "
            f"where h.data_source = {quote(manifest_url)} order by d.file_name, d.line_number limit 1"
        )
        if rows:
            row = rows[0]
            return Refusal(
                reason=without_values(str(row["error_message"]).strip()),
                file=_the_one(batch, str(row["file_name"]).strip()),
                line=int(row["line_number"]) or None,
                column=str(row["column_name"] or "").strip() or None,
                code=int(row["error_code"]),
            )
    return Refusal(failed.reason.removeprefix("ERROR: "))


def _the_one(batch: Batch, name: str) -> str | None:
    """Find the url that a name of up to 256 bytes stands for; None when it may be several."""
    found = [
        file.url
        for file in batch.files
        if file.url == name or (len(name.encode()) >= NAMED_BYTES_MAX - 3 and file.url.startswith(name))
    ]
    return found[0] if len(found) == 1 else None
