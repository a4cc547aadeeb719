"""A schema of each test's own, and what a person does with it: fill it, pull it, look at the copy."""

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pyarrow.parquet as pq
import pytest
import yaml

from batch_jobs.pull.definition import Definition, read_definition
from batch_jobs.pull.handler import respond
from freshet.cli import run_command
from freshet.cli.context import Place

Row = dict[str, Any]


class Yard:
    """A schema of a test's own, and pulls of its tables."""

    def __init__(self, place: Place, folder: Path) -> None:
        self.place, self.folder, self.schema = place, folder, f"yard_{uuid.uuid4().hex[:8]}"
        self.warehouse = place.warehouse
        self.home = folder / "home"
        self.home.mkdir()
        (self.home / "sandbox").symlink_to(place.state)
        self.processes: list[subprocess.Popen[str]] = []

    def run(self, *statements: str) -> None:
        self.warehouse.run([statement.replace("YARD", self.schema) for statement in statements])

    def rows(self, query: str) -> list[Row]:
        """What PostgreSQL itself says, past everything that is tested here."""
        with (
            psycopg.connect(self.place.endpoints["redshift"]["postgres_uri"]) as connection,
            connection.cursor(row_factory=psycopg.rows.dict_row) as cursor,
        ):
            return list(cursor.execute(query.replace("YARD", self.schema)))  # type: ignore[call-overload]

    def definition(self, rows: int = 50_000, **tables: Any) -> Definition:
        content = {"rows": rows, "tables": {f"{self.schema}.{name}": body for name, body in tables.items()}}
        return read_definition("yard", content)

    def respond(self, definition: Definition, state: Any = None, **more: Any) -> Row:
        return respond(
            {"agent": "test", "state": state or {}, "secrets": {}, **more}, {"yard": definition}, self.warehouse
        )

    def drain(self, definition: Definition, state: Any = None) -> tuple[list[Row], Row]:
        """Ask until there is nothing more; give the answers and the state."""
        answers = [self.respond(definition, state)]
        while answers[-1]["hasMore"]:
            answers.append(self.respond(definition, json.loads(json.dumps(answers[-1]["state"]))))
        return answers, answers[-1]["state"]

    def file(self, rows: int = 50_000, **tables: Any) -> Path:
        path = self.folder / "yard.yaml"
        content = {"rows": rows, "tables": {f"{self.schema}.{name}": body for name, body in tables.items()}}
        path.write_text(yaml.safe_dump(content))
        return path

    def pull(self, *arguments: str | Path) -> int:
        return run_command(["pull", *map(str, arguments)])

    def process(self, *arguments: str | Path, point: str | None = None) -> "subprocess.Popen[str]":
        """Start `freshet pull` as a process of its own; with a point, one that kills itself there."""
        module = ["tests.batch_jobs.pull.dying_puller", point] if point else ["freshet"]
        process = subprocess.Popen(
            [sys.executable, "-m", *module, "pull", *map(str, arguments)],
            env={**os.environ, "FRESHET_HOME": str(self.home)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.processes.append(process)
        return process

    def close(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.communicate()
        self.run("drop schema if exists YARD cascade")


def copied(path: Path) -> list[Row]:
    return list(pq.read_table(path).to_pylist())


@pytest.fixture
def yard(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Yard]:
    yard = Yard(place, tmp_path)
    monkeypatch.setenv("FRESHET_HOME", str(yard.home))
    yard.run("create schema YARD")
    yield yard
    yard.close()
