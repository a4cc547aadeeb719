"""What all tests share: one Spark session, and one sandbox with real MySQL, DMS, Kinesis, S3 and Redshift's SQL."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from freshet.cli.context import Place
from sandbox import control
from tests.servers import AVAILABLE

# A shell starts what runs in its background with Ctrl-C ignored, and whatever is started here would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """The sandbox of this test run; boto3 finds it through the environment."""
    state = tmp_path_factory.mktemp("sandbox")
    # What depends on the server takes MYSQL_SERVERS; all else has the one that every machine of ours has.
    place = Place(state, control.start(state, tied=True, mysql=AVAILABLE[-1]))
    before = dict(os.environ)
    os.environ.update(place.environment)
    yield place
    os.environ.clear()
    os.environ.update(before)
    place.close()
    control.stop(state)


@pytest.fixture(scope="session")
def spark(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """The Spark session of this test run, set up as the job sets it up; its workers know the sandbox."""
    from streaming_job.session import open_session

    session = open_session("local[2]", Path(tmp_path_factory.mktemp("spark")))
    yield session
    session.stop()
