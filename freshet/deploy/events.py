"""Follow what CloudFormation does with a stack and the stacks nested in it, and find what failed first."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from botocore.exceptions import ClientError

from freshet.deploy.causes import likely_cause
from freshet.deploy.changes import NESTED
from freshet.errors import FreshetError

POLL_S: Final = 5.0
NEVER: Final = datetime(1970, 1, 1, tzinfo=UTC)
SECONDARY: Final = re.compile(r"[Cc]ancelled|Resource (creation|update) Initiated|The following resource\(s\) failed")


@dataclass(frozen=True)
class Event:
    """One line of a stack's history; `place` is the logical id of the nested stack."""

    id: str
    time: datetime
    place: str
    logical: str
    kind: str
    status: str
    reason: str

    @property
    def failed(self) -> bool:
        """Whether the resource failed."""
        return self.status.endswith("_FAILED")

    @property
    def path(self) -> str:
        """Logical path, such as Source/Database."""
        return f"{self.place}/{self.logical}" if self.place else self.logical


class StackFailed(FreshetError):
    """CloudFormation did not reach the end; the message names the resource that failed first."""


def stack_of(cloudformation: Any, name: str) -> dict[str, Any] | None:
    """Describe a stack by name or id; None when there is none (or no more)."""
    try:
        (stack,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        if "does not exist" in error.response["Error"].get("Message", ""):
            return None
        raise
    return None if stack["StackStatus"] == "DELETE_COMPLETE" else dict(stack)


def last_event_time(cloudformation: Any, stack_id: str) -> datetime:
    """When the newest event of a stack happened, by CloudFormation's clock."""
    events = cloudformation.describe_stack_events(StackName=stack_id)["StackEvents"]
    newest: datetime = events[0]["Timestamp"] if events else NEVER
    return newest


def begin_of_operation(events: Sequence[Event], stack: str) -> datetime:
    """When the operation began that a stack is in: just before its newest own *_IN_PROGRESS that a user asked for."""
    asked = [
        event.time
        for event in events
        if event.logical == stack
        and event.status in {"CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS", "REVIEW_IN_PROGRESS"}
    ]
    return max(asked) if asked else NEVER


def follow(
    cloudformation: Any, stack_id: str, after: datetime, show: Callable[[Event], None], sleep: Callable[[float], None]
) -> str:
    """Show the events of an operation until the stack rests.

    Args:
        cloudformation: Client.
        stack_id: ARN of the root stack: a deleted one is found by it alone.
        after: Events up to this moment belong to earlier operations.
        show: Called for each event, in the order of time.
        sleep: Waits between looks.

    Returns:
        The status in which it rests.

    Raises:
        StackFailed: It is not one of success.
    """
    seen: dict[str, Event] = {}
    while True:
        status = cloudformation.describe_stacks(StackName=stack_id)["Stacks"][0]["StackStatus"]
        fresh = [event for event in history(cloudformation, stack_id, after) if event.id not in seen]
        for event in sorted(fresh, key=lambda each: each.time):
            seen[event.id] = event
            show(event)
        if not status.endswith("_IN_PROGRESS"):
            break
        sleep(POLL_S)
    if status not in {"CREATE_COMPLETE", "UPDATE_COMPLETE", "DELETE_COMPLETE", "IMPORT_COMPLETE"}:
        raise StackFailed(tell_failure(status, list(seen.values())))
    return str(status)


def history(cloudformation: Any, stack_id: str, after: datetime, place: str = "") -> Iterator[Event]:
    """Read the events of a stack since a moment, and of the stacks nested in it."""
    nested: dict[str, str] = {}
    for found in _newest(cloudformation, stack_id, after):
        physical = found.get("PhysicalResourceId") or ""
        if found["ResourceType"] == NESTED and physical and physical != found["StackId"]:
            nested[physical] = found["LogicalResourceId"]
        if place and physical == found["StackId"]:
            continue  # what a nested stack says of itself, its resource in the parent says too
        reason = found.get("ResourceStatusReason") or ""
        yield Event(
            found["EventId"],
            found["Timestamp"],
            place,
            found["LogicalResourceId"],
            found["ResourceType"],
            found["ResourceStatus"],
            reason,
        )
    for physical, logical in nested.items():
        yield from history(cloudformation, physical, after, "/".join(filter(None, (place, logical))))


def _newest(cloudformation: Any, stack_id: str, after: datetime) -> Iterator[dict[str, Any]]:
    for page in cloudformation.get_paginator("describe_stack_events").paginate(StackName=stack_id):
        for found in page["StackEvents"]:  # the newest first
            if found["Timestamp"] <= after:
                return
            yield found


def first_failure(events: Sequence[Event]) -> Event | None:
    """Find what failed first by itself: not a nested stack whose part failed, not what was cancelled for it."""
    failed = sorted((event for event in events if event.failed), key=lambda event: event.time)
    for candidates in (
        [event for event in failed if event.kind != NESTED and not SECONDARY.search(event.reason)],
        [event for event in failed if not SECONDARY.search(event.reason)],
        failed,
    ):
        if candidates:
            return candidates[0]
    return None


def tell_failure(status: str, events: Sequence[Event]) -> str:
    """Say what failed, why, and what to do."""
    failure = first_failure(events)
    after = {
        "ROLLBACK_COMPLETE": "what had been made was deleted again",
        "ROLLBACK_FAILED": "what had been made could not all be deleted: `freshet destroy` tries again",
        "UPDATE_ROLLBACK_COMPLETE": "the stack is as it was before",
        "UPDATE_ROLLBACK_FAILED": "CloudFormation could not go back: see `aws cloudformation continue-update-rollback`",
        "DELETE_FAILED": "the rest is deleted: remove the cause and run the same command again",
    }.get(status, "")
    end = f"\nThe stack is in {status}" + (f": {after}." if after else ".")
    if failure is None:
        return f"CloudFormation did not get through.{end}"
    cause = likely_cause(failure.kind, failure.reason)
    advice = f"\nLikely cause: {cause}." if cause else ""
    return f"{failure.path} ({failure.kind}) failed first: {failure.reason or 'no reason was given'}{advice}{end}"
