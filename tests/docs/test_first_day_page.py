"""docs/first-day-on-aws.md can be worked through: each experiment has a command that exists, an answer, and a file to change."""

import re
import shlex
from collections.abc import Iterator
from typing import Any

import botocore.session
import pytest
import typer
from botocore import xform_name

from freshet.cli import app
from freshet.cli.context import ROOT

PAGE = (ROOT / "docs" / "first-day-on-aws.md").read_text(encoding="utf-8")
EXPERIMENTS = 21
GLOBAL = {"--query", "--output", "--region", "--profile"}
SESSION = botocore.session.get_session()
COMMAND: Any = typer.main.get_command(app)


def rows() -> list[list[str]]:
    """The rows of the table of experiments, by column."""
    table = PAGE.partition("## Experiments")[2].partition("\n## ")[0]
    lines = [line for line in table.splitlines() if re.match(r"\| \d+ \|", line)]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


ROWS = rows()


def unbraced(text: str) -> Iterator[str]:
    """Split a line of the shell into its commands, those in $(...) too."""
    for inner in re.findall(r"\$\(([^()]*(?:\([^()]*\)[^()]*)*)\)", text):
        yield from unbraced(inner)
    outer = re.sub(r"\$\(([^()]*(?:\([^()]*\)[^()]*)*)\)", "X", text)
    yield from (part.strip() for part in outer.split("&&"))


def wrong(line: str) -> list[str]:
    """Find what a line would stumble over: an unknown program, operation or option; an option without its value."""
    return [problem for command in unbraced(line) for problem in _wrong(shlex.split(command))]


def _wrong(words: list[str]) -> list[str]:
    options = {word.partition("=")[0] for word in words if word.startswith("--")}
    if words[0] == "aws":
        service, operation = words[1], words[2]
        model = SESSION.get_service_model("s3" if service == "s3api" else service)
        known = {xform_name(name, "-"): name for name in model.operation_names}
        if operation not in known:
            return [f"aws {service} has no {operation}"]
        shape = model.operation_model(known[operation]).input_shape
        assert shape is not None or not options - GLOBAL
        members = {f"--{xform_name(name, '-')}" for name in (shape.members if shape else ())}
        needed = {f"--{xform_name(name, '-')}" for name in (shape.required_members if shape else ())}
        unknown = sorted(options - members - GLOBAL - {"--max-items"})
        return [f"aws {service} {operation}: {each}" for each in [*unknown, *sorted(needed - options)]]
    if words[0] == "freshet":
        command = COMMAND.commands[words[1]]
        return sorted(options - {option for parameter in command.params for option in parameter.opts})
    return [] if words[0] == "sleep" else [f"what is {words[0]}"]


def files(text: str) -> list[str]:
    """The files of the repository that a text names."""
    return re.findall(r"`([\w./-]+/[\w.-]+\.\w+)`", text)


def test_every_experiment_has_its_row() -> None:
    """Numbered, in order, none left out, five columns each."""
    assert [str(number) for number in range(1, EXPERIMENTS + 1)] == [row[0] for row in ROWS]
    assert {5} == {len(row) for row in ROWS}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_row_can_be_worked_through(row: list[str]) -> None:
    """One line to type, of commands and options that there are; what to expect; a file that is there, if it is otherwise."""
    _, question, command, expected, otherwise = row
    assert question.endswith("?")
    assert re.fullmatch(r"`[^`\n]+`", command)
    assert [] == wrong(command.strip("`"))
    assert len(expected) > 2
    assert files(otherwise)
    assert [] == [file for file in files(otherwise) if not (ROOT / file).is_file()]


def test_what_is_to_be_prepared_can_be_typed() -> None:
    """The blocks before and after the table; each variable that a row uses is set there."""
    blocks = "\n".join(re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL))
    script = re.sub(r"cat > probe.py <<'END'\n.*?\nEND\n", "", blocks, flags=re.DOTALL)
    commands = [line for line in script.splitlines() if line.startswith("aws ")]
    commands += re.findall(r"\$\((aws .*?)\)\"", script)
    assert len(commands) > 8
    assert [] == [problem for line in commands for problem in wrong(line)]
    variables = set(re.findall(r"\b([A-Z_]+)=", script))
    assert set(re.findall(r"\$\{?([A-Z_]+)", PAGE)) <= variables


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("aws glue get-jobb --job-name x", "aws glue has no get-jobb"),
        ("aws glue get-job --name x", "aws glue get-job: --name"),
        ("aws glue get-job", "aws glue get-job: --job-name"),
        ('aws glue get-job --job-name "$(aws s3api list-buckets --nothing)"', "aws s3api list-buckets: --nothing"),
        ("freshet deploy x --dryrun", "--dryrun"),
        ("rm x", "what is rm"),
    ],
)
def test_a_wrong_command_is_seen(line: str, problem: str) -> None:
    """The check is no rubber stamp."""
    assert problem in wrong(line)


def test_the_way_to_aws_leads_here() -> None:
    """From docs/deploy.md."""
    assert "(first-day-on-aws.md)" in (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
