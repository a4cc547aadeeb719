"""A database of the sandbox's server for all tests of this folder, and connections as the job has them."""

import uuid
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from freshet.cli.context import Place
from freshet.mysql.asking import Source
from freshet.pipeline.connection import connect


class Database:
    """A database with one more connection, which may hold locks."""

    def __init__(self, connection: Any, name: str) -> None:
        self.connection, self.name = connection, name

    def run(self, *statements: str) -> list[Any]:
        """Run statements; gives the rows of the last."""
        rows: list[Any] = []
        with self.connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
                rows = list(cursor.fetchall()) if cursor.with_rows else []
        return rows


@pytest.fixture(scope="module")
def database(place: Place) -> Iterator[Database]:
    """An empty database."""
    name = f"t_{uuid.uuid4().hex[:10]}"
    with closing(connect(place.mysql)) as connection:
        made = Database(connection, name)
        made.run("set session sql_mode = ''", f"create database {name} character set utf8mb4", f"use {name}")
        yield made
        made.run(f"drop database {name}")


@pytest.fixture
def source(place: Place) -> Iterator[Source]:
    """The job's connection."""
    with closing(Source.open(place.mysql)) as opened:
        yield opened


@pytest.fixture
def table() -> str:
    """A name that no other test uses."""
    return f"t_{uuid.uuid4().hex[:10]}"
