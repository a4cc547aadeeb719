"""What failed first is found among the many events that follow from it, and told with its likely cause."""

# ruff: noqa: ARG002 - the signatures are boto3's

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from freshet.deploy.causes import likely_cause
from freshet.deploy.changes import NESTED
from freshet.deploy.events import Event, StackFailed, first_failure, follow, tell_failure

BEGIN = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)


def failed(second: int, path: str, kind: str, reason: str) -> Event:
    """A failure after some seconds."""
    place, _, logical = path.rpartition("/")
    return Event(path, BEGIN + timedelta(seconds=second), place, logical, kind, "CREATE_FAILED", reason)


def test_the_first_failure_is_not_one_that_follows_from_another() -> None:
    """Neither what was cancelled, though its event came first, nor the nested stack around it."""
    events = [
        failed(
            3,
            "Source",
            NESTED,
            "Embedded stack was not successfully created: The following resource(s) failed to create",
        ),
        failed(1, "Source/Secret", "AWS::SecretsManager::Secret", "Resource creation cancelled"),
        failed(2, "Source/Database", "AWS::RDS::DBInstance", "Cannot find version 8.4 for mysql"),
    ]
    found = first_failure(events)
    assert found is not None
    assert "Source/Database" == found.path
    told = tell_failure("ROLLBACK_COMPLETE", events)
    assert "Source/Database (AWS::RDS::DBInstance) failed first: Cannot find version 8.4" in told
    assert "--set MySQLVersion=" in told


KNOWN = [
    (
        "AWS::DMS::ReplicationSubnetGroup",
        "The IAM Role arn:aws:iam::1:role/dms-vpc-role is not configured properly.",
        "run the same command again",
    ),
    ("AWS::IAM::Role", "dms-vpc-role already exists in stack arn", "--set CreateDmsRoles=false"),
    ("AWS::Glue::Job", "User: arn:aws:iam::1:user/x is not authorized to perform: glue:CreateJob", "docs/security.md"),
    ("AWS::EC2::EIP", "The maximum number of addresses has been reached. (AddressLimitExceeded)", "Service Quotas"),
    (
        "AWS::RedshiftServerless::Workgroup",
        "You must have at least three subnets in three Availability Zones",
        "SubnetAzC",
    ),
    (
        "AWS::EC2::VPCEndpoint",
        "The VPC endpoint service does not support the availability zone of the subnet",
        "EgressMode=nat",
    ),
    ("AWS::S3::Bucket", "freshet-demo-1 already exists", "--stack"),
    ("AWS::EC2::Subnet", "The subnet 'subnet-1' has dependencies and cannot be deleted.", "again later"),
    ("AWS::Kinesis::Stream", "Rate exceeded", "run the same command again"),
]


@pytest.mark.parametrize(("kind", "reason", "advice"), KNOWN)
def test_a_known_failure_has_a_likely_cause(kind: str, reason: str, advice: str) -> None:
    """In words of what to do."""
    assert advice in (likely_cause(kind, reason) or "")


def test_an_unknown_failure_has_none() -> None:
    """Nothing is guessed."""
    assert likely_cause("AWS::SNS::Topic", "the moon is full") is None


class CloudFormation:
    """Two looks at a stack: under way, then at rest."""

    def __init__(self, end: str) -> None:
        self.states, self.shown = ["CREATE_IN_PROGRESS", end], 0

    def describe_stacks(self, StackName: str) -> dict[str, Any]:  # noqa: N803
        """Give the next state."""
        return {"Stacks": [{"StackStatus": self.states[self.shown]}]}

    def get_paginator(self, _: str) -> "CloudFormation":
        """Be the paginator too."""
        return self

    def paginate(self, StackName: str) -> list[dict[str, Any]]:  # noqa: N803
        """Give the events so far, the newest first."""
        self.shown += 1
        found = [self._event(0, "old"), *(self._event(number, f"Part{number}") for number in range(1, self.shown + 1))]
        return [{"StackEvents": found[::-1]}]

    @staticmethod
    def _event(second: int, logical: str) -> dict[str, Any]:
        return {
            "EventId": logical, "Timestamp": BEGIN + timedelta(seconds=second), "LogicalResourceId": logical, "StackId": "root",
            "ResourceType": "AWS::SNS::Topic", "ResourceStatus": "CREATE_COMPLETE", "PhysicalResourceId": logical,
        }  # fmt: skip


def test_each_event_is_shown_once() -> None:
    """Those of an earlier operation are not."""
    shown: list[str] = []
    waits: list[float] = []
    assert "CREATE_COMPLETE" == follow(
        CloudFormation("CREATE_COMPLETE"), "root", BEGIN, lambda event: shown.append(event.logical), waits.append
    )
    assert ["Part1", "Part2"] == shown
    assert 1 == len(waits)
    with pytest.raises(StackFailed, match="The stack is in ROLLBACK_COMPLETE"):
        follow(CloudFormation("ROLLBACK_COMPLETE"), "root", BEGIN, lambda _: None, waits.append)
