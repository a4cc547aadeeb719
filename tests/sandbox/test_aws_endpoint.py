"""S3 and Secrets Manager answer at the same address as Kinesis, and take faults too."""

import json
import threading
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from sandbox.aws import Endpoint
from sandbox.kinesis.api import Kinesis
from sandbox.kinesis.store import Store
from sandbox.server import Server


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    store = Store(tmp_path_factory.mktemp("aws") / "kinesis.sqlite")
    server = Server(0, Endpoint(Kinesis(store)).answer, DomainDispatcherApplication(create_backend_app))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()
    thread.join()
    server.server_close()
    store.close()


def client(url: str, service: str) -> Any:
    return boto3.client(
        service, endpoint_url=url, region_name="us-east-1", aws_access_key_id="sandbox",
        aws_secret_access_key="sandbox", config=Config(retries={"total_max_attempts": 1}),
    )  # fmt: skip


@pytest.fixture
def s3(url: str) -> Iterator[Any]:
    made = client(url, "s3")
    yield made
    made.close()


@pytest.fixture
def bucket(s3: Any) -> str:
    name = f"b-{uuid.uuid4().hex[:8]}"
    s3.create_bucket(Bucket=name)
    return name


def control(url: str, method: str, path: str, **request: object) -> dict[str, Any]:
    call = urllib.request.Request(url + path, json.dumps(request).encode(), method=method)
    with urllib.request.urlopen(call) as answer:
        told: dict[str, Any] = json.load(answer)
    return told


def test_objects_of_any_size_and_name_come_back(s3: Any, bucket: str) -> None:
    """Plain and multipart uploads, HEAD, listing and deleting work over connections that stay open."""
    key, large = "a folder/\u00fc+x.parquet", bytes(9 << 20)
    s3.put_object(Bucket=bucket, Key=key, Body=b"content")
    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == b"content"
    assert s3.head_object(Bucket=bucket, Key=key)["ContentLength"] == 7
    upload = s3.create_multipart_upload(Bucket=bucket, Key="large")["UploadId"]
    part = s3.upload_part(Bucket=bucket, Key="large", UploadId=upload, PartNumber=1, Body=large)
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    s3.complete_multipart_upload(Bucket=bucket, Key="large", UploadId=upload, MultipartUpload=parts)
    assert sorted((o["Key"], o["Size"]) for o in s3.list_objects_v2(Bucket=bucket)["Contents"]) == [
        (key, 7),
        ("large", len(large)),
    ]
    s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key}, {"Key": "large"}]})
    with pytest.raises(s3.exceptions.NoSuchKey):
        s3.get_object(Bucket=bucket, Key=key)


def test_a_lost_answer_leaves_the_object_there(url: str, s3: Any, bucket: str) -> None:
    """The work is done, the answer never comes."""
    control(url, "POST", "/_sandbox/faults", operation="S3.PUT", fault="lose_response")
    with pytest.raises(ConnectionClosedError):
        s3.put_object(Bucket=bucket, Key="k", Body=b"there")
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"there"
    assert control(url, "GET", "/_sandbox/faults")["injected"]["S3.PUT.lose_response"] == 1


def test_throttling_is_told_in_the_service_s_words(url: str, s3: Any, bucket: str) -> None:
    """S3 answers 503 SlowDown; planned faults can be forgotten."""
    control(url, "POST", "/_sandbox/faults", operation="S3.PUT", fault="throttle", times=2)
    with pytest.raises(ClientError, match="SlowDown"):
        s3.put_object(Bucket=bucket, Key="k", Body=b"")
    assert control(url, "DELETE", "/_sandbox/faults")["planned"] == []
    s3.put_object(Bucket=bucket, Key="k", Body=b"")


def test_an_unknown_fault_is_refused(url: str) -> None:
    """A test that misspells its fault must not pass."""
    with pytest.raises(urllib.error.HTTPError) as refused:
        control(url, "POST", "/_sandbox/faults", operation="GetRecords", fault="explode")
    assert refused.value.code == 400
    assert "explode" in refused.value.read().decode()


def test_records_can_be_trimmed_without_waiting_a_day(url: str) -> None:
    """What retention does after a day, a test can ask for."""
    kinesis = client(url, "kinesis")
    kinesis.create_stream(StreamName="s", ShardCount=1)
    kinesis.put_record(StreamName="s", Data=b"x", PartitionKey="k")
    assert control(url, "POST", "/_sandbox/trim", stream="s", older_than_s=0) == {"trimmed": 1}
    kinesis.close()


def test_secrets(url: str) -> None:
    """Secrets Manager answers beside the others."""
    secrets = client(url, "secretsmanager")
    secrets.create_secret(Name="a/b", SecretString="hidden")
    assert secrets.get_secret_value(SecretId="a/b")["SecretString"] == "hidden"
    secrets.close()
