"""Resolve a stack of templates as CloudFormation would: every parameter, reference, condition and output.

The answer of a real resource is not known before it exists; it is made up in the right format (an ARN of the right
service with the name in it). A reference that leads nowhere, a parameter that is missing, unknown or not allowed, and a
function or attribute that is not known here are failures: `Unresolved`.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from freshet.deploy.templates import check_parameter, read_template
from freshet.errors import InputError

ACCOUNT, REGION = "123456789012", "us-east-1"
Stack = dict[str, Any]


class Unresolved(AssertionError):
    """A part of a template leads nowhere; the message says where it stands."""


class _NoValue:
    """AWS::NoValue: the property is left out."""


NO_VALUE = _NoValue()


def resolve(root: Path, parameters: Mapping[str, str], stack: str = "demo") -> dict[str, Stack]:
    """Resolve a root template and all that it nests.

    Args:
        root: The root template; nested ones lie beside it, `TemplateURL: file.yaml`.
        parameters: Values of the root's parameters; those with a default may be left out.
        stack: Name of the root stack.

    Returns:
        By logical path - "" is the root, "Network" a nested stack - the resources that its conditions make, properties
        resolved: {"Resources": {logical id: {"Type", "Properties", ...}}, "Outputs": {name: value}, "Parameters": {...}}.

    Raises:
        Unresolved: Something leads nowhere.
    """
    found: dict[str, Stack] = {}
    _Template(root, "", stack, parameters, found).resolve()
    return found


class _Template:
    """One template with the values of its parameters."""

    def __init__(self, path: Path, place: str, name: str, given: Mapping[str, str], found: dict[str, Stack]) -> None:
        self.path, self.place, self.name, self.found = path, place, name, found
        self.source = read_template(path)
        self.parameters = self._parameters(given)
        self.resources: dict[str, Any] = self.source["Resources"]
        self.done: dict[str, dict[str, Any]] = {}
        self.pending: list[str] = []
        self.conditions: dict[str, bool] = {}

    def resolve(self) -> Stack:
        self._rules()
        for name in self.source.get("Conditions", {}):
            self.condition({"Condition": name})
        made = {logical: self.resource(logical) for logical in self.resources if self.exists(logical)}
        outputs = {
            name: self.value(output["Value"], f"Outputs.{name}")
            for name, output in self.source.get("Outputs", {}).items()
            if "Condition" not in output or self.condition({"Condition": output["Condition"]})
        }
        for name, output in outputs.items():
            self._must(isinstance(output, str), f"output {name} is no text: {output!r}")
        answer = {"Resources": made, "Outputs": outputs, "Parameters": self.parameters}
        self.found[self.place] = answer
        return answer

    # ---- parameters, rules, conditions

    def _parameters(self, given: Mapping[str, str]) -> dict[str, Any]:
        declared = self.source.get("Parameters", {})
        values = {}
        for name in given:
            self._must(name in declared, f"{self.path.name} has no parameter {name}")
        for name, rule in declared.items():
            self._must(name in given or "Default" in rule, f"parameter {name} has no value")
            value = given.get(name, str(rule.get("Default")))
            self._must(isinstance(value, str), f"parameter {name} gets {value!r}, which is no text")
            try:
                check_parameter(name, value, declared)
            except InputError as error:
                self._must(False, str(error))
            values[name] = value.split(",") if rule["Type"].startswith(("List<", "CommaDelimited")) else value
            self._must(
                "" not in values[name] if isinstance(values[name], list) else True, f"{name} holds an empty item"
            )
        return values

    def _rules(self) -> None:
        for name, rule in self.source.get("Rules", {}).items():
            if "RuleCondition" not in rule or self.condition(rule["RuleCondition"]):
                for assertion in rule["Assertions"]:
                    self._must(self.condition(assertion["Assert"]), f"rule {name}: {assertion['AssertDescription']}")

    def condition(self, part: Any) -> bool:
        """Judge a condition function."""
        self._must(isinstance(part, dict) and len(part) == 1, f"{part!r} is no condition")
        ((function, argument),) = part.items()
        if function == "Condition":
            if argument not in self.conditions:
                self._must(argument in self.source.get("Conditions", {}), f"there is no condition {argument}")
                self.conditions[argument] = self.condition(self.source["Conditions"][argument])
            return self.conditions[argument]
        if function == "Fn::Equals":
            left, right = (self.value(each, "Fn::Equals") for each in argument)
            return bool(left == right)
        judged = [self.condition(each) for each in argument]
        known: dict[str, Callable[[list[bool]], bool]] = {
            "Fn::Not": lambda each: not each[0],
            "Fn::And": all,
            "Fn::Or": any,
        }
        self._must(function in known, f"no condition function {function} is known here")
        return known[function](judged)

    def exists(self, logical: str) -> bool:
        """Tell whether the conditions make a resource."""
        resource = self.resources[logical]
        return "Condition" not in resource or self.condition({"Condition": resource["Condition"]})

    # ---- resources

    def resource(self, logical: str) -> dict[str, Any]:
        """Give a resource, resolved."""
        if logical not in self.done:
            self._must(logical not in self.pending, f"{' -> '.join([*self.pending, logical])} is a circle")
            self.pending.append(logical)
            source = self.resources[logical]
            others = source.get("DependsOn", [])
            for other in [others] if isinstance(others, str) else others:
                self._must(other in self.resources, f"{logical} depends on {other}, which is not there")
            properties = self.value(source.get("Properties", {}), logical)
            self.done[logical] = {**source, "Properties": properties}
            if source["Type"] == "AWS::CloudFormation::Stack":
                self._nest(logical, properties)
            self.pending.pop()
        return self.done[logical]

    def _nest(self, logical: str, properties: dict[str, Any]) -> None:
        place = f"{self.place}/{logical}" if self.place else logical
        name = f"{self.name}-{logical}-{_hex(place, 12).upper()}"
        path = self.path.with_name(properties["TemplateURL"])
        self._must(path.is_file(), f"{logical} nests {path.name}, which is not there")
        _Template(path, place, name, properties.get("Parameters", {}), self.found).resolve()

    # ---- values

    def value(self, part: Any, where: str) -> Any:
        """Resolve a part of the template; what is AWS::NoValue is left out of maps and lists."""
        if isinstance(part, list):
            return [each for each in (self.value(one, where) for one in part) if each is not NO_VALUE]
        if not isinstance(part, dict):
            return part
        if len(part) == 1:
            ((key, argument),) = part.items()
            if key == "Ref":
                return self.ref(argument, where)
            if key.startswith("Fn::"):
                return self._function(key, argument, where)
        resolved = {key: self.value(each, f"{where}.{key}") for key, each in part.items()}
        return {key: each for key, each in resolved.items() if each is not NO_VALUE}

    def _function(self, function: str, argument: Any, where: str) -> Any:
        if function == "Fn::GetAtt":
            logical, attribute = argument if isinstance(argument, list) else argument.split(".", 1)
            return self.attribute(logical, attribute, where)
        if function == "Fn::Sub":
            return self._sub(argument, where)
        if function == "Fn::If":
            return self.value(argument[1 if self.condition({"Condition": argument[0]}) else 2], where)
        if function == "Fn::Join":
            parts = self.value(argument[1], where)
            self._must(
                isinstance(parts, list) and all(isinstance(each, str) for each in parts), f"{where}: Join {parts!r}"
            )
            return argument[0].join(parts)
        if function == "Fn::Split":
            text = self.value(argument[1], where)
            self._must(isinstance(text, str), f"{where}: Split of {text!r}")
            return text.split(argument[0])
        if function == "Fn::Select":
            parts, index = self.value(argument[1], where), int(argument[0])
            self._must(isinstance(parts, list) and index < len(parts), f"{where}: Select {index} of {parts!r}")
            return parts[index]
        raise Unresolved(f"{self._where()}{where}: no function {function} is known here")

    def _sub(self, argument: Any, where: str) -> str:
        text, own = (argument, {}) if isinstance(argument, str) else argument

        def one(found: re.Match[str]) -> str:
            name = found[1]
            if name.startswith("!"):
                return f"${{{name[1:]}}}"
            if name in own:
                value = self.value(own[name], where)
            elif "." in name:
                logical, _, attribute = name.partition(".")
                value = self.attribute(logical, attribute, where)
            else:
                value = self.ref(name, where)
            self._must(isinstance(value, str), f"{where}: ${{{name}}} is no text: {value!r}")
            return str(value)

        for name in own:
            self._must(f"${{{name}}}" in text, f"{where}: Sub defines {name} and does not use it")
        return re.sub(r"\$\{([^}]+)\}", one, text)

    def ref(self, name: str, where: str) -> Any:
        """Resolve Ref."""
        pseudo: dict[str, Any] = {
            "AWS::NoValue": NO_VALUE,
            "AWS::AccountId": ACCOUNT,
            "AWS::Region": REGION,
            "AWS::Partition": "aws",
            "AWS::URLSuffix": "amazonaws.com",
            "AWS::StackName": self.name,
            "AWS::StackId": stack_id(self.name),
        }
        if name in pseudo:
            return pseudo[name]
        if name in self.parameters:
            return self.parameters[name]
        made = self._made(name, where)
        return answer(made["Type"], "Ref", made["Properties"], f"{self.name}-{name}", f"{self._where()}{where}")

    def attribute(self, logical: str, attribute: str, where: str) -> Any:
        """Resolve Fn::GetAtt."""
        made = self._made(logical, where)
        if made["Type"] == "AWS::CloudFormation::Stack":
            kind, _, name = attribute.partition(".")
            outputs = self.found[f"{self.place}/{logical}" if self.place else logical]["Outputs"]
            self._must(kind == "Outputs" and name in outputs, f"{where}: {logical} has no output {name}")
            return outputs[name]
        return answer(made["Type"], attribute, made["Properties"], f"{self.name}-{logical}", f"{self._where()}{where}")

    def _made(self, logical: str, where: str) -> dict[str, Any]:
        self._must(logical in self.resources, f"{where}: there is no parameter or resource {logical}")
        self._must(self.exists(logical), f"{where}: {logical} is not made under these conditions")
        return self.resource(logical)

    def _where(self) -> str:
        return f"{self.path.name} {self.place or 'root'}: "

    def _must(self, holds: object, message: str) -> None:
        if not holds:
            raise Unresolved(f"{self._where()}{message}")


# ---- what CloudFormation answers for a resource that exists


def _arn(service: str, rest: str, *, region: str = REGION, account: str = ACCOUNT) -> str:
    return f"arn:aws:{service}:{region}:{account}:{rest}"


def _hex(text: str, length: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def _uuid(text: str) -> str:
    digits = _hex(text, 32)
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def stack_id(name: str) -> str:
    """Give a stack's ARN."""
    return _arn("cloudformation", f"stack/{name}/{_uuid(name)}")


# By type: the property that holds the name, and by attribute how the answer is made from (name, physical id).
_Make = Callable[[str, Mapping[str, Any], str], str]
_EC2_IDS = {
    "VPC": "vpc", "Subnet": "subnet", "SecurityGroup": "sg", "RouteTable": "rtb", "InternetGateway": "igw",
    "NatGateway": "nat", "VPCEndpoint": "vpce", "FlowLog": "fl", "SecurityGroupIngress": "sgr",
}  # fmt: skip
_NAMES = {
    "AWS::Kinesis::Stream": "Name",
    "AWS::S3::Bucket": "BucketName",
    "AWS::IAM::Role": "RoleName",
    "AWS::IAM::ManagedPolicy": "ManagedPolicyName",
    "AWS::KMS::Alias": "AliasName",
    "AWS::RDS::DBInstance": "DBInstanceIdentifier",
    "AWS::RDS::DBSubnetGroup": "DBSubnetGroupName",
    "AWS::RDS::DBParameterGroup": "DBParameterGroupName",
    "AWS::DMS::ReplicationSubnetGroup": "ReplicationSubnetGroupIdentifier",
    "AWS::RedshiftServerless::Namespace": "NamespaceName",
    "AWS::RedshiftServerless::Workgroup": "WorkgroupName",
    "AWS::Glue::Job": "Name",
    "AWS::Glue::Trigger": "Name",
    "AWS::Scheduler::Schedule": "Name",
    "AWS::SNS::Topic": "TopicName",
    "AWS::SQS::Queue": "QueueName",
    "AWS::Logs::LogGroup": "LogGroupName",
    "AWS::CloudWatch::Alarm": "AlarmName",
    "AWS::CloudWatch::Dashboard": "DashboardName",
    "AWS::Events::Rule": "Name",
    "AWS::DMS::EventSubscription": "SubscriptionName",
    "AWS::StepFunctions::StateMachine": "StateMachineName",
    "AWS::Lambda::Function": "FunctionName",
}
_ANSWERS: dict[str, dict[str, _Make]] = {
    "AWS::KMS::Key": {
        "Ref": lambda _name, _properties, own: _uuid(own),
        "KeyId": lambda _name, _properties, own: _uuid(own),
        "Arn": lambda _name, _properties, own: _arn("kms", f"key/{_uuid(own)}"),
    },
    "AWS::Kinesis::Stream": {"Arn": lambda name, _properties, _own: _arn("kinesis", f"stream/{name}")},
    "AWS::S3::Bucket": {
        "Arn": lambda name, _properties, _own: _arn("s3", name, region="", account=""),
        "DomainName": lambda name, _properties, _own: f"{name}.s3.amazonaws.com",
        "RegionalDomainName": lambda name, _properties, _own: f"{name}.s3.{REGION}.amazonaws.com",
    },
    "AWS::IAM::Role": {
        "Arn": lambda name, _properties, _own: _arn("iam", f"role/{name}", region=""),
        "RoleId": lambda _name, _properties, own: f"AROA{_hex(own, 17).upper()}",
    },
    "AWS::IAM::ManagedPolicy": {"Ref": lambda name, _properties, _own: _arn("iam", f"policy/{name}", region="")},
    "AWS::EC2::SecurityGroup": {"GroupId": lambda _name, _properties, own: f"sg-{_hex(own, 17)}"},
    "AWS::EC2::EIP": {
        "Ref": lambda _name, _properties, _own: "192.0.2.1",
        "AllocationId": lambda _name, _properties, own: f"eipalloc-{_hex(own, 17)}",
    },
    "AWS::RDS::DBInstance": {
        "Endpoint.Address": lambda name, _properties, _own: f"{name}.c0000000000a.{REGION}.rds.amazonaws.com",
        "Endpoint.Port": lambda _name, _properties, _own: "3306",
        "DBInstanceArn": lambda name, _properties, _own: _arn("rds", f"db:{name}"),
    },
    "AWS::SecretsManager::Secret": {
        "Ref": lambda name, _properties, own: _arn("secretsmanager", f"secret:{name}-{_hex(own, 6)}"),
        "Id": lambda name, _properties, own: _arn("secretsmanager", f"secret:{name}-{_hex(own, 6)}"),
    },
    "AWS::SecretsManager::SecretTargetAttachment": {"Ref": lambda _name, properties, _own: str(properties["SecretId"])},
    "AWS::DMS::ReplicationInstance": {
        "Ref": lambda _name, _properties, own: _arn("dms", f"rep:{_hex(own, 26).upper()}")
    },
    "AWS::DMS::Endpoint": {"Ref": lambda _name, _properties, own: _arn("dms", f"endpoint:{_hex(own, 26).upper()}")},
    "AWS::DMS::ReplicationTask": {
        "Ref": lambda _name, properties, own: _arn(
            "dms", f"task:{properties.get('ResourceIdentifier') or _hex(own, 26).upper()}"
        )
    },
    "AWS::RedshiftServerless::Namespace": {
        "Namespace.NamespaceArn": lambda _name, _properties, own: _arn(
            "redshift-serverless", f"namespace/{_uuid(own)}"
        ),
        "Namespace.NamespaceName": lambda name, _properties, _own: name,
    },
    "AWS::RedshiftServerless::Workgroup": {
        "Workgroup.WorkgroupArn": lambda _name, _properties, own: _arn(
            "redshift-serverless", f"workgroup/{_uuid(own)}"
        ),
        "Workgroup.WorkgroupName": lambda name, _properties, _own: name,
        "Workgroup.Endpoint.Address": lambda name, _properties, _own: (
            f"{name}.{ACCOUNT}.{REGION}.redshift-serverless.amazonaws.com"
        ),
    },
    "AWS::SNS::Topic": {
        "Ref": lambda name, _properties, _own: _arn("sns", name),
        "TopicArn": lambda name, _properties, _own: _arn("sns", name),
        "TopicName": lambda name, _properties, _own: name,
    },
    "AWS::SQS::Queue": {
        "Ref": lambda name, _properties, _own: f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{name}",
        "Arn": lambda name, _properties, _own: _arn("sqs", name),
        "QueueName": lambda name, _properties, _own: name,
    },
    "AWS::Logs::LogGroup": {"Arn": lambda name, _properties, _own: _arn("logs", f"log-group:{name}:*")},
    "AWS::CloudWatch::Alarm": {"Arn": lambda name, _properties, _own: _arn("cloudwatch", f"alarm:{name}")},
    "AWS::Events::Rule": {"Arn": lambda name, _properties, _own: _arn("events", f"rule/{name}")},
    "AWS::StepFunctions::StateMachine": {
        "Ref": lambda name, _properties, _own: _arn("states", f"stateMachine:{name}"),
        "Arn": lambda name, _properties, _own: _arn("states", f"stateMachine:{name}"),
        "Name": lambda name, _properties, _own: name,
    },
    "AWS::Glue::Connection": {"Ref": lambda _name, properties, _own: str(properties["ConnectionInput"]["Name"])},
    "AWS::CloudFormation::Stack": {"Ref": lambda _name, _properties, own: stack_id(own)},
    **{
        f"AWS::EC2::{kind}": {"Ref": lambda _name, _properties, own, prefix=prefix: f"{prefix}-{_hex(own, 17)}"}  # type: ignore[misc]
        for kind, prefix in _EC2_IDS.items()
        if kind != "SecurityGroup"
    },
}
_ANSWERS["AWS::EC2::SecurityGroup"]["Ref"] = _ANSWERS["AWS::EC2::SecurityGroup"]["GroupId"]


def answer(kind: str, attribute: str, properties: Mapping[str, Any], own: str, where: str) -> str:
    """Give what CloudFormation answers for a resource: Ref (attribute "Ref") or GetAtt.

    Args:
        kind: The resource's type.
        attribute: "Ref" or the attribute's name.
        properties: The resolved properties; a name among them stands in the answer.
        own: Stack and logical id; the name of what the template does not name.
        where: For the failure.
    """
    name = str(properties.get(_NAMES.get(kind, ""), own))
    make = _ANSWERS.get(kind, {}).get(attribute)
    if make is not None:
        return make(name, properties, own)
    if attribute == "Ref" and kind in _NAMES:
        return name
    raise Unresolved(f"{where}: what {kind} answers for {attribute} is not known here")
