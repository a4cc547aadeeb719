"""Tokens and masks, and the key that nobody sees."""

import base64
import hashlib
import hmac
import json
import pickle
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws
from pyspark.sql import SparkSession

from freshet.errors import EnvironmentFault
from freshet.pipeline import protection
from freshet.pipeline.protection import TokenKey, key_of, mask_digits_text, read_token_key, tokenize_text
from freshet.pipeline.spark import register_functions

KEY = bytes(range(32))
SECRET = {"active": "2", "keys": {"1": "AAAA", "2": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="}}


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An empty Secrets Manager, and a process that has fetched no key yet."""
    for name, value in (
        ("AWS_ACCESS_KEY_ID", "x"),
        ("AWS_SECRET_ACCESS_KEY", "x"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
    ):
        monkeypatch.setenv(name, value)
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SECRETS_MANAGER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(protection, "_keys", {})
    with mock_aws():
        client = boto3.client("secretsmanager", region_name="us-east-1")
        yield client
        client.close()


@given(st.text())
def test_a_token_is_an_hmac_under_a_named_key(text: str) -> None:
    """k<key id>: and the HMAC-SHA-256 of the UTF-8 bytes, as anyone with the key can compute it."""
    expected = hmac.new(KEY, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()
    assert f"k1:{expected}" == tokenize_text(KEY, "1", text)


@given(st.text())
def test_a_mask_leaves_no_digit_and_nothing_else_changes(text: str) -> None:
    """Every character of category Nd becomes a star, every other one stays."""
    masked = str(mask_digits_text(text))
    assert ["*" if char.isdecimal() else char for char in text] == list(masked)


@pytest.mark.parametrize(
    ("phone", "masked"),
    [
        ("+1-296-605-8486", "+*-***-***-****"),
        ("087-237-9316x2670", "***-***-****x****"),
        ("\uff11\uff12\uff13 ٤٥ ४२", "*** ** **"),
        ("²½Ⅳ", "²½Ⅳ"),
        ("", ""),
        (None, None),
    ],
)
def test_masks(phone: str | None, masked: str | None) -> None:
    """Digits of every script are hidden; numbers that are no digits stay; NULL stays NULL."""
    assert masked == mask_digits_text(phone)
    assert (phone is None) == (tokenize_text(KEY, "1", phone) is None)


def test_the_key_is_fetched_once_and_never_travels(secrets: Any) -> None:
    """The reference names the secret's version and key; the key itself is fetched where it is needed."""
    secrets.create_secret(Name="freshet/tokens", SecretString=json.dumps(SECRET))
    token = read_token_key(secrets, "freshet/tokens")
    assert (token.secret_id, token.key_id, token.region) == ("freshet/tokens", "2", "us-east-1")
    assert KEY not in pickle.dumps(token)
    protection._keys.clear()
    assert key_of(token) == KEY
    secrets.delete_secret(SecretId="freshet/tokens", ForceDeleteWithoutRecovery=True)
    assert key_of(token) == KEY


def test_a_version_stays_what_it_was_through_rotation(secrets: Any) -> None:
    """A batch that began before the rotation ends with the key it began with."""
    secrets.create_secret(Name="freshet/tokens", SecretString=json.dumps(SECRET))
    before = read_token_key(secrets, "freshet/tokens")
    keys = {**SECRET["keys"], "3": base64.b64encode(b"\xff" * 32).decode()}  # type: ignore[dict-item]
    secrets.put_secret_value(SecretId="freshet/tokens", SecretString=json.dumps({"active": "3", "keys": keys}))
    after = read_token_key(secrets, "freshet/tokens")
    protection._keys.clear()
    assert (before.key_id, after.key_id) == ("2", "3")
    assert key_of(before) == KEY
    assert key_of(after) == b"\xff" * 32


@pytest.mark.parametrize(
    ("secret", "message"),
    [
        ("not json hunter2", "is malformed"),
        ("[]", "is malformed"),
        ('{"active": "1"}', "is malformed"),
        ('{"active": "2", "keys": {"1": "hunter2"}}', "names no active key"),
        ('{"active": "toolong123", "keys": {"toolong123": "hunter2"}}', "names no active key"),
        ('{"active": 1, "keys": {"1": "hunter2"}}', "names no active key"),
        ('{"active": "1", "keys": {"1": "hunter2"}}', "holds no key 1 of 32 bytes"),
        ('{"active": "1", "keys": {"1": "aHVudGVyMg=="}}', "holds no key 1 of 32 bytes"),
        ('{"active": "1", "keys": {"1": 7}}', "holds no key 1 of 32 bytes"),
    ],
)
def test_a_malformed_secret_is_refused_without_its_content(secrets: Any, secret: str, message: str) -> None:
    """No key, no start; and the message holds nothing of the secret."""
    secrets.create_secret(Name="freshet/tokens", SecretString=secret)
    with pytest.raises(EnvironmentFault, match=message) as caught:
        read_token_key(secrets, "freshet/tokens")
    assert "hunter2" not in str(caught.value)
    assert caught.value.exit_code == 3
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_missing_secret_is_named(secrets: Any) -> None:
    """The message names the secret, what AWS said, and what the secret should hold."""
    with pytest.raises(EnvironmentFault, match=r"freshet/tokens cannot be read \(ResourceNotFoundException\)"):
        read_token_key(secrets, "freshet/tokens")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # PySpark leaves collect's socket open
def test_spark_knows_both_functions(spark: SparkSession) -> None:
    """In a real Spark both functions answer as their pure forms, NULL for NULL."""
    session = spark.newSession()
    register_functions(session, TokenKey("freshet/tokens", "no such version", "1", "us-east-1"))
    rows = session.sql("select mask_digits(s) as m from values ('a1 ٣😀'), (null) as v(s)").collect()
    assert [row.m for row in rows] == ["a* *😀", None]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_worker_without_the_key_quotes_no_value(spark: SparkSession) -> None:
    """When the key cannot be fetched the error is ours and names the secret, never the text."""
    session = spark.newSession()
    register_functions(session, TokenKey("no such secret", "x" * 32, "1", "us-east-1"))
    with pytest.raises(Exception, match="no such secret") as caught:
        session.sql("select tokenize(s) as t from values ('hunter2@example.org') as v(s)").collect()
    assert "hunter2" not in str(caught.value).replace("values ('hunter2@example.org')", "")
