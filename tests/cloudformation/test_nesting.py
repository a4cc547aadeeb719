"""What a parent fills with something that is not there yet is taken by a nested template as it comes.

While CloudFormation computes a change set with its nested ones, a parameter that depends on a resource - a nested stack's
output, the key's ARN - holds a text in its place: `{{IntrinsicFunction:STACK/Capture.Outputs.StreamArn/Fn::GetAtt}}`. A
function that takes values apart, a condition, or a rule for the value sees that text: the change set fails, or plans what
will not be done.
Source: aws-cloudformation/cloudformation-coverage-roadmap#759.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from freshet.deploy.templates import read_template
from tests.cloudformation.templates import FOLDER

PLACING = {"Fn::Sub", "Fn::Join", "Fn::If"}  # they put a text into another, or choose one, whatever it is
RULES_OF_A_VALUE = {"AllowedPattern", "AllowedValues", "MinLength", "MaxLength", "MinValue", "MaxValue"}


def named(part: Any) -> Iterator[str]:
    """Find what a part refers to: parameters, resources, pseudo parameters."""
    if isinstance(part, list):
        for each in part:
            yield from named(each)
    elif isinstance(part, dict):
        for key, value in part.items():
            if key == "Ref":
                yield value
            elif key == "Fn::GetAtt":
                yield value[0]
            else:
                if key == "Fn::Sub":
                    yield from re.findall(r"\$\{([\w:]+)", value[0] if isinstance(value, list) else value)
                yield from named(value)


def fed(parent: dict[str, Any], parameters: dict[str, Any]) -> set[str]:
    """Which of a nested stack's parameters depend on a resource of the parent."""
    return {name for name, value in parameters.items() if set(named(value)) & set(parent["Resources"])}


def taken_apart(part: Any, where: str, names: set[str]) -> Iterator[str]:
    """Find functions other than those of PLACING over one of these parameters; as "place: function"."""
    if isinstance(part, list):
        for each in part:
            yield from taken_apart(each, where, names)
    elif isinstance(part, dict):
        for key, value in part.items():
            if key.startswith("Fn::") and key not in PLACING and key != "Fn::GetAtt" and names & set(named(value)):
                yield f"{where}: {key}"
            yield from taken_apart(value, where, names)


def misuses(file: Path) -> Iterator[str]:
    """Find what cannot be planned in the templates that one nests, theirs too."""
    parent = read_template(file)
    for resource in parent["Resources"].values():
        if resource["Type"] != "AWS::CloudFormation::Stack":
            continue
        inner = file.with_name(resource["Properties"]["TemplateURL"])
        nested = read_template(inner)
        names = fed(parent, resource["Properties"].get("Parameters", {}))
        for name in sorted(names):
            for rule in RULES_OF_A_VALUE & set(nested["Parameters"][name]):
                yield f"{inner.name} Parameters.{name}: {rule}"
        for section in ("Resources", "Outputs"):
            for logical, part in nested.get(section, {}).items():
                yield from taken_apart(part, f"{inner.name} {logical}", names)
        for section in ("Conditions", "Rules"):
            for logical, part in nested.get(section, {}).items():
                if names & set(named(part)):
                    yield f"{inner.name} {section}.{logical}"
        yield from misuses(inner)


def test_every_nested_template_can_be_planned() -> None:
    """No function, no condition and no rule looks into a value that a change set does not know."""
    assert [] == list(misuses(FOLDER / "freshet.yaml"))


def test_the_search_knows_what_is_fed() -> None:
    """Outputs of nested stacks, and the key; not what the user says."""
    root = read_template(FOLDER / "freshet.yaml")
    capture = fed(root, root["Resources"]["Capture"]["Properties"]["Parameters"])
    assert {"KeyArn", "SubnetIds", "SecurityGroupId", "ReplicationSecretArn"} == capture


@pytest.mark.parametrize(
    ("nested", "found"),
    [
        ("Resources: {T: {Type: AWS::SNS::Topic, Properties: {TopicName: !Select [6, !Split [':', !Ref It]]}}}", "Fn::Split"),
        ("Resources: {T: {Type: AWS::SNS::Topic, Properties: {TopicName: !Select [0, !Split ['-', !Sub 'a-${It}']]}}}",
         "Fn::Select"),
        ("Resources: {T: {Type: AWS::SNS::Topic}}\nOutputs: {O: {Value: !Base64 {Ref: It}}}", "Fn::Base64"),
        ("Conditions: {Has: !Not [!Equals [!Ref It, '']]}\nResources: {T: {Type: AWS::SNS::Topic}}", "Conditions.Has"),
        ("Resources: {T: {Type: AWS::SNS::Topic, Properties: {TopicName: !Join ['', [!Ref It, !Sub '${It}']]}}}", ""),
    ],
)  # fmt: skip
def test_each_misuse_is_found(tmp_path: Path, nested: str, found: str) -> None:
    """What failed the first change set, and the like; placing a value as it comes is none."""
    (tmp_path / "root.yaml").write_text(
        "Resources:\n  Made: {Type: AWS::SNS::Topic}\n"
        "  Inner: {Type: AWS::CloudFormation::Stack, "
        "Properties: {TemplateURL: inner.yaml, Parameters: {It: !GetAtt Made.TopicArn}}}\n"
    )
    (tmp_path / "inner.yaml").write_text(f"Parameters: {{It: {{Type: String}}}}\n{nested}\n")
    said = " ".join(misuses(tmp_path / "root.yaml"))
    assert found in said
    assert bool(found) == bool(said)


def test_a_rule_for_the_value_is_found(tmp_path: Path) -> None:
    """A pattern would refuse the text that stands in the value's place."""
    (tmp_path / "root.yaml").write_text(
        "Resources:\n  Made: {Type: AWS::SNS::Topic}\n"
        "  Inner: {Type: AWS::CloudFormation::Stack, Properties: {TemplateURL: inner.yaml, Parameters: {It: !Ref Made}}}\n"
    )
    (tmp_path / "inner.yaml").write_text(
        "Parameters: {It: {Type: String, AllowedPattern: 'arn:.*'}}\nResources: {T: {Type: AWS::SNS::Topic}}\n"
    )
    assert ["inner.yaml Parameters.It: AllowedPattern"] == list(misuses(tmp_path / "root.yaml"))
