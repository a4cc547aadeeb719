"""Somebody with workflows of their own, on the sandbox of the test run."""

import json
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pyarrow import fs

from freshet.cli import run_command
from freshet.cli.context import ROOT, Place
from tests.patience import HANGS_S


class Analyst:
    """Somebody with workflows of their own, who listens to the topic."""

    def __init__(self, place: Place, folder: Path, capsys: pytest.CaptureFixture[str], queue: str) -> None:
        self.place, self.folder, self.capsys, self.queue = place, folder, capsys, queue
        self.schema = f"w_{uuid.uuid4().hex[:8]}"
        self.bucket = place.endpoints["staging_bucket"]

    def writes(self, yaml: str, **files: str) -> Path:
        """Make a workflow; SCHEMA stands for one of its own."""
        folder = self.folder / f"flow_{uuid.uuid4().hex[:8]}"
        folder.mkdir()
        (folder / "workflow.yaml").write_text(f"description: A test\n{yaml}")
        for name, sql in files.items():
            (folder / f"{name}.sql").write_text(sql.replace("SCHEMA", self.schema))
        return folder

    def runs(self, workflow: str | Path, *options: str, code: int = 0) -> dict[str, Any]:
        """Run it; give what --json says."""
        got = run_command(["workflow", "run", str(workflow), *options, "--json"])
        said = self.capsys.readouterr()
        assert got == code, said.err
        return dict(json.loads(said.out.splitlines()[-1]))

    def process(self, workflow: str | Path, *options: str) -> "subprocess.Popen[str]":
        """Run it as a process of its own."""
        command = [sys.executable, "-m", "freshet", "workflow", "run", str(workflow), *options, "--json"]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)

    def hears(self) -> list[dict[str, Any]]:
        """Give the messages that came from the topic."""
        sqs, found = self.place.client("sqs"), []
        while messages := sqs.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10).get("Messages", []):
            for message in messages:
                found.append(json.loads(json.loads(message["Body"])["Message"]))
                sqs.delete_message(QueueUrl=self.queue, ReceiptHandle=message["ReceiptHandle"])
        return found

    def query(self, sql: str) -> list[dict[str, Any]]:
        """Ask the warehouse."""
        return list(self.place.warehouse.query(sql.replace("SCHEMA", self.schema)))

    def parquet(self, prefix: str) -> list[dict[str, Any]]:
        """Read what was unloaded below a prefix, partitions too."""
        endpoint = self.place.endpoints["aws"]["endpoint_url"].removeprefix("http://")
        s3 = fs.S3FileSystem(endpoint_override=endpoint, scheme="http", access_key="sandbox", secret_key="sandbox")
        table = pq.read_table(f"{self.bucket}/freshet/sandbox/data/{prefix}", filesystem=s3)
        return list(table.to_pylist())


def wait_for(condition: Callable[[], Any]) -> Any:
    """Wait until something is so, three minutes at most."""
    end = time.monotonic() + HANGS_S
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return found
