"""`freshet destroy`: stop everything in order, delete the stack, then its bucket."""

import time
from pathlib import Path
from typing import Any

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from freshet.cli.context import JSON_OPTION, STACK_OPTION, announce_aws, can_ask, err, last_line, out
from freshet.cli.deploy_screen import Screen
from freshet.deploy.account import Account, aws_errors, open_account
from freshet.deploy.bucket import empty
from freshet.deploy.dms import delete_certificates
from freshet.deploy.events import NEVER, begin_of_operation, follow, history, stack_of
from freshet.deploy.farewell import Holding, holdings
from freshet.deploy.leftovers import delete_empty_stacks
from freshet.deploy.settings import read_settings
from freshet.deploy.stack import artifacts_stack, bucket_name, delete, outputs_of, values_of
from freshet.deploy.start import Starter
from freshet.errors import InputError

pause = time.sleep


def destroy(
    stack: str = STACK_OPTION,
    yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask."),
    json_output: bool = JSON_OPTION,
) -> int:
    """Delete a stack of `freshet deploy`: says what data goes, asks, stops everything in order, deletes it and its own bucket.

    Run it again after an interruption: it goes on.

    Example: freshet destroy --stack demo
    """
    if not (yes or (can_ask() and not json_output)):
        raise InputError("nobody can be asked here: say --yes to destroy the stack")
    account = open_account(read_settings(Path.cwd(), stack))
    try:
        announce_aws(account, json_output)
        with aws_errors():
            result = Farewell(account, yes, Screen(err if json_output else out)).run()
    finally:
        account.close()
    if json_output:
        last_line({"account": account.id, "region": account.region, "stack": account.stack, **result})
    return 0 if result["ok"] else 1


class Farewell:
    """One destruction, wherever an earlier one stopped."""

    def __init__(self, account: Account, yes: bool, screen: Screen) -> None:
        self.account, self.yes, self.screen = account, yes, screen
        self.cloudformation = account.client("cloudformation")

    def run(self) -> dict[str, Any]:
        """Do all of it; gives what `--json` prints."""
        root = stack_of(self.cloudformation, self.account.stack)
        artifacts = stack_of(self.cloudformation, artifacts_stack(self.account))
        if root is None and artifacts is None:
            self.screen.say("there is nothing to destroy")
            return {"ok": True, "deleted": []}
        is_empty = root is None or root["StackStatus"] == "REVIEW_IN_PROGRESS"  # a change set made it, and was left
        held = [] if root is None or is_empty else list(holdings(self.cloudformation, root["StackId"]))
        own = bucket_name(self.account) if artifacts else None
        bucket = own if is_empty else values_of(root).get("S3BucketName")
        self.refuse_protected(root)
        self.show(held, bucket, is_own=artifacts is not None)
        if not self.consent():
            self.screen.say("nothing was changed")
            return {"ok": False, "deleted": []}
        deleted = []
        if root:
            delete_empty_stacks(self.cloudformation, self.account.stack, keep_root=True)
            self.delete_root(root)
            deleted.append(self.account.stack)
        delete_certificates(self.account.client("dms"), self.account.stack)
        self.empty(bucket, is_own=artifacts is not None)
        if artifacts:
            with self.screen.doing(f"deleting stack {artifacts_stack(self.account)}"):
                delete(self.cloudformation, artifacts["StackId"], self.screen.event, pause)
            deleted.append(artifacts_stack(self.account))
        self.screen.say("destroyed: " + ", ".join(deleted), "bold green")
        return {"ok": True, "deleted": deleted, "stays": [vars(each) for each in held if not each.goes]}

    def refuse_protected(self, root: dict[str, Any] | None) -> None:
        """End before anything is stopped, if CloudFormation would end in the middle.

        Raises:
            InputError: The source database is protected.
        """
        values = values_of(root)
        if values.get("DatabaseDeletionProtection") == "true" and not values.get("ExistingSourceSecretArn"):
            raise InputError(
                "the source database is protected from deletion: deploy once with --set DatabaseDeletionProtection=false"
            )

    def show(self, held: list[Holding], bucket: str | None, *, is_own: bool) -> None:
        """Say what goes and what stays."""
        table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
        for name in ("resource", "holds", "what becomes of it"):
            table.add_column(name, overflow="fold")
        for each in held:
            table.add_row(Text(each.path), Text(each.what), Text(each.fate, "bold red" if each.goes else "green"))
        prefix = f"freshet/{self.account.stack}/"
        what = "goes, with all versions" if is_own else f"stays: it is yours; what lies below {prefix} goes"
        table.add_row("bucket", Text(bucket or "-"), Text(what, "bold red" if is_own else "green"))
        self.screen.console.print(table)
        if any("role" in each.path.lower() for each in held):
            self.screen.say("The roles of DMS stay: another replication instance of the account may need them.", "dim")

    def consent(self) -> bool:
        """Let the stack's name be typed, unless --yes."""
        return self.yes or typer.prompt("Type the stack's name to destroy it") == self.account.stack

    def delete_root(self, root: dict[str, Any]) -> None:
        """Stop the parts and delete the stack; or go on watching a deletion that is under way."""
        outputs = outputs_of(root)
        try:
            if root["StackStatus"] == "DELETE_IN_PROGRESS":
                after = begin_of_operation(
                    list(history(self.cloudformation, root["StackId"], NEVER)), self.account.stack
                )
                with self.screen.doing("CloudFormation deletes"):
                    follow(self.cloudformation, root["StackId"], after, self.screen.event, pause)
                return
            if "StreamingJobName" in outputs:
                with self.screen.doing("stopping"):
                    Starter(self.account, outputs, self.screen.step, pause).stop_everything()
            with self.screen.doing("CloudFormation deletes (about 15 minutes)"):
                delete(self.cloudformation, root["StackId"], self.screen.event, pause)
        except KeyboardInterrupt:
            self.screen.say("\nWhat was begun goes on without this command; run it again to go on", "yellow")
            raise

    def empty(self, bucket: str | None, *, is_own: bool) -> None:
        """Empty our own bucket; of the user's, only what this stack put there."""
        if not bucket:
            return
        with self.screen.doing(f"emptying {bucket}"):
            gone = empty(
                self.account.client("s3"), bucket, self.account.id, "" if is_own else f"freshet/{self.account.stack}/",
                lambda count: self.screen.update(f"emptying {bucket}: {count} objects"),
            )  # fmt: skip
        self.screen.step(f"bucket: {gone} objects deleted")
