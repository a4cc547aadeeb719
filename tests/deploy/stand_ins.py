"""Resources of the types that moto's CloudFormation does not know, made by the services' own APIs where moto has them.

A type without a maker is only a name and an ARN (`tests.deploy.resolve.answer`).
"""

# ruff: noqa: ARG003 - the signatures are moto's

from collections.abc import Mapping
from functools import cache
from typing import Any

import boto3
from moto.cloudformation import models as cloudformation
from moto.cloudformation import parsing
from moto.core.common_models import CloudFormationModel
from moto.glue.models import glue_backends

from freshet.deploy.templates import read_template
from tests.cloudformation.templates import FOLDER, NAMES
from tests.deploy.resolve import ACCOUNT, REGION, Unresolved, answer

KINDS = {
    resource["Type"] for name in NAMES for resource in read_template(FOLDER / f"{name}.yaml")["Resources"].values()
}
UNKNOWN = sorted(KINDS - set(parsing.get_model_map()))
UNUSABLE = {  # moto knows these, and gets them wrong
    "AWS::RDS::DBParameterGroup": "a Ref to it is an object of moto's, not the name",
}


class _StandIn(CloudFormationModel):
    """A resource of a type that moto does not know."""

    kind = ""

    def __init__(self, name: str, properties: Mapping[str, Any], own: str) -> None:
        self.properties, self.own = properties, own
        self.physical_resource_id = self.make(name) or self._made_up(name)

    def make(self, name: str) -> str | None:
        """Make it by the service's API; give its physical id, None for one made up."""
        make = MAKERS.get(self.kind)
        return make(self.properties, name) if make else None

    def _made_up(self, name: str) -> str:
        try:
            return answer(self.kind, "Ref", {**self.properties, "Name": name}, self.own, self.own)
        except Unresolved:  # nothing refers to it, or `test_resolve` would not know either
            return name

    def get_cfn_attribute(self, attribute: str) -> str:
        return answer(self.kind, attribute, self.properties, self.own, self.own)

    @staticmethod
    def cloudformation_name_type() -> str:
        return ""

    @classmethod
    def has_cfn_attr(cls, attr: str) -> bool:
        return True

    @classmethod
    def create_from_cloudformation_json(
        cls, resource_name: str, cloudformation_json: Any, account_id: str, region_name: str, **told: Any
    ) -> "_StandIn":
        return cls(resource_name, cloudformation_json["Properties"], resource_name)

    @classmethod
    def update_from_cloudformation_json(
        cls, original_resource: Any, new_resource_name: str, cloudformation_json: Any, account_id: str, region_name: str
    ) -> "_StandIn":
        original_resource.properties = cloudformation_json["Properties"]
        change = CHANGERS.get(cls.kind)
        if change:
            change(original_resource.properties, original_resource.physical_resource_id)
        return original_resource  # type: ignore[no-any-return]

    @classmethod
    def delete_from_cloudformation_json(
        cls, resource_name: str, cloudformation_json: Any, account_id: str, region_name: str
    ) -> None:
        delete = DELETERS.get(cls.kind)
        if delete:
            delete(resource_name)

    def is_created(self) -> bool:
        return True


@cache
def client(service: str) -> Any:
    """Give a client of the account, past the command's own."""
    return boto3.client(service, region_name=REGION)


def _job(properties: Mapping[str, Any], name: str) -> str:
    known = {
        "Name",
        "Role",
        "Command",
        "DefaultArguments",
        "GlueVersion",
        "WorkerType",
        "NumberOfWorkers",
        "ExecutionProperty",
    }
    told = {key: properties[key] for key in known & set(properties)}
    return str(client("glue").create_job(**{**told, "DefaultArguments": _texts(told["DefaultArguments"])})["Name"])


def _texts(arguments: Mapping[str, Any]) -> dict[str, str]:
    """CloudFormation's parameters are text, moto's numbers stay numbers."""
    return {name: str(value) for name, value in arguments.items()}


def _change_job(properties: Mapping[str, Any], name: str) -> None:
    job = glue_backends[ACCOUNT][REGION].jobs[name]
    job.default_arguments = _texts(properties["DefaultArguments"])
    job.last_modified_on = cloudformation.utcnow()


def _schedule(properties: Mapping[str, Any], name: str) -> str:
    client("scheduler").create_schedule(**properties)
    return str(properties["Name"])


def _trigger(properties: Mapping[str, Any], name: str) -> str:
    return str(client("glue").create_trigger(**properties)["Name"])


def _endpoint(properties: Mapping[str, Any], name: str) -> str:
    known = {"EndpointIdentifier", "EndpointType", "EngineName", "KinesisSettings"}
    told = {key: properties[key] for key in known & set(properties)}
    return str(client("dms").create_endpoint(**told)["Endpoint"]["EndpointArn"])


def _instance(properties: Mapping[str, Any], name: str) -> str:
    told = {key: properties[key] for key in ("ReplicationInstanceIdentifier", "ReplicationInstanceClass")}
    return str(client("dms").create_replication_instance(**told)["ReplicationInstance"]["ReplicationInstanceArn"])


def _task(properties: Mapping[str, Any], name: str) -> str:
    made = client("dms").create_replication_task(**properties)["ReplicationTask"]["ReplicationTaskArn"]
    backend = backend_of("dms")
    backend.replication_tasks[made].ready()
    return str(made)


def backend_of(service: str) -> Any:
    """Give moto's own state of a service."""
    from moto.dms.models import dms_backends

    return {"dms": dms_backends}[service][ACCOUNT][REGION]


def _alarm(properties: Mapping[str, Any], name: str) -> str:
    known = {"AlarmName", "AlarmDescription", "Namespace", "MetricName", "Dimensions", "Statistic", "Period", "EvaluationPeriods",
             "Threshold", "ComparisonOperator", "TreatMissingData"}  # fmt: skip
    enabled = str(properties.get("ActionsEnabled", "true")) == "true"
    told = {key: properties[key] for key in known & set(properties)}
    client("cloudwatch").put_metric_alarm(**told, ActionsEnabled=enabled)
    return str(properties["AlarmName"])


def _secret(properties: Mapping[str, Any], name: str) -> str:
    return str(client("secretsmanager").create_secret(Name=name)["ARN"])


def _parameter_group(properties: Mapping[str, Any], name: str) -> str:
    family, about = properties["Family"], properties["Description"]
    client("rds").create_db_parameter_group(DBParameterGroupName=name, DBParameterGroupFamily=family, Description=about)
    return name


MAKERS = {
    "AWS::Glue::Job": _job, "AWS::Glue::Trigger": _trigger,
    "AWS::Scheduler::Schedule": _schedule, "AWS::DMS::Endpoint": _endpoint,
    "AWS::DMS::ReplicationInstance": _instance, "AWS::DMS::ReplicationTask": _task, "AWS::CloudWatch::Alarm": _alarm,
    "AWS::SecretsManager::Secret": _secret, "AWS::RDS::DBParameterGroup": _parameter_group,
}  # fmt: skip
CHANGERS = {
    "AWS::Glue::Job": _change_job, "AWS::CloudWatch::Alarm": _alarm,
}  # fmt: skip
DELETERS = {
    "AWS::Glue::Job": lambda name: client("glue").delete_job(JobName=name),
    "AWS::Glue::Trigger": lambda name: client("glue").delete_trigger(Name=name),
    "AWS::Scheduler::Schedule": lambda name: client("scheduler").delete_schedule(Name=name),
    "AWS::DMS::ReplicationTask": lambda arn: client("dms").delete_replication_task(ReplicationTaskArn=arn),
    "AWS::CloudWatch::Alarm": lambda name: client("cloudwatch").delete_alarms(AlarmNames=[name]),
}
STAND_INS = [
    type(
        kind.replace("::", ""), (_StandIn,), {"kind": kind, "cloudformation_type": staticmethod(lambda kind=kind: kind)}
    )
    for kind in [*UNKNOWN, *UNUSABLE]
]  # of _StandIn, not of moto's class: moto itself goes on not knowing them
