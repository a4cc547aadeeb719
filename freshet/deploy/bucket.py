"""The bucket of a stack: put files that are not there yet, and empty it at the end."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from botocore.exceptions import ClientError

from freshet.deploy.account import error_code
from freshet.deploy.package import Artifact
from freshet.errors import FreshetError, InputError

DELETED_AT_ONCE = 1000  # DeleteObjects takes no more


def missing(s3: Any, bucket: str, owner: str, artifacts: Sequence[Artifact]) -> list[Artifact]:
    """Find what the bucket does not hold yet.

    Args:
        s3: Client.
        bucket: The bucket.
        owner: Account that must own it: nobody else's bucket of that name gets our files.
        artifacts: What it should hold.
    """
    return [each for each in dict.fromkeys(artifacts) if not _is_there(s3, bucket, owner, each.key)]


def upload(s3: Any, bucket: str, owner: str, artifacts: Sequence[Artifact], show: Callable[[Artifact], None]) -> int:
    """Put files; `show` is told before each. Gives the number of bytes."""
    total = 0
    for artifact in artifacts:
        show(artifact)
        with artifact.path.open("rb") as content:
            s3.put_object(Bucket=bucket, Key=artifact.key, Body=content, ExpectedBucketOwner=owner)
        total += artifact.path.stat().st_size
    return total


def check_own_bucket(s3: Any, bucket: str, owner: str) -> None:
    """Check that a bucket of the user's exists and is theirs.

    Raises:
        InputError: It is not.
    """
    try:
        s3.head_bucket(Bucket=bucket, ExpectedBucketOwner=owner)
    except ClientError as error:
        if error_code(error) in {"404", "NoSuchBucket"}:
            raise InputError(
                f"parameter S3BucketName: there is no bucket {bucket}; leave the parameter out, and one is made"
            ) from None
        if error_code(error) == "403":
            raise InputError(
                f"parameter S3BucketName: bucket {bucket} is not this account's, or may not be read"
            ) from None
        raise


def empty(s3: Any, bucket: str, owner: str, prefix: str, show: Callable[[int], None]) -> int:
    """Delete all versions and delete markers below a prefix; `show` is told how many are gone.

    Raises:
        FreshetError: S3 refused to delete some.
    """
    gone = 0
    for versions in _versions(s3, bucket, owner, prefix):
        answer = s3.delete_objects(
            Bucket=bucket, Delete={"Objects": versions, "Quiet": True}, ExpectedBucketOwner=owner
        )
        if answer.get("Errors"):
            first = answer["Errors"][0]
            raise FreshetError(f"S3 did not delete {first.get('Key')} of {bucket} ({first.get('Code')})")
        gone += len(versions)
        show(gone)
    return gone


def _versions(s3: Any, bucket: str, owner: str, prefix: str) -> Iterator[list[dict[str, str]]]:
    pages = s3.get_paginator("list_object_versions").paginate(
        Bucket=bucket, Prefix=prefix, ExpectedBucketOwner=owner, PaginationConfig={"PageSize": DELETED_AT_ONCE}
    )
    for page in pages:
        found = [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]
        if found:
            yield [{"Key": each["Key"], "VersionId": each["VersionId"]} for each in found]


def _is_there(s3: Any, bucket: str, owner: str, key: str) -> bool:
    try:
        s3.head_object(Bucket=bucket, Key=key, ExpectedBucketOwner=owner)
    except ClientError as error:
        if error_code(error) in {"404", "NoSuchKey", "NotFound"}:
            return False
        raise
    return True
