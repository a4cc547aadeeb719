"""What an update would do is read from nested change sets and told with what would be lost."""

import io
from typing import Any

import pytest
from rich.console import Console

from freshet.cli.deploy_screen import render_plan
from freshet.deploy.changes import (
    CAPTURE,
    NESTED,
    STOPPED_FOR,
    Change,
    read_change_set,
    stops_the_task,
    wait_for_change_set,
)
from freshet.errors import FreshetError
from tests.cloudformation.templates import resources, template


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


def caused(
    logical: str, kind: str, name: str, recreation: str, source: str, entity: str, **more: str
) -> dict[str, Any]:
    """A modification as CloudFormation tells it for a property that refers to something: twice."""
    target = {"Attribute": "Properties", "Name": name, "RequiresRecreation": recreation}
    entry = modify(logical, kind, replacement="True" if recreation == "Always" else "False", **more)
    entry["ResourceChange"]["Details"] = [
        {"Target": target, "Evaluation": "Dynamic", "ChangeSource": "DirectModification"},
        {"Target": target, "Evaluation": "Static", "ChangeSource": source, "CausingEntity": entity},
    ]
    return entry


def nested(logical: str, change_set: str, *details: dict[str, Any]) -> dict[str, Any]:
    """A nested stack: always told as changed, whatever is in it."""
    entry = modify(logical, NESTED, ChangeSetId=change_set)
    automatic = {"Target": {"Attribute": "Properties", "Name": "Parameters"}, "ChangeSource": "Automatic"}
    entry["ResourceChange"]["Details"] = [automatic, *details]
    return entry


class Placeholders(CloudFormation):
    """Tells the key's ARN and the network's subnets as CloudFormation does: not at all."""

    def describe_change_set(self, ChangeSetName: str, NextToken: str = "0") -> dict[str, Any]:  # noqa: N803
        """Give a page, with the parameters of a nested stack."""
        where = "{{IntrinsicFunction:arn:aws:cloudformation:us-east-1:1:stack/demo/1/"
        unknown = {
            "KeyArn": f"{where}Key.Arn/Fn::GetAtt}}}}",
            "SubnetIds": f"{where}Network.Outputs.SubnetIds/Fn::GetAtt}}}}",
        }
        told = [
            {"ParameterKey": name, "ParameterValue": value} for name, value in {**unknown, "StackLabel": "demo"}.items()
        ]
        return {**super().describe_change_set(ChangeSetName, NextToken), "Parameters": told}


def update(**network: Any) -> Placeholders:
    """An update of the jobs, as the nested change sets tell it, with more changes in the network."""
    passed = {"Target": {"Attribute": "Properties", "Name": "Parameters"}, "ChangeSource": "ResourceAttribute",
              "CausingEntity": "Network.Outputs.SubnetIds"}  # fmt: skip
    return Placeholders(
        root=[nested("Network", "network"), nested("Source", "source", passed), nested("Capture", "capture", passed),
              nested("Jobs", "jobs")],
        network=[],
        source=[
            caused("SubnetGroup", "AWS::RDS::DBSubnetGroup", "SubnetIds", "Never", "ParameterReference", "SubnetIds"),
            caused("Database", "AWS::RDS::DBInstance", "KmsKeyId", "Always", "ParameterReference", "KeyArn"),
            caused("Extra", "AWS::RDS::DBInstance", "DBSubnetGroupName", "Always", "ResourceReference", "SubnetGroup"),
        ],
        capture=[
            caused("Group", "AWS::DMS::ReplicationSubnetGroup", "SubnetIds", "Never", "ParameterReference", "SubnetIds"),
            caused("Stream", "AWS::Kinesis::Stream", "StreamEncryption", "Never", "ParameterReference", "KeyArn"),
        ],
        jobs=[modify("StreamingJob", "AWS::Glue::Job", "DefaultArguments")],
        **network,
    )  # fmt: skip


def test_what_only_seems_to_change_is_not_told() -> None:
    """An update of a job replaces no database, though CloudFormation's nested plans say so; and DMS goes on meanwhile."""
    found = read_change_set(update(), "root")
    assert ["Jobs", "Jobs/StreamingJob"] == [change.path for change in found]
    assert not stops_the_task(found)
    assert not any(change.loses for change in found)


def test_what_may_change_is_told_as_what_may() -> None:
    """If the network's subnets are replaced, so may be what depends on them; what depends on the key is not."""
    state = update()
    state.change_sets["network"] = [modify("SubnetA", "AWS::EC2::Subnet", "AvailabilityZone", replacement="True")]
    found = {change.path: change.action for change in read_change_set(state, "root")}
    assert ("replace", "update", "update") == (
        found["Network/SubnetA"],
        found["Source/SubnetGroup"],
        found["Capture/Group"],
    )
    assert not {"Source/Database", "Source/Extra", "Capture/Stream"} & set(found)
    assert stops_the_task(read_change_set(state, "root"))


def test_new_values_of_a_stack_may_change_what_it_tells() -> None:
    """Its outputs may pass a parameter on, so who is told them is told too, though none of its resources changes."""
    state = update()
    said = {"Target": {"Attribute": "Properties", "Name": "Parameters"}, "ChangeSource": "ParameterReference",
            "CausingEntity": "ExistingSubnetIds", "Evaluation": "Static"}  # fmt: skip
    state.change_sets["root"][0] = nested("Network", "network", said)
    assert {"Source/SubnetGroup", "Capture/Group"} <= {change.path for change in read_change_set(state, "root")}


def test_a_replaced_key_is_told_with_all_that_may_go() -> None:
    """The key itself for certain; the database perhaps, and with it what refers to it."""
    state = update()
    state.change_sets["root"].append(modify("Key", "AWS::KMS::Key", "MultiRegion", replacement="True"))
    found = {change.path: change for change in read_change_set(state, "root")}
    assert ("replace", "perhaps replace") == (found["Key"].action, found["Source/Database"].action)
    assert found["Source/Database"].loses
    console = Console(file=io.StringIO(), width=160, color_system=None)
    console.print(render_plan(list(found.values())))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "if Key tells another value" in text
    assert "perhaps lost: the source database" in text


def test_a_certain_replacement_stays_one() -> None:
    """Also beside a property that only seems to change."""
    entry = caused("Database", "AWS::RDS::DBInstance", "KmsKeyId", "Always", "ParameterReference", "KeyArn")
    target = {"Attribute": "Properties", "Name": "DBName", "RequiresRecreation": "Always"}
    entry["ResourceChange"]["Details"].append(
        {"Target": target, "Evaluation": "Static", "ChangeSource": "ParameterReference", "CausingEntity": "StackLabel"}
    )
    state = update()
    state.change_sets["source"] = [entry]
    assert "replace" == {change.path: change.action for change in read_change_set(state, "root")}["Source/Database"]


def test_a_stack_that_was_not_looked_into_stops_the_task() -> None:
    """A plan without nested stacks does not tell whether DMS is touched."""
    blind = CloudFormation(root=[modify("Capture", NESTED, "Parameters")])
    assert stops_the_task(read_change_set(blind, "root"))
    assert not stops_the_task(read_change_set(CloudFormation(root=[modify("Jobs", NESTED, "Parameters")]), "root"))


def test_all_of_dms_is_in_one_nested_stack() -> None:
    """That which is stopped for when nobody can look into it."""
    homes = {name for kind in STOPPED_FOR for name, _, _ in resources(kind)}
    stack = template("freshet")["Resources"][CAPTURE]["Properties"]["TemplateURL"]
    assert {stack} == {f"{name}.yaml" for name in homes}
