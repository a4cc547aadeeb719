"""`freshet deploy`: the whole stack on AWS from one command, and each later change of it."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from botocore.exceptions import ClientError

from freshet.cli.context import (
    JSON_OPTION,
    ROOT,
    STACK_OPTION,
    AwsPlace,
    announce_aws,
    can_ask,
    err,
    home,
    last_line,
    out,
)
from freshet.cli.deploy_screen import Screen, render_plan
from freshet.cli.serving_place import export_definitions, export_files, pull_definitions, table_arns
from freshet.cli.workflow_place import all_sql_files
from freshet.deploy import dms as capture
from freshet.deploy.account import Account, aws_errors, open_account
from freshet.deploy.bucket import missing
from freshet.deploy.changes import stops_the_task
from freshet.deploy.events import NEVER, StackFailed, begin_of_operation, follow, history, stack_of
from freshet.deploy.glue import JobFailed
from freshet.deploy.leftovers import Leftovers
from freshet.deploy.package import (
    FILLED,
    ROOT_TEMPLATE,
    Package,
    Place,
    Templates,
    package_code,
    package_templates,
    rds_certificates,
)  # fmt: skip
from freshet.deploy.parameters import (
    check_given,
    check_own_network,
    defaults_of_the_account,
    effective,
    request,
)  # fmt: skip
from freshet.deploy.settings import read_assignments, read_settings
from freshet.deploy.stack import (
    Plan,
    Step,
    artifacts_stack,
    choose_bucket,
    delete,
    execute,
    is_current,
    make_bucket,
    make_change_set,
    next_step,
    outputs_of,
    values_of,
)  # fmt: skip
from freshet.deploy.start import Starter, Work, refuse_without_outputs, where_to_look
from freshet.deploy.templates import interface_endpoints, read_template
from freshet.errors import InputError
from freshet.ledger.status import summary
from freshet.pipeline.definition import Definition, find_pipeline, load_definition
from freshet.redshift.data_api import StatementFailed

CLOUDFORMATION = ROOT / "cloudformation"
NOT_YET = "arn:aws:dms:not-imported-by-a-dry-run"
pause = time.sleep


@dataclass(frozen=True)
class Choices:
    """What the options say."""

    yes: bool
    dry_run: bool
    start: bool
    simulators: bool
    rds_ca: Path | None
    json: bool


def deploy(
    pipeline: str = typer.Argument(help="A name under sql/pipelines/, or the path of a folder."),
    stack: str = STACK_OPTION,
    assignments: list[str] = typer.Option(
        [],
        "--set",
        metavar="NAME=VALUE",
        help="A parameter of the stack; may be repeated. It stays until it is set again.",
    ),
    yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Show the plan, change nothing."),
    start: bool = typer.Option(True, "--start/--no-start", help="Start DMS and the jobs when the stack is there."),
    simulators: bool = typer.Option(
        True, "--simulators/--no-simulators", help="Let the example's shop sell, if the source is made by the stack."
    ),
    rds_ca: Path = typer.Option(
        None,
        "--rds-ca",
        metavar="FILE",
        help="Authorities of RDS's certificates, PEM; else fetched from AWS.",
        show_default=False,
    ),
    json_output: bool = JSON_OPTION,
) -> int:
    """Deploy a pipeline to AWS, or update what is there: shows what would change, asks, follows, starts everything.

    Run it again after any change, or after an interruption: what did not change is left alone. Your credentials, region and
    stack are those of the AWS command line, or of `aws:` in freshet.yaml.

    Example: freshet deploy orders_wide --stack demo --dry-run
    """
    settings = read_settings(Path.cwd(), stack)
    given = {**settings.parameters, **read_assignments(assignments)}
    definition = load_definition(find_pipeline(pipeline))
    declared = read_template(CLOUDFORMATION / ROOT_TEMPLATE).get("Parameters", {})
    check_given(declared, given, [name for name in FILLED if name != "S3BucketName"])
    if not (yes or dry_run or (can_ask() and not json_output)):
        raise InputError("nobody can be asked here: say --yes to deploy, or --dry-run to see the plan only")
    choices = Choices(yes, dry_run, start, simulators, rds_ca, json_output)
    account = open_account(settings)
    try:
        announce_aws(account, json_output)
        deployment = Deployment(account, definition, given, declared, choices, Screen(err if json_output else out))
        with aws_errors():
            result = deployment.run()
    finally:
        account.close()
    if json_output:
        last_line({"account": account.id, "region": account.region, "stack": account.stack, **result})
    return 0 if result["ok"] else 1


class Deployment:
    """One deployment, from what is there to what shall be."""

    def __init__(
        self, account: Account, definition: Definition, given: dict[str, str], declared: dict[str, Any], choices: Choices,
        screen: Screen,
    ) -> None:  # fmt: skip
        self.account, self.definition, self.given, self.declared = account, definition, given, declared
        self.choices, self.screen = choices, screen
        self.cloudformation = account.client("cloudformation")
        self.kept = home() / "aws"
        self.leftovers = Leftovers(account, lambda text: screen.say(text, "yellow"), pause)
        self.rested = False  # whether DMS's task was stopped for this update

    def run(self) -> dict[str, Any]:
        """Do all of it; gives what `--json` prints. Whatever ends it, nothing stays that was made for the plan only."""
        try:
            return self.plan_and_change()
        finally:
            self.leftovers.drop(with_bucket=self.choices.dry_run)

    def plan_and_change(self) -> dict[str, Any]:
        """Plan, ask, change and start."""
        root = self.settled_stack()
        before = values_of(root)
        self.leftovers.is_new = not before
        if not before:
            check_own_network(self.given)
        bucket, is_own = choose_bucket(self.account, self.given.get("S3BucketName"), before.get("S3BucketName"))
        offered = {} if before else self.offered()
        place = Place(bucket, self.account.stack, self.account.region, self.account.domain)
        templates = package_templates(CLOUDFORMATION, place, self.kept / self.account.stack)
        self.check_templates(templates)
        certificates = rds_certificates(self.kept, self.choices.rds_ca)
        with self.screen.doing("packaging"):
            exports, pulls = export_definitions(), pull_definitions()
            sql = all_sql_files(self.kept / self.account.stack / "loads") | export_files()
            package = package_code(
                ROOT, self.definition, place, self.kept, certificates, sql, pulls, self.screen.update
            )
        if is_own:
            self.make_bucket()
        self.upload(bucket, templates, package)
        tables = table_arns(exports, self.account.partition, self.account.region, self.account.id)
        filled = {**package.parameters, "S3BucketName": bucket, "ExportTableArns": tables}
        filled["DmsCertificateArn"] = self.certificate(certificates)
        filled["AlarmsRing"] = "false"  # until all is started
        values = effective(self.declared, before, self.given, filled, offered)
        plan = self.plan(root, templates, values, before)
        result: dict[str, Any] = {
            "ok": True,
            "changes": [each.told() for each in plan.changes],
            "looked_into_nested_stacks": not plan.blind,
            "dry_run": self.choices.dry_run,
        }
        if before and plan.blind and self.choices.yes and not self.choices.dry_run:
            raise InputError(
                "CloudFormation did not look into the nested stacks, so nobody knows what this update would replace or "
                "lose; nothing was changed. Run it without --yes, read the plan, and answer"
            )
        consents = not self.choices.dry_run and (
            not plan.change_set
            or self.consent(f"Deploy this to stack {self.account.stack} in account {self.account.id}?")
        )
        if not consents:
            self.forget(is_new=not before)
            return {**result, "ok": self.choices.dry_run}
        if plan.change_set:
            self.execute(plan, outputs_of(root) if root and before else {})
        found = stack_of(self.cloudformation, self.account.stack)
        outputs = outputs_of(found) if found else {}
        refuse_without_outputs(outputs)
        if self.choices.start:
            result["ok"] = self.start(outputs)
        links = where_to_look(self.account, outputs)
        self.show_links(links)
        return {**result, "outputs": outputs, "links": links}

    # ---- before anything is changed

    def offered(self) -> dict[str, str]:
        """Ask what the region and the account offer."""
        endpoints = interface_endpoints(read_template(CLOUDFORMATION / "network.yaml"), self.account.region)
        with self.screen.doing("looking what the region offers"):
            return defaults_of_the_account(self.account, self.declared, self.given, endpoints)

    def check_templates(self, templates: Templates) -> None:
        """Let CloudFormation read each template as it will be uploaded."""
        files = [CLOUDFORMATION / "artifacts.yaml", *(artifact.path for artifact in templates.artifacts)]
        with self.screen.doing(f"CloudFormation reads {len(files)} templates"):
            for file in files:
                self.cloudformation.validate_template(TemplateBody=file.read_text(encoding="utf-8"))

    def settled_stack(self) -> dict[str, Any] | None:
        """Find the stack in a state in which it can be changed: watch what is under way, delete what cannot be saved."""
        root = stack_of(self.cloudformation, self.account.stack)
        step = next_step(root["StackStatus"] if root else None)
        if root and step == "watch":
            self.screen.say(f"stack {self.account.stack} is in {root['StackStatus']}: following it to the end first")
            known = list(history(self.cloudformation, root["StackId"], NEVER))
            after = begin_of_operation(known, self.account.stack)
            with self.screen.doing("CloudFormation works"), self.goes_on():
                follow(self.cloudformation, root["StackId"], after, self.screen.event, pause)
            return self.settled_stack()
        if root and step == "delete first":
            status = root["StackStatus"]
            self.screen.say(
                f"stack {self.account.stack} is in {status}: what was begun cannot be continued, only deleted", "yellow"
            )
            if self.choices.dry_run or not self.consent("Delete what is left of it?"):
                raise InputError(
                    f"stack {self.account.stack} must be deleted first: run this command without --dry-run, or freshet destroy"
                )
            with self.screen.doing("deleting"), self.goes_on():
                delete(self.cloudformation, root["StackId"], self.screen.event, pause)
            return None
        return root

    def make_bucket(self) -> None:
        """Make the stack's bucket, if it is not there."""
        with self.screen.doing(f"stack {artifacts_stack(self.account)}: the bucket"):
            make_bucket(self.account, CLOUDFORMATION / "artifacts.yaml", self.leftovers, self.screen.event, pause)

    def upload(self, bucket: str, templates: Templates, package: Package) -> None:
        """Upload what is not there yet; a dry run needs the templates only."""
        wanted = [*templates.artifacts, *(() if self.choices.dry_run else package.artifacts)]
        s3 = self.account.client("s3")
        with self.screen.doing("looking into the bucket"):
            absent = missing(s3, bucket, self.account.id, wanted)
        self.screen.upload(s3, bucket, self.account.id, absent, len(set(wanted)) - len(absent))

    def certificate(self, pem: Path) -> str:
        """Give the DMS certificate's ARN."""
        dms, name = self.account.client("dms"), capture.certificate_name(self.account.stack, pem)
        if self.choices.dry_run:
            return capture.find_certificate(dms, name) or NOT_YET
        return capture.import_certificate(dms, name, pem)

    def plan(
        self, root: dict[str, Any] | None, templates: Templates, values: dict[str, str], before: dict[str, str]
    ) -> Plan:
        """Let CloudFormation compute what would change, and show it; no change set when nothing would."""
        plan = Plan("")
        if not (root and before and is_current(self.cloudformation, root, templates.body, values)):
            step: Step = "update" if before else "create"
            asked = request(values, before)
            with self.screen.doing("CloudFormation computes what would change"):
                plan = make_change_set(self.account, step, templates.url, asked, self.leftovers, pause)
        if not plan.change_set:
            self.screen.say("plan      nothing to change")
            return plan
        self.screen.console.print(render_plan(plan.changes, plan.blind))
        pipeline = before.get("PipelineName", self.definition.name)
        if pipeline != self.definition.name:
            self.screen.say(
                f"The stack keeps {pipeline} current; from now on it keeps {self.definition.name} current instead.",
                "bold red",
            )
        return plan

    def forget(self, *, is_new: bool) -> None:
        """Leave everything as it was before a dry run, or before a "no"."""
        if is_new and not self.choices.dry_run:
            capture.delete_certificates(self.account.client("dms"), self.account.stack)
        with self.screen.doing("removing what the plan needed"):
            self.leftovers.drop(with_bucket=True)
        self.screen.say("dry run: nothing was changed" if self.choices.dry_run else "nothing was changed")

    def consent(self, question: str) -> bool:
        """Ask, unless --yes."""
        return self.choices.yes or typer.confirm(question)

    # ---- changing

    def execute(self, plan: Plan, outputs: dict[str, str]) -> None:
        """Execute the change set; the DMS task rests meanwhile if it must, and goes on whatever comes.

        An alarm on silence that is updated is quiet again, so those that rang are let ring afterwards.
        """
        starter = self.starter(outputs)
        rang = bool(outputs) and starter.alarms_ring()
        rests = bool(outputs) and stops_the_task(plan.changes)
        rests = self.rested = rests and starter.stop_capture()
        self.screen.total = len(plan.changes)
        try:
            with self.screen.doing("CloudFormation works (a first deployment takes 20 to 30 minutes)"), self.goes_on():
                execute(self.account, plan.change_set, self.leftovers, self.screen.event, pause)
        except (StackFailed, ClientError):
            if rests:
                starter.start_capture()
            raise
        finally:
            if rang:
                starter.let_alarms_ring()
        if rests and not self.choices.start:
            starter.start_capture()
        self.screen.say(f"stack {self.account.stack} is up to date", "bold green")

    def starter(self, outputs: dict[str, str]) -> Starter:
        """Give what starts and stops the parts."""
        return Starter(self.account, outputs, self.screen.step, pause)

    def start(self, outputs: dict[str, str]) -> bool:
        """Start everything in its order; gives whether the job works."""
        starter = self.starter(outputs)
        again = "freshet deploy goes on here when it is run again"
        with self.screen.doing("starting"), self.goes_on(again):
            try:
                starter.prepare()
            except JobFailed:
                if self.rested:
                    starter.start_capture()
                raise
            starter.start_capture()
            arrived = self.start_job(starter, reader(AwsPlace(self.account, outputs), outputs["PipelineName"]))
            if self.choices.simulators:
                starter.start_simulators()
            starter.let_alarms_ring()
        if not arrived:
            self.screen.say(
                "the job did nothing within twenty minutes: freshet status --aws, and the job's log, tell more",
                "bold red",
            )
        return arrived

    def start_job(self, starter: Starter, read: Callable[[], Work]) -> bool:
        """Start the streaming job, and wait until the ledger shows that it works."""
        try:
            before = read()
        except StatementFailed as failed:
            starter.start_job()
            self.screen.step(f"ledger: you may not read it, so nothing is awaited ({failed.reason})")
            return True
        return starter.wait_for_work(read, before, started=starter.start_job())

    def show_links(self, links: dict[str, str]) -> None:
        """Say where to look."""
        named = "" if self.account.stack == "freshet" else f" --stack {self.account.stack}"
        target = f"{self.definition.target_schema}.{self.definition.target_table}"
        commands = {
            "status": f"freshet status --aws{named}",
            "query": f'freshet query --aws{named} "select count(*) from {target}"',
        }
        for name, place in {**links, **commands}.items():
            self.screen.say(f"{name:<11}{place}")

    def goes_on(
        self, what: str = "CloudFormation goes on without this command; run it again to go on watching"
    ) -> "_GoesOn":
        """Tell on Ctrl-C what goes on."""
        return _GoesOn(self.screen, what)


class _GoesOn:
    def __init__(self, screen: Screen, what: str) -> None:
        self.screen, self.what = screen, what

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            self.screen.say(f"\n{self.what}", "yellow")


def reader(place: AwsPlace, pipeline: str) -> Callable[[], Work]:
    """Give what reads from a pipeline's ledger what its job has done; nothing before there is a ledger."""

    def read() -> Work:
        try:
            found = summary(place.warehouse, pipeline)
        except IndexError:  # tables without a row: the job is about to start
            return Work()
        except StatementFailed as failed:
            if "does not exist" in failed.reason:
                return Work()
            raise
        return Work(int(found["batches"]), int(found["starts"]))

    return read
