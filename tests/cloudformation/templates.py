"""The templates as CloudFormation reads them, with the line of every part."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from cfnlint.decode import cfn_yaml

FOLDER = Path(__file__).parents[2] / "cloudformation"
NAMES = tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))


@cache
def template(name: str) -> dict[str, Any]:
    """Read a template; short tags become their long forms."""
    return cfn_yaml.load(str(FOLDER / f"{name}.yaml"))  # type: ignore[no-any-return]


@cache
def lines(name: str) -> list[str]:
    """Read a template's lines."""
    return (FOLDER / f"{name}.yaml").read_text(encoding="utf-8").splitlines()


def resources(kind: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Find the resources of a type: template, logical id, properties."""
    for name in NAMES:
        for logical, resource in template(name)["Resources"].items():
            if resource["Type"] == kind:
                yield name, logical, resource.get("Properties", {})


def policies() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Find every statement that gives a role of ours rights: template, owner, statement."""
    for name, logical, role in resources("AWS::IAM::Role"):
        for policy in role.get("Policies", ()):
            yield from ((name, logical, statement) for statement in policy["PolicyDocument"]["Statement"])
    for name, logical, policy in resources("AWS::IAM::ManagedPolicy"):
        yield from ((name, logical, statement) for statement in policy["PolicyDocument"]["Statement"])


def strings(part: Any) -> Iterator[str]:
    """Find all texts of a part of a template, keys too."""
    if isinstance(part, dict):
        for key, value in part.items():
            yield str(key)
            yield from strings(value)
    elif isinstance(part, list):
        for value in part:
            yield from strings(value)
    elif isinstance(part, str):
        yield part


def listed(value: Any) -> list[Any]:
    """Give a list, also for a single value."""
    return list(value) if isinstance(value, list) else [value]
