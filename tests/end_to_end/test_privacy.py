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

TICKETS = 2_400


@pytest.fixture
def alone(spark: SparkSession, tmp_path: Path) -> Iterator[River]:
    """A river in a sandbox where nothing else was: other tests write such values in the clear, on purpose."""
    state = tmp_path / "box"
    place = Place(state, control.start(state, tied=True))
    river = River(place, spark, tmp_path, own_stream=True)
    river.simulate("initial", "--events", "4", "--tickets_per_event", str(TICKETS // 4), "--customers", "40")
    yield river
    place.close()
    control.stop(state)


# A round of fewer keys is read and staged by the driver, a larger one by tasks.
@pytest.mark.parametrize("small_round", ["2000", "0"], ids=["small rounds by the driver", "every round by tasks"])
def test_no_address_and_no_phone_number_is_found_anywhere(alone: River, tmp_path: Path, small_round: str) -> None:
    """Not in any version of any object, any table, Spark's plans and event log, its local disk, logs, or the sandbox's files.

    Among what is said are errors: values that do not fit their type, rubbish that quotes an address, a job that dies.
    """
    with alone.mysql() as mysql:
        values = personal_values(mysql)
    s3, bucket = alone.place.client("s3"), alone.place.endpoints["staging_bucket"]
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    alone.sell(range(1, TICKETS + 1), 5)  # the first round is large
    event_log, work = tmp_path / "events", tmp_path / "work"
    event_log.mkdir()
    options = {"enabled": "true", "dir": event_log.as_uri(), "compress": "false", "rolling.enabled": "false"}
    settings = " ".join(f"--conf spark.eventLog.{name}={value}" for name, value in options.items())
    environment = {
        **os.environ,
        **alone.place.environment,
        "PYSPARK_SUBMIT_ARGS": f"{settings} pyspark-shell",
        "TEST_KILL_GROUP": "1",
        "TEST_SMALL_ROUND": small_round,
    }
    said = b""
    for module in (
        "tests.faults.dying_job after_staging",
        "tests.faults.dying_job never",
        "tests.faults.dying_job never",
    ):
        command = alone.command(("-m", *module.split()), work_folder=work / str(len(said)))
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
        if alone.ledger()["batches"] == 1:  # the next round is small, and some of what it reads does not fit
            for customer in range(1, 41):
                alone.sell([customer], customer)
            alone.run_sql("set sql_mode = ''", "update sport_event set start_date = '2024-00-10' where event_id = 1")
            alone.put(
                alone.record({"event_id": 1}, table="sport_event", old={}),
                alone.record({"customer_id": 7}, table="customer", old={}),
                b"poison " + values[0].encode(),
                alone.record({"ticket_id": values[1]}),
            )
            alone.request_keys((3,))
    assert TICKETS + 44 == alone.ledger()["received"]
    assert 2 + TICKETS // 4 == alone.ledger()["quarantined"]
    assert TICKETS <= alone.ledger()["written"]
    looked_at = {"stderr of the jobs": said}
    looked_at |= {f"event log {name}": content for name, content in files(event_log)}
    looked_at |= {f"local disk {name}": content for name, content in files(work)}
    looked_at |= {
        f"table {name}": content for name, content in tables(alone.place.endpoints["redshift"]["postgres_uri"])
    }
    looked_at |= {f"object {name} {len(content)}": content for name, content in objects(s3, bucket)}
    looked_at |= {f"sandbox {name}": content for name, content in files(alone.place.state)}
    kinds = {name.split()[0] for name in looked_at}
    assert {"stderr", "event", "table", "object", "sandbox"} <= kinds
    assert b"SparkListenerSQLExecutionStart" in b"".join(
        content for name, content in looked_at.items() if name.startswith("event")
    )
    assert [] == [place for name, content in looked_at.items() for place in found(values, name, content)]
