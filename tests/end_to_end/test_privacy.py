"""A value of a personal column appears nowhere in the clear outside MySQL and Kinesis."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from freshet.cli.context import ROOT, Place
from sandbox import control
from tests.needles import files, found, objects, personal_values, tables
from tests.patience import HANGS_S
from tests.river import River


@pytest.fixture
def alone(spark: SparkSession, tmp_path: Path) -> Iterator[River]:
    """A river in a sandbox where nothing else was: other tests write such values in the clear, on purpose."""
    state = tmp_path / "box"
    place = Place(state, control.start(state, tied=True))
    river = River(place, spark, tmp_path, own_stream=True)
    river.simulate("initial", "--events", "4", "--tickets_per_event", "25", "--customers", "40")
    yield river
    place.close()
    control.stop(state)


def test_no_address_and_no_phone_number_is_found_anywhere(alone: River, tmp_path: Path) -> None:
    """Not in any version of any staged object, any table, Spark's event log, its local disk, stderr, or the sandbox's files."""
    with alone.mysql() as mysql:
        values = personal_values(mysql)
    s3, bucket = alone.place.client("s3"), alone.place.endpoints["staging_bucket"]
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    many = [alone.sale(number % 80 + 1, number % 40 + 1) for number in range(2_400)]  # enough for shuffle files on disk
    alone.put(*many)
    alone.put(b"poison " + values[0].encode(), alone.sale(81, values[1]))  # type: ignore[arg-type]
    event_log, work = tmp_path / "events", tmp_path / "work"
    event_log.mkdir()
    options = {"enabled": "true", "dir": event_log.as_uri(), "compress": "false", "rolling.enabled": "false"}
    settings = " ".join(f"--conf spark.eventLog.{name}={value}" for name, value in options.items())
    environment = {
        **os.environ,
        **alone.place.environment,
        "PYSPARK_SUBMIT_ARGS": f"{settings} pyspark-shell",
        "TEST_KILL_GROUP": "1",
    }
    said = b""
    for module in (("-m", "tests.faults.dying_job", "after_staging"), ("-m", "streaming_job")):
        command = alone.command(module, work_folder=work / module[-1])
        ended = subprocess.run(
            command,
            cwd=ROOT,
            env=environment,
            capture_output=True,
            timeout=HANGS_S,
            check=False,
            start_new_session=True,
        )
        said += ended.stdout + ended.stderr
    assert 80 == alone.ledger()["merged"]
    assert 2 == alone.ledger()["quarantined"]
    looked_at = {"stderr of the jobs": said}
    looked_at |= {f"event log {name}": content for name, content in files(event_log)}
    looked_at |= {f"local disk {name}": content for name, content in files(work)}
    looked_at |= {
        f"table {name}": content for name, content in tables(alone.place.endpoints["redshift"]["postgres_uri"])
    }
    looked_at |= {f"object {name} {len(content)}": content for name, content in objects(s3, bucket)}
    looked_at |= {f"sandbox {name}": content for name, content in files(alone.place.state)}
    kinds = {name.split()[0] for name in looked_at}
    assert {"stderr", "event", "local", "table", "object", "sandbox"} == kinds
    assert b"SparkListenerJobEnd" in b"".join(
        content for name, content in looked_at.items() if name.startswith("event")
    )
    assert [] == [place for name, content in looked_at.items() for place in found(values, name, content)]
