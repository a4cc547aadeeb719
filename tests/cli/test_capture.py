"""A DMS that has stopped is told by every command that shows the sandbox or waits for its records."""

import importlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from freshet.cli import run_command
from freshet.cli.context import ROOT
from sandbox import control, mysql
from tests.patience import HANGS_S

# The package `freshet.cli` shows the command of the same name.
running = importlib.import_module("freshet.cli.run")
PIPELINE = str(ROOT / "sql/pipelines/sport_event_activity")
TOO_LARGE = "insert into large values (1, repeat('x', 2000000))"


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A sandbox that the commands find."""
    monkeypatch.setenv("FRESHET_HOME", str(tmp_path))
    state = tmp_path / "sandbox"
    control.start(state, tied=True)
    yield state
    control.stop(state)


def commit(state: Path, statement: str) -> None:
    with (
        mysql.connect(control.status(state)["mysql"], database="sports", autocommit=True) as link,
        link.cursor() as cursor,
    ):
        cursor.execute("create table if not exists large (id int primary key, text longtext)")
        cursor.execute(statement)


def wait_until_it_stops(state: Path) -> None:
    until = time.monotonic() + HANGS_S
    while not control.dms_problem(state):
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_run_that_waits_for_a_stopped_dms_is_told(box: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--until-idle` does not call it drained, `sandbox status` and `status` say why; each with the table's name."""
    commit(box, TOO_LARGE)
    assert 1 == run_command(["run", PIPELINE, "--until-idle", "--json"])
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert "sports.large" in said["error"]
    assert "ApplyErrorInsertPolicy STOP_TASK" in said["error"]
    assert 0 == run_command(["sandbox", "status"])
    assert "sports.large" in capsys.readouterr().out
    assert 0 == run_command(["sandbox", "status", "--json"])
    assert "sports.large" in json.loads(capsys.readouterr().out)["dms"]["problem"]
    assert 0 == run_command(["status"])
    assert "sports.large" in capsys.readouterr().out


@pytest.mark.parametrize("options", [[], ["--until-idle"]])
def test_a_run_in_which_dms_stops_does_not_end_well(
    box: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, options: list[str]
) -> None:
    """The job itself saw an idle stream: the command looks at DMS once more, and tells while it goes on."""

    def idle() -> int:
        commit(box, TOO_LARGE)
        wait_until_it_stops(box)
        return 0

    monkeypatch.setattr(running, "start_job", lambda *_: SimpleNamespace(wait=idle))
    assert 1 == run_command(["run", PIPELINE, *options])
    assert "ApplyErrorInsertPolicy STOP_TASK" in capsys.readouterr().err


def test_a_run_whose_dms_works_ends_well(box: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is alarmed."""
    commit(box, "insert into large values (1, 'small')")
    monkeypatch.setattr(running, "start_job", lambda *_: SimpleNamespace(wait=lambda: 0))
    assert 0 == run_command(["run", PIPELINE, "--until-idle"])
