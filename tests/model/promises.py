"""Write `docs/promises.md`: which wrong decision breaks which rule, and which test notices it."""

import sys
from pathlib import Path

from tests.model.mutants import MUTANTS

PAGE = Path(__file__).parents[2] / "docs" / "promises.md"
RULES = {
    "V1": "A row is read after every key of the batch was read from the stream and probed.",
    "V2": "A key that a transaction held is read again once it is free.",
    "V3": "A pending entry ends only when every key that hung on it, when it was last owed, was read since.",
    "V4": "A position never passes an unread record.",
    "V5": "Only commits of the chain write the target and pending; what is asked for is done.",
    "V6": "A row is one snapshot of the writer.",
    "V7": "Keys are equal when the warehouse says so, and each is read once.",
    "V8": "A sweep leaves no row that the source does not have.",
    "V9": "A statement at the source keeps to its limits, and pending to its cap.",
    "V10": "No key stands in the clear in a control table.",
    "I1": "When the source is quiet and all work done, the target equals the `SELECT`.",
    "I5": "A round costs what its keys cost; nothing waits for ever, nothing is done for nothing.",
}
# Mutants of the design that have no patch here.
ELSEWHERE = {
    "overwrite_todo": "cannot be written any more: nobody but the job writes pending; others ask by requests "
    "(`request_deleted_first`)",
    "no_until, until_once": "`(cursor, until, lap)` became `(cursor, again)`: `no_again` and `again_forgotten` are its mutants",
    "version_of_ci": "no decision: whether the connector's C extension is loaded is told by a test of the environment, "
    "which the job brings",
}
HEAD = """# Promises, and what would break them

The decisions of the keys-in, rows-out job are pure functions. `tests/model` runs them without Spark on virtual time, under
seeded faults: changes that are visible seconds after they are in the stream, records sent again, doubled, out of order or
cut, kills between any two statements, a second job beside the first, statements that run late, answers that are lost,
shards split and merged, moved keys, three modes of deletes, TRUNCATE and tables swapped by rename, a server that takes over
without its tail, changes that no record tells of, reads that go to a replica, pipelines that fail, join late or overflow
memory, requests, caps.

`make test` runs 1,000 seeds, `make model SEEDS=20000` as many as you like. A seed that fails prints its last events and the
command that runs it again.

A promise is worth what notices its breach. Each line below is one wrong decision, applied as a patch in
`tests/model/mutants.py`. The test beside it is red as soon as the suite does not notice. What the model does not show is
the world itself: that MySQL, DMS, Kinesis and Redshift answer as the model's do is shown by the tests of the job against
real servers. The job calls the same functions: see [the model](decisions/2026-11-28-the-model.md).

"""


def page() -> str:
    """Give the page as it should be."""
    lines = [HEAD.rstrip("\n"), ""]
    for rule, says in RULES.items():
        lines += [f"**{rule}.** {says}", "", "| mutant | what it does wrong | killed by |", "|---|---|---|"]
        for name, mutant in MUTANTS.items():
            if mutant.rule == rule:
                by = (
                    f"`test_decisions.py::{mutant.directed}`"
                    if mutant.directed
                    else f"seeds: `test_mutants.py`, `[{name}]`"
                )
                lines.append(f"| `{name}` | {mutant.breaks} | {by} |")
        lines.append("")
    lines += ["**Without a patch.**", "", "| mutant | why |", "|---|---|"]
    lines += [f"| `{name}` | {why} |" for name, why in ELSEWHERE.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(not PAGE.write_text(page(), encoding="utf-8"))
