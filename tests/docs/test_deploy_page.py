"""docs/deploy.md can be followed: what it says to type exists, and its table is that of the templates."""

import re
import shlex
from typing import Any

import typer

from freshet.cli import app
from freshet.cli.context import ROOT
from freshet.deploy.package import FILLED
from freshet.deploy.settings import read_settings
from tests.cloudformation.templates import NAMES, resources, strings, template

PAGE = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
PARAMETERS = template("freshet")["Parameters"]
LONGEST_OUTAGE_H = 24


def commands() -> list[list[str]]:
    """Every `freshet ...` of the page, as words."""
    spans = re.findall(r"`(freshet [^`]+)`", PAGE)
    blocks = re.findall(r"^ *(freshet .+)$", "\n".join(re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)), re.MULTILINE)
    return [shlex.split(text.partition(" # ")[0]) for text in spans + blocks]


def names_of_resources() -> set[str]:
    """Names that the templates give, for the stack `demo`."""
    return {text.replace("${StackLabel}", "demo") for name in NAMES for text in strings(template(name))}


def test_every_command_and_option_exists() -> None:
    """Each `freshet` line names a command, and options that it has."""
    known: Any = typer.main.get_command(app)
    assert len(commands()) > 10
    for _, name, *words in commands():
        command = known.commands[name]
        while words and words[0] in getattr(command, "commands", ()):
            command = command.commands[words.pop(0)]
        options = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options, (name, words)


def test_every_name_of_the_walk_through_is_made() -> None:
    """Jobs, task, stream and trigger of the original, for a stack called demo."""
    wanted = {
        "rds-ingest-data-initial-demo", "rds-ingest-data-incremental-demo", "rds-upsert-data-demo", "periodical-trigger-demo",
        "rds-to-kinesis-demo", "streaming-cdc-kinesis2redshift-demo", "cdc-sample-demo", "bootstrap-demo",
    }  # fmt: skip
    assert wanted <= names_of_resources()
    assert [] == [name for name in wanted if f"`{name}`" not in PAGE and name not in PAGE]


def test_the_table_is_the_templates() -> None:
    """Each parameter that one may set, with its default and its description."""
    rows = {
        name: (default, text)
        for name, default, text in re.findall(r"^\| `(\w+)` \| (.*?) \| (.*) \|$", PAGE, re.MULTILINE)
    }
    assert set(PARAMETERS) - set(FILLED) | {"S3BucketName"} == set(rows)
    for name, (default, text) in rows.items():
        said = default.strip("`") if default.startswith("`") else ""
        assert str(PARAMETERS[name].get("Default", "")) == said, name
        assert text.startswith(PARAMETERS[name]["Description"]), name
        assert [] == [each for each in PARAMETERS[name].get("AllowedValues", ()) if f"`{each}`" not in text]


def test_what_is_filled_is_told() -> None:
    """And what is named as a parameter is one."""
    assert [] == [name for name in FILLED if f"`{name}`" not in PAGE]
    set_by_hand = re.findall(r"--set (\w+)=", PAGE)
    assert set_by_hand
    assert set(set_by_hand) <= set(PARAMETERS)


def test_retention_is_three_times_the_longest_outage() -> None:
    """The page says for how long one may plan, and both defaults keep it."""
    assert f"longest outage planned for: {LONGEST_OUTAGE_H} h" in PAGE
    for name in ("StreamRetentionHours", "BinlogRetentionHours"):
        assert 3 * LONGEST_OUTAGE_H <= PARAMETERS[name]["Default"]


def test_the_settings_file_is_one(tmp_path: Any) -> None:
    """As it stands on the page."""
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "freshet.yaml").write_text(block)
    settings = read_settings(tmp_path)
    assert "demo" == settings.stack
    assert set(settings.parameters) <= set(PARAMETERS)


def test_the_endpoints_of_ones_own_network_are_those_of_ours() -> None:
    """Each that the stack would make, and no other."""
    made: dict[str, set[str]] = {"Interface": set(), "Gateway": set()}
    for _, _, properties in resources("AWS::EC2::VPCEndpoint"):
        made[properties["VpcEndpointType"]].add(properties["ServiceName"]["Fn::Sub"].rpartition(".")[2])
    paragraph = PAGE.partition("**Network**")[2].partition("\n\n")[0]
    gateways, _, interfaces = paragraph.partition("interface endpoints for")
    assert made["Interface"] == set(re.findall("`([a-z-]+)`", interfaces.partition(", each")[0]))
    assert made["Gateway"] == {"s3", *re.findall("`([a-z-]+)`", gateways)}
    assert "endpoint for S3" in gateways
