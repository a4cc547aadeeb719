"""What a person sees of a deployment: the plan, each resource as it comes, what is being done now.

On a terminal one line spins with what is under way; elsewhere everything is a plain line.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.status import Status
from rich.table import Table
from rich.text import Text

from freshet.deploy.bucket import upload
from freshet.deploy.changes import NESTED, Change
from freshet.deploy.events import Event
from freshet.deploy.package import Artifact

SIGNS = {
    "create": ("+", "green"),
    "update": ("~", "yellow"),
    "replace": ("±", "bold red"),
    "perhaps replace": ("±", "red"),
    "delete": ("-", "bold red"),
}
WORDS = {
    "create": ("to create", "green"),
    "update": ("to update", "yellow"),
    "replace": ("to replace", "bold red"),
    "perhaps replace": ("perhaps to replace", "red"),
    "delete": ("to delete", "bold red"),
}
NAMED_MAX = 3


class Screen:
    """Prints to a console, and keeps one spinning line on a terminal."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._status: Status | None = None
        self._under_way: dict[str, Event] = {}
        self._done = 0
        self.total = 0

    def say(self, text: str, style: str = "") -> None:
        """Print a line."""
        self.console.print(Text(text, style), soft_wrap=True)

    def step(self, text: str) -> None:
        """Print what one part says of itself: "job: started"."""
        part, colon, rest = text.partition(": ")
        self.console.print(Text.assemble((part, "bold") if colon else part, colon, rest), soft_wrap=True)

    @contextmanager
    def doing(self, text: str) -> Iterator[None]:
        """Show what is under way: a spinner on a terminal, a line elsewhere."""
        if not self.console.is_terminal:
            self.say(f"{text} ...", "dim")
            yield
            return
        self._status = self.console.status(escape(text), spinner="dots")
        try:
            with self._status:
                yield
        finally:
            self._status = None

    def update(self, text: str) -> None:
        """Change the spinning line; elsewhere print it."""
        if self._status is not None:
            self._status.update(escape(text))
        else:
            self.say(f"{text} ...", "dim")

    # ---- events of a stack

    def event(self, event: Event) -> None:
        """Show one event: what is done or failed as a line, what begins on the spinning line."""
        begins = event.status.endswith("_IN_PROGRESS")
        if begins:
            self._under_way.setdefault(event.path, event)
        elif self._under_way.pop(event.path, None) is not None or not begins:
            self._done += event.kind != NESTED and not event.failed and "CLEANUP" not in event.status
        again = event.reason.endswith("Initiated") and not event.reason.startswith("User")
        if not (begins and (self._status is not None or again)):
            self.console.print(self._line(event), soft_wrap=True)
        if self._status is not None:
            self._status.update(self._summary())

    def _line(self, event: Event) -> Text:
        color = "red" if event.failed else "yellow" if "ROLLBACK" in event.status else "green"
        style = "dim" if event.status.endswith("_IN_PROGRESS") else color
        line = Text.assemble(
            (f"{event.time.astimezone():%H:%M:%S}  ", "dim"), (f"{event.path:<34}  ", "bold" if event.failed else ""),
            (f"{event.kind.removeprefix('AWS::'):<32}  ", "dim"), (event.status.replace("_", " ").lower(), style),
        )  # fmt: skip
        if event.failed and event.reason:
            line.append(f"\n          {event.reason}", "red")
        return line

    def _summary(self) -> str:
        names = [path for path, event in self._under_way.items() if event.kind != NESTED]
        shown = ", ".join(names[:NAMED_MAX]) + (f" and {len(names) - NAMED_MAX} more" if len(names) > NAMED_MAX else "")
        of = f" of {self.total}" if self.total >= self._done > 0 else ""
        return escape(f"{self._done}{of} done" + (f", now {shown}" if shown else ""))

    # ---- uploads

    def upload(self, s3: object, bucket: str, owner: str, absent: Sequence[Artifact], there: int) -> None:
        """Upload files and tell it."""
        if not absent:
            self.say(f"upload    nothing: the {there} files are there already")
            return
        count = 0

        def show(artifact: Artifact) -> None:
            nonlocal count
            count += 1
            if self._status is not None:
                size = artifact.path.stat().st_size / 1e6
                self.update(f"uploading {count} of {len(absent)}: {artifact.name} ({size:.1f} MB)")

        with self.doing(f"uploading {len(absent)} files"):
            size = upload(s3, bucket, owner, absent, show)
        kept = f", {there} were there already" if there else ""
        self.say(f"upload    {len(absent)} files, {size / 1e6:.1f} MB, to {bucket}{kept}")


def render_plan(changes: Sequence[Change], blind: str = "") -> RenderableType:
    """Draw what would change, a table for each nested stack.

    Args:
        changes: Of resources.
        blind: Why CloudFormation did not look into the nested stacks; empty when it did.
    """
    parts: list[RenderableType] = []
    if blind:
        unseen = "The nested stacks are not looked into: what would be replaced or lost inside them is not told."
        parts.append(Text(f"{unseen} The plan with them failed: {blind}", "bold red"))
    if not changes:
        parts.append(Text("no resource: only parameters or outputs of the stack"))
    # A nested stack itself is told only if nothing in it is: its parts say more.
    told = {change.place.partition("/")[0] for change in changes if change.place}
    shown = [change for change in changes if change.kind != NESTED or change.logical not in told]
    for place in dict.fromkeys(change.place for change in shown):
        own = [change for change in shown if change.place == place]
        table = Table(
            title=Text(place or "the stack itself", "bold"), title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0)
        )
        for name in ("", "resource", "type", "what changes"):
            table.add_column(name, overflow="fold")
        for change in own:
            sign, style = SIGNS[change.action]
            table.add_row(
                Text(sign, style), Text(change.logical, style), Text(change.kind.removeprefix("AWS::")), _what(change)
            )
        parts.append(table)
    counts = {action: sum(change.action == action for change in shown) for action in SIGNS}
    summary = Text(", ").join(
        Text(f"{count} {WORDS[name][0]}", WORDS[name][1]) for name, count in counts.items() if count
    )
    return Group(*parts, summary)


def _what(change: Change) -> Text:
    if change.action == "create":
        return Text("")
    text = Text(", ".join(change.properties), "dim")
    word = {"replace": "replaced", "perhaps replace": "perhaps replaced", "delete": "deleted"}.get(change.action)
    if word:
        text = Text.assemble((word, "bold red"), ": " if change.properties else "", text)
    if not change.certain:
        text.append(f"\nif {' or '.join(sorted(change.by))} tells another value", "dim")
    if change.loses:
        lost = "lost" if change.action != "perhaps replace" else "perhaps lost"
        text.append(f"\n{lost}: {change.loses}", "bold red" if change.action != "perhaps replace" else "yellow")
    return text
