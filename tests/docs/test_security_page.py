"""docs/security.md names every role, statement, action, secret and key of the templates, and none that is not there."""

import ast
import fnmatch
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import botocore.session
import cfnlint
import pytest
from botocore import xform_name

from freshet.cli.context import ROOT
from tests.cloudformation.policies import S3_ACTIONS
from tests.cloudformation.templates import NAMES, listed, policies, resources, template

PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
NESTED = {
    resource["Properties"]["TemplateURL"].removesuffix(".yaml"): logical
    for logical, resource in template("freshet")["Resources"].items()
    if resource["Type"] == "AWS::CloudFormation::Stack"
} | {"freshet": "", "artifacts": "Artifacts"}
TRUSTED = {"dms.${AWS::Region}.amazonaws.com": "dms.REGION.amazonaws.com"}
PREFIXES = {"stepfunctions": "states"}  # boto3's name of a service, and IAM's
ACTION = re.compile(r"`([a-z0-9-]+:[A-Za-z*]+)`")


@dataclass(frozen=True)
class Right:
    """What a statement says, as far as the page must say it too."""

    actions: frozenset[str]
    everywhere: bool
    conditions: frozenset[str]


def place(name: str, logical: str) -> str:
    """Name a resource as `freshet deploy` shows it: nested stack and logical id."""
    return f"{NESTED[name]}/{logical}".strip("/")


def right(statement: Mapping[str, Any]) -> Right:
    """Read a statement of a policy."""
    keys = [key for tests in statement.get("Condition", {}).values() for key in tests]
    return Right(frozenset(listed(statement["Action"])), "*" in listed(statement["Resource"]), frozenset(keys))


def statements() -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Find every statement of the templates, with the place of its owner."""
    for name, logical, statement in policies():
        yield place(name, logical), statement
    for kind, document in (
        ("AWS::KMS::Key", "KeyPolicy"),
        ("AWS::S3::BucketPolicy", "PolicyDocument"),
        ("AWS::SNS::TopicPolicy", "PolicyDocument"),
    ):
        for name, logical, properties in resources(kind):
            yield from ((place(name, logical), statement) for statement in properties[document]["Statement"])


def in_the_templates() -> dict[str, dict[str, Right]]:
    """Give each owner's statements by their Sids."""
    found: dict[str, dict[str, Right]] = {}
    for owner, statement in statements():
        assert statement["Sid"] not in found.get(owner, {})
        found.setdefault(owner, {})[statement["Sid"]] = right(statement)
    return found


def sections(page: str) -> dict[str, str]:
    """Give the text below each heading of an owner."""
    parts = re.split(r"^#{2,3} (.*)$", page, flags=re.MULTILINE)
    return {title.strip("`"): text for title, text in zip(parts[1::2], parts[2::2], strict=True) if "`" in title}


def rows(text: str) -> list[list[str]]:
    """Give the cells of a text's tables, without their heads."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row, above in zip(cells[1:], cells, strict=False) if not set("".join(row)) <= {"-"} and above]


def problems(page: str) -> list[str]:
    """Say where a page and the templates differ."""
    wrong = []
    told, there = sections(page), in_the_templates()
    wrong += [f"no heading for {owner}" for owner in there.keys() - told.keys()]
    for owner, text in told.items():
        by_sid: dict[str, list[str]] = {row[0].strip("`"): row for row in rows(text) if len(row) == 4}
        wrong += [f"{owner}: {sid} is told twice" for sid in by_sid if text.count(f"| `{sid}` |") > 1]
        wrong += [f"{owner} has no statement {sid}" for sid in by_sid.keys() - there.get(owner, {}).keys()]
        for sid, meant in there.get(owner, {}).items():
            if sid not in by_sid:
                wrong.append(f"{owner}: no row for {sid}")
                continue
            _, actions, on, why = by_sid[sid]
            if (written := frozenset(ACTION.findall(actions))) != meant.actions:
                wrong.append(f"{owner}/{sid}: {sorted(written ^ meant.actions)}")
            if meant.everywhere != ("`*`" in on):
                wrong.append(f"{owner}/{sid}: resource * is {meant.everywhere}")
            wrong += [f"{owner}/{sid}: condition {key}" for key in meant.conditions if f"`{key}`" not in on]
            if len(why) < 4:
                wrong.append(f"{owner}/{sid}: no reason")
    return wrong


def rows_of_owners() -> list[str]:
    """Give the lines of the page that tell a statement."""
    texts = [text for owner, text in sections(PAGE).items() if owner in in_the_templates()]
    return [line for text in texts for line in text.splitlines() if line.startswith("| `")]


def test_every_statement_has_its_row() -> None:
    """Sid, actions, a resource `*` and the keys of conditions: in the page as in the templates, under the owner's heading."""
    assert len(rows_of_owners()) > 25
    assert [] == problems(PAGE)


@pytest.mark.parametrize("line", rows_of_owners(), ids=lambda line: line.split("`")[1])
def test_a_row_that_is_missing_or_wrong_is_seen(line: str) -> None:
    """The test's own eye: no row, no action, another action, another Sid, a row under another heading."""
    first, sid = ACTION.findall(line)[0], line.split("`")[1]
    for other in (
        "",
        line.replace(f"`{first}`", "", 1),
        line.replace(f"`{first}`", f"`{first}` `s3:ListAllMyBuckets`", 1),
        line.replace(f"`{sid}`", f"`{sid}s`", 1),
    ):
        assert problems(PAGE.replace(line + "\n", other + "\n", 1)), other
    moved = "| `Log` | `logs:CreateLogStream` |"
    assert problems(PAGE.replace(line + "\n", "", 1).replace(moved, f"{line}\n{moved}", 1)) or moved in line


def test_every_role_says_whom_it_trusts() -> None:
    """The services of the trust policy, and AWS's own policies where a role has one."""
    for name, logical, role in resources("AWS::IAM::Role"):
        (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
        said = sections(PAGE).get(place(name, logical)) or next(
            "|".join(row) for row in rows(PAGE) if row[0] == f"`{place(name, logical)}`"
        )
        for service in listed(statement["Principal"]["Service"]):
            text = service["Fn::Sub"] if isinstance(service, dict) else service
            assert f"`{TRUSTED.get(text, text)}`" in said, (logical, text)
        if "aws:SourceAccount" in str(statement.get("Condition")):
            assert "for this account" in said, logical
        for arn in role.get("ManagedPolicyArns", ()):
            if "Fn::Sub" in arn:
                assert f"`{arn['Fn::Sub'].rpartition('/')[2]}`" in said, logical


def test_every_secret_and_key_is_named() -> None:
    """Each secret has its row with reader, rotation and loss; each key and alias its name."""
    (table,) = [text for text in re.split(r"^## ", PAGE, flags=re.MULTILINE) if text.startswith("Keys and secrets")]
    told = {row[0].strip("`"): row for row in rows(table.partition("### ")[0])}
    secrets = {place(name, logical) for name, logical, _ in resources("AWS::SecretsManager::Secret")}
    assert len(secrets) > 3
    assert secrets == told.keys()
    assert all(len(row) == 5 and all(len(cell) > 5 for cell in row) for row in told.values())
    for kind in ("AWS::KMS::Key", "AWS::KMS::Alias"):
        for name, logical, _ in resources(kind):
            assert f"`{place(name, logical)}`" in table


def test_every_security_group_is_named() -> None:
    """With ways in and out."""
    network = PAGE.partition("\n## Network\n")[2].partition("\n## ")[0]
    for name, logical, _ in resources("AWS::EC2::SecurityGroup"):
        assert f"`{place(name, logical)}`" in network, logical


def test_parameters_exist() -> None:
    """A word in code that is written like a parameter is one, or a resource, or a word of AWS."""
    known = set(template("freshet")["Parameters"]) | {
        logical for name in NAMES for logical in template(name)["Resources"]
    }
    known |= {row[0].strip("`") for row in rows(PAGE)} | {"AmazonDMSVPCManagementRole", "AmazonDMSCloudWatchLogsRole"}
    known |= {"AmazonRDSEnhancedMonitoringRole"}
    words = set(re.findall(r"`([A-Z][a-z]+[A-Z]\w+)`", PAGE))
    assert len(words) > 10
    assert set() == words - known


# ---- what deploying needs

# What AWS's resource types may call for properties that our templates do not set.
UNUSED = (
    "autoscaling:*", "cloudformation:*StackPolicy", "cloudformation:UpdateTerminationProtection", "docdb-elastic:*", "firehose:*",
    "ec2:AcceptAddressTransfer", "ec2:*PrivateNatGatewayAddress", "ec2:*NatGatewayAddress", "ec2:*SubnetCidrBlock",
    "ec2:*VpnGateway", "ec2:CreateVpcEncryptionControl", "ec2:ModifyVpcTenancy",
    "iam:*GroupPolicy", "iam:*UserPolicy", "iam:*PermissionsBoundary", "iam:ListRoles",
    "elasticfilesystem:*", "s3files:*", "lambda:AssociateRuntimeAlias", "lambda:GetLayerVersion", "lambda:PassCapacityProvider",
    "lambda:PublishVersion", "lambda:*FunctionCodeSigningConfig", "lambda:*FunctionConcurrency", "lambda:*Function[RS]*Config",
    "lambda:PutRuntimeManagementConfig",
    "kinesis:*EnhancedMonitoring", "kinesis:UpdateMaxRecordSize", "kinesis:UpdateStream[RW]*",
    "kms:*KeyDeletion", "kms:DisableKey", "kms:EnableKey", "kms:DisableKeyRotation",
    "logs:*IndexPolicy", "logs:*DataProtectionPolicy", "logs:*ResourcePolicy", "logs:PutBearerTokenAuthentication",
    "logs:PutLogGroupDeletionProtection", "sns:PutDataProtectionPolicy",
    "rds:*RoleToDBInstance", "rds:*RoleFromDBInstance", "rds:*ReadReplica", "rds:RestoreDB*", "rds:St*Replication",
    "redshift:DescribeClusters", "redshift:ModifyClusterIamRoles", "redshift:PutResourcePolicy", "redshift:DeleteResourcePolicy",
    "redshift-serverless:RestoreFrom*", "redshift-serverless:*SnapshotCopyConfiguration", "redshift-serverless:ListWorkgroups",
    "s3:*AccelerateConfiguration", "s3:*AnalyticsConfiguration", "s3:*IntelligentTieringConfiguration",
    "s3:*InventoryConfiguration", "s3:*MetricsConfiguration", "s3:*ReplicationConfiguration",
    "s3:*ObjectLockConfiguration", "s3:*MetadataTableConfiguration",
    "s3:UpdateBucketMetadata*", "s3:DeleteBucket[ACELMRW]*", "s3:PutObjectAcl", "s3:*agResource", "s3:ListTagsForResource",
    "s3:REST.PUT.OBJECT", "s3tables:*", "secretsmanager:*Replicat*", "secretsmanager:RotateSecret",
    "vpc-lattice:*", "vpce:*",
)  # fmt: skip


def needed() -> frozenset[str]:
    """Read the actions, and patterns of actions, of the page's table."""
    (text,) = [part for part in re.split(r"^## ", PAGE, flags=re.MULTILINE) if part.startswith("What deploying needs")]
    return frozenset(action for row in rows(text) for action in ACTION.findall(row[1]))


def is_listed(action: str, among: frozenset[str] | tuple[str, ...]) -> bool:
    """Tell whether a pattern of the page covers an action."""
    return any(fnmatch.fnmatchcase(action.lower(), pattern.lower()) for pattern in among)


@cache
def operations() -> dict[str, list[str]]:
    """Give the IAM actions of the operations that boto3 methods of the services stand for."""
    session = botocore.session.get_session()
    services = ("cloudformation", "cloudwatch", "dms", "ec2", "glue", "iam", "kinesis", "rds", "redshift-data", "s3",
                "scheduler", "sts", "stepfunctions")  # fmt: skip
    found: dict[str, list[str]] = {}
    for service in services:
        for name in session.get_service_model(service).operation_names:
            action = (
                S3_ACTIONS.get(name, f"s3:{name}") if service == "s3" else f"{PREFIXES.get(service, service)}:{name}"
            )
            found.setdefault(xform_name(name), []).append(action)
    more = {"head_bucket": ["s3:ListBucket"], "list_object_versions": ["s3:ListBucketVersions"]}
    return found | more | {"delete_objects": ["s3:DeleteObject", "s3:DeleteObjectVersion"]}


def called(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Find the calls of AWS in a module: method, the actions that it can mean."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        method = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        texts = [part.value for part in node.args[:1] if isinstance(part, ast.Constant)]
        for name in (method, *texts):
            if isinstance(name, str) and name in operations():
                yield name, operations()[name]


def test_every_call_of_the_command_is_listed() -> None:
    """What `freshet deploy`, `destroy`, `status` and `query` ask of AWS stands in the table of rights."""
    modules = [*(ROOT / "freshet" / "deploy").glob("*.py"), *(ROOT / "freshet" / "cli").glob("de[ps]*.py")]
    modules += [*(ROOT / "freshet" / "cli").glob("workflow*.py"), ROOT / "freshet/cli/export_aws.py"]
    calls = [call for path in [*modules, ROOT / "freshet/redshift/data_api.py"] for call in called(path)]
    assert len(calls) > 40
    assert [] == [name for name, actions in calls if not any(is_listed(action, needed()) for action in actions)]


def test_every_resource_type_finds_its_rights() -> None:
    """What AWS's schema of a type needs to make, read, change and delete it is listed, or belongs to what we do not set."""
    kinds = {resource["Type"] for name in NAMES for resource in template(name)["Resources"].values()}
    folder = Path(cfnlint.__file__).parent / "data" / "schemas"
    files = json.loads((folder / "providers" / "us-east-1.json").read_text())
    asked: dict[str, set[str]] = {}
    for kind in kinds & files.keys():
        schema = json.loads((folder / "resources" / f"{files[kind]}.json").read_text())
        for handler, wanted in schema.get("handlers", {}).items():
            if handler != "list":
                asked.setdefault(kind, set()).update(wanted.get("permissions", ()))
    assert len(asked) > 40
    missing = {kind: sorted(a for a in actions if not is_listed(a, needed()) and not is_listed(a, UNUSED))
               for kind, actions in asked.items()}  # fmt: skip
    assert {} == {kind: actions for kind, actions in missing.items() if actions}


def test_no_right_is_listed_for_nothing() -> None:
    """A service that the templates do not use, or a misspelt action, would stand out."""
    session = botocore.session.get_session()
    known = {"iam:PassRole", "logs:CreateLogDelivery", "logs:DeleteLogDelivery", "lambda:InvokeFunction"}
    known |= {"s3:ListBucket", "s3:ListBucketVersions", "s3:DeleteObjectVersion", "s3:GetObjectVersion"}
    for verb in ("Get", "Put"):
        known |= {f"s3:{verb}EncryptionConfiguration", f"s3:{verb}LifecycleConfiguration"}
    names = {prefix: service for service, prefix in PREFIXES.items()}
    for service in {action.partition(":")[0] for action in needed()}:
        known |= {
            f"{service}:{name}" for name in session.get_service_model(names.get(service, service)).operation_names
        }
    assert set() == {action for action in needed() if not any(fnmatch.fnmatchcase(one, action) for one in known)}
