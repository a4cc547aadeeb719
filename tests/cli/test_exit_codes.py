"""Exit codes are a contract: 2 your input is wrong, 3 the environment is; `--json` speaks on the last line, errors too."""

import json
from pathlib import Path

import pytest

from freshet.cli import run_command
from freshet.cli.context import seconds
from freshet.cli.query import one_select
from freshet.errors import InputError

PIPELINE = "sport_event_activity"


@pytest.fixture(autouse=True)
def no_sandbox(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A home in which no sandbox runs."""
    monkeypatch.setenv("FRESHET_HOME", str(tmp_path))


@pytest.mark.parametrize(
    "arguments",
    [
        ["query"],
        ["query", "delete from t"],
        ["query", "select 1; select 2"],
        ["query", "select 'open"],
        ["query", "@no_such_file.sql"],
        ["run", "no_such_pipeline"],
        ["run", PIPELINE, "--every", "soon"],
        ["run", PIPELINE, "--no-such-option"],
        ["plan", "no_such_pipeline"],
        ["verify", "no_such_pipeline"],
        ["simulate", "everything"],
        ["demo", "--for", "ever"],
        ["no_such_command"],
        ["sandbox", "sideways"],
    ],
)
def test_wrong_input_is_two(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever is wrong with the words, the exit code is 2, there is a message and no stack trace."""
    assert 2 == run_command(arguments)
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["query", "select 1"],
        ["run"],
        ["run", PIPELINE],
        ["status"],
        ["verify", PIPELINE],
        ["plan", PIPELINE],
        ["simulate", "initial"],
    ],
)
def test_without_a_sandbox_it_is_three(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """The message names the command that starts one."""
    assert 3 == run_command(arguments)
    assert "freshet sandbox up" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["status", "--json"], ["query", "delete from t", "--json"], ["query", "--json"]])
def test_an_error_is_json_too(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A script finds one object on the last line, whatever happened."""
    assert run_command(arguments) in {2, 3}
    assert "error" in json.loads(capsys.readouterr().out.splitlines()[-1])


@pytest.mark.parametrize("command", ["demo", "sandbox", "simulate", "plan", "run", "status", "query", "verify"])
def test_help_teaches(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each command's help has an example that can be run."""
    assert 0 == run_command([command, "--help"])
    assert "Example: freshet" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("expected", "text"), [(60, "60s"), (1.5, "1.5s"), (120, "2m"), (3600, "1h"), (30, "30"), (0.2, "200ms")]
)
def test_a_duration_is_read(expected: float, text: str) -> None:
    """As people write them."""
    assert expected == seconds(text)


def test_one_select_is_taken_as_it_is(tmp_path: Path) -> None:
    """A trailing semicolon is forgiven, a file is read, a CTE is a SELECT."""
    file = tmp_path / "q.sql"
    file.write_text("-- what it answers\nselect ';' as a;\n")
    assert "-- what it answers\nselect ';' as a" == one_select(f"@{file}")
    assert "with x as (select 1) select * from x" == one_select("with x as (select 1) select * from x")
    with pytest.raises(InputError):
        one_select("")
