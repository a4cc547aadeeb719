"""docs/workflows.md: its folder is one, its commands can be typed, its files exist."""

import re

from batch_jobs.workflow.definition import GIVEN, read_workflow
from freshet.cli.context import ROOT
from tests.docs.test_runbook_page import blocks, commands, spans, wrong_words

PAGE = (ROOT / "docs" / "workflows.md").read_text(encoding="utf-8")


def test_the_folder_is_one() -> None:
    """The yaml as it stands, with files that use its parameters."""
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    files = {
        "workflow.yaml": block,
        "summary.sql": "select :day::date",
        "vacuum.sql": "vacuum",
        "by_sport.sql": "select :most, :to, :role",
    }
    found = read_workflow("shown", lambda name: files[name].encode())
    assert {"summary.sql", "vacuum.sql", "by_sport.sql"} == set(found.files)


def test_every_command_exists() -> None:
    """Also those within a sentence."""
    typed, told = commands(blocks(PAGE)), commands(spans(PAGE))
    assert len(typed) > 4
    typed = [words for words in typed if words[0] != "simulate"]  # its options are the simulator's
    assert {} == {" ".join(words): wrong for words in typed if (wrong := wrong_words(words))}
    assert {} == {" ".join(words): wrong for words in told if (wrong := wrong_words(words))}


def test_every_file_exists() -> None:
    """Of the table, and the workflows that ship."""
    table = PAGE.partition("| part | file |")[2].partition("\n\n")[0]
    files = re.findall(r"`([\w./]+)`", table)
    assert len(files) == 5
    assert [] == [file for file in files if not (ROOT / file).exists()]
    told = set(re.findall(r"^\*\*`(\w+)`\*\*", PAGE, re.MULTILINE))
    assert told == {path.name for path in (ROOT / "sql/workflows").iterdir()}


def test_what_is_given_is_told() -> None:
    """Every value that needs no parameter."""
    assert [] == [name for name in GIVEN if f"`{{{name}}}`" not in PAGE]
