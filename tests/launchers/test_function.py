"""The function for pullers as AWS Lambda calls it: Python 3.13, boto3, the code that is uploaded; Redshift is the sandbox's."""

import subprocess
import uuid

from freshet.cli.context import Place
from tests.launchers.conftest import Function

DEFINITION = {"cursor": "id", "keys": ["id"], "overlap": 0}


def test_it_answers_there(function: Function, place: Place) -> None:
    """Of several definitions the one that is asked for; the second call goes on behind the first, with what was added."""
    mark = uuid.uuid4().hex[:8]
    table = f"public.pulled_{mark}"
    place.warehouse.run([f"create table {table} (id bigint, note varchar(20))", f"insert into {table} values (1, 'é')"])
    redshift = place.endpoints["redshift"]
    where = {"FRESHET_WORKGROUP": redshift["workgroup"], "FRESHET_DATABASE": redshift["database"]}
    pulls = {"one": {"tables": {table: DEFINITION}}, "other": {"tables": {"public.nowhere": DEFINITION}}}
    asked = {"agent": "test", "state": {}, "secrets": {"pull": "one"}}
    tested, first = function.calls(pulls, {**asked, "setup_test": True}, asked, **where)
    assert (True, False) == (tested["success"], first["hasMore"])
    assert {f"pulled_{mark}": [{"id": 1, "note": "é"}]} == first["insert"]
    place.warehouse.run([f"insert into {table} values (2, null)"])
    (second,) = function.calls(pulls, {**asked, "state": first["state"]}, **where)
    assert {"id": 2, "note": None} in second["insert"][f"pulled_{mark}"]
    place.warehouse.run([f"drop table {table}"])


def test_which_python_it_was(function: Function) -> None:
    """Where a CPython 3.13 can be found, it is Lambda's own version; else the tests' Python stands in."""
    version = subprocess.run([str(function.python), "-V"], capture_output=True, text=True, check=True).stdout
    assert version.startswith("Python 3.13") == function.is_lambdas_own
