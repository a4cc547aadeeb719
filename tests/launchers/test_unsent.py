"""A parameter that boto3 does not know is a mistake of ours: told so at once, and never taken for a silent network."""

import ast
import functools
from collections.abc import Iterator
from typing import Any
from unittest import mock

import boto3
import botocore
import pytest
from botocore.exceptions import ParamValidationError

from batch_jobs.load.listing import files_below, look
from batch_jobs.run_sql.script import _fetch
from freshet.cli.context import ROOT
from freshet.errors import InputError, TerminalError
from freshet.redshift.data_api import Warehouse
from freshet.unsent import refused

# What may fail in silence, since the next run or the next look makes good for it.
NICETIES = {
    ("batch_jobs/load/staging.py", "drop"), ("batch_jobs/export_dynamodb/progress.py", "tell"),
    ("batch_jobs/export_dynamodb/progress.py", "work"), ("batch_jobs/export_dynamodb/job.py", "_clean_up"),
    ("batch_jobs/load/__main__.py", "_job"),  # makes clients, and calls nothing
}  # fmt: skip


@pytest.fixture
def old_client() -> Any:
    """A client that knows no workgroup, as that of 2022; whatever it sent would be seen."""
    client = boto3.client("redshift-data", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    for operation in ("ExecuteStatement", "BatchExecuteStatement"):
        shape = client.meta.service_model.operation_model(operation).input_shape
        shape.members.pop("WorkgroupName")
    with mock.patch.object(client._endpoint, "make_request", side_effect=AssertionError("sent")):
        yield client
    client.close()


@pytest.mark.parametrize("ask", [
    lambda warehouse: warehouse.run(["select 1"]), lambda warehouse: warehouse.run_alone("select 1"),
    lambda warehouse: warehouse.query("select 1"), lambda warehouse: list(warehouse.pages("select 1")),
    lambda warehouse: warehouse.locked_query("t", "select 1"),
])  # fmt: skip
def test_the_warehouse_says_which(old_client: Any, ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 1, the version, the operation and the parameter; no second try, no value."""
    monkeypatch.setattr("time.sleep", lambda _seconds: pytest.fail("tried again"))
    with pytest.raises(TerminalError) as told:
        ask(Warehouse(old_client, "secret-name", "dev"))
    assert 1 == told.value.exit_code
    assert botocore.__version__ in str(told.value)
    assert 'xecute_statement (Unknown parameter in input: "WorkgroupName")' in str(told.value)
    assert "secret-name" not in str(told.value)


def test_a_bucket_that_is_no_name_is_the_callers_mistake() -> None:
    """S3 is not said to be silent: 2, for whoever wrote it."""
    s3 = boto3.client("s3", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    for ask in (
        lambda: list(files_below(s3, "a b", "p")),
        lambda: look(s3, "s3://a b/c"),
        lambda: _fetch("s3://a b/c", lambda: s3),
    ):
        with pytest.raises(InputError, match="Invalid bucket name"):
            ask()
    s3.close()


def test_no_value_is_told() -> None:
    """botocore quotes what it was given; the name of the parameter is enough."""
    error = ParamValidationError(
        report="Invalid type for parameter Parameters[0].value, value: 5551234, type: <class 'int'>, valid types: <class 'str'>\n"
        'Missing required parameter in Parameters[0]: "name"'
    )
    assert (
        'Invalid type for parameter Parameters[0].value; Missing required parameter in Parameters[0]: "name"'
        == refused(error)
    )


def handlers() -> Iterator[tuple[str, str, ast.Try, ast.ExceptHandler]]:
    """Find every place of the jobs that takes botocore's faults: file, function, try, handler."""
    files = [
        *ROOT.glob("batch_jobs/**/*.py"),
        *ROOT.glob("freshet/redshift/*.py"),
        ROOT / "cloudformation/bootstrap.py",
    ]
    for file in files:
        tree = ast.parse(file.read_text())
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
        for tried in (node for node in ast.walk(tree) if isinstance(node, ast.Try)):
            around = max(
                (f for f in functions if f.lineno <= tried.lineno <= (f.end_lineno or 0)), key=lambda f: f.lineno
            )
            for handler in tried.handlers:
                if "BotoCoreError" in names(handler.type):
                    yield str(file.relative_to(ROOT)), around.name, tried, handler


def names(node: ast.AST | None) -> set[str]:
    """The names in a piece of code."""
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name)} if node else set()


def test_every_place_that_takes_botocores_faults_takes_this_one_first() -> None:
    """By a handler before, by `refusal`, which does so itself; or nothing of the run depends on it."""
    found = list(handlers())
    assert len(found) > 10
    wrong = [
        (file, function)
        for file, function, tried, handler in found
        if not any(
            "ParamValidationError" in names(before.type) for before in tried.handlers[: tried.handlers.index(handler)]
        )
        and "refusal" not in functools.reduce(set.union, map(names, handler.body), set())
    ]
    assert sorted(NICETIES) == sorted(set(wrong))
