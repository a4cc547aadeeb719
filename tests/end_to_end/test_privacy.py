"""A value of a personal column appears nowhere in the clear outside MySQL and Kinesis."""

import os
import subprocess
from pathlib import Path

from freshet.cli.context import ROOT
from tests.needles import files, found, objects, personal_values, tables
from tests.river import River


def test_no_address_and_no_phone_number_is_found_anywhere(own_stream: River, tmp_path: Path) -> None:
    """Not in any version of any staged object, any table, Spark's event log, its local disk, stderr, or the sandbox's files."""
    with own_stream.mysql() as mysql:
        values = personal_values(mysql)
    s3, bucket = own_stream.place.client("s3"), own_stream.place.endpoints["staging_bucket"]
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    many = [
        own_stream.sale(number % 80 + 1, number % 40 + 1) for number in range(2_400)
    ]  # enough for shuffle files on disk
    own_stream.put(*many)
    own_stream.put(b"poison " + values[0].encode(), own_stream.sale(81, values[1]))  # type: ignore[arg-type]
    event_log, work = tmp_path / "events", tmp_path / "work"
    event_log.mkdir()
    options = {"enabled": "true", "dir": event_log.as_uri(), "compress": "false", "rolling.enabled": "false"}
    settings = " ".join(f"--conf spark.eventLog.{name}={value}" for name, value in options.items())
    environment = {**os.environ, "PYSPARK_SUBMIT_ARGS": f"{settings} pyspark-shell", "TEST_KILL_GROUP": "1"}
    said = b""
    for module in (("-m", "tests.faults.dying_job", "after_staging"), ("-m", "streaming_job")):
        command = own_stream.command(module, work_folder=work / module[-1])
        ended = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, timeout=180, check=False, start_new_session=True
        )
        said += ended.stdout + ended.stderr
    assert 80 == own_stream.ledger()["merged"]
    assert 2 == own_stream.ledger()["quarantined"]
    looked_at = {"stderr of the jobs": said}
    looked_at |= {f"event log {name}": content for name, content in files(event_log)}
    looked_at |= {f"local disk {name}": content for name, content in files(work)}
    looked_at |= {
        f"table {name}": content for name, content in tables(own_stream.place.endpoints["redshift"]["postgres_uri"])
    }
    looked_at |= {f"object {name} {len(content)}": content for name, content in objects(s3, bucket)}
    looked_at |= {f"sandbox {name}": content for name, content in files(own_stream.place.state)}
    kinds = {name.split()[0] for name in looked_at}
    assert {"stderr", "event", "local", "table", "object", "sandbox"} == kinds
    assert b"SparkListenerJobEnd" in b"".join(
        content for name, content in looked_at.items() if name.startswith("event")
    )
    assert [] == [place for name, content in looked_at.items() for place in found(values, name, content)]
