"""A workflow's folder is read whole before anything runs, and what is wrong in it is told with its place."""

from datetime import UTC, datetime

import pytest

from batch_jobs.workflow.definition import Workflow, read_workflow
from batch_jobs.workflow.execution import Deployed, execution_input
from freshet.cli.workflow_place import WORKFLOWS, names, read_local
from freshet.errors import DefinitionError, InputError

DEPLOYED = Deployed("code", "freshet/demo/sql/0123", "s3://data/in", "arn:aws:iam::1:role/files")
NOON = datetime(2026, 5, 2, 12, tzinfo=UTC)
GOOD = """
description: Two steps
parameters: {day: "{yesterday}", to: "{data}/x/day={day}/"}
load: [{load: clicks}]
transform: [{file: a.sql}]
unload: [{file: b.sql, mode: each, parameters: {most: "10"}}]
"""
FILES = {"a.sql": b"delete from t where day = :day::date;", "b.sql": b"unload ('select 1 as a') to :to iam_role :role -- :most\n;"
         b"select :most::int"}  # fmt: skip


def read(text: str, **files: bytes) -> Workflow:
    """Read a folder that holds this workflow.yaml."""
    content = {**FILES, **{f"{name}.sql": body for name, body in files.items()}, "workflow.yaml": text.encode()}
    return read_workflow("sums", content.get)


def test_the_input_of_an_execution() -> None:
    """Files by their keys, each with just the parameters that it uses, their values filled in."""
    found = execution_input(read(GOOD), {}, DEPLOYED, NOON)
    assert {
        "workflow": "sums",
        "load": [{"name": "clicks", "load": "s3://code/freshet/demo/sql/0123/loads/clicks.json"}],
        "transform": [
            {"name": "a.sql", "file": "freshet/demo/sql/0123/workflows/sums/a.sql", "parameters": {"day": "2026-05-01"},
             "mode": "transaction"},
        ],
        "unload": [
            {"name": "b.sql", "file": "freshet/demo/sql/0123/workflows/sums/b.sql",
             "parameters": {"to": "s3://data/in/x/day=2026-05-01/", "role": "arn:aws:iam::1:role/files", "most": "10"},
             "mode": "each"},
        ],
    } == found  # fmt: skip


def test_a_given_value_goes_before_the_default_and_into_what_names_it() -> None:
    """The day that a run is told stands in the path too."""
    found = execution_input(read(GOOD), {"day": "2026-01-31"}, DEPLOYED, NOON)
    assert "2026-01-31" == found["transform"][0]["parameters"]["day"]
    assert "s3://data/in/x/day=2026-01-31/" == found["unload"][0]["parameters"]["to"]


def test_a_value_is_text_and_nothing_else() -> None:
    """Braces and quotes in a given value are no references: they stay as they are."""
    evil = "{role}'; drop table t; --"
    found = execution_input(read(GOOD), {"day": evil}, DEPLOYED, NOON)
    assert evil == found["transform"][0]["parameters"]["day"]


@pytest.mark.parametrize("given", [{"week": "1"}, {"role": "arn:aws:iam::1:role/other"}, {"most": "3"}])
def test_only_the_workflows_own_parameters_can_be_given(given: dict[str, str]) -> None:
    """Not one that it has not, not one that the deployment gives, not one that an item fixed."""
    with pytest.raises(InputError, match="has no parameter"):
        execution_input(read(GOOD), given, DEPLOYED, NOON)


def test_a_parameter_without_a_default_must_be_given() -> None:
    """And the message says how."""
    text = GOOD.replace('"{yesterday}"', "null")
    with pytest.raises(InputError, match="--parameter day="):
        execution_input(read(text), {}, DEPLOYED, NOON)
    assert execution_input(read(text), {"day": "2026-05-01"}, DEPLOYED, NOON)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "workflow.yaml: the whole file: "),
        ("description: x\n  load: [", "workflow.yaml:2: this is not YAML"),
        ("description: x", "there is nothing to run"),
        ("description: ''\ntransform: [{file: a.sql}]", "workflow.yaml: description: "),
        (GOOD + "\nsteps: []", "workflow.yaml: steps: "),
        (GOOD.replace("a.sql", "c.sql"), "names the file c.sql, which is not in the folder"),
        (GOOD.replace("a.sql", "../a.sql"), "is not the name of a .sql file"),
        (GOOD.replace("load: clicks", "load: ../x"), "cannot be the name of a load"),
        (GOOD.replace("{load: clicks}", "{file: a.sql}"), "belongs to transform or unload"),
        (GOOD.replace("[{file: a.sql}]", "[{load: clicks}]"), "a load belongs to `load`"),
        (GOOD.replace("{file: a.sql}", "{file: a.sql, load: clicks}"), "an item is either"),
        (GOOD.replace("{file: a.sql}", "{}"), "an item is either"),
        (GOOD.replace("load: clicks", "load: clicks, mode: each"), "parameters and mode belong to a file"),
        (GOOD.replace("mode: each", "mode: both"), "unload.0.mode: "),
        (GOOD.replace('most: "10"', "most: 10"), "unload.0.parameters.most: must be a text"),
        (GOOD.replace('most: "10"', 'most: "10", week: "1"'), "no statement of b.sql uses it"),
        (GOOD.replace(', parameters: {most: "10"}', ""), "no value is given for :most of b.sql"),
        (GOOD.replace("{yesterday}", "{tomorrow}"), "{tomorrow} is none of data, role"),
        (GOOD.replace('"{yesterday}"', '"{to}"'), "parameters.day: {to} is none of"),
        (GOOD.replace("day: ", "role: x, day: "), "choose another name"),
    ],
)
def test_what_is_wrong_is_told(text: str, why: str) -> None:
    """Its file, its entry or line, and what to write instead."""
    with pytest.raises(DefinitionError) as told:
        read(text)
    assert why in str(told.value)


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        (b"select 'open", "a.sql:1: the string that begins here is not closed"),
        (b"\nvacuum t", "a.sql:2: "),
        (b"-- nothing", "a.sql: there is no statement in it"),
        (b"select '\xff'", "a.sql: this is not UTF-8"),
    ],
)
def test_a_file_that_could_not_run_is_told(sql: bytes, why: str) -> None:
    """With its line, before an execution begins."""
    with pytest.raises(DefinitionError) as told:
        read(GOOD, a=sql)
    assert why in str(told.value)


@pytest.mark.parametrize("name", ["Sums", "1st", "a-b", "", "x" * 64])
def test_a_workflows_name_is_plain(name: str) -> None:
    """It stands in keys, in the name of the execution and in the subject of a message."""
    with pytest.raises(DefinitionError, match="cannot be the name"):
        read_workflow(name, FILES.get)


def test_the_shipped_workflows_are_right() -> None:
    """Every folder below sql/workflows can be run."""
    assert {"daily_sales", "reviews"} <= set(names())
    for name in names():
        found = execution_input(read_local(WORKFLOWS / name), {}, DEPLOYED, NOON)
        assert name == found["workflow"]
