"""Files that an argument names by an s3:// URL, brought to where the job runs; a local path is taken as it is.

Reads:  a folder or a file, here or in S3.
Gives:  a local folder, a text.
"""

from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from freshet.errors import EnvironmentFault
from freshet.pipeline.problems import SELECT_FILE, YAML_FILE

S3 = "s3://"


def local_folder(place: str, s3: Any, scratch: Path) -> Path:
    """Give a pipeline's folder; one in S3 is fetched, and keeps its name, which is the pipeline's.

    Args:
        place: A path, or the s3:// URL of a folder.
        s3: A boto3 client.
        scratch: An empty folder to fetch into.

    Raises:
        EnvironmentFault: A file of it cannot be fetched.
    """
    if not place.startswith(S3):
        return Path(place)
    folder = scratch / place.rstrip("/").rpartition("/")[2]
    folder.mkdir(exist_ok=True)
    for name in (SELECT_FILE, YAML_FILE):
        (folder / name).write_bytes(_object(f"{place.rstrip('/')}/{name}", s3))
    return folder


def text_of(place: str, s3: Any) -> str:
    """Give the text of a file.

    Args:
        place: A path, or an s3:// URL.
        s3: A boto3 client.

    Raises:
        EnvironmentFault: It cannot be read.
    """
    try:
        return (_object(place, s3) if place.startswith(S3) else Path(place).read_bytes()).decode()
    except OSError as error:
        raise EnvironmentFault(f"{place} cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise EnvironmentFault(f"{place} is not text") from None


def _object(url: str, s3: Any) -> bytes:
    bucket, _, key = url.removeprefix(S3).partition("/")
    try:
        return bytes(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    except ClientError as error:
        code = error.response["Error"]["Code"]
        raise EnvironmentFault(
            f"{url} cannot be read ({code}): check that it is there, and the role's rights"
        ) from None
    except BotoCoreError as error:
        raise EnvironmentFault(f"{url} cannot be read ({type(error).__name__}): check region and network") from None
