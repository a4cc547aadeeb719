"""A stack, resolved, whose jobs run here with the template's own arguments, each as its role.

botocore's events tell every call, with the place in the code and the host. Things of the sandbox play those of the stack. The
Redshift emulator takes the role's name for the database's user, so the rights that the bootstrap job gave are held to as well.
"""

import json
import subprocess
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from freshet.cli.context import ROOT, Place
from tests.cloudformation.policies import action_of, allowed_by
from tests.deploy.resolve import resolve
from tests.launchers.conftest import Glue, Shell
from tests.patience import HANGS_S
from tests.river import River

REGION, ACCOUNT = "us-east-1", "123456789012"
LAUNCHERS = ROOT / "cloudformation/launchers"
JOBS = {"StreamingJob": "StreamingRole", "BootstrapJob": "BootstrapRole", "InitialJob": "SimulatorRole",
        "IncrementalJob": "SimulatorRole", "UpsertJob": "SimulatorRole", "RunSqlJob": "RunSqlRole",
        "LoadJob": "LoadRole", "ExportJob": "ExportRole", "PullFunction": "PullRole"}  # fmt: skip
# What a service checks in the caller's name beside the call itself. Sources: Redshift management guide, "Authorizing access to
# the Amazon Redshift Data API"; KMS developer guide, "How AWS services use AWS KMS".
BY_KMS = {"secretsmanager:GetSecretValue": "kms:Decrypt", "secretsmanager:PutSecretValue": "kms:GenerateDataKey",
          "kinesis:GetRecords": "kms:Decrypt"}  # fmt: skip


class Deployed:
    """A stack, resolved, whose jobs run here."""

    def __init__(self, place: Place, river: River, folder: Path, glue: Glue, shell: Shell) -> None:
        self.place, self.river, self.glue, self.shell = place, river, glue, shell
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
        self.calls: dict[str, list[dict[str, Any]]] = {}
        self.hosts: dict[str, set[str]] = {}
        self.pulled: list[dict[str, Any]] = []
        self.handed_out: list[dict[str, Any]] = []
        self.ledger: dict[str, Any] = {}
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
        written = [json.loads(line) for line in (self.folder / f"{job}.calls").read_text().splitlines()]
        (self.folder / f"{job}.calls").unlink()
        self.calls.setdefault(JOBS[job], []).extend(one for one in written if "operation" in one)
        self.hosts.setdefault(JOBS[job], set()).update(one["host"] for one in written if "host" in one)

    def start_shell(self, job: str, *more: str) -> "subprocess.Popen[str]":
        """Start a job of the Python shell."""
        return subprocess.Popen(
            [str(self.shell.python), str(LAUNCHERS / "python_shell.py"), *self.words(job), *more],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=self.folder,
            env=self.shell.environment(**self.environment(job)),
        )  # fmt: skip

    def run_shell(self, job: str, *more: str, code: int = 0) -> None:
        """Run it; Glue knows only whether it failed."""
        with self.start_shell(job, *more) as run:
            said = "".join(run.communicate(timeout=HANGS_S))
        assert (code != 0) == (run.returncode != 0), said
        assert not code or said.strip().endswith(f"(exit code {code})"), said
        self.note(job)

    def run_spark(self, job: str, script: Path, *more: str) -> None:
        """Run a job of Spark."""
        run = subprocess.run(
            [str(self.glue.python), str(script), *self.words(job), *more],
            capture_output=True, text=True, timeout=HANGS_S, check=False, cwd=self.folder,
            env=self.glue.environment(
                **self.environment(job), PYSPARK_SUBMIT_ARGS="--master local[2] pyspark-shell", HOME=str(self.folder)
            ),
        )  # fmt: skip
        assert run.returncode == 0, run.stderr[-3000:]
        self.note(job)

    def ask_for_a_sweep(self) -> str:
        """Put a request to the streaming job; give the prefix of all that is staged for its pipeline."""
        prefix = f"{self.arguments('StreamingJob')['--staging_prefix']}/{self.river.name}/"
        body = b'{"what": "sweep"}'
        self.place.client("s3").put_object(Bucket=self.bucket, Key=f"{prefix}requests/sweep.json", Body=body)
        return prefix

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
