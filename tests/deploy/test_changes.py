"""What an update would do is read from nested change sets and told with what would be lost."""

import io
from typing import Any

import pytest
from rich.console import Console

from freshet.cli.deploy_screen import render_plan
from freshet.deploy.changes import NESTED, Change, read_change_set, stops_the_task, wait_for_change_set
from freshet.errors import FreshetError


def modify(logical: str, kind: str, *properties: str, replacement: str = "False", **more: str) -> dict[str, Any]:
    """One entry of DescribeChangeSet."""
    details = [{"Target": {"Attribute": "Properties", "Name": name}} for name in properties]
    return {
        "ResourceChange": {
            "Action": "Modify", "LogicalResourceId": logical, "ResourceType": kind, "Replacement": replacement,
            "Details": details, **more,
        }
    }  # fmt: skip


class CloudFormation:
    """Answers DescribeChangeSet, one entry a page."""

    def __init__(self, **change_sets: list[dict[str, Any]]) -> None:
        self.change_sets = change_sets

    def describe_change_set(self, ChangeSetName: str, NextToken: str = "0") -> dict[str, Any]:  # noqa: N803
        """Give a page."""
        entries, page = self.change_sets[ChangeSetName], int(NextToken)
        following = {"NextToken": str(page + 1)} if page + 1 < len(entries) else {}
        return {"Changes": entries[page : page + 1], **following}


STACK = CloudFormation(
    root=[
        modify("Capture", NESTED, "Parameters", ChangeSetId="capture"),
        modify("Jobs", NESTED, "Parameters", ChangeSetId="jobs"),
        modify("Network", NESTED, "Parameters", ChangeSetId="network"),
        modify("Key", "AWS::KMS::Key", "KeyPolicy"),
    ],
    capture=[
        modify("Stream", "AWS::Kinesis::Stream", "Name", replacement="True"),
        modify("ReplicationTask", "AWS::DMS::ReplicationTask", "TableMappings"),
    ],
    jobs=[{"ResourceChange": {"Action": "Remove", "LogicalResourceId": "UpsertJob", "ResourceType": "AWS::Glue::Job"}}],
    network=[],
)


def test_nested_change_sets_are_followed() -> None:
    """Each nested stack's own changes are told; one in which nothing changes is not."""
    found = read_change_set(STACK, "root")
    assert [
        ("", "Capture"), ("", "Jobs"), ("", "Key"), ("Capture", "Stream"), ("Capture", "ReplicationTask"),
        ("Jobs", "UpsertJob"),
    ] == [(change.place, change.logical) for change in found]  # fmt: skip
    assert ["replace", "update"] == [change.action for change in found if change.place == "Capture"]
    assert stops_the_task(found)
    assert not stops_the_task([change for change in found if change.place != "Capture"])


def test_the_plan_says_what_is_lost() -> None:
    """Whoever replaces the stream reads it before saying yes."""
    console = Console(file=io.StringIO(), width=120, color_system=None)
    console.print(render_plan(read_change_set(STACK, "root")))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "replaced: Name" in text
    assert "lost: changes that the job has not read yet" in text
    assert "2 to update, 1 to replace, 1 to delete" in text
    assert "Network" not in text


@pytest.mark.parametrize(
    ("action", "kept", "lost"),
    [
        ("update", "", ""),
        ("delete", "Delete", "the source database with all its rows"),
        ("replace", "ReplaceAndSnapshot", "the source database with all its rows (a snapshot is kept)"),
        ("delete", "Retain", ""),
    ],
)
def test_what_is_kept_is_not_called_lost(action: Any, kept: str, lost: str) -> None:
    """A policy of the template saves it."""
    assert lost == Change("Source", action, "Database", "AWS::RDS::DBInstance", (), kept).loses


class Computing:
    """A change set that is not complete at once."""

    def __init__(self, *answers: dict[str, str]) -> None:
        self.answers = list(answers)

    def describe_change_set(self, **_: str) -> dict[str, str]:
        """Give the next answer."""
        return self.answers.pop(0)


def test_a_change_set_is_waited_for() -> None:
    """Nothing to change is no error; a refusal is one, with CloudFormation's reason."""
    waits: list[float] = []
    pending, complete = {"Status": "CREATE_IN_PROGRESS"}, {"Status": "CREATE_COMPLETE"}
    assert wait_for_change_set(Computing(pending, complete), "x", waits.append)
    assert 1 == len(waits)
    nothing = {"Status": "FAILED", "StatusReason": "The submitted information didn't contain changes."}
    assert not wait_for_change_set(Computing(nothing), "x", waits.append)
    refused = {"Status": "FAILED", "StatusReason": "Template error: unresolved"}
    with pytest.raises(FreshetError, match="refused the change: Template error: unresolved"):
        wait_for_change_set(Computing(refused), "x", waits.append)
