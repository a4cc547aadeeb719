"""What an update of the stack would do, read from CloudFormation's change sets, nested ones included.

A nested stack's own change set is named by the change of its resource in the parent's.
Source: CloudFormation user guide, "Change sets for nested stacks".
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from freshet.errors import FreshetError

Action = Literal["create", "update", "replace", "perhaps replace", "delete"]
NESTED: Final = "AWS::CloudFormation::Stack"
POLL_S: Final = 2.0
NOTHING: Final = ("didn't contain changes", "No updates are to be performed", "no changes")
# What goes when a resource goes.
DATA: Final = {
    "AWS::RDS::DBInstance": "the source database with all its rows",
    "AWS::RedshiftServerless::Namespace": "the warehouse: tables, positions, ledger",
    "AWS::Kinesis::Stream": "changes that the job has not read yet; the job refuses to go on with another stream",
    "AWS::S3::Bucket": "all objects in it",
    "AWS::SecretsManager::Secret": "what it holds: passwords, or the keys of the tokens",
    "AWS::KMS::Key": "all that is encrypted with it",
    "AWS::DMS::ReplicationTask": "its place in the binlog: the new task loads every table again",
}


@dataclass(frozen=True)
class Change:
    """One resource that would be changed; `place` is the nested stack's logical id, empty for the root."""

    place: str
    action: Action
    logical: str
    kind: str
    properties: tuple[str, ...] = ()
    kept: str = ""

    @property
    def loses(self) -> str:
        """What data would go; empty when none."""
        if self.action not in {"replace", "perhaps replace", "delete"} or "Retain" in self.kept:
            return ""
        lost = DATA.get(self.kind, "")
        return f"{lost} (a snapshot is kept)" if lost and "Snapshot" in self.kept else lost


def change_of(resource: dict[str, Any], place: str) -> Change:
    """Read one ResourceChange."""
    actions: dict[str, Action] = {"Add": "create", "Remove": "delete"}
    action = actions.get(resource["Action"])
    if action is None:
        replacements: dict[str, Action] = {"True": "replace", "Conditional": "perhaps replace"}
        action = replacements.get(resource.get("Replacement", "False"), "update")
    targets = [detail.get("Target", {}) for detail in resource.get("Details", ())]
    names = dict.fromkeys(target.get("Name") or target.get("Attribute", "") for target in targets)
    return Change(
        place,
        action,
        resource["LogicalResourceId"],
        resource["ResourceType"],
        tuple(sorted(name for name in names if name)),
        resource.get("PolicyAction", ""),
    )


def read_change_set(cloudformation: Any, change_set: str, place: str = "") -> list[Change]:
    """Read a change set that is complete, and those of nested stacks; the root's first.

    Args:
        cloudformation: Client.
        change_set: Its ARN.
        place: Logical path of its stack.
    """
    own: list[Change] = []
    nested: list[Change] = []
    for page in _pages(cloudformation, change_set):
        for entry in page.get("Changes", ()):
            resource = entry["ResourceChange"]
            inner = resource.get("ChangeSetId")
            if resource["ResourceType"] == NESTED and inner:
                within = read_change_set(
                    cloudformation, inner, "/".join(filter(None, (place, resource["LogicalResourceId"])))
                )
                nested += within
                if not within and resource["Action"] == "Modify":
                    continue  # its parameters were computed anew, and came out the same
            own.append(change_of(resource, place))
    return own + nested


def _pages(cloudformation: Any, change_set: str) -> Iterator[dict[str, Any]]:
    following: dict[str, str] = {}
    while True:
        page = cloudformation.describe_change_set(ChangeSetName=change_set, **following)
        yield page
        if not page.get("NextToken"):
            return
        following = {"NextToken": page["NextToken"]}


def wait_for_change_set(cloudformation: Any, change_set: str, sleep: Callable[[float], None]) -> bool:
    """Wait until CloudFormation has computed a change set.

    Returns:
        False when there is nothing to change.

    Raises:
        FreshetError: CloudFormation refused; its reason.
    """
    while True:
        found = cloudformation.describe_change_set(ChangeSetName=change_set)
        if found["Status"] == "CREATE_COMPLETE":
            return True
        if found["Status"] == "FAILED":
            reason = found.get("StatusReason") or "no reason was given"
            if any(text in reason for text in NOTHING):
                return False
            raise FreshetError(f"CloudFormation refused the change: {reason}")
        sleep(POLL_S)


def stops_the_task(changes: Sequence[Change]) -> bool:
    """Tell whether the changes touch DMS so that its task must not run: CloudFormation fails on a running one."""
    touched = {
        "AWS::DMS::ReplicationTask",
        "AWS::DMS::Endpoint",
        "AWS::DMS::ReplicationInstance",
        "AWS::DMS::ReplicationSubnetGroup",
    }
    return any(change.kind in touched and change.action != "create" for change in changes)
