"""Everything that a deployment uploads, each under the hash of its content: what did not change is not uploaded again,
and changes nothing in the stack.

Reads:  the clone, the pipeline's folder, the package index and AWS's certificates (both kept for the next time).
Gives:  files with their keys in the bucket, and the root stack's parameters that point to them.
"""

import hashlib
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from freshet.deploy.bundles import pull_code, shell_bundle
from freshet.deploy.templates import nested_templates, with_urls
from freshet.deploy.wheels import PYTHON_SHELL, STREAMING, download, pins, product_wheel
from freshet.errors import EnvironmentFault, InputError
from freshet.pipeline.definition import Definition

ROOT_TEMPLATE: Final = "freshet.yaml"
STATE_MACHINE: Final = "workflow.asl.json"
# Source: RDS user guide, "Using SSL/TLS to encrypt a connection to a DB instance": one bundle for all regions.
CERTIFICATES_URL: Final = "https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem"
CERTIFICATES_FILE: Final = "global-bundle.pem"
CERTIFICATES_LIFE_S: Final = 30 * 86400
SCRIPTS: Final = {
    "StreamingScriptUrl": "streaming_cdc_kinesis2redshift.py",
    "ShellScriptUrl": "python_shell.py",
    "ExportScriptUrl": "export_dynamodb.py",
}
FILLED: Final = (
    "S3BucketName", "PipelineName", "PipelineUrl", "TargetSchema", "Readers", "StreamingModules", "ShellBundleUrl",
    "CertificatesUrl", "DmsCertificateArn", "SqlPrefix", "WorkflowDefinitionKey", "ExportTableArns",
    "PullCodeKey", "AlarmsRing", *SCRIPTS,
)  # fmt: skip


@dataclass(frozen=True)
class Artifact:
    """One file and its key in the bucket."""

    key: str
    path: Path

    @property
    def name(self) -> str:
        """Its file name."""
        return self.key.rpartition("/")[2]


@dataclass(frozen=True)
class Place:
    """Where in which bucket a stack's files lie."""

    bucket: str
    stack: str
    region: str
    domain: str = "amazonaws.com"

    def code(self, path: Path) -> Artifact:
        """Give a file of code its key."""
        return Artifact(f"freshet/{self.stack}/code/{content_hash([path])}/{path.name}", path)

    def s3(self, key: str) -> str:
        """Give a key's s3:// URL."""
        return f"s3://{self.bucket}/{key}"

    def https(self, key: str) -> str:
        """Give a key's https URL, as CloudFormation reads templates."""
        return f"https://{self.bucket}.s3.{self.region}.{self.domain}/{key}"


@dataclass(frozen=True)
class Templates:
    """The templates as they are uploaded; the root's names the URLs of the others."""

    artifacts: tuple[Artifact, ...]
    url: str
    body: str


@dataclass(frozen=True)
class Package:
    """What the jobs need, and the parameters that tell them where it lies."""

    artifacts: tuple[Artifact, ...]
    parameters: Mapping[str, str]


def content_hash(files: Sequence[Path]) -> str:
    """Hash names and contents: 16 hex digits."""
    told = hashlib.sha256()
    for file in sorted(files, key=lambda path: path.name):
        told.update(f"{file.name}\0{file.stat().st_size}\0".encode())
        told.update(file.read_bytes())
    return told.hexdigest()[:16]


def sql_artifacts(files: Mapping[str, Path], stack: str) -> tuple[str, list[Artifact]]:
    """Give the files of workflows, loads and exports their keys, below one prefix that changes with any of them.

    Args:
        files: By their place below the prefix, such as "workflows/NAME/workflow.yaml".
        stack: Name of the stack.

    Returns:
        The prefix, and the files.
    """
    told = hashlib.sha256()
    for place, path in sorted(files.items()):
        told.update(f"{place}\0{path.stat().st_size}\0".encode())
        told.update(path.read_bytes())
    prefix = f"freshet/{stack}/sql/{told.hexdigest()[:16]}"
    return prefix, [Artifact(f"{prefix}/{place}", path) for place, path in sorted(files.items())]


def package_templates(folder: Path, place: Place, work: Path) -> Templates:
    """Give the templates their URLs.

    Args:
        folder: cloudformation/ of the clone.
        place: Where they will lie.
        work: Where the rewritten root template is kept.

    Raises:
        EnvironmentFault: One is missing.
    """
    root = folder / ROOT_TEMPLATE
    if not root.is_file():
        raise EnvironmentFault(
            "cloudformation/freshet.yaml is not here: `freshet deploy` works from a clone of the repository"
        )
    text = root.read_text(encoding="utf-8")
    nested = {}
    for name in nested_templates(text):
        if not (folder / name).is_file():
            raise EnvironmentFault(f"cloudformation/{name} is missing, which {ROOT_TEMPLATE} nests")
        nested[name] = place.code(folder / name)
    body = with_urls(text, {name: place.https(artifact.key) for name, artifact in nested.items()})
    work.mkdir(parents=True, exist_ok=True)
    (work / ROOT_TEMPLATE).write_text(body, encoding="utf-8")
    top = place.code(work / ROOT_TEMPLATE)
    return Templates((*nested.values(), top), place.https(top.key), body)


def package_code(
    clone: Path, definition: Definition, place: Place, kept: Path, certificates: Path, sql: Mapping[str, Path],
    pulls: Mapping[str, Any], say: Callable[[str], None],
) -> Package:  # fmt: skip
    """Build and fetch what the jobs need.

    Args:
        clone: The repository's folder.
        definition: The pipeline, checked.
        place: Where the files will lie.
        kept: A folder for what is worth keeping until the next time, such as wheels.
        certificates: RDS's authorities, PEM.
        sql: Files of workflows, loads and exports, by their place in the bucket.
        pulls: What may be pulled, by name.
        say: Told before each part that takes a while.

    Raises:
        EnvironmentFault: A file of the clone is missing, a build failed, or the package index does not answer.
    """
    scripts = {}
    for parameter, name in SCRIPTS.items():
        path = clone / "cloudformation" / "launchers" / name
        if not path.is_file():
            raise EnvironmentFault(f"cloudformation/launchers/{name} is missing: is this a whole clone?")
        scripts[parameter] = place.code(path)
    say("building the wheel of Freshet")
    own = product_wheel(clone, kept / "product")
    say("fetching wheels for AWS Glue")
    modules = download(pins(clone / "streaming_job" / "requirements.txt"), STREAMING, kept / "wheels")
    pure = download(pins(clone / "simulators" / "constraints.txt"), PYTHON_SHELL, kept / "wheels")
    bundle = place.code(shell_bundle(clone, pure, kept / "shell.zip"))
    wheels = [place.code(path) for path in (own, *modules)]
    functions = [place.code(pull_code(clone, pulls, kept / place.stack / "pull.zip"))] if pulls else []
    authorities, machine = place.code(certificates), place.code(clone / "cloudformation" / STATE_MACHINE)
    sql_prefix, sql_files = sql_artifacts(sql, place.stack)
    files = [definition.folder / "select.sql", definition.folder / "pipeline.yaml"]
    folder = f"freshet/{place.stack}/pipelines/{content_hash(files)}/{definition.name}"
    return Package(
        (
            *scripts.values(),
            *wheels,
            bundle,
            *functions,
            authorities,
            machine,
            *sql_files,
            *(Artifact(f"{folder}/{path.name}", path) for path in files),
        ),
        {
            "PipelineName": definition.name,
            "PipelineUrl": place.s3(folder),
            "TargetSchema": definition.target_schema,
            "Readers": ",".join(definition.readers),
            "StreamingModules": ",".join(place.s3(wheel.key) for wheel in wheels),
            "ShellBundleUrl": place.s3(bundle.key),
            "CertificatesUrl": place.s3(authorities.key),
            "SqlPrefix": sql_prefix,
            "WorkflowDefinitionKey": machine.key,
            "PullCodeKey": functions[0].key if functions else "",
            **{parameter: place.s3(script.key) for parameter, script in scripts.items()},
        },
    )


def rds_certificates(kept: Path, given: Path | None) -> Path:
    """Find the authorities that sign RDS's certificates: the user's file, the one kept for a month at most, else AWS's.

    Raises:
        InputError: The user's file is no PEM file.
        EnvironmentFault: AWS's cannot be fetched.
    """
    file = kept / CERTIFICATES_FILE
    if given is not None:
        if not given.is_file() or not _is_pem(given.read_bytes()):
            raise InputError(f"--rds-ca {given}: there is no PEM file of that name with certificates in it")
        kept.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(given, file)
    elif not file.is_file() or time.time() - file.stat().st_mtime > CERTIFICATES_LIFE_S:
        kept.mkdir(parents=True, exist_ok=True)
        try:
            file.write_bytes(_fetched_certificates())
        except EnvironmentFault:
            if not file.is_file():
                raise
    return file


def _fetched_certificates() -> bytes:
    try:
        with urllib.request.urlopen(CERTIFICATES_URL, timeout=30) as answer:
            content: bytes = answer.read()
    except (OSError, urllib.error.URLError) as error:
        raise EnvironmentFault(
            f"{CERTIFICATES_URL} cannot be fetched ({getattr(error, 'reason', None) or type(error).__name__}): "
            "fetch it elsewhere and name it with --rds-ca FILE"
        ) from None
    if not _is_pem(content):
        raise EnvironmentFault(
            f"what {CERTIFICATES_URL} answered holds no certificates: name the file with --rds-ca FILE"
        )
    return content


def _is_pem(content: bytes) -> bool:
    return b"-----BEGIN CERTIFICATE-----" in content
