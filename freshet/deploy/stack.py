"""The root stack and the stack of its bucket: what state they are in, what may be done, doing it.

A stack passes through states in which nothing may be asked of it; `next_step` says for each what comes first.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from botocore.exceptions import ClientError

from freshet.deploy.account import Account
from freshet.deploy.bucket import check_own_bucket
from freshet.deploy.changes import Change, ChangeSetRefused, read_change_set, wait_for_change_set
from freshet.deploy.events import NEVER, Event, follow, last_event_time, stack_of
from freshet.deploy.leftovers import Leftovers
from freshet.errors import EnvironmentFault, InputError

Step = Literal["create", "update", "watch", "delete first"]
CAPABILITIES = ["CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]


def next_step(status: str | None) -> Step:
    """Say what comes first for a stack in a state.

    Args:
        status: CloudFormation's; None when there is no stack.

    Raises:
        EnvironmentFault: A person must do something first.
    """
    if status is None or status == "REVIEW_IN_PROGRESS":  # a change set was made and never executed
        return "create"
    if status in {"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED"}:
        return "delete first"
    if status == "UPDATE_ROLLBACK_FAILED":
        raise EnvironmentFault(
            "the stack is in UPDATE_ROLLBACK_FAILED: `aws cloudformation continue-update-rollback` brings it back "
            "(see its events for what is in the way), then run this command again"
        )
    return "watch" if status.endswith("_IN_PROGRESS") else "update"


def values_of(stack: Mapping[str, Any] | None) -> dict[str, str]:
    """Read the parameters of a stack as it stands."""
    if stack is None or stack["StackStatus"] == "REVIEW_IN_PROGRESS":
        return {}
    return {each["ParameterKey"]: str(each["ParameterValue"]) for each in stack.get("Parameters", ())}


def outputs_of(stack: Mapping[str, Any]) -> dict[str, str]:
    """Read the outputs of a stack."""
    return {each["OutputKey"]: str(each.get("OutputValue") or "") for each in stack.get("Outputs") or ()}


def bucket_name(account: Account) -> str:
    """Name the bucket that a stack makes for itself: its own in the world."""
    return f"freshet-{account.stack}-{account.id}-{account.region}"


def artifacts_stack(account: Account) -> str:
    """Name the stack of the bucket."""
    return f"{account.stack}-artifacts"


def choose_bucket(account: Account, given: str | None, before: str | None) -> tuple[str, bool]:
    """Choose the bucket.

    Args:
        account: Where.
        given: What the user says, in S3BucketName.
        before: What the root stack uses.

    Returns:
        Its name, and whether it is the stack's own: then `make_bucket` makes it, and `freshet destroy` deletes it.

    Raises:
        InputError: The user's bucket is not there, or the stack began with another.
    """
    own = bucket_name(account)
    if given and before and given != before:
        raise InputError(f"parameter S3BucketName: the stack lives in {before}, and cannot move to {given}")
    name = given or before or own
    if name == own:
        return own, True
    check_own_bucket(account.client("s3"), name, account.id)
    return name, False


def make_bucket(
    account: Account,
    template: Path,
    leftovers: Leftovers,
    show: Callable[[Event], None],
    sleep: Callable[[float], None],
) -> bool:
    """Make or update the stack of the bucket; gives whether it is new.

    Args:
        account: Where.
        template: Of the stack.
        leftovers: Gets what must go if nothing shall stay.
        show: Called for each event.
        sleep: Waits between looks.

    Raises:
        StackFailed: It could not be made.
    """
    cloudformation, name = account.client("cloudformation"), artifacts_stack(account)
    there = stack_of(cloudformation, name)
    body = template.read_text(encoding="utf-8")
    if there is not None and there["StackStatus"].endswith("_IN_PROGRESS"):
        follow(cloudformation, there["StackId"], last_event_time(cloudformation, there["StackId"]), show, sleep)
        there = stack_of(cloudformation, name)
    if there is not None and next_step(there["StackStatus"]) == "delete first":
        delete(cloudformation, there["StackId"], show, sleep)
        there = None
    told = {"StackName": name, "TemplateBody": body}
    told_parameters = [{"ParameterKey": "BucketName", "ParameterValue": bucket_name(account)}]
    if there is None:
        leftovers.bucket_stack, leftovers.bucket = name, bucket_name(account)
        made = cloudformation.create_stack(**told, Parameters=told_parameters, OnFailure="DELETE")
        follow(cloudformation, made["StackId"], NEVER, show, sleep)
        return True
    if deployed_template(cloudformation, name) != body:
        after = last_event_time(cloudformation, there["StackId"])
        cloudformation.update_stack(**told, Parameters=told_parameters)
        follow(cloudformation, there["StackId"], after, show, sleep)
    return False


def deployed_template(cloudformation: Any, stack: str) -> str:
    """Read the template of a stack, as it was uploaded."""
    return str(cloudformation.get_template(StackName=stack, TemplateStage="Original")["TemplateBody"])


def is_current(cloudformation: Any, stack: Mapping[str, Any], body: str, values: Mapping[str, str]) -> bool:
    """Tell whether a stack has this template and these parameters already, so that no change set is needed."""
    return values_of(stack) == dict(values) and deployed_template(cloudformation, stack["StackId"]) == body


@dataclass(frozen=True)
class Plan:
    """A change set and what it would do.

    Args:
        change_set: Its ARN; empty when CloudFormation finds nothing to change.
        changes: Of resources; none when only parameters or outputs of the stack change.
        blind: Why the nested stacks are not looked into; empty when they are.
    """

    change_set: str
    changes: Sequence[Change] = ()
    blind: str = ""


def make_change_set(
    account: Account, step: Step, url: str, parameters: list[dict[str, Any]], leftovers: Leftovers,
    sleep: Callable[[float], None],
) -> Plan:  # fmt: skip
    """Let CloudFormation compute what would change, in nested stacks too if it can.

    Args:
        account: Where.
        step: What is done to the stack.
        url: Of the root template.
        parameters: Of the root stack.
        leftovers: Gets what must go if the change set is not executed.
        sleep: Waits between looks.

    Raises:
        ChangeSetRefused: CloudFormation refused, also without nested stacks.
    """
    cloudformation = account.client("cloudformation")
    blind = ""
    for with_nested in (True, False):
        leftovers.change_set = f"freshet-{time.time_ns()}"
        made = cloudformation.create_change_set(
            StackName=account.stack,
            ChangeSetName=leftovers.change_set,
            ChangeSetType="CREATE" if step == "create" else "UPDATE",
            TemplateURL=url,
            Parameters=parameters,
            Capabilities=CAPABILITIES,
            IncludeNestedStacks=with_nested,
        )
        try:
            if not wait_for_change_set(cloudformation, made["Id"], sleep):
                leftovers.drop_change_set()
                return Plan("")
            break
        except ChangeSetRefused as refused:
            # What a nested stack is told by another is not known before; CloudFormation stumbles over it, and only then.
            if not with_nested:
                raise
            blind = str(refused)
            leftovers.drop_change_set(keep_root=True)
    return Plan(str(made["Id"]), read_change_set(cloudformation, made["Id"]), blind)


def execute(
    account: Account,
    change_set: str,
    leftovers: Leftovers,
    show: Callable[[Event], None],
    sleep: Callable[[float], None],
) -> None:
    """Execute a change set and follow it to the end.

    Args:
        account: Where.
        change_set: Its ARN.
        leftovers: Where it is noted; not any more from now on, unless CloudFormation refuses to execute it.
        show: Called for each event.
        sleep: Waits between looks.

    Raises:
        ClientError: CloudFormation refused.
        StackFailed: CloudFormation did not get through.
    """
    cloudformation = account.client("cloudformation")
    there = stack_of(cloudformation, account.stack)
    if there is None:
        raise EnvironmentFault(f"stack {account.stack} is gone: did somebody else delete it?")
    after = last_event_time(cloudformation, there["StackId"])
    planned, leftovers.change_set = leftovers.change_set, ""
    try:
        cloudformation.execute_change_set(ChangeSetName=change_set, StackName=account.stack)
    except ClientError:
        leftovers.change_set = planned
        raise
    follow(cloudformation, there["StackId"], after, show, sleep)


def delete(cloudformation: Any, stack_id: str, show: Callable[[Event], None], sleep: Callable[[float], None]) -> None:
    """Delete a stack and follow it to the end.

    Raises:
        StackFailed: A part could not be deleted.
    """
    after = last_event_time(cloudformation, stack_id)
    cloudformation.delete_stack(StackName=stack_id)
    follow(cloudformation, stack_id, after, show, sleep)
