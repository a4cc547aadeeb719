"""Exports against the sandbox, with the Spark session of the test run."""

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from freshet.cli.context import Place
from tests.batch_jobs.export.mart import Mart


@pytest.fixture
def mart(place: Place, spark: SparkSession, tmp_path: Path) -> Mart:
    return Mart(place, spark, tmp_path)
