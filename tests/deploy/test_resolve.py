"""Every parameter, reference, condition and output of the stack leads somewhere, whichever parts are the user's own."""

from pathlib import Path

import pytest

from tests.deploy.resolve import Unresolved, resolve

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
OWN_NETWORK = {"ExistingVpcId": "vpc-1", "ExistingSubnetIds": "subnet-1,subnet-2"}
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
