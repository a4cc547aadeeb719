"""Every parameter, reference, condition and output of the stack leads somewhere, whichever parts are the user's own."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.resolve import Stack, Unresolved, resolve

ROOT = Path(__file__).parents[2] / "cloudformation" / "freshet.yaml"
FILLED = {
    "S3BucketName": "freshet-123456789012-us-east-1",
    "DmsCertificateArn": "arn:aws:dms:us-east-1:123456789012:cert:ABC",
    "PipelineName": "orders_wide",
    "SqlPrefix": "freshet/demo/sql/0123456789abcdef",
    "WorkflowDefinitionKey": "freshet/demo/code/0123456789abcdef/workflow.asl.json",
    **{
        name: f"s3://freshet-123456789012-us-east-1/freshet/demo/code/0123456789abcdef/{name}"
        for name in ("PipelineUrl", "StreamingScriptUrl", "StreamingModules", "ShellScriptUrl", "ShellBundleUrl",
                     "CertificatesUrl", "ExportScriptUrl")
    },
}  # fmt: skip
ZONES = {"SubnetAzA": "us-east-1a", "SubnetAzB": "us-east-1b"}
OWN_NETWORK = {"ExistingVpcId": "vpc-1", "ExistingSubnetIds": "subnet-1,subnet-2,subnet-3"}
OWN_SOURCE = {
    "ExistingSourceSecretArn": "arn:aws:secretsmanager:us-east-1:123456789012:secret:mine",
    "ExistingSourceHost": "db.example.com",
}
OWN_WAREHOUSE = {
    "ExistingWorkgroupName": "mine",
    "ExistingWorkgroupArn": "arn:aws:redshift-serverless:us-east-1:123456789012:workgroup/1",
    "ExistingWarehouseSecretArn": "arn:aws:secretsmanager:us-east-1:123456789012:secret:its",
}
SERVES = {
    "PullCodeKey": "freshet/demo/code/0123456789abcdef/pull.zip",
    "ExportTableArns": "arn:aws:dynamodb:us-east-1:123456789012:table/one,arn:aws:dynamodb:us-east-1:123456789012:table/two",
}
WAYS = {
    "everything new": ZONES,
    "three zones and NAT": {**ZONES, "SubnetAzC": "us-east-1c", "EgressMode": "nat"},
    "own network": OWN_NETWORK,
    "own source": {**ZONES, **OWN_SOURCE, "ExistingSourceSecurityGroupId": "sg-1"},
    "own source on another port": {
        **ZONES,
        **OWN_SOURCE,
        "ExistingSourceSecurityGroupId": "sg-1",
        "ExistingSourcePort": "3307",
    },
    "own warehouse": {**ZONES, **OWN_WAREHOUSE},
    "all of one's own": {
        **OWN_NETWORK,
        **OWN_SOURCE,
        **OWN_WAREHOUSE,
        "ExistingCopyRoleArn": "arn:aws:iam::1:role/copy",
    },
    "pulls and exports": {**ZONES, **SERVES},
    "a function, and somebody who may call it": {
        **ZONES,
        "PullCodeKey": SERVES["PullCodeKey"],
        "PullerArn": "arn:aws:iam::123456789012:role/fivetran",
    },
    "no roles of DMS, a batch job": {**ZONES, "CreateDmsRoles": "false", "StreamingJobType": "glueetl"},
}


@pytest.mark.parametrize("way", WAYS)
def test_nothing_leads_nowhere(way: str) -> None:
    """All parts resolve, and the root tells all that the commands read."""
    outputs = resolve(ROOT, FILLED | WAYS[way])[""]["Outputs"]
    assert "cdc-sample-demo" == outputs["StreamName"]
    assert "arn:aws:kinesis:us-east-1:123456789012:stream/cdc-sample-demo" == outputs["StreamArn"]
    assert "streaming-cdc-kinesis2redshift-demo" == outputs["StreamingJobName"]
    own = "ExistingSourceHost" in WAYS[way]
    assert ("" if own else "periodical-trigger-demo") == outputs["TriggerName"]
    assert "arn:aws:states:us-east-1:123456789012:stateMachine:demo-workflow" == outputs["WorkflowStateMachineArn"]
    assert "s3://freshet-123456789012-us-east-1/data" == outputs["DataUrl"]
    assert ("demo-pull" if "PullCodeKey" in WAYS[way] else "") == outputs["PullFunctionName"]
    assert ("export-dynamodb-demo" if "ExportTableArns" in WAYS[way] else "") == outputs["ExportJobName"]


def test_the_exports_job_may_write_the_tables_of_the_exports() -> None:
    """Each of them, and no other."""
    role = resolve(ROOT, FILLED | WAYS["pulls and exports"])["Serving"]["Resources"]["ExportRole"]["Properties"]
    (tables,) = [s for s in role["Policies"][0]["PolicyDocument"]["Statement"] if s["Sid"] == "Tables"]
    assert SERVES["ExportTableArns"].split(",") == tables["Resource"]


def test_what_is_ones_own_is_not_made() -> None:
    """No VPC, no database, no workgroup."""
    stacks = resolve(ROOT, FILLED | WAYS["all of one's own"])
    kinds = {resource["Type"] for stack in stacks.values() for resource in stack["Resources"].values()}
    assert set() == kinds & {
        "AWS::EC2::VPC",
        "AWS::RDS::DBInstance",
        "AWS::RedshiftServerless::Workgroup",
        "AWS::EC2::VPCEndpoint",
    }
    assert "mine" == stacks[""]["Outputs"]["WorkgroupName"]


def made(stacks: dict[str, Stack], kind: str) -> dict[str, dict[str, Any]]:
    """The properties of all resources of a type, by logical path."""
    return {
        f"{place}/{logical}": resource["Properties"]
        for place, stack in stacks.items()
        for logical, resource in stack["Resources"].items()
        if resource["Type"] == kind
    }


@pytest.mark.parametrize("way", WAYS)
def test_security_groups_let_out_what_is_dialed(way: str) -> None:
    """Jobs and DMS reach AWS's services and the source's own port, and no other; the source lets them in there only."""
    stacks = resolve(ROOT, FILLED | WAYS[way])
    secret = made(stacks, "AWS::SecretsManager::Secret")["Source/ReplicationSecret"]["GenerateSecretString"]
    port = str(json.loads(secret["SecretStringTemplate"])["port"])
    assert WAYS[way].get("ExistingSourcePort", "3306") == port
    groups = made(stacks, "AWS::EC2::SecurityGroup")
    for name in ("Network/JobSecurityGroup", "Network/ReplicationSecurityGroup"):
        rules = groups[name]["SecurityGroupEgress"]
        assert {("443", "443"), (port, port)} == {(str(rule["FromPort"]), str(rule["ToPort"])) for rule in rules}, name
    entries = [*made(stacks, "AWS::EC2::SecurityGroupIngress").items()]
    entries += [("Source/", rule) for rule in groups.get("Source/SecurityGroup", {}).get("SecurityGroupIngress", ())]
    into_the_source = {(str(r["FromPort"]), str(r["ToPort"])) for name, r in entries if name.startswith("Source/")}
    opens = "ExistingSourceHost" not in WAYS[way] or "ExistingSourceSecurityGroupId" in WAYS[way]
    assert ({(port, port)} if opens else set()) == into_the_source


@pytest.mark.parametrize(
    ("zones", "third"), [(ZONES, "us-east-1a"), ({**ZONES, "SubnetAzC": "us-east-1c"}, "us-east-1c")]
)
def test_there_are_always_three_subnets(zones: dict[str, str], third: str) -> None:
    """Redshift Serverless wants three, also of an account that sees two zones: the third is then in the first one's zone.

    Source: Redshift management guide, "Considerations when using Amazon Redshift Serverless".
    """
    stacks = resolve(ROOT, FILLED | zones)
    subnets = made(stacks, "AWS::EC2::Subnet")
    zones_of = [subnets[f"Network/PrivateSubnet{letter}"]["AvailabilityZone"] for letter in "ABC"]
    assert ["us-east-1a", "us-east-1b", third] == zones_of
    (workgroup,) = made(stacks, "AWS::RedshiftServerless::Workgroup").values()
    assert 3 == len(set(workgroup["SubnetIds"]))
    assert 3 == len(made(stacks, "AWS::EC2::SubnetRouteTableAssociation"))


def test_the_tasks_metrics_are_found() -> None:
    """The alarms' and the dashboard's dimension is the end of the task's ARN; it fits DMS's limit for the longest stack name.

    Source: DMS API reference, CreateReplicationTask, ResourceIdentifier: 31 letters, digits and hyphens.
    """
    stacks = resolve(ROOT, FILLED | ZONES, stack="a" * 27)
    end = stacks[""]["Outputs"]["ReplicationTaskArn"].rpartition(":")[2]
    assert len(end) <= 31
    named = [dimension["Value"] for alarm in made(stacks, "AWS::CloudWatch::Alarm").values()
             for dimension in alarm["Dimensions"] if dimension["Name"] == "ReplicationTaskIdentifier"]  # fmt: skip
    assert [end] * 2 == named
    (dashboard,) = made(stacks, "AWS::CloudWatch::Dashboard").values()
    assert 2 == dashboard["DashboardBody"].count(f'"ReplicationTaskIdentifier", "{end}"')


@pytest.mark.parametrize(
    ("missing", "why"),
    [
        ({}, "SubnetAzA is missing"),
        ({"ExistingVpcId": "vpc-1"}, "needs ExistingSubnetIds"),
        ({**ZONES, "Shards": "2"}, "no parameter Shards"),
        ({**ZONES, "ShardCount": "0"}, "parameter ShardCount"),
        (
            {**ZONES, "WorkerType": "G.025X", "StreamingJobType": "glueetl"},
            "G.025X is for StreamingJobType gluestreaming",
        ),
    ],
)
def test_wrong_parameters_are_refused(missing: dict[str, str], why: str) -> None:
    """As CloudFormation refuses them: unknown, out of range, against a rule."""
    with pytest.raises(Unresolved, match=why):
        resolve(ROOT, FILLED | missing)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("!Ref Nobody", "no parameter or resource Nobody"),
        ("!GetAtt Topic.Colour", "answers for Colour"),
        ("!Sub '${Nobody}'", "no parameter or resource Nobody"),
        ("!GetAtt Never.TopicName", "Never is not made"),
        ("!ImportValue other", "no function Fn::ImportValue"),
        ("!Select [1, [a]]", "Select 1"),
        ("!GetAtt Inner.Outputs.Name", "no output Name"),
        ("!If [Unknown, a, b]", "no condition Unknown"),
    ],
)
def test_what_leads_nowhere_is_found(tmp_path: Path, value: str, why: str) -> None:
    """The resolver is no rubber stamp."""
    (tmp_path / "inner.yaml").write_text("Resources: {T: {Type: AWS::SNS::Topic}}\n")
    (tmp_path / "root.yaml").write_text(f"""
Conditions: {{No: !Equals [a, b]}}
Resources:
  Topic: {{Type: AWS::SNS::Topic}}
  Never: {{Type: AWS::SNS::Topic, Condition: No}}
  Inner: {{Type: AWS::CloudFormation::Stack, Properties: {{TemplateURL: inner.yaml}}}}
Outputs:
  It: {{Value: {value}}}
""")
    with pytest.raises(Unresolved, match=why):
        resolve(tmp_path / "root.yaml", {})
