"""What a plan needs in the account before anybody has said yes, so that any end takes it away again.

A change set for a stack that is not there makes the stack, and one for each nested stack, empty: REVIEW_IN_PROGRESS. The
templates must lie in a bucket, which the first plan makes. Each is noted before it is asked for: an answer that is lost, or
Ctrl-C, leaves nothing unnoticed.
Source: CloudFormation API reference, DeleteChangeSet: it does not delete the stacks.
"""

from collections.abc import Callable
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from freshet.deploy.account import EXPIRED, NOT_ALLOWED, Account, error_code, explain
from freshet.deploy.bucket import empty
from freshet.deploy.events import follow, last_event_time, stack_of
from freshet.errors import FreshetError

TRIES: Final = 30  # a change set that is being computed cannot be deleted yet: for a minute
POLL_S: Final = 2.0
GONE: Final = {"ChangeSetNotFound", "ChangeSetNotFoundException", "NoSuchBucket"}


def delete_empty_stacks(cloudformation: Any, root: str, *, keep_root: bool = False) -> None:
    """Delete the stacks that were made for a change set only: those nested in a root stack, then the root itself.

    Args:
        cloudformation: Client.
        root: Name of the root stack.
        keep_root: Whether to leave the root, also if it is empty.
    """
    there = stack_of(cloudformation, root)
    if there is None:
        return
    pages = cloudformation.get_paginator("list_stacks").paginate(StackStatusFilter=["REVIEW_IN_PROGRESS"])
    found = [each for page in pages for each in page["StackSummaries"]]
    nested = [each["StackId"] for each in found if each.get("RootId") == there["StackId"] != each["StackId"]]
    for stack in nested:
        cloudformation.delete_stack(StackName=stack)
    if there["StackStatus"] == "REVIEW_IN_PROGRESS" and not keep_root:
        cloudformation.delete_stack(StackName=there["StackId"])


class Leftovers:
    """What one run of the command has made for its plan, and not used yet.

    Args:
        account: Where.
        say: Told what could not be removed.
        sleep: Waits between tries.
    """

    def __init__(self, account: Account, say: Callable[[str], None], sleep: Callable[[float], None]) -> None:
        self.account, self.say, self.sleep = account, say, sleep
        self.cloudformation = account.client("cloudformation")
        self.is_new = True  # whether there was no stack before: then all that is of it may go
        self.change_set = ""  # its name: known before its ARN
        self.bucket_stack = ""
        self.bucket = ""

    def drop_change_set(self, *, keep_root: bool = False) -> None:
        """Delete the change set and the empty stacks around it; `keep_root` leaves the root for another one."""
        if not self.change_set:
            return
        name, stack = self.change_set, self.account.stack
        self._surely(
            f"change set {name}",
            lambda: self.cloudformation.delete_change_set(StackName=stack, ChangeSetName=name),
        )
        self._surely(
            f"empty stack {stack}, or a stack nested in it",
            lambda: delete_empty_stacks(self.cloudformation, stack, keep_root=keep_root),
        )
        self.change_set = ""

    def drop(self, *, with_bucket: bool) -> None:
        """Take everything away that was not used; the bucket only where nothing shall stay for a next run."""
        try:
            self.drop_change_set()
            if with_bucket and self.bucket_stack:
                self._surely(f"stack {self.bucket_stack}", self._drop_bucket)
                self.bucket_stack = ""
        except KeyboardInterrupt:
            self.say(f"what was made for the plan may be there still: {self._remedy()}")
            raise

    def _drop_bucket(self) -> None:
        found = stack_of(self.cloudformation, self.bucket_stack)
        if found is None:
            return
        identity, status = found["StackId"], str(found["StackStatus"])
        if status != "DELETE_IN_PROGRESS":
            if status.endswith("_IN_PROGRESS"):
                self._follow(identity)
            self._empty_bucket()
            self.cloudformation.delete_stack(StackName=identity)
        self._follow(identity)

    def _empty_bucket(self) -> None:
        try:
            empty(self.account.client("s3"), self.bucket, self.account.id, "", lambda _: None)
        except ClientError as error:
            if error_code(error) not in GONE:
                raise

    def _follow(self, stack: str) -> None:
        after = last_event_time(self.cloudformation, stack)
        follow(self.cloudformation, stack, after, lambda _: None, self.sleep)

    def _surely(self, what: str, step: Callable[[], object]) -> None:
        """Do a step until it succeeds; say what stays if it does not. The failure that led here is told, not this one."""
        for tries_left in reversed(range(TRIES)):
            try:
                step()
                return
            except (ClientError, BotoCoreError, FreshetError) as error:
                if isinstance(error, ClientError) and self._is_gone(error):
                    return
                hopeless = isinstance(error, ClientError) and error_code(error) in NOT_ALLOWED | EXPIRED
                if hopeless or not tries_left:
                    reason = explain(error) if isinstance(error, ClientError) else str(error)
                    self.say(f"{what} stays: {reason}. {self._remedy()}")
                    return
            self.sleep(POLL_S)

    @staticmethod
    def _is_gone(error: ClientError) -> bool:
        return error_code(error) in GONE or "does not exist" in str(error)

    def _remedy(self) -> str:
        if self.is_new:
            return f"freshet destroy --stack {self.account.stack} removes it"
        return "it changes nothing, and CloudFormation's console can delete it"
