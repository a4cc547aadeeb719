"""An AWS account in this process: moto, with what it lacks to play a whole deployment.

moto's CloudFormation knows neither every type (`UNKNOWN`, by name), nor events of resources, nor failures, nor the outputs
of a stack that a change set made, nor updates of a nested stack in place. That is added here, as thin as it goes: resources of
unknown types are made by the service's own API where moto has it (DMS, Glue, alarms, secrets), else they are only a name and an
ARN (`tests.deploy.resolve.answer`). Of Glue and DMS the calls that moto lacks are imitated: stopping a run, certificates,
changing an endpoint, offers. A change set that makes a stack leaves two nested ones behind, empty, as AWS's does. A
streaming run of ours runs until it is stopped.
"""

# ruff: noqa: ARG002 - the signatures are moto's and boto3's

import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError
from moto import mock_aws
from moto.cloudformation import models as cloudformation
from moto.cloudformation import parsing
from moto.glue.models import FakeJobRun, glue_backends
from moto.s3.models import s3_backends

from freshet.cli.context import AwsPlace
from freshet.deploy.account import Account
from freshet.deploy.templates import parse_template
from freshet.redshift.data_api import Warehouse
from tests.deploy.resolve import ACCOUNT, REGION, stack_id
from tests.deploy.stand_ins import STAND_INS, backend_of
from tests.deploy.stand_ins import client as account_client


class Refused(Exception):
    """What a resource says that cannot be made."""


class Cloud:
    """What a test may ask of the account, and break in it."""

    def __init__(self) -> None:
        self.broken: dict[str, str] = {}  # logical id -> why it cannot be made
        self.calls: list[str] = []  # "service.operation", in order
        self.interrupts: set[str] = set()  # a call after which the user presses Ctrl-C, once
        self.warehouse: Warehouse | None = None  # a real one instead of moto's canned answers
        self.certificates: dict[str, str] = {}
        self.fault_at: int | None = None  # the number of the call at which AWS breaks, once
        self.refusals: dict[str, str] = {}  # a call that AWS refuses, once, and the code with which it does
        self.always: dict[str, Exception] = {}  # a call that fails each time
        self.lost: set[str] = set()  # a call that AWS carries out, and whose answer is lost, once
        self.refused: dict[str, str] = {}  # change sets that could not be computed, and why
        self.nested_refusal = ""  # why no change set with nested stacks can be computed
        self.refusal = ""  # why none without can be
        self.reviewed: dict[str, str] = {}  # empty nested stacks that a change set has made, and their root
        self.quieted: list[str] = []  # alarms that each update changes, and so sets to what the template says
        self.engines = {"3.5.4": "prod", "3.6.1": "prod", "3.6.2": "prod", "3.6.10": "beta", "3.7.0": "prod"}
        self.databases = {"8.0.43", "8.4.6"}  # versions of MySQL
        self.without: dict[str, set[str]] = {}  # zones that lack a service: "dms", "rds"
        self.tables: list[dict[str, str]] = []  # what DMS says of its tables

    def client(self, service: str) -> Any:
        """Give a client."""
        return account_client(service)

    def fail(self, call: str) -> None:
        """Raise what a test has prepared for the call that has just been noted."""
        code = self.refusals.pop(call, "InternalFailure" if self.fault_at == len(self.calls) - 1 else "")
        if code:
            raise ClientError({"Error": {"Code": code, "Message": "broken on purpose"}}, call)
        if call in self.always:
            raise self.always[call]

    @property
    def uploads(self) -> int:
        """How many objects were put."""
        return self.calls.count("s3.put_object")

    def __contains__(self, call: str) -> bool:
        return call in self.calls


class _Pages:
    """A paginator of one page."""

    def __init__(self, page: Mapping[str, Any]) -> None:
        self.page = page

    def paginate(self, **_: Any) -> list[Mapping[str, Any]]:
        return [self.page]


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
            self.cloud.fail(called)
            answer = imitation(*arguments, **named)
            if called in self.cloud.lost:
                self.cloud.lost.remove(called)
                raise ConnectionClosedError(endpoint_url=f"https://{name}")
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
        made = self.client.create_change_set(**named)
        if named["IncludeNestedStacks"] and named["ChangeSetType"] == "CREATE":
            names = [f"{named['StackName']}-{part}-{len(self.cloud.calls)}" for part in ("Network", "Jobs")]
            self.cloud.reviewed |= {stack_id(name): made["StackId"] for name in names}
        refusal = self.cloud.nested_refusal if named["IncludeNestedStacks"] else self.cloud.refusal
        if refusal:
            self.cloud.refused[made["Id"]] = refusal
        return made

    def _cloudformation_describe_change_set(self, ChangeSetName: str, **named: Any) -> Any:  # noqa: N803
        if ChangeSetName in self.cloud.refused:
            return {"Status": "FAILED", "StatusReason": self.cloud.refused[ChangeSetName]}
        return self.client.describe_change_set(ChangeSetName=ChangeSetName, **named)

    def _cloudformation_delete_change_set(self, StackName: str, ChangeSetName: str) -> Any:  # noqa: N803
        known = cloudformation.cloudformation_backends[ACCOUNT][REGION].change_sets.values()
        if not any(each.change_set_name == ChangeSetName for each in known):  # moto stumbles over it
            error = {"Code": "ChangeSetNotFoundException", "Message": f"ChangeSet [{ChangeSetName}] does not exist"}
            raise ClientError({"Error": error}, "DeleteChangeSet")
        return self.client.delete_change_set(StackName=StackName, ChangeSetName=ChangeSetName)

    def _cloudformation_delete_stack(self, StackName: str) -> Any:  # noqa: N803
        return None if self.cloud.reviewed.pop(StackName, None) else self.client.delete_stack(StackName=StackName)

    def _cloudformation_execute_change_set(self, **named: Any) -> Any:
        self.cloud.reviewed.clear()  # they are what moto makes anew
        answer = self.client.execute_change_set(**named)
        if self.cloud.quieted:
            account_client("cloudwatch").disable_alarm_actions(AlarmNames=self.cloud.quieted)
        return answer

    def _cloudformation_get_paginator(self, operation: str) -> Any:
        if operation != "list_stacks":
            return self.client.get_paginator(operation)
        empty = [{"StackId": stack, "RootId": root} for stack, root in self.cloud.reviewed.items()]
        return _Pages({"StackSummaries": empty})

    def _cloudformation_validate_template(self, TemplateBody: str) -> Any:  # noqa: N803
        if TemplateBody not in _valid:  # moto reads YAML slowly, and the same templates in every test
            _valid[TemplateBody] = self.client.validate_template(TemplateBody=TemplateBody)
        return _valid[TemplateBody]

    def _glue_batch_stop_job_run(self, JobName: str, JobRunIds: list[str]) -> None:  # noqa: N803
        for run in glue_backends[ACCOUNT][REGION].jobs[JobName].job_runs:
            if run.job_run_id in JobRunIds:
                run.stopped = True

    def _dms_get_paginator(self, operation: str) -> Any:
        if operation == "describe_certificates":
            known = self.cloud.certificates.items()
            return _Pages(
                {"Certificates": [{"CertificateIdentifier": name, "CertificateArn": arn} for name, arn in known]}
            )
        assert operation == "describe_orderable_replication_instances"
        offers = [
            {"EngineVersion": version, "ReplicationInstanceClass": kind, "ReleaseStatus": status,
             "AvailabilityZones": self._zones("dms")}
            for version, status in self.cloud.engines.items() for kind in ("dms.t3.micro", "dms.t3.small")
        ]  # fmt: skip
        return _Pages({"OrderableReplicationInstances": offers})

    def _rds_get_paginator(self, operation: str) -> Any:
        assert operation == "describe_orderable_db_instance_options"
        zones = [{"Name": name} for name in self._zones("rds")]
        options = [{"EngineVersion": version, "AvailabilityZones": zones} for version in self.cloud.databases]
        return _Pages({"OrderableDBInstanceOptions": options})

    def _zones(self, service: str) -> list[str]:
        found = account_client("ec2").describe_availability_zones()["AvailabilityZones"]
        return [zone["ZoneName"] for zone in found if zone["ZoneName"] not in self.cloud.without.get(service, ())]

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
        (endpoint,) = [each for each in backend_of("dms").endpoints.values() if each.endpoint_arn == EndpointArn]
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
