"""What the documentation says exists."""

import inspect
import re
from pathlib import Path
from typing import Any

import pytest
import typer

from freshet import errors
from freshet.cli import app
from freshet.cli.context import ROOT
from freshet.pipeline.definition import load_definition

README = (ROOT / "README.md").read_text()
COMMANDS = re.findall(r"\.venv/bin/freshet ([a-z]+)(.*)", README)


def test_every_command_and_option_of_the_readme_exists() -> None:
    """Each line that a newcomer would copy names a command, and options that it has."""
    assert COMMANDS
    known: Any = typer.main.get_command(app)
    for name, rest in COMMANDS:
        command = known.commands[name]
        words = rest.split("#")[0].split()
        if hasattr(command, "commands"):
            command = command.commands[words[0]]
        options = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options


def test_every_step_of_the_job_is_described() -> None:
    """streaming_job/README.md names each module, and no other."""
    described = set(re.findall(r"`([a-z_]+\.py)`", (ROOT / "streaming_job" / "README.md").read_text()))
    modules = {path.name for path in (ROOT / "streaming_job").glob("*.py")} - {"__init__.py"}
    assert modules == described


def test_every_error_stands_in_the_tree() -> None:
    """The docstring of errors.py draws each class."""
    drawn = errors.__doc__ or ""
    classes = [name for name, kind in inspect.getmembers(errors, inspect.isclass) if kind.__module__ == errors.__name__]
    assert [] == [name for name in classes if name not in drawn]


def test_every_folder_of_the_layout_exists() -> None:
    """README's layout is the folder list."""
    folders = re.findall(r"^\| `([a-z_/]+)/` \|", README, re.MULTILINE)
    assert len(folders) > 8
    assert [] == [folder for folder in folders if not (ROOT / folder).is_dir()]


def test_the_readmes_pipeline_is_one(tmp_path: Path) -> None:
    """The two files that README shows pass the checks that need no database."""
    for language, file in (("sql", "select.sql"), ("yaml", "pipeline.yaml")):
        (block,) = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
        (tmp_path / file).write_text(block)
    assert (
        "public.orders_wide" == load_definition(tmp_path).target_schema + "." + load_definition(tmp_path).target_table
    )


@pytest.mark.parametrize(
    "file",
    sorted(
        str(path.relative_to(ROOT)) for path in ROOT.rglob("*.md") if not path.parts[len(ROOT.parts)].startswith(".")
    ),
)
def test_links_lead_somewhere(file: str) -> None:
    """Relative links of the documentation exist."""
    path = ROOT / file
    links = re.findall(r"\]\(([^)#:]+)\)", path.read_text())
    assert [] == [link for link in links if not (path.parent / link).exists()]
