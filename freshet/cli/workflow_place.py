"""Where a workflow runs: its files and the state machine, on the sandbox put in place first, on AWS as they were deployed.

Reads:  sql/workflows/ and sql/loads/ of the current folder; of a stack on AWS its outputs, and the files in its bucket.
Gives:  a Site: clients, the state machine, and how to read a deployed workflow.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from botocore.exceptions import ClientError

from batch_jobs.load.definition import LOADS, read_definition
from batch_jobs.workflow.definition import STAGES, YAML_FILE, Read, Workflow, read_workflow
from batch_jobs.workflow.execution import Deployed
from freshet.cli.context import ROOT, AwsPlace, Place, home
from freshet.deploy import package
from freshet.deploy.account import error_code
from freshet.deploy.bundles import shell_bundle
from freshet.deploy.local import Local, put_jobs, put_state_machine, put_topics
from freshet.deploy.templates import read_template
from freshet.errors import EnvironmentFault, InputError
from freshet.redshift.data_api import Warehouse

WORKFLOWS: Final = Path("sql/workflows")
CLOUDFORMATION: Final = ROOT / "cloudformation"
STACK: Final = "sandbox"


@dataclass(frozen=True)
class Site:
    """Where a workflow runs: clients of Step Functions and S3, the warehouse, the state machine, its files."""

    stepfunctions: Any
    s3: Any
    warehouse: Warehouse
    state_machine: str
    topic: str
    deployed: Deployed

    def read(self, name: str) -> Workflow:
        """Read a workflow as it is deployed.

        Raises:
            InputError: It is not deployed, or wrong.
        """
        folder = self.deployed.workflow(name)

        def content(file: str) -> bytes | None:
            try:
                return bytes(self.s3.get_object(Bucket=self.deployed.bucket, Key=f"{folder}/{file}")["Body"].read())
            except ClientError as error:
                if error_code(error) in {"NoSuchKey", "404"}:
                    return None
                raise

        if content(YAML_FILE) is None:
            raise InputError(f"the workflow {name} is not deployed: freshet deploy PIPELINE uploads {WORKFLOWS}/{name}")
        return read_workflow(name, content)


def find_workflow(name_or_path: str, root: Path = WORKFLOWS) -> Path:
    """Find a workflow's folder by a path, or by its name below `root`.

    Raises:
        InputError: There is none; the message names those that there are.
    """
    for folder in (root / name_or_path, Path(name_or_path)):
        if (folder / YAML_FILE).is_file():
            return folder
    known = ", ".join(names(root)) or "none"
    raise InputError(f"there is no workflow {name_or_path}: {root}/ has {known}")


def names(root: Path = WORKFLOWS) -> list[str]:
    """Name the workflows below a folder."""
    return sorted(path.parent.name for path in root.glob(f"*/{YAML_FILE}"))


def reader(folder: Path) -> Read:
    """Give what reads the files of a folder on disk."""

    def read(file: str) -> bytes | None:
        path = folder / file
        return path.read_bytes() if path.is_file() else None

    return read


def read_local(folder: Path) -> Workflow:
    """Read a workflow from disk, and see that the loads that it names are there.

    Raises:
        InputError: It is wrong.
    """
    workflow = read_workflow(folder.resolve().name, reader(folder))
    loads = load_names()
    for item in workflow.stages["load"]:
        if item.load not in loads:
            known = ", ".join(loads) or "none"
            raise InputError(f"{YAML_FILE}: there is no load {item.load}: {LOADS}/ has {known}")
    return workflow


def load_names(root: Path = LOADS) -> list[str]:
    """Name the loads below a folder."""
    return sorted(path.parent.name for path in root.glob("*/load.yaml"))


def sql_files(folders: Mapping[str, Path], loads: Mapping[str, bytes], work: Path) -> dict[str, Path]:
    """Give the files that state machine and jobs read, by their place below the deployment's prefix.

    Args:
        folders: Of the workflows, by name.
        loads: Definitions of the loads as the job reads them, by name.
        work: Where those are written.
    """
    found: dict[str, Path] = {}
    for name, folder in folders.items():
        workflow = read_workflow(name, reader(folder))
        found |= {f"workflows/{name}/{file}": folder / file for file in (YAML_FILE, *workflow.files)}
    work.mkdir(parents=True, exist_ok=True)
    for name, content in loads.items():
        (work / f"{name}.json").write_bytes(content)
        found[f"loads/{name}.json"] = work / f"{name}.json"
    return found


def all_sql_files(work: Path) -> dict[str, Path]:
    """Give the files of every workflow and load of the current folder; see `sql_files`.

    Raises:
        InputError: One of them is wrong.
    """
    for name in names():
        read_local(WORKFLOWS / name)
    return sql_files({name: WORKFLOWS / name for name in names()}, load_definitions(load_names()), work)


def load_definitions(loads: Sequence[str]) -> dict[str, bytes]:
    """Give the definitions of loads as the job reads them, by name."""
    return {name: read_definition(LOADS / name).to_json().encode() for name in loads}


# ---- AWS


def aws_site(place: AwsPlace) -> Site:
    """Find the state machine of a stack.

    Raises:
        EnvironmentFault: The stack has none: it is older than workflows.
    """
    outputs = place.outputs
    missing = [
        name for name in ("WorkflowStateMachineArn", "SqlPrefix", "DataUrl", "FilesRoleArn") if name not in outputs
    ]
    if missing:
        raise EnvironmentFault(
            f"stack {place.account.stack} has no state machine of workflows: freshet deploy PIPELINE adds it"
        )
    return Site(
        place.account.client("stepfunctions"), place.account.client("s3"), place.warehouse,
        outputs["WorkflowStateMachineArn"], outputs.get("WorkflowTopicArn", ""),
        Deployed(outputs["StagingBucket"], outputs["SqlPrefix"], outputs["DataUrl"], outputs["FilesRoleArn"]),
    )  # fmt: skip


# ---- the sandbox


def sandbox_site(place: Place, folder: Path) -> Site:
    """Put jobs, state machine and the workflow's files into the sandbox, as `freshet deploy` puts them into an account."""
    bucket, region = place.endpoints["staging_bucket"], place.endpoints["aws"]["region"]
    where = package.Place(bucket, STACK, region)
    s3, work = place.client("s3"), home() / "workflows"
    name = folder.resolve().name
    wanted = [item.name for item in read_local(folder).stages["load"]]
    prefix, files = package.sql_artifacts(sql_files({name: folder}, load_definitions(wanted), work / "loads"), STACK)
    script = where.code(CLOUDFORMATION / "launchers" / "python_shell.py")
    bundle = where.code(shell_bundle(ROOT, (), work / "shell.zip"))  # without wheels: these jobs need none
    definition = where.code(CLOUDFORMATION / package.STATE_MACHINE)
    for artifact in (script, bundle, definition, *files):
        s3.put_object(Bucket=bucket, Key=artifact.key, Body=artifact.path.read_bytes())
    redshift, role = place.endpoints["redshift"], place.endpoints["copy_role_arn"]
    parameters = {
        "StackLabel": STACK, "KeyArn": "", "AlertEmail": "", "S3BucketName": bucket, "StagingPrefix": f"freshet/{STACK}/staging",
        "SqlPrefix": prefix, "DefinitionKey": definition.key, "DataBucketName": bucket, "DataPrefix": f"freshet/{STACK}/data",
        "LoadPrefix": "currents",
        "WorkgroupName": redshift["workgroup"], "WorkgroupArn": "", "WarehouseDatabase": redshift["database"],
        "FilesRoleArn": role, "ConnectionName": "sandbox", "GlueItselfArn": "",
        "ShellScriptUrl": where.s3(script.key), "ShellBundleUrl": where.s3(bundle.key),
    }  # fmt: skip
    local = Local(read_template(CLOUDFORMATION / "workflows.yaml"), parameters, region, STACK)
    put_topics(local, place.client("sns"))
    put_jobs(local, place.client("glue"))
    text = s3.get_object(Bucket=bucket, Key=definition.key)["Body"].read().decode("utf-8")
    machine = put_state_machine(local, "StateMachine", text, place.client("stepfunctions"))
    deployed = Deployed(bucket, prefix, f"s3://{bucket}/{parameters['DataPrefix']}", role)
    return Site(place.client("stepfunctions"), s3, place.warehouse, machine, local.arn("Topic"), deployed)


def count_items(workflow: Workflow) -> int:
    """Count what a workflow runs."""
    return sum(len(workflow.stages[stage]) for stage in STAGES)
