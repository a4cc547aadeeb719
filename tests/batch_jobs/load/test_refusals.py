"""Whose fault it is, by what COPY says."""

from typing import Any

import pytest

from batch_jobs.load.commit import Copied
from batch_jobs.load.culprits import Loader
from batch_jobs.load.listing import File
from batch_jobs.load.refusals import is_of_the_load, passes_by_itself
from batch_jobs.load.transaction import Batch, Refusal
from freshet.errors import TransientError

OF_A_FILE = (
    "Avro file s3://b/k is broken, or no Avro container file (EOFError)",
    "Cannot init avro reader from s3 file Incorrect Avro container file magic number",
    "Spectrum Scan Error: file s3://b/k has an incompatible Parquet schema for column amount",
    "S3ServiceException:The specified key does not exist.,Status 404,Error NoSuchKey,s3://b/k",
    "S3ServiceException:Access Denied,Status 403,Error AccessDenied,s3://b/k",
)
OF_THE_LOAD = (
    "Cannot COPY into nonexistent table sales",
    'column "..." of relation "public"."sales" does not exist',
    "permission denied for relation sales",
    "User arn:aws:redshift:x is not authorized to assume IAM Role arn:aws:iam::1:role/x",
    'syntax error at or near "delimiter"',
    "MANIFEST is not supported with FORMAT AS ORC",
)
PASSING = (
    "Query cancelled on user's request",
    "the connection to the database was lost",
    "S3ServiceException:Please reduce your request rate.,Status 503,Error SlowDown",
    "Disk Full",
)


@pytest.mark.parametrize("reason", OF_A_FILE + OF_THE_LOAD + PASSING)
def test_whose_fault_it_is(reason: str) -> None:
    """The load's, the moment's, or else perhaps a file's."""
    found = is_of_the_load(Refusal(reason)), passes_by_itself(Refusal(reason))
    assert (reason in OF_THE_LOAD, reason in PASSING) == found


def test_what_redshift_names_with_a_code_is_the_files() -> None:
    """Whatever words it uses."""
    told = Refusal("Invalid connection string: permission denied", "s3://b/k", 1, "c", 1207)
    assert (False, False) == (is_of_the_load(told), passes_by_itself(told))


class Scripted:
    """A committer that answers as told: a Refusal, or Copied."""

    def __init__(self, answers: Any) -> None:
        self.answers, self.tried, self.aside = answers, [], []  # type: ignore[var-annotated]
        self.table = self
        self.load = self
        self.name = self.target = "x"

    def copy(self, batch: Batch) -> Any:
        names = [file.url for file in batch.files]
        self.tried.append(names)
        return self.answers(names)

    def set_aside(self, _batch: Batch, file: File, _refusal: Refusal) -> bool:
        self.aside.append(file.url)
        return True

    def list_objects_v2(self, Prefix: str, **_where: object) -> dict[str, Any]:  # noqa: N803 - boto3's name
        return {"Contents": [{"Key": Prefix, "Size": 1, "ETag": '"e"'}]}


def loader(answers: Any) -> tuple[Loader, Scripted]:
    scripted = Scripted(answers)
    return Loader(scripted, scripted, "run", lambda _event: None), scripted  # type: ignore[arg-type]


def files(count: int) -> list[File]:
    return [File(f"s3://b/{number:04}", 1, "e") for number in range(count)]


def test_a_bad_moment_blames_no_file() -> None:
    """It ends the run; what was loaded stays."""
    one, scripted = loader(
        lambda names: Copied(1) if len(names) < 5 else Refusal("the connection to the database was lost")
    )
    one.load(files(3))
    with pytest.raises(TransientError, match="run it again"):
        one.load(files(9))
    assert [] == scripted.aside


def test_what_fails_once_is_tried_again() -> None:
    """A file that fails by itself and then passes is no bad file."""
    failed: list[str] = []

    def once(names: list[str]) -> Any:
        if "s3://b/0003" in names and len(failed) < 4:
            failed.append("x")
            return Refusal("who knows")
        return Copied(len(names))

    one, scripted = loader(once)
    one.proved = True
    one.load(files(8))
    one.finish()
    assert ([], 8) == (scripted.aside, one.moved.files)


@pytest.mark.parametrize("count", [2, 9, 100, 1000])
def test_a_culprit_is_found_in_few_steps(count: int) -> None:
    """About twice the logarithm, and a handful to prove the definition; every other file is loaded once."""
    loaded: list[str] = []

    def answers(names: list[str]) -> Any:
        if "s3://b/0001" in names:
            return Refusal("broken")
        loaded.extend(names)
        return Copied(len(names))

    one, scripted = loader(answers)
    one.load(files(count))
    one.finish()
    assert ["s3://b/0001"] == scripted.aside
    assert sorted(file.url for file in files(count) if file.url != "s3://b/0001") == sorted(loaded)
    assert len(scripted.tried) <= 2 * count.bit_length() + 14
