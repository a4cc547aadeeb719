"""Policies equal calls: the deployed jobs run with the template's own arguments, each as its role, and what they call is allowed.

Each job is started with the arguments that the resolved template gives it; names of the stack are played by things of the
sandbox. botocore's events tell every call, also of Spark's workers. The Redshift stand-in takes the role's name for the
database's user, so the rights that the bootstrap job gave are held to as well.
"""

import base64
import json
import secrets
import subprocess
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from freshet.cli.context import ROOT, Place
from tests.cloudformation.policies import action_of, allowed_by
from tests.cloudformation.templates import lines, listed, template
from tests.deploy.resolve import resolve
from tests.launchers.conftest import Function, Glue, Shell
from tests.launchers.test_streaming_launcher import GLUES
from tests.river import River

REGION, ACCOUNT = "us-east-1", "123456789012"
LAUNCHERS = ROOT / "cloudformation/launchers"
SCRIPT = LAUNCHERS / "streaming_cdc_kinesis2redshift.py"
JOBS = {"StreamingJob": "StreamingRole", "BootstrapJob": "BootstrapRole", "InitialJob": "SimulatorRole",
        "IncrementalJob": "SimulatorRole", "UpsertJob": "SimulatorRole", "RunSqlJob": "RunSqlRole",
        "LoadJob": "LoadRole", "ExportJob": "ExportRole", "PullFunction": "PullRole"}  # fmt: skip
TEMPLATES = dict.fromkeys(JOBS.values(), "jobs") | {
    "RunSqlRole": "workflows", "LoadRole": "workflows", "ExportRole": "serving", "PullRole": "serving",
}  # fmt: skip
SIZES = {
    "InitialJob": ["--events", "2", "--tickets_per_event", "10", "--customers", "5"],
    "IncrementalJob": ["--for", "1"],
}
# What a service checks in the caller's name beside the call itself. Sources: Redshift management guide, "Authorizing access to
# the Amazon Redshift Data API"; KMS developer guide, "How AWS services use AWS KMS".
BY_KMS = {"secretsmanager:GetSecretValue": "kms:Decrypt", "secretsmanager:PutSecretValue": "kms:GenerateDataKey",
          "kinesis:GetRecords": "kms:Decrypt"}  # fmt: skip


class Deployed:
    """A stack, resolved, whose jobs run here."""

    def __init__(self, place: Place, river: River, folder: Path) -> None:
        self.place, self.river = place, river
        self.stack = f"t{uuid.uuid4().hex[:8]}"
        self.bucket = place.endpoints["staging_bucket"]
        base = f"s3://{self.bucket}/freshet/{self.stack}"
        code = f"{base}/code/0123456789abcdef"
        self.stacks = resolve(
            ROOT / "cloudformation/freshet.yaml",
            {
                "S3BucketName": self.bucket, "SubnetAzA": "us-east-1a", "SubnetAzB": "us-east-1b",
                "DmsCertificateArn": "arn:aws:dms:us-east-1:123456789012:cert:ABC", "SourceDatabase": river.database,
                "PipelineName": river.name, "PipelineUrl": f"{base}/pipelines/0123456789abcdef/{river.name}",
                "Readers": "analysts", "StreamingScriptUrl": f"{code}/script.py", "StreamingModules": f"{code}/freshet.whl",
                "ShellScriptUrl": f"{code}/python_shell.py", "ShellBundleUrl": f"{code}/bundle.zip",
                "CertificatesUrl": f"{code}/authorities.pem", "SqlPrefix": f"freshet/{self.stack}/sql/0123456789abcdef",
                "WorkflowDefinitionKey": f"freshet/{self.stack}/code/0123456789abcdef/workflow.asl.json",
                "ExportScriptUrl": f"{code}/export_dynamodb.py", "PullCodeKey": f"freshet/{self.stack}/code/pull.zip",
                "ExportTableArns": f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/items-{self.stack}",
            },
            self.stack,
        )  # fmt: skip
        parts = ("Jobs", "Workflows", "Serving")
        self.jobs = {name: made for part in parts for name, made in self.stacks[part]["Resources"].items()}
        self.calls: dict[str, list[dict[str, str]]] = {}
        self.pulled: list[dict[str, Any]] = []
        self.folder = folder
        self.played = self._play()

    def _play(self) -> dict[str, str]:
        """Say what of the sandbox plays what of the stack."""
        streaming, bootstrap = self.arguments("StreamingJob"), self.arguments("BootstrapJob")
        redshift = self.place.endpoints["redshift"]
        played = {
            streaming["--workgroup"]: redshift["workgroup"],
            streaming["--copy_role"]: self.place.endpoints["copy_role_arn"],
        }
        for name in (
            "--admin_secret",
            "--replication_secret",
            "--reader_secret",
            "--token_secret",
            "--warehouse_secret",
        ):
            played[bootstrap[name]] = f"{self.stack}/{name.strip('-')}"
        assert redshift["database"] == streaming["--warehouse_database"]
        return played

    def arguments(self, job: str) -> dict[str, str]:
        """The arguments that the template gives a job."""
        return dict(self.jobs[job]["Properties"]["DefaultArguments"])

    def words(self, job: str) -> list[str]:
        """The command line that Glue makes of them, here."""
        return [word for name, value in self.arguments(job).items() for word in (name, self.played.get(value, value))]

    def environment(self, job: str) -> dict[str, str]:
        """What makes a process note its calls, and be the job's role."""
        role = self.jobs[JOBS[job]]["Properties"].get("RoleName", JOBS[job])
        return {
            "PYTHONPATH": str(ROOT / "tests" / "recorder"), "FRESHET_TEST_CALLS": str(self.folder / f"{job}.calls"),
            "AWS_ACCESS_KEY_ID": role, "AWS_ACCOUNT_ID": ACCOUNT,
        }  # fmt: skip

    def note(self, job: str) -> None:
        """Take in what a job called."""
        written = (self.folder / f"{job}.calls").read_text().splitlines()
        self.calls.setdefault(JOBS[job], []).extend(map(json.loads, written))

    def role(self, role: str) -> Mapping[str, Any]:
        """The role's resolved properties."""
        return dict(self.jobs[role]["Properties"])

    def rights(self, role: str) -> list[Any]:
        """All that a role allows, Glue's part included."""
        managed = dict.fromkeys(self.role(role).get("ManagedPolicyArns", ()), self.jobs["GlueItself"]["Properties"])
        return allowed_by(self.role(role), managed)

    def needs(self, call: Mapping[str, str]) -> Iterator[tuple[str, str, dict[str, str]]]:
        """Say which actions on which resources a call needs, in the names of the stack: action, resource, context."""
        back = {here: there for there, here in self.played.items()}
        key = str(self.stacks[""]["Resources"]["Key"]["Properties"]["KeyPolicy"] and self.arn_of_key())
        action, resource, context = action_of(call), "*", {}
        workgroup = str(self.stacks["Warehouse"]["Outputs"]["WorkgroupArn"])
        match call["service"]:
            case "kinesis":
                name = (
                    call.get("StreamName") or self.arguments("StreamingJob")["--stream"]
                )  # an iterator is of that one
                resource = call.get("StreamARN") or f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/{name}"
            case "s3":
                resource = (
                    f"arn:aws:s3:::{call['Bucket']}/{call['Key']}"
                    if "Key" in call
                    else f"arn:aws:s3:::{call['Bucket']}"
                )
                context = {"s3:prefix": call["Prefix"]} if "Prefix" in call else {}
            case "dynamodb":
                resource = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{call['TableName']}"
            case "secretsmanager":
                resource = back[call["SecretId"]]
            case "cloudwatch":
                context = {"cloudwatch:namespace": call["Namespace"]}
            case "redshift-data" if "WorkgroupName" in call:
                resource = workgroup
                if "SecretArn" in call:
                    yield "secretsmanager:GetSecretValue", back[call["SecretArn"]], {}
                else:
                    yield "redshift-serverless:GetCredentials", workgroup, {}
        yield action, resource, context
        if action in BY_KMS:
            yield BY_KMS[action], key, {"kms:ViaService": f"{call['service']}.{REGION}.amazonaws.com"}

    def arn_of_key(self) -> str:
        """The stack's key."""
        return str(self.stacks["Jobs"]["Parameters"]["KeyArn"])


@pytest.fixture(scope="module")
def deployed(
    place: Place, spark: SparkSession, glue: Glue, shell: Shell, function: Function, source_admin: dict[str, Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> Deployed:  # fmt: skip
    """Every job has run once, in the order of a deployment, and the streaming job has worked."""
    folder = tmp_path_factory.mktemp("deployed")
    river = River(place, spark, folder)
    deployed = Deployed(place, river, folder)
    s3, manager, kinesis = place.client("s3"), place.client("secretsmanager"), place.client("kinesis")
    streaming = deployed.arguments("StreamingJob")

    def upload(file: str, url: str) -> None:
        s3.upload_file(file, deployed.bucket, url.removeprefix(f"s3://{deployed.bucket}/"))

    for name in ("select.sql", "pipeline.yaml"):
        upload(str(river.folder / name), f"{streaming['--pipeline_folder']}/{name}")
    upload(place.endpoints["mysql"]["tls_ca"], streaming["--source_ca"])
    copy = {"Bucket": deployed.bucket, "Key": shell.bundle.removeprefix(f"s3://{deployed.bucket}/")}
    target = deployed.arguments("BootstrapJob")["--bundle"].removeprefix(f"s3://{deployed.bucket}/")
    s3.copy_object(Bucket=deployed.bucket, Key=target, CopySource=copy)
    where = {"host": source_admin["host"], "port": source_admin["port"], "dbname": river.database}
    contents = {
        "admin_secret": {**source_admin, **where}, "warehouse_secret": {"username": "admin", "password": "any"},
        "replication_secret": {**where, "username": f"{deployed.stack}_dms", "password": secrets.token_hex(16)},
        "reader_secret": {**where, "username": f"{deployed.stack}_reader", "password": secrets.token_hex(16)},
    }  # fmt: skip
    for name, content in contents.items():
        manager.create_secret(Name=f"{deployed.stack}/{name}", SecretString=json.dumps(content))
    manager.create_secret(Name=f"{deployed.stack}/token_secret")

    def run_shell(job: str, *more: str) -> None:
        run = subprocess.run(
            [str(shell.python), str(ROOT / "cloudformation/launchers/python_shell.py"), *deployed.words(job), *more],
            capture_output=True, text=True, timeout=180, check=False, cwd=folder,
            env=shell.environment(**deployed.environment(job)),
        )  # fmt: skip
        assert run.returncode == 0, run.stdout + run.stderr
        deployed.note(job)

    run_shell("BootstrapJob")
    run_shell("InitialJob", *SIZES["InitialJob"])
    run_shell("IncrementalJob", *SIZES["IncrementalJob"])
    with river.mysql() as mysql, mysql.cursor() as cursor:
        cursor.execute("select ticket_id, purchased_by from ticket_activity")
        ((ticket, customer),) = cursor.fetchall()
    run_shell("UpsertJob", "--ticket_id_to_be_updated", str(ticket))

    river.stream = streaming["--stream"]
    kinesis.create_stream(StreamName=river.stream, ShardCount=2)
    kinesis.get_waiter("stream_exists").wait(StreamName=river.stream, WaiterConfig={"Delay": 1})
    river.put(river.sale(ticket, customer))
    run = subprocess.run(
        [str(glue.python), str(SCRIPT), *deployed.words("StreamingJob"), "--until_idle", "true", "--every_s", "0.4"],
        capture_output=True, text=True, timeout=180, check=False, cwd=folder,
        env=glue.environment(
            **deployed.environment("StreamingJob"), PYSPARK_SUBMIT_ARGS="--master local[2] pyspark-shell", HOME=str(folder)
        ),
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-3000:]
    deployed.note("StreamingJob")

    base = f"freshet/{deployed.stack}/sql/0123456789abcdef"
    s3.put_object(
        Bucket=deployed.bucket,
        Key=f"{base}/workflows/sums/sum.sql",
        Body=f"create table public.sums_{deployed.stack} as select count(*) as n from public.{river.name};".encode(),
    )
    run_shell("RunSqlJob", "--file", f"{base}/workflows/sums/sum.sql", "--commit", "each")
    load = {"name": f"l_{deployed.stack}", "prefix": f"currents/{deployed.stack}/", "format": "csv",
            "target": f"public.l_{deployed.stack}",
            "table": f"create table if not exists public.l_{deployed.stack} (id integer)"}  # fmt: skip
    s3.put_object(Bucket=deployed.bucket, Key=f"{base}/loads/l.json", Body=json.dumps(load).encode())
    s3.put_object(Bucket=deployed.bucket, Key=f"{load['prefix']}one.csv", Body=b"1\n2\n")
    run_shell("LoadJob", "--definition", f"s3://{deployed.bucket}/{base}/loads/l.json")
    _hand_out(deployed, glue, function)
    return deployed


def _hand_out(deployed: Deployed, glue: Glue, function: Function) -> None:
    """Export the pipeline's table, and pull it."""
    place, name = deployed.place, deployed.river.name
    prefix, table = deployed.stacks[""]["Outputs"]["SqlPrefix"], f"items-{deployed.stack}"
    place.client("dynamodb").create_table(
        TableName=table, BillingMode="PAY_PER_REQUEST", KeySchema=[{"AttributeName": "ticket_id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "ticket_id", "AttributeType": "N"}],
    )  # fmt: skip
    export = {"source": f"public.{name}", "table": table, "key": "ticket_id", "write_units_per_s": 1000, "parts": 1}
    place.client("s3").put_object(
        Bucket=deployed.bucket, Key=f"{prefix}/exports/{deployed.stack}/export.yaml", Body=json.dumps(export).encode()
    )
    more = ["--export_folder", f"s3://{deployed.bucket}/{prefix}/exports/{deployed.stack}", *GLUES]
    run = subprocess.run(
        [str(glue.python), str(LAUNCHERS / "export_dynamodb.py"), *deployed.words("ExportJob"), *more],
        capture_output=True, text=True, timeout=180, check=False, cwd=deployed.folder,
        env=glue.environment(
            PYSPARK_SUBMIT_ARGS="--master local[2] pyspark-shell", HOME=str(deployed.folder), **deployed.environment("ExportJob")
        ),
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-3000:]
    deployed.note("ExportJob")
    cursor = {"cursor": "_freshet_step", "pipeline": name, "keys": ["ticket_id"]}
    variables = deployed.jobs["PullFunction"]["Properties"]["Environment"]["Variables"]
    (answer,) = function.calls(
        {"p": {"tables": {f"public.{name}": cursor}}}, {"state": {}, "secrets": {}}, **deployed.environment("PullFunction"),
        **{variable: deployed.played.get(value, value) for variable, value in variables.items()},
    )  # fmt: skip
    deployed.note("PullFunction")
    deployed.pulled = answer["insert"][name]


def test_the_jobs_did_their_work(deployed: Deployed) -> None:
    """As their own roles and users: a record arrived, and the keys are those that the bootstrap job made."""
    ledger = deployed.river.ledger()
    assert (1, 1) == (ledger["received"], ledger["merged"])
    kept = deployed.place.client("secretsmanager").get_secret_value(SecretId=f"{deployed.stack}/token_secret")[
        "SecretString"
    ]
    assert 32 == len(base64.b64decode(json.loads(kept)["keys"]["1"]))
    for made, rows in ((f"sums_{deployed.stack}", 1), (f"l_{deployed.stack}", 2)):
        assert [{"n": rows}] == deployed.river.warehouse_rows(f"select count(*) as n from {made}")
    owner = deployed.river.warehouse_rows(f"select tableowner from pg_tables where tablename = '{deployed.river.name}'")
    assert [{"tableowner": f"IAMR:{deployed.stack}-us-east-1-streaming"}] == owner
    items = deployed.place.client("dynamodb").scan(TableName=f"items-{deployed.stack}")["Items"]
    assert [item["ticket_id"]["N"] for item in items] == [str(row["ticket_id"]) for row in deployed.pulled]
    assert 1 == len(items)


@pytest.mark.parametrize("role", sorted(set(JOBS.values())))
def test_every_call_is_allowed(deployed: Deployed, role: str) -> None:
    """Action, resource and condition, in the names of the stack; a role that lacks a right would fail on AWS only."""
    rights = deployed.rights(role)
    needed = {(a, r, tuple(c.items())) for call in deployed.calls[role] for a, r, c in deployed.needs(call)}
    assert len(needed) >= 3
    refused = [need for need in needed if not any(right.covers(need[0], need[1], dict(need[2])) for right in rights)]
    assert [] == refused


@pytest.mark.parametrize("role", sorted(set(JOBS.values())))
def test_every_right_is_used_or_explained(deployed: Deployed, role: str) -> None:
    """An allowed action that no call needs says on its line why it is there; a whole statement, on the line of its Sid."""
    used = {action for call in deployed.calls[role] for action, _, _ in deployed.needs(call)}
    unexplained = []
    for policy in template(TEMPLATES[role])["Resources"][role]["Properties"]["Policies"]:
        for statement in policy["PolicyDocument"]["Statement"]:
            actions = listed(statement["Action"])
            for action in actions:
                mark = action if used & set(actions) else statement["Sid"]
                if action not in used and "#" not in lines(TEMPLATES[role])[mark.start_mark.line]:
                    unexplained.append((statement["Sid"], str(action)))
    assert [] == unexplained


def test_a_call_that_is_not_allowed_would_be_seen(deployed: Deployed) -> None:
    """The test's own eye: another bucket, another stream, another secret, another namespace, another action."""
    rights = deployed.rights("StreamingRole")

    def allowed(action: str, resource: str, **context: str) -> bool:
        return any(right.covers(action, resource, context) for right in rights)

    staged = f"arn:aws:s3:::{deployed.bucket}/freshet/{deployed.stack}/staging/x"
    assert allowed("s3:PutObject", staged)
    assert not allowed("s3:PutObject", staged.replace(deployed.stack, "other"))
    assert not allowed("s3:ListBucket", f"arn:aws:s3:::{deployed.bucket}")
    assert not allowed("kinesis:GetRecords", "arn:aws:kinesis:us-east-1:123456789012:stream/other")
    assert not allowed(
        "kinesis:PutRecords", f"arn:aws:kinesis:us-east-1:123456789012:stream/cdc-sample-{deployed.stack}"
    )
    assert not allowed("secretsmanager:GetSecretValue", deployed.arguments("BootstrapJob")["--admin_secret"])
    assert not allowed("cloudwatch:PutMetricData", "*", **{"cloudwatch:namespace": "Other"})
