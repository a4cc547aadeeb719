"""A river for each test that breaks something."""

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from freshet.cli.context import Place
from tests.river import River


@pytest.fixture
def river(place: Place, spark: SparkSession, tmp_path: Path) -> River:
    """Fed by the sandbox's DMS, through the sandbox's stream."""
    river = River(place, spark, tmp_path)
    river.simulate("initial", "--events", "4", "--tickets_per_event", "25", "--customers", "40")
    return river


@pytest.fixture
def own_stream(place: Place, spark: SparkSession, tmp_path: Path) -> River:
    """Fed by the test itself, which decides what arrives and in which order."""
    river = River(place, spark, tmp_path, own_stream=True)
    river.simulate("initial", "--events", "4", "--tickets_per_event", "25", "--customers", "40")
    return river
