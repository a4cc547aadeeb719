"""What an update of the stack would do, read from CloudFormation's change sets, nested ones included.

A nested stack's own change set is named by the change of its resource in the parent's. Whatever a nested stack is told by
a resource of its parent - the key, another nested stack - is not known while change sets are computed: CloudFormation puts
a text in its place, and plans as if it changed, replacements and all. Here such a change counts only if what tells the
value changes too, and a replacement for it is one only perhaps.
Source: CloudFormation user guide, "Change sets for nested stacks"; aws-cloudformation/cloudformation-coverage-roadmap#759.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final, Literal

from freshet.errors import FreshetError

Action = Literal["create", "update", "replace", "perhaps replace", "delete"]
NESTED: Final = "AWS::CloudFormation::Stack"
CAPTURE: Final = "Capture"  # the nested stack of DMS
STOPPED_FOR: Final = frozenset(
    {
        "AWS::DMS::ReplicationTask",
        "AWS::DMS::Endpoint",
        "AWS::DMS::ReplicationInstance",
        "AWS::DMS::ReplicationSubnetGroup",
    }
)
POLL_S: Final = 2.0
# {{IntrinsicFunction:STACK/Network.Outputs.VpcId/Fn::GetAtt}}: the logical id in the parent.
UNKNOWN: Final = re.compile(r"\{\{IntrinsicFunction:[^}]*/(\w+)(?:\.[\w.]+)?/[\w:]+\}\}")
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


class ChangeSetRefused(FreshetError):
    """CloudFormation could not compute a change set; the message has its reason."""


@dataclass(frozen=True)
class Change:
    """One resource that would be changed; `place` is the nested stack's logical id, empty for the root."""

    place: str
    action: Action
    logical: str
    kind: str
    properties: tuple[str, ...] = ()
    kept: str = ""
    certain: bool = True
    by: frozenset[str] = frozenset()  # paths of the resources that cause it, if they tell something else than before
    unseen: bool = False  # a nested stack that was not looked into

    @property
    def path(self) -> str:
        """Logical path, such as Source/Database."""
        return f"{self.place}/{self.logical}" if self.place else self.logical

    def told(self) -> dict[str, Any]:
        """Give what scripts read of it."""
        names = ("place", "action", "logical", "kind", "properties", "kept", "certain")
        return {name: getattr(self, name) for name in names}

    @property
    def loses(self) -> str:
        """What data would go; empty when none."""
        if self.action not in {"replace", "perhaps replace", "delete"} or "Retain" in self.kept:
            return ""
        lost = DATA.get(self.kind, "")
        return f"{lost} (a snapshot is kept)" if lost and "Snapshot" in self.kept else lost


def change_of(resource: Mapping[str, Any], place: str, told: Mapping[str, str] | None = None) -> Change:
    """Read one ResourceChange.

    Args:
        resource: The change.
        place: Logical path of its stack.
        told: Parameters of its change set whose value is not known, and the path of the resource that tells each.
    """
    actions: dict[str, Action] = {"Add": "create", "Remove": "delete"}
    action = actions.get(resource["Action"])
    details = resource.get("Details", ())
    # "Automatic": a nested stack is always told as changed, since something in it may be.
    causes = {number: _causes(detail, details, place, told or {}) for number, detail in enumerate(details)
              if detail.get("ChangeSource") != "Automatic"}  # fmt: skip
    certain = [details[number] for number, by in causes.items() if not by]
    is_certain = action is not None or bool(certain) or not details
    if action is None:
        replacements: dict[str, Action] = {"True": "replace", "Conditional": "perhaps replace"}
        action = replacements.get(resource.get("Replacement", "False"), "update")
        if action == "replace" and len(certain) < len(causes) and not any(map(_recreates, certain)):
            action = "perhaps replace"
    targets = [detail.get("Target", {}) for detail in details]
    names = dict.fromkeys(target.get("Name") or target.get("Attribute", "") for target in targets)
    return Change(
        place,
        action,
        resource["LogicalResourceId"],
        resource["ResourceType"],
        tuple(sorted(name for name in names if name)),
        resource.get("PolicyAction", ""),
        is_certain,
        frozenset(path for by in causes.values() for path in by),
        unseen=resource["ResourceType"] == NESTED and action == "update" and "ChangeSetId" not in resource,
    )


def _recreates(detail: Mapping[str, Any]) -> bool:
    return bool(detail.get("Target", {}).get("RequiresRecreation", "Never") != "Never")


def _causes(
    detail: Mapping[str, Any], details: Sequence[Mapping[str, Any]], place: str, told: Mapping[str, str]
) -> list[str]:
    """Give the paths of the resources that alone cause a detail; none when it is certain."""
    source, entity = detail.get("ChangeSource"), str(detail.get("CausingEntity", "")).partition(".")[0]
    if source == "ParameterReference":
        return [told[entity]] if entity in told else []
    if source in {"ResourceReference", "ResourceAttribute"}:
        return [_path(place, entity)]
    if source == "DirectModification" and detail.get("Evaluation") == "Dynamic":
        # The same property is told a second time, with what it refers to.
        twins = [each for each in details if each.get("Target") == detail.get("Target") and each.get("CausingEntity")]
        return [path for twin in twins for path in _causes(twin, (), place, told)]
    return []


def _path(place: str, logical: str) -> str:
    return f"{place}/{logical}" if place else logical


def read_change_set(cloudformation: Any, change_set: str) -> list[Change]:
    """Read a change set that is complete, and those of nested stacks; the root's first, without what only seems to change.

    Args:
        cloudformation: Client.
        change_set: Its ARN.
    """
    opened: set[str] = set()
    return _without_seeming(list(_read(cloudformation, change_set, "", opened)), opened)


def _read(cloudformation: Any, change_set: str, place: str, opened: set[str]) -> Iterator[Change]:
    """Read all that CloudFormation tells; `opened` gets the paths of the nested stacks that it looked into."""
    inner: dict[str, str] = {}
    for page in _pages(cloudformation, change_set):
        unknown = {
            each["ParameterKey"]: UNKNOWN.search(str(each.get("ParameterValue", "")))
            for each in page.get("Parameters", ())
        }
        parent = place.rpartition("/")[0]
        told = {name: _path(parent, found[1]) for name, found in unknown.items() if found}
        for entry in page.get("Changes", ()):
            resource = entry["ResourceChange"]
            if resource["ResourceType"] == NESTED and resource.get("ChangeSetId"):
                inner[_path(place, resource["LogicalResourceId"])] = resource["ChangeSetId"]
            yield change_of(resource, place, told)
    opened |= set(inner)
    for path, nested in inner.items():
        yield from _read(cloudformation, nested, path, opened)


def _without_seeming(changes: Sequence[Change], opened: set[str]) -> list[Change]:
    """Leave out what would change only if a resource told something else that will not.

    A resource tells something else if it is replaced, made or deleted; a nested stack, if something in it is, or if it is
    given another template or other values. Who depends on that may change, and so on.
    """
    moved: set[str] = set()
    while True:
        real = {change for change in changes if change.certain or change.by & moved}
        told = {change.path for change in real if change.action != "update" or change.path in opened}
        told |= {stack for change in real if change.action != "update" for stack in _stacks(change.place)}
        if told == moved:
            break
        moved = told
    with_parts = {stack for change in real if change.path not in opened for stack in _stacks(change.place)}
    return [
        change
        for change in changes
        if (change.path in with_parts if change.path in opened and change.action == "update" else change in real)
    ]


def _stacks(place: str) -> Iterator[str]:
    return accumulate(place.split("/"), _path) if place else iter(())


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
        ChangeSetRefused: With CloudFormation's reason.
    """
    while True:
        found = cloudformation.describe_change_set(ChangeSetName=change_set)
        if found["Status"] == "CREATE_COMPLETE":
            return True
        if found["Status"] == "FAILED":
            reason = found.get("StatusReason") or "no reason was given"
            if any(text in reason for text in NOTHING):
                return False
            raise ChangeSetRefused(f"CloudFormation refused the change: {reason}")
        sleep(POLL_S)


def stops_the_task(changes: Sequence[Change]) -> bool:
    """Tell whether the changes touch DMS so that its task must not run, or may: CloudFormation fails on a running one."""
    return any(
        (change.unseen and change.logical == CAPTURE) or (change.kind in STOPPED_FOR and change.action != "create")
        for change in changes
    )
