"""The model's Redshift behind the Data API: statements run later, answers get lost, a transaction is all or nothing."""

import random

from freshet.ledger import commit as commits
from freshet.ledger import effect
from freshet.ledger.commit import Commit, Remembered
from freshet.ledger.effect import Action, Staged, Tables
from freshet.ledger.pending import Entry

REFUSED_MAX = 25


def warehouse_form(key: object) -> object:
    """The warehouse's equality, said again: the tests do not take the product's word for it."""
    return key.rstrip(" ") if isinstance(key, str) else key


class Warehouse:
    def __init__(self, rng: random.Random, pipelines: tuple[str, ...]) -> None:
        self.rng = rng
        self.tables = {p: Tables() for p in pipelines}
        self.queue: list[tuple[float, dict[str, bool], str, Commit, str | None]] = []
        self.late = self.lost = self.refused = self.commits = 0
        self.wrong: list[str] = []

    def send(self, now: float, pipeline: str, commit: Commit) -> dict[str, bool]:
        """Hand a transaction in; it runs some time later. What it sees depends on whether LOCK is its first statement."""
        answer: dict[str, bool] = {}
        wait = self.rng.choice(
            (0.02, 0.02, 0.02, 0.02, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05, 0.1, 0.1, 0.1, 0.3, 3.0)
        )
        self.late += wait == 3.0
        order = commits.STATEMENTS
        locked_first = order.index("lock") < order.index(commits.SNAPSHOT_IS_TAKEN_BY)
        head = None if locked_first else self.tables[pipeline].head
        self.queue.append((now + wait, answer, pipeline, commit, head))
        return answer

    def run_due(self, now: float) -> None:
        if not self.queue:
            return
        for item in [item for item in self.queue if item[0] <= now]:
            self.queue.remove(item)
            item[1]["finished"] = self._execute(*item[2:])

    def _execute(self, pipeline: str, commit: Commit, head: str | None) -> bool:
        tables = self.tables[pipeline]
        if commit.id in tables.commits or not commits.may_follow(head or tables.head, commit):
            return False
        staged: tuple[Staged, ...] = tuple(commit.staged)
        if not effect.is_sound(staged):
            self.refused += 1
            if self.refused > REFUSED_MAX:
                self.wrong.append("stuck: the warehouse refuses every commit")
            return False
        after = effect.after(tables, commit)
        if commit.follows != tables.head:
            self.wrong.append("a commit outside the chain")
        self._watch(tables, after, staged)
        self.tables[pipeline] = after
        self.commits += 1
        return True

    def _watch(self, before: Tables, after: Tables, staged: tuple[Staged, ...]) -> None:
        """What must hold of each single commit."""
        for row in staged:
            if row.action is Action.QUARANTINE:
                key = warehouse_form(row.key[0])
                if [r for r in before.target if warehouse_form(r.key[0]) == key] != [
                    r for r in after.target if warehouse_form(r.key[0]) == key
                ]:
                    self.wrong.append("a row that cannot be staged changed the target's last good one")
        if any("@" in str(value) for row in after.pending.values() for value in row.values()):
            self.wrong.append("a key in the clear in a control table")

    def remembered(self, pipeline: str) -> Remembered:
        """Head, positions, pending and the last look, read in one transaction."""
        tables = self.tables[pipeline]
        pending = {name: Entry.from_row(row) for name, row in tables.pending.items()}
        return Remembered(tables.head, tables.positions, pending, tables.seen)
