"""Put a template's jobs, topic and state machine into a sandbox: what runs there is the deployed text, not a likeness of it.

CloudFormation would make roles, log groups and rules too; the sandbox has none of them. The functions of templates are read as
far as this needs them, any other is refused.

Reads:  a template, values of its parameters, the text of the state machine's definition.
Gives:  the resources, made or changed in place.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from botocore.exceptions import ClientError

from freshet.deploy.account import error_code
from freshet.errors import EnvironmentFault

ACCOUNT: Final = "123456789012"
_NAMES: Final = {
    "AWS::SNS::Topic": "TopicName",
    "AWS::Glue::Job": "Name",
    "AWS::IAM::Role": "RoleName",
    "AWS::Logs::LogGroup": "LogGroupName",
    "AWS::StepFunctions::StateMachine": "StateMachineName",
}
_ARNS: Final = {
    "AWS::SNS::Topic": "arn:aws:sns:{region}:{account}:{name}",
    "AWS::IAM::Role": "arn:aws:iam::{account}:role/{name}",
    "AWS::Logs::LogGroup": "arn:aws:logs:{region}:{account}:log-group:{name}:*",
    "AWS::StepFunctions::StateMachine": "arn:aws:states:{region}:{account}:stateMachine:{name}",
}
_REF_IS_ARN: Final = {"AWS::SNS::Topic", "AWS::StepFunctions::StateMachine"}


class Local:
    """One template, resolved for a sandbox.

    Args:
        template: As `read_template` gives it.
        parameters: Values of its parameters.
        region: The sandbox's.
        stack: Name of the stack that it would belong to.
    """

    def __init__(self, template: Mapping[str, Any], parameters: Mapping[str, str], region: str, stack: str) -> None:
        self.resources: Mapping[str, Any] = template["Resources"]
        self.region = region
        missing = [name for name in template.get("Parameters", {}) if name not in parameters]
        if missing:
            raise EnvironmentFault(f"the template's parameters {', '.join(missing)} have no value")
        self.values = {
            **parameters, "AWS::Partition": "aws", "AWS::Region": region, "AWS::AccountId": ACCOUNT, "AWS::StackName": stack,
        }  # fmt: skip

    def properties(self, logical: str) -> Any:
        """Give a resource's properties, resolved.

        Raises:
            EnvironmentFault: They hold what is not known here.
        """
        return self._value(self.resources[logical].get("Properties", {}))

    def of_type(self, kind: str) -> list[Any]:
        """Give the properties of all resources of a type."""
        return [self.properties(name) for name, resource in self.resources.items() if resource["Type"] == kind]

    def arn(self, logical: str) -> str:
        """Give a resource's ARN."""
        kind = self.resources[logical]["Type"]
        if kind not in _ARNS:
            raise EnvironmentFault(f"what the ARN of {logical} ({kind}) is, is not known on the sandbox")
        return _ARNS[kind].format(region=self.region, account=ACCOUNT, name=self._name(logical))

    def _name(self, logical: str) -> str:
        resource = self.resources[logical]
        written = resource.get("Properties", {}).get(_NAMES.get(resource["Type"], ""), logical)
        return str(self._value(written))

    def _value(self, part: Any) -> Any:
        if isinstance(part, list):
            return [self._value(each) for each in part]
        if not isinstance(part, dict):
            return part
        if len(part) == 1:
            ((key, argument),) = part.items()
            if key == "Ref":
                return self._ref(argument)
            if key == "Fn::Sub" and isinstance(argument, str):
                return re.sub(r"\$\{([^}!]+)\}", lambda found: str(self._ref(found[1])), argument)
            if key == "Fn::GetAtt" and list(argument)[1] == "Arn":
                return self.arn(argument[0])
            if key.startswith("Fn::"):
                raise EnvironmentFault(f"the template uses {key}, which is not known on the sandbox")
        return {key: self._value(each) for key, each in part.items()}

    def _ref(self, name: str) -> str:
        if name in self.values:
            return self.values[name]
        if name not in self.resources:
            raise EnvironmentFault(f"the template refers to {name}, which it has not")
        return self.arn(name) if self.resources[name]["Type"] in _REF_IS_ARN else self._name(name)


def put_topics(local: Local, sns: Any) -> None:
    """Make the topics; one that is there stays."""
    for topic in local.of_type("AWS::SNS::Topic"):
        sns.create_topic(Name=topic["TopicName"])


def put_jobs(local: Local, glue: Any) -> None:
    """Make the Glue jobs, or change those that are there."""
    for job in local.of_type("AWS::Glue::Job"):
        try:
            glue.create_job(**job)
        except ClientError as error:
            if error_code(error) != "AlreadyExistsException":
                raise
            glue.update_job(JobName=job["Name"], JobUpdate={key: job[key] for key in job if key != "Name"})


def put_state_machine(local: Local, logical: str, definition: str, stepfunctions: Any) -> str:
    """Make a state machine, or change the one that is there; gives its ARN.

    Args:
        local: The template.
        logical: Name of the state machine in it.
        definition: Its text, as it is uploaded for AWS; the template's substitutions are made here.
        stepfunctions: Client.
    """
    told = local.properties(logical)
    for name, value in told["DefinitionSubstitutions"].items():
        definition = definition.replace(f"${{{name}}}", value)
    arn, role = local.arn(logical), told["RoleArn"]
    try:
        there = stepfunctions.describe_state_machine(stateMachineArn=arn)
    except ClientError as error:
        if error_code(error) != "StateMachineDoesNotExist":
            raise
        return str(
            stepfunctions.create_state_machine(name=told["StateMachineName"], definition=definition, roleArn=role)[
                "stateMachineArn"
            ]
        )
    if (there["definition"], there["roleArn"]) != (definition, role):
        stepfunctions.update_state_machine(stateMachineArn=arn, definition=definition, roleArn=role)
    return arn
