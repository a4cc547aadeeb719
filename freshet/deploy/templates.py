"""Read CloudFormation's templates: parameters, nested templates, what happens to data at the end.

Short tags (`!Ref x`) become their long forms (`{"Ref": "x"}`), as CloudFormation itself reads them.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from freshet.errors import EnvironmentFault, InputError

NESTED = re.compile(r"^(\s*TemplateURL:\s*)([\w-]+\.yaml)\s*$", re.MULTILINE)


# libyaml's parser takes a tenth of the time; PyYAML has it wherever it comes as a wheel.
_Safe = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Safe):  # type: ignore[misc, valid-type] # one of two
    """YAML with CloudFormation's tags; a date stays the text that it is."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _long_form(loader: _Loader, tag: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    elif isinstance(node, yaml.MappingNode):
        value = loader.construct_mapping(node, deep=True)
    if tag == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {tag if tag in {"Ref", "Condition"} else f"Fn::{tag}": value}


_Loader.add_multi_constructor("!", _long_form)


def read_template(path: Path) -> dict[str, Any]:
    """Read a template.

    Raises:
        EnvironmentFault: It is not there, or not a template.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise EnvironmentFault(f"the template {path.name} cannot be read ({error.strerror})") from None
    return parse_template(text, path.name)


def parse_template(text: str, name: str) -> dict[str, Any]:
    """Parse a template's text; `name` is for the message.

    Raises:
        EnvironmentFault: It is not a template.
    """
    try:
        content = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        raise EnvironmentFault(f"the template {name} is not YAML ({type(error).__name__})") from None
    if not isinstance(content, dict) or "Resources" not in content:
        raise EnvironmentFault(f"{name} is no CloudFormation template")
    return content


def nested_templates(text: str) -> list[str]:
    """Name the templates that a template nests, as `TemplateURL: file.yaml` says it."""
    return [name for _, name in NESTED.findall(text)]


def with_urls(text: str, urls: Mapping[str, str]) -> str:
    """Replace the file names of nested templates by their URLs; the rest stays as written."""
    return NESTED.sub(lambda found: f"{found[1]}{urls[found[2]]}", text)


def interface_endpoints(template: Mapping[str, Any], region: str) -> list[str]:
    """Name the services whose interface endpoints a template makes, as the region calls them."""
    made = [part["Properties"] for part in template["Resources"].values() if part["Type"] == "AWS::EC2::VPCEndpoint"]
    names = [each["ServiceName"]["Fn::Sub"] for each in made if each.get("VpcEndpointType") == "Interface"]
    return sorted(name.replace("${AWS::Region}", region) for name in names)


def check_parameter(name: str, value: str, declared: Mapping[str, Any]) -> None:
    """Check a value against a template's Parameters section.

    Args:
        name: The parameter.
        value: As the user wrote it.
        declared: The Parameters section.

    Raises:
        InputError: The template has no such parameter, or does not take the value; names the parameter.
    """
    if name not in declared:
        known = sorted(other for other in declared if name.lower() in other.lower() or other.lower() in name.lower())
        hint = f"; did you mean {' or '.join(known)}?" if known else "; cloudformation/freshet.yaml lists them"
        raise InputError(f"the stack has no parameter {name}{hint}")
    rule = declared[name]
    allowed = [str(each) for each in rule.get("AllowedValues", ())]
    if allowed and value not in allowed:
        raise InputError(f"parameter {name}: {value!r} is not one of {', '.join(allowed)}")
    if "AllowedPattern" in rule and not re.fullmatch(rule["AllowedPattern"], value):
        must = rule.get("ConstraintDescription", f"must match {rule['AllowedPattern']}")
        raise InputError(f"parameter {name}: {value!r} {must}")
    if not rule.get("MinLength", 0) <= len(value) <= rule.get("MaxLength", len(value)):
        raise InputError(
            f"parameter {name}: must have {rule.get('MinLength', 0)} to {rule.get('MaxLength', 'any number of')} characters"
        )
    if rule["Type"] == "Number":
        _check_number(name, value, rule)


def _check_number(name: str, value: str, rule: Mapping[str, Any]) -> None:
    try:
        number = float(value)
    except ValueError:
        raise InputError(f"parameter {name}: {value!r} is not a number") from None
    if "MinValue" in rule and number < rule["MinValue"]:
        raise InputError(f"parameter {name}: {value} is less than {rule['MinValue']}")
    if "MaxValue" in rule and number > rule["MaxValue"]:
        raise InputError(f"parameter {name}: {value} is more than {rule['MaxValue']}")
