"""The command `freshet verify`: exit codes and the one JSON object, for one pipeline and for several."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from freshet.cli import run_command
from freshet.cli.context import Place
from tests.verify.shop import Shop

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def shops(place: Place, spark: SparkSession, tmp_path: Path) -> tuple[Shop, Shop]:
    """Two pipelines over one source; only the first one's target is filled."""
    first = Shop(place, spark, tmp_path)
    first.fill()
    second = Shop(place, spark, tmp_path, database=first.database)
    return first, second


@pytest.fixture
def run(
    shops: tuple[Shop, Shop],
    place: Place,
    spark: SparkSession,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """Run the command on the tests' sandbox and Spark session; gives the exit code and the last line."""

    @contextmanager
    def session(*_: Any) -> Iterator[SparkSession]:
        yield spark

    mysql = {**place.endpoints["mysql"], "database": shops[0].database}
    here = replace(place, endpoints={**place.endpoints, "mysql": mysql}, _clients={})
    command = import_module("freshet.cli.verify")  # the package's attribute of this name is the function
    monkeypatch.setattr(command, "running_place", lambda: here)
    monkeypatch.setattr(command, "_spark", session)

    def call(*arguments: str) -> tuple[int, str]:
        code = run_command(["verify", *arguments])
        return code, capsys.readouterr().out.splitlines()[-1]

    return call


def test_one_pipeline_is_one_object(shops: tuple[Shop, Shop], run: Run) -> None:
    """Exit 0, and the fields of that pipeline."""
    code, line = run(str(shops[0].folder / shops[0].name), "--json")
    assert (0, True, shops[0].name, 5) == (code, *map(json.loads(line).get, ("verified", "pipeline", "rows")))


def test_several_pipelines_are_verified_only_together(shops: tuple[Shop, Shop], run: Run) -> None:
    """What is in quarantine of one fails the command; each is told."""
    first, second = shops
    second.fill()
    second.target_run(f"insert into freshet.{second.name}_quarantine (reason) values ('unreadable')")
    code, line = run(*(str(shop.folder / shop.name) for shop in shops), "--lag", "0s", "--json")
    found = json.loads(line)
    assert (1, False) == (code, found["verified"])
    expected = [(first.name, True, 0), (second.name, False, 1)]
    assert expected == [(each["pipeline"], each["verified"], each["quarantined"]) for each in found["pipelines"]]


def test_a_pipeline_that_never_ran_is_told(shops: tuple[Shop, Shop], run: Run) -> None:
    """Without control tables there is nothing to compare with: exit 3."""
    second = shops[1]
    second.target_run(f"drop table freshet.{second.name}_state")
    code, line = run(str(second.folder / second.name), "--json")
    assert 3 == code
    assert "Has the pipeline run here?" in json.loads(line)["error"]


def test_a_lag_that_is_none_is_refused(shops: tuple[Shop, Shop], run: Run) -> None:
    """Before anything is asked."""
    code, _ = run(str(shops[0].folder / shops[0].name), "--lag", "soon", "--json")
    assert 2 == code
