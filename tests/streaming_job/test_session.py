"""Into how many parts a batch is cut follows from the cores that are configured, not from those that Spark sees at first."""

import subprocess
import sys
from pathlib import Path

from streaming_job.arguments import Arguments
from streaming_job.session import CORES, cores_of
from tests.cloudformation.templates import template
from tests.patience import HANGS_S

OPEN = """
import sys
from pathlib import Path
from streaming_job.session import open_session
session = open_session("local[2]", Path(sys.argv[1]), int(sys.argv[2]))
print(session.sparkContext.defaultParallelism, session.conf.get("spark.sql.shuffle.partitions"))
session.stop()
"""


def test_one_worker_is_the_driver() -> None:
    """Two G.1X are one executor of four cores; on one machine Spark itself knows."""
    assert [4, 36, 2] == [cores_of("G.1X", 2), cores_of("G.1X", 10), cores_of("G.025X", 2)]
    assert cores_of(None, None) is None


def test_every_worker_that_can_be_deployed_is_known() -> None:
    """The template's types, the table's, and those that the argument takes."""
    deployed = set(template("freshet")["Parameters"]["WorkerType"]["AllowedValues"])
    assert deployed == set(CORES)
    assert all(repr(kind) in str(Arguments.model_fields["worker_type"].annotation) for kind in deployed)


def test_the_configured_cores_decide(tmp_path: Path) -> None:
    """An executor that has not registered yet counts."""
    said = subprocess.run(
        [sys.executable, "-c", OPEN, str(tmp_path), "12"], capture_output=True, text=True, check=True, timeout=HANGS_S
    )
    assert "12 12" == said.stdout.strip()
