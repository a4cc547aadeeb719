"""What goes and what stays when a stack is deleted, read from its templates as they were deployed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from freshet.deploy.changes import DATA, NESTED
from freshet.deploy.templates import parse_template

KEPT = {"Retain": "stays", "Snapshot": "goes; a last snapshot stays", "RetainExceptOnCreate": "stays"}


@dataclass(frozen=True)
class Holding:
    """One resource that holds data, and what becomes of it."""

    path: str
    kind: str
    physical: str
    what: str
    fate: str

    @property
    def goes(self) -> bool:
        """Whether its data is lost, but for a snapshot."""
        return not self.fate.startswith("stays")


def holdings(cloudformation: Any, stack: str, place: str = "") -> Iterator[Holding]:
    """Find what holds data, or stays behind, in a stack and those nested in it.

    Args:
        cloudformation: Client.
        stack: Name or ARN.
        place: Logical path of the stack.
    """
    body = cloudformation.get_template(StackName=stack, TemplateStage="Original")["TemplateBody"]
    described = body["Resources"] if isinstance(body, Mapping) else parse_template(str(body), stack)["Resources"]
    pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack)
    for found in (each for page in pages for each in page["StackResourceSummaries"]):
        logical, kind = found["LogicalResourceId"], found["ResourceType"]
        physical = found.get("PhysicalResourceId") or ""
        if found.get("ResourceStatus") == "DELETE_COMPLETE":
            continue
        path = f"{place}/{logical}" if place else logical
        if kind == NESTED and physical:
            yield from holdings(cloudformation, physical, path)
            continue
        fate = fate_of(described.get(logical, {}))
        if (kind in DATA and kind != "AWS::DMS::ReplicationTask") or fate == "stays":
            yield Holding(path, kind, physical, DATA.get(kind, "used by others of the account too"), fate)


def fate_of(resource: Mapping[str, Any]) -> str:
    """Say what a resource's template says of its end."""
    policy = str(resource.get("DeletionPolicy", "Delete"))
    if policy == "Delete" and "FinalSnapshotName" in resource.get("Properties", {}):
        days = resource["Properties"].get("FinalSnapshotRetentionPeriod")
        return f"goes; a last snapshot stays {days} days" if days else "goes; a last snapshot stays"
    return KEPT.get(policy, "goes")
