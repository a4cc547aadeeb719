"""The schedule that starts the streaming job when it does not run: enabled while it shall run, disabled before it is stopped."""

from typing import Any, Final

from botocore.exceptions import ClientError

from freshet.deploy.account import error_code

# What a change must tell anew, or it would be lost. Source: EventBridge Scheduler API reference, "UpdateSchedule".
KEPT: Final = ("Name", "GroupName", "Description", "ScheduleExpression", "FlexibleTimeWindow", "Target", "KmsKeyArn")


def enable(scheduler: Any, name: str) -> bool:
    """Let a schedule act; gives whether it did not before."""
    return _set(scheduler, name, "ENABLED")


def disable(scheduler: Any, name: str) -> bool:
    """Let a schedule rest; gives whether it acted before. One that is gone rests."""
    try:
        return _set(scheduler, name, "DISABLED")
    except ClientError as error:
        if error_code(error) == "ResourceNotFoundException":
            return False
        raise


def _set(scheduler: Any, name: str, state: str) -> bool:
    found = scheduler.get_schedule(Name=name)
    if found["State"] == state:
        return False
    scheduler.update_schedule(**{key: found[key] for key in KEPT if found.get(key)}, State=state)
    return True
