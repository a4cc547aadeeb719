"""The DMS task: its certificate, its connections, starting it where it stopped, stopping it before it is changed."""

import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

from botocore.exceptions import ClientError

from freshet.deploy.account import error_code
from freshet.errors import FreshetError

POLL_S: Final = 5.0
OLD_LOOKS_MAX: Final = 12  # as often what was asked may not show yet: a minute
MOVING: Final = frozenset({"creating", "starting", "stopping", "modifying", "moving", "testing"})
Wait = Callable[[float], None]


class CaptureFailed(FreshetError):
    """DMS does not do what was asked; the message has its reason."""


def certificate_name(stack: str, pem: Path) -> str:
    """Name the certificate of these authorities in DMS: other authorities are another certificate."""
    return f"{stack}-rds-ca-{hashlib.sha256(pem.read_bytes()).hexdigest()[:8]}"


def find_certificate(dms: Any, name: str) -> str | None:
    """Find a certificate's ARN by its name."""
    return next(
        (str(each["CertificateArn"]) for each in certificates(dms) if each["CertificateIdentifier"] == name), None
    )


def certificates(dms: Any) -> list[dict[str, Any]]:
    """List the account's certificates."""
    try:
        return [each for page in dms.get_paginator("describe_certificates").paginate() for each in page["Certificates"]]
    except ClientError as error:
        if error_code(error) == "ResourceNotFoundFault":  # how DMS says "none"
            return []
        raise


def import_certificate(dms: Any, name: str, pem: Path) -> str:
    """Import RDS's authorities once; gives the certificate's ARN."""
    there = find_certificate(dms, name)
    if there is not None:
        return there
    made = dms.import_certificate(CertificateIdentifier=name, CertificatePem=pem.read_text(encoding="ascii"))
    return str(made["Certificate"]["CertificateArn"])


def delete_certificates(dms: Any, stack: str) -> int:
    """Delete the certificates that this stack's deployments imported; gives how many."""
    prefix = f"{stack}-rds-ca-"
    own = [each for each in certificates(dms) if each["CertificateIdentifier"].removeprefix(prefix).isalnum()
           and each["CertificateIdentifier"].startswith(prefix)]  # fmt: skip
    for each in own:
        dms.delete_certificate(CertificateArn=each["CertificateArn"])
    return len(own)


def read_task(dms: Any, arn: str) -> dict[str, Any] | None:
    """Describe a task; None when it is not there."""
    try:
        found = dms.describe_replication_tasks(Filters=[{"Name": "replication-task-arn", "Values": [arn]}])
    except ClientError as error:
        if error_code(error) == "ResourceNotFoundFault":
            return None
        raise
    return next(iter(found["ReplicationTasks"]), None)


def what_to_do_with(status: str) -> Literal["start-replication", "resume-processing", "leave", "wait"]:
    """Decide about a task in a state.

    A task that was never started is `ready`; a stopped or failed one goes on from its place in the binlog.

    Raises:
        CaptureFailed: It is being deleted.
    """
    if status == "ready":
        return "start-replication"
    if status in {"stopped", "failed"}:
        return "resume-processing"
    if status == "running":
        return "leave"
    if status in MOVING:
        return "wait"
    raise CaptureFailed(f"the DMS task is in state {status}")


def _task(dms: Any, arn: str) -> dict[str, Any]:
    task = read_task(dms, arn)
    if task is None:
        raise CaptureFailed(f"there is no DMS task {arn}")
    return task


def _settled(look: Callable[[], dict[str, Any]], old: str | None, sleep: Wait) -> dict[str, Any]:
    """Look until something is not on its way to another state.

    Args:
        look: Describes it; a description without a state is that of something on its way.
        old: The state in which it was when it was asked to leave it, which DMS goes on telling for some seconds.
        sleep: Waits between looks.

    Returns:
        Its description; in the old state only if it has not left that within a minute.
    """
    looks_at_old = 0
    while True:
        found = look()
        state = found.get("Status")
        looks_at_old += state == old
        if state is not None and state not in MOVING and (state != old or looks_at_old > OLD_LOOKS_MAX):
            return found
        sleep(POLL_S)


def rested_task(dms: Any, arn: str, sleep: Wait) -> dict[str, Any]:
    """Wait until a task is not on its way from one state to another.

    Raises:
        CaptureFailed: It is not there.
    """
    return _settled(partial(_task, dms, arn), None, sleep)


def start_task(dms: Any, arn: str, sleep: Wait) -> str:
    """Start a task, or let it go on, and wait until it runs; gives what was done.

    Raises:
        CaptureFailed: It does not run.
    """
    before = rested_task(dms, arn, sleep)["Status"]
    done = what_to_do_with(before)
    if done == "leave":
        return done
    dms.start_replication_task(ReplicationTaskArn=arn, StartReplicationTaskType=done)
    task = _settled(partial(_task, dms, arn), before, sleep)
    if task["Status"] != "running":
        reason = task.get("LastFailureMessage") or task.get("StopReason") or "no reason was given"
        raise CaptureFailed(f"the DMS task is {task['Status']} after {done}: {reason}")
    return done


def stop_task(dms: Any, arn: str, sleep: Wait) -> bool:
    """Stop a running task and wait for it; gives whether it ran. It keeps its place in the binlog.

    Raises:
        CaptureFailed: It goes on running.
    """
    if read_task(dms, arn) is None or rested_task(dms, arn, sleep)["Status"] != "running":
        return False
    dms.stop_replication_task(ReplicationTaskArn=arn)
    task = _settled(partial(_task, dms, arn), "running", sleep)
    if task["Status"] == "running":
        raise CaptureFailed("the DMS task still runs a minute after it was asked to stop")
    return True


def keep_big_integers(dms: Any, endpoint: str) -> bool:
    """Let the Kinesis endpoint write big integers with all their digits; CloudFormation cannot say it.

    Returns:
        Whether it had to be set. A boto3 that does not know the setting sets nothing: the table mappings make text of them.
    """
    shape = dms.meta.service_model.shape_for("KinesisSettings")
    if "UseLargeIntegerValue" not in shape.members:
        return False
    (found,) = dms.describe_endpoints(Filters=[{"Name": "endpoint-arn", "Values": [endpoint]}])["Endpoints"]
    settings = found.get("KinesisSettings", {})
    if settings.get("UseLargeIntegerValue"):
        return False
    dms.modify_endpoint(EndpointArn=endpoint, KinesisSettings={**settings, "UseLargeIntegerValue": True})
    return True


def check_connections(dms: Any, instance: str, endpoints: Sequence[str], sleep: Wait) -> None:
    """Let DMS try each endpoint that it has not reached yet: it starts no task before.

    Raises:
        CaptureFailed: It cannot reach one; with its reason.
    """
    for endpoint in endpoints:
        found = _connection(dms, instance, endpoint)
        if found.get("Status") == "successful":
            continue
        before = found.get("Status")
        if before != "testing":
            dms.test_connection(ReplicationInstanceArn=instance, EndpointArn=endpoint)
        found = _settled(partial(_connection, dms, instance, endpoint), before, sleep)
        if found["Status"] != "successful":
            name = found.get("EndpointIdentifier", endpoint)
            raise CaptureFailed(
                f"DMS does not reach its endpoint {name}: {found.get('LastFailureMessage') or found['Status']}. "
                "Check the security groups, the secret, and that the bootstrap job has made the user"
            )


def _connection(dms: Any, instance: str, endpoint: str) -> dict[str, Any]:
    filters = [
        {"Name": "endpoint-arn", "Values": [endpoint]},
        {"Name": "replication-instance-arn", "Values": [instance]},
    ]
    try:
        found = dms.describe_connections(Filters=filters)["Connections"]
    except ClientError as error:
        if error_code(error) == "ResourceNotFoundFault":
            return {}
        raise
    return dict(found[0]) if found else {}
