"""What is there already, in this database and in no other."""

import uuid

from freshet.cli.context import Place
from freshet.redshift.catalogue import missing_schemas


def test_a_schema_of_another_database_is_not_there(place: Place) -> None:
    """Redshift lists it too: `sample_data_dev`, with which every serverless namespace comes, has a `tickit`."""
    mine = f"mine_{uuid.uuid4().hex[:8]}"
    place.warehouse.run([f"create schema {mine}"])
    listed = {row["schema_name"] for row in place.warehouse.query("select schema_name from svv_redshift_schemas")}
    assert {"tickit", mine} <= listed
    assert ["tickit"] == missing_schemas(place.warehouse, ["public", "tickit", mine, "tickit"])
    place.warehouse.run([f"drop schema {mine}"])
