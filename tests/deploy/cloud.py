"""An AWS account in this process: moto, with what it lacks to play a whole deployment.

moto's CloudFormation knows neither every type (`UNKNOWN`, by name), nor events of resources, nor failures, nor the outputs
of a stack that a change set made, nor updates of a nested stack in place. That is added here, as thin as it goes: resources of
unknown types are made by the service's own API where moto has it (DMS, Glue, alarms, secrets), else they are only a name and an
ARN (`tests.deploy.resolve.answer`). Of Glue and DMS the calls that moto lacks are imitated: stopping a run, certificates,
changing an endpoint. A streaming run of ours runs until it is stopped.
"""

# ruff: noqa: ARG002, ARG003 - the signatures are moto's and boto3's

import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

import boto3
import pytest
from moto import mock_aws
from moto.cloudformation import models as cloudformation
from moto.cloudformation import parsing
from moto.core.common_models import CloudFormationModel
from moto.glue.models import FakeJobRun, glue_backends
from moto.s3.models import s3_backends

from freshet.cli.context import AwsPlace
from freshet.deploy.account import Account
from freshet.deploy.templates import parse_template, read_template
from freshet.redshift.data_api import Warehouse
from tests.cloudformation.templates import FOLDER, NAMES
from tests.deploy.resolve import ACCOUNT, REGION, Unresolved, answer

KINDS = {
    resource["Type"] for name in NAMES for resource in read_template(FOLDER / f"{name}.yaml")["Resources"].values()
}
UNKNOWN = sorted(KINDS - set(parsing.get_model_map()))
UNUSABLE = {  # moto knows these, and gets them wrong
    "AWS::RDS::DBParameterGroup": "a Ref to it is an object of moto's, not the name",
}


class Refused(Exception):
    """What a resource says that cannot be made."""


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
def _client(service: str) -> Any:
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
    return str(_client("glue").create_job(**{**told, "DefaultArguments": _texts(told["DefaultArguments"])})["Name"])


def _texts(arguments: Mapping[str, Any]) -> dict[str, str]:
    """CloudFormation's parameters are text, moto's numbers stay numbers."""
    return {name: str(value) for name, value in arguments.items()}


def _change_job(properties: Mapping[str, Any], name: str) -> None:
    job = glue_backends[ACCOUNT][REGION].jobs[name]
    job.default_arguments = _texts(properties["DefaultArguments"])
    job.last_modified_on = cloudformation.utcnow()


def _schedule(properties: Mapping[str, Any], name: str) -> str:
    _client("scheduler").create_schedule(**properties)
    return str(properties["Name"])


def _trigger(properties: Mapping[str, Any], name: str) -> str:
    return str(_client("glue").create_trigger(**properties)["Name"])


def _endpoint(properties: Mapping[str, Any], name: str) -> str:
    known = {"EndpointIdentifier", "EndpointType", "EngineName", "KinesisSettings"}
    told = {key: properties[key] for key in known & set(properties)}
    return str(_client("dms").create_endpoint(**told)["Endpoint"]["EndpointArn"])


def _instance(properties: Mapping[str, Any], name: str) -> str:
    told = {key: properties[key] for key in ("ReplicationInstanceIdentifier", "ReplicationInstanceClass")}
    return str(_client("dms").create_replication_instance(**told)["ReplicationInstance"]["ReplicationInstanceArn"])


def _task(properties: Mapping[str, Any], name: str) -> str:
    made = _client("dms").create_replication_task(**properties)["ReplicationTask"]["ReplicationTaskArn"]
    backend = _backend("dms")
    backend.replication_tasks[made].ready()
    return str(made)


def _backend(service: str) -> Any:
    from moto.dms.models import dms_backends

    return {"dms": dms_backends}[service][ACCOUNT][REGION]


def _alarm(properties: Mapping[str, Any], name: str) -> str:
    known = {"AlarmName", "AlarmDescription", "Namespace", "MetricName", "Dimensions", "Statistic", "Period", "EvaluationPeriods",
             "Threshold", "ComparisonOperator"}  # fmt: skip
    _client("cloudwatch").put_metric_alarm(**{key: properties[key] for key in known & set(properties)})
    return str(properties["AlarmName"])


def _secret(properties: Mapping[str, Any], name: str) -> str:
    return str(_client("secretsmanager").create_secret(Name=name)["ARN"])


def _parameter_group(properties: Mapping[str, Any], name: str) -> str:
    family, about = properties["Family"], properties["Description"]
    _client("rds").create_db_parameter_group(
        DBParameterGroupName=name, DBParameterGroupFamily=family, Description=about
    )
    return name


MAKERS = {
    "AWS::Glue::Job": _job, "AWS::Glue::Trigger": _trigger,
    "AWS::Scheduler::Schedule": _schedule, "AWS::DMS::Endpoint": _endpoint,
    "AWS::DMS::ReplicationInstance": _instance, "AWS::DMS::ReplicationTask": _task, "AWS::CloudWatch::Alarm": _alarm,
    "AWS::SecretsManager::Secret": _secret, "AWS::RDS::DBParameterGroup": _parameter_group,
}  # fmt: skip
CHANGERS = {"AWS::Glue::Job": _change_job}
DELETERS = {
    "AWS::Glue::Job": lambda name: _client("glue").delete_job(JobName=name),
    "AWS::Glue::Trigger": lambda name: _client("glue").delete_trigger(Name=name),
    "AWS::Scheduler::Schedule": lambda name: _client("scheduler").delete_schedule(Name=name),
    "AWS::DMS::ReplicationTask": lambda arn: _client("dms").delete_replication_task(ReplicationTaskArn=arn),
    "AWS::CloudWatch::Alarm": lambda name: _client("cloudwatch").delete_alarms(AlarmNames=[name]),
}
STAND_INS = [
    type(
        kind.replace("::", ""), (_StandIn,), {"kind": kind, "cloudformation_type": staticmethod(lambda kind=kind: kind)}
    )
    for kind in [*UNKNOWN, *UNUSABLE]
]  # of _StandIn, not of moto's class: moto itself goes on not knowing them


class Cloud:
    """What a test may ask of the account, and break in it."""

    def __init__(self) -> None:
        self.broken: dict[str, str] = {}  # logical id -> why it cannot be made
        self.calls: list[str] = []  # "service.operation", in order
        self.interrupts: set[str] = set()  # a call after which the user presses Ctrl-C, once
        self.warehouse: Warehouse | None = None  # a real one instead of moto's canned answers
        self.certificates: dict[str, str] = {}
        self.tables: list[dict[str, str]] = []  # what DMS says of its tables

    def client(self, service: str) -> Any:
        """Give a client."""
        return _client(service)

    @property
    def uploads(self) -> int:
        """How many objects were put."""
        return self.calls.count("s3.put_object")

    def __contains__(self, call: str) -> bool:
        return call in self.calls


_valid: dict[str, Any] = {}  # what moto answered, by template


class _Recording:
    """A client that notes what is asked, and imitates the few calls that moto lacks."""

    def __init__(self, cloud: Cloud, service: str, client: Any) -> None:
        self.cloud, self.service, self.client = cloud, service, client

    def __getattr__(self, operation: str) -> Any:
        name = f"{self.service}.{operation}"
        own = f"_{self.service}_{operation}".replace("-", "_")
        imitation = getattr(self, own) if own in type(self).__dict__ else getattr(self.client, operation)
        if operation in {"meta", "exceptions", "close"}:
            return imitation

        def call(*arguments: Any, **named: Any) -> Any:
            called = name if operation != "get_paginator" else f"{self.service}.{arguments[0]}"
            self.cloud.calls.append(called)
            answer = imitation(*arguments, **named)
            if called in self.cloud.interrupts:
                self.cloud.interrupts.remove(called)
                raise KeyboardInterrupt
            return answer

        return call

    def _cloudformation_create_change_set(self, **named: Any) -> Any:
        backend = cloudformation.cloudformation_backends[ACCOUNT][REGION]
        for stack in list(backend.stacks.values()):  # where moto makes a second stack of the name
            if stack.name == named["StackName"] and stack.status == "REVIEW_IN_PROGRESS":
                del backend.stacks[stack.stack_id]
        return self.client.create_change_set(**named)

    def _cloudformation_validate_template(self, TemplateBody: str) -> Any:  # noqa: N803
        if TemplateBody not in _valid:  # moto reads YAML slowly, and the same templates in every test
            _valid[TemplateBody] = self.client.validate_template(TemplateBody=TemplateBody)
        return _valid[TemplateBody]

    def _glue_batch_stop_job_run(self, JobName: str, JobRunIds: list[str]) -> None:  # noqa: N803
        for run in glue_backends[ACCOUNT][REGION].jobs[JobName].job_runs:
            if run.job_run_id in JobRunIds:
                run.stopped = True

    def _dms_get_paginator(self, operation: str) -> Any:
        assert operation == "describe_certificates"
        return self

    def paginate(self) -> list[dict[str, Any]]:
        """Give the certificates as one page."""
        return [{"Certificates": [{"CertificateIdentifier": name, "CertificateArn": arn}
                                  for name, arn in self.cloud.certificates.items()]}]  # fmt: skip

    def _dms_import_certificate(self, CertificateIdentifier: str, CertificatePem: str) -> dict[str, Any]:  # noqa: N803
        arn = f"arn:aws:dms:{REGION}:{ACCOUNT}:cert:{CertificateIdentifier.upper()}"
        self.cloud.certificates[CertificateIdentifier] = arn
        return {"Certificate": {"CertificateArn": arn}}

    def _dms_delete_certificate(self, CertificateArn: str) -> None:  # noqa: N803
        self.cloud.certificates = {name: arn for name, arn in self.cloud.certificates.items() if arn != CertificateArn}

    def _dms_describe_table_statistics(self, ReplicationTaskArn: str, Marker: str = "0") -> dict[str, Any]:  # noqa: N803
        """Give one table a page."""
        here = int(Marker)
        more = {"Marker": str(here + 1)} if here + 1 < len(self.cloud.tables) else {}
        return {"TableStatistics": self.cloud.tables[here : here + 1], **more}

    def _dms_modify_endpoint(self, EndpointArn: str, KinesisSettings: dict[str, Any]) -> None:  # noqa: N803
        (endpoint,) = [each for each in _backend("dms").endpoints.values() if each.endpoint_arn == EndpointArn]
        endpoint.kinesis_settings = KinesisSettings

    def _dms_describe_connections(self, Filters: list[dict[str, Any]]) -> Any:  # noqa: N803
        return self.client.describe_connections(Filters=Filters[::-1])  # moto heeds the last one only


def _references(part: Any) -> set[str]:
    """Find Ref and Sub: moto's own finds Ref only, and so overlooks what a new parameter changes."""
    if isinstance(part, list):
        return {name for each in part for name in _references(each)}
    if not isinstance(part, dict):
        return set()
    if "Ref" in part:
        return {part["Ref"]}
    text = part.get("Fn::Sub", "")
    named = set(re.findall(r"\$\{([\w:]+)", text[0] if isinstance(text, list) else text))
    return named | {name for each in part.values() for name in _references(each)}


class _Conditions(dict[Any, Any]):
    """The conditions of a template, judged as they are asked for; none holds."""

    def __init__(self, written: Mapping[str, Any], values: Mapping[str, Any]) -> None:
        self.written, self.values_of = written, values

    def __missing__(self, name: str | None) -> bool:
        return name is None or bool(parsing.parse_condition(self.written[name], self.values_of, self))


def _event(stack: Any, logical: str, physical: str, kind: str, status: str, reason: str | None = None) -> None:
    stack.events.append(cloudformation.Event(stack.stack_id, stack.name, logical, physical, kind, status, reason, None))


def _correct_cloudformation(patch: pytest.MonkeyPatch, cloud: Cloud) -> None:
    create, update, remove = (
        parsing.parse_and_create_resource, parsing.parse_and_update_resource, parsing.parse_and_delete_resource
    )  # fmt: skip
    backend = cloudformation.cloudformation_backends[ACCOUNT][REGION]

    def created(logical: str, resource: Any, resources: Any, account_id: str, region_name: str) -> Any:
        if resource.get("Condition") and not resources.lazy_condition_map[resource["Condition"]]:
            return None
        stack = backend.get_stack(resources.stack_id)
        _event(stack, logical, "", resource["Type"], "CREATE_IN_PROGRESS")
        if logical in cloud.broken:
            _event(stack, logical, "", resource["Type"], "CREATE_FAILED", cloud.broken[logical])
            raise Refused(logical)
        made: Any = create(logical, resource, resources, account_id, region_name)
        physical = str(getattr(made, "physical_resource_id", ""))
        _event(stack, logical, physical, resource["Type"], "CREATE_COMPLETE")
        return made

    def updated(logical: str, resource: Any, resources: Any, account_id: str, region_name: str) -> Any:
        stack = backend.get_stack(resources.stack_id)
        before = resources[logical]
        if before is None:
            return None
        physical = str(getattr(before, "physical_resource_id", ""))
        _event(stack, logical, physical, resource["Type"], "UPDATE_IN_PROGRESS")
        after = update(logical, resource, resources, account_id, region_name) or before
        after.logical_resource_id, after.cf_resource_type = logical, resource["Type"]
        _event(stack, logical, physical, resource["Type"], "UPDATE_COMPLETE")
        return after

    def in_place(
        original_resource: Any, new_resource_name: str, cloudformation_json: Any, account_id: str, region_name: str
    ) -> Any:
        told = cloudformation_json["Properties"]
        body = cloudformation.get_stack_from_s3_url(told["TemplateURL"], account_id=account_id, partition="aws")
        original_resource.update(body, parameters=told.get("Parameters", {}))
        return original_resource

    execute = cloudformation.CloudFormationBackend.execute_change_set

    def executed(self: Any, change_set_name: str, stack_name: str | None = None) -> None:
        stack = self.stacks[self.change_sets[change_set_name].stack_id]
        is_new = stack.status == "REVIEW_IN_PROGRESS"
        try:
            execute(self, change_set_name, stack_name)
        except Refused:
            for nested in [each for each in self.stacks.values() if each.status == "CREATE_IN_PROGRESS"]:
                reason = "The following resource(s) failed to create"
                _event(
                    stack,
                    nested.name.split("-")[1],
                    nested.stack_id,
                    "AWS::CloudFormation::Stack",
                    "CREATE_FAILED",
                    reason,
                )
            stack.status = "ROLLBACK_COMPLETE" if is_new else "UPDATE_ROLLBACK_COMPLETE"
            stack._add_stack_event(stack.status)
            return
        stack.template_dict = stack.parse_template(stack.template)
        stack.output_map = stack._create_output_map()

    def told_apart(resources: Any, template: Any, parameters: Any = None) -> dict[str, list[str]]:
        """As moto's, but a parameter is text, and is found in Sub too; what its condition leaves out is not added."""
        old, new = resources._resource_json_map, template["Resources"]
        before = resources.input_parameters
        changed = {name for name, value in (parameters or {}).items() if str(before.get(name)) != str(value)}
        defaults = {name: rule.get("Default", "") for name, rule in template.get("Parameters", {}).items()}
        known = _Conditions(template.get("Conditions", {}), {**defaults, **(parameters or {})})
        return {
            "Add": [name for name in new if name not in old and known[new[name].get("Condition")]],
            "Modify": [
                name for name in new if name in old and (new[name] != old[name] or changed & _references(new[name]))
            ],
            "Remove": [name for name in old if name not in new],
        }

    def attribute(stack: Any, name: str) -> Any:
        return stack.output_map[name.removeprefix("Outputs.")].value

    def difference(change_set: Any) -> list[Any]:
        """As moto's, but heeds changed parameters too."""
        actions = change_set.stack.resource_map.build_resource_diff(change_set.template_dict, change_set.parameters)
        kinds = {**change_set.stack.template_dict.get("Resources", {}), **change_set.template_dict["Resources"]}
        return [
            cloudformation.Change(action, name, kinds[name]["Type"])
            for action, names in actions.items()
            for name in names
        ]

    def parsed(change_set: Any) -> None:
        change_set.template_dict = parse_template(change_set.template, "")

    patch.setattr(cloudformation.Stack, "parse_template", staticmethod(lambda template: parse_template(template, "")))
    patch.setattr(cloudformation.ChangeSet, "_parse_template", parsed)
    patch.setattr(cloudformation.ChangeSet, "diff", difference)
    models = {**parsing.get_model_map(), **{stand_in.kind: stand_in for stand_in in STAND_INS}}
    patch.setattr(parsing, "get_model_map", lambda: models)
    patch.setattr(cloudformation.Stack, "get_cfn_attribute", attribute, raising=False)
    patch.setattr(parsing, "parse_and_create_resource", created)
    patch.setattr(parsing, "parse_and_update_resource", updated)
    patch.setattr(parsing, "parse_and_delete_resource", remove)
    patch.setattr(parsing.ResourceMap, "build_resource_diff", told_apart)
    patch.setattr(cloudformation.Stack, "update_from_cloudformation_json", staticmethod(in_place))
    patch.setattr(cloudformation.Stack, "physical_resource_id", property(lambda stack: stack.stack_id))
    patch.setattr(cloudformation.CloudFormationBackend, "execute_change_set", executed)


def _correct_glue(patch: pytest.MonkeyPatch) -> None:
    status = FakeJobRun.status

    def of_a_run(run: Any) -> str:
        if getattr(run, "stopped", False):
            return "STOPPED"
        now = str(status.fget(run))  # type: ignore[attr-defined]
        return "RUNNING" if now == "SUCCEEDED" and run.job_name.startswith("streaming-") else now

    patch.setattr(FakeJobRun, "status", property(of_a_run))


@contextmanager
def cloud(patch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """Give an empty account, which every client of this process sees."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": REGION,
        "MOTO_EC2_LOAD_DEFAULT_AMIS": "false",  # a thousand, which nobody asks for
    }.items():
        patch.setenv(name, value)
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_ENDPOINT_URL", "FRESHET_TARGET"):
        patch.delenv(name, raising=False)
    made = Cloud()
    with mock_aws(), warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # moto leaves files of S3 to the garbage collector
        _correct_cloudformation(patch, made)
        _correct_glue(patch)
        plain = Account.client
        patch.setattr(Account, "client", lambda self, service: _Recording(made, service, plain(self, service)))
        warehouse = AwsPlace.warehouse
        patch.setattr(AwsPlace, "warehouse", property(lambda place: made.warehouse or warehouse.__get__(place)))
        yield made


def keys(bucket: str) -> list[str]:
    """List what lies in a bucket."""
    return sorted(s3_backends[ACCOUNT]["aws"].buckets[bucket].keys)
