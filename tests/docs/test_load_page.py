"""docs/load.md says what there is."""

import re
from typing import Any

import typer
import yaml

from batch_jobs.load.__main__ import _parser
from batch_jobs.load.definition import SHAPES, read_definition
from batch_jobs.load.files_table import FILES
from freshet.cli import app
from freshet.cli.context import ROOT

PAGE = (ROOT / "docs/load.md").read_text()


def test_every_option_is_described() -> None:
    """Of the command, and of the job."""
    command: Any = typer.main.get_command(app).commands["load"]  # type: ignore[attr-defined]
    options = {option for parameter in command.params for option in parameter.opts if option.startswith("--")}
    options |= {option for action in _parser()._actions for option in action.option_strings if option.startswith("--")}
    assert [] == [option for option in sorted(options - {"--help"}) if option not in PAGE]
    assert set(re.findall(r"^\| `(--[\w-]+)`", PAGE, re.MULTILINE)) <= options


def test_every_entry_of_the_definition_is_described() -> None:
    """And the shown file is read without a mistake."""
    assert [] == [entry for entry in SHAPES if entry.rpartition(".")[2].replace("null", "null_text") not in PAGE]


def test_the_shown_definition_is_right(tmp_path: Any) -> None:
    """It passes the checks that need no database."""
    (shown,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "orders").mkdir()
    (tmp_path / "orders" / "load.yaml").write_text(shown)
    (tmp_path / "orders" / "table.sql").write_text("create table if not exists public.orders (order_id bigint)")
    load = read_definition(tmp_path / "orders")
    assert yaml.safe_load(shown)["target"] == load.target


def test_every_column_of_the_files_table_is_described() -> None:
    """Whoever looks into the table finds it explained."""
    assert [] == [name for name, *_ in FILES if f"`{name}`" not in PAGE]


def test_every_module_is_described() -> None:
    """batch_jobs/load/README.md names each, and no other."""
    described = set(re.findall(r"^\| `([a-z_]+\.py)`", (ROOT / "batch_jobs/load/README.md").read_text(), re.MULTILINE))
    assert {path.name for path in (ROOT / "batch_jobs/load").glob("*.py")} - {"__init__.py"} == described
