"""Tokens and masks: the two ways in which a personal value may leave.

The key never travels: the driver passes on which secret, which version of it and which key is meant; a worker fetches that
version once and keeps it in memory. So a batch has one key, even while the secret is being rotated.

Reads:  the secret {"active": "1", "keys": {"1": "<base64 of 32 bytes>"}} in Secrets Manager.
Gives:  a TokenKey without the key; pure functions of text.
"""

import base64
import binascii
import hmac
import json
import re
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
import pyarrow as pa
import pyarrow.compute as pc
from botocore.exceptions import BotoCoreError, ClientError

from freshet.errors import EnvironmentFault
from freshet.pipeline.functions import MASK_DIGITS, TOKENIZE
from freshet.pipeline.model import Output

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

KEY_BYTES = 32
_KEY_ID = re.compile(r"[0-9a-zA-Z]{1,8}")
_DIGIT = re.compile(r"\d")
_keys: dict["TokenKey", bytes] = {}


@dataclass(frozen=True)
class TokenKey:
    """Which key makes tokens; holds no secret, so it may travel to workers and into logs."""

    secret_id: str
    version_id: str
    key_id: str
    region: str | None = None


def tokenize_text(key: bytes, key_id: str, text: str | None) -> str | None:
    """Give `k<key id>:` and the lower-case hexadecimal HMAC-SHA-256 of the text's UTF-8 bytes; NULL stays NULL."""
    if text is None:
        return None
    return f"k{key_id}:{hmac.digest(key, text.encode('utf-8', 'surrogatepass'), 'sha256').hex()}"


def mask_digits_text(text: str | None) -> str | None:
    """Replace every Unicode decimal digit (category Nd) by `*`; NULL stays NULL."""
    return None if text is None else _DIGIT.sub("*", text)


def protected(table: pa.Table, outputs: Iterable[Output], tokens: TokenKey) -> pa.Table:
    """Apply the outermost protections of outputs, which the SQL left out.

    Args:
        table: What `Pipeline.select_sql` gave.
        outputs: The pipeline's outputs.
        tokens: Which key makes tokens.
    """
    for output in outputs:
        if output.outermost:
            place = table.schema.get_field_index(output.name)
            table = table.set_column(place, output.name, PROTECT[output.outermost](table[output.name], tokens))
    return table


def _tokenized(texts: Any, tokens: TokenKey) -> Any:
    key = key_of(tokens)
    return _each(texts, lambda text: tokenize_text(key, tokens.key_id, text))


def _masked(texts: Any, _: TokenKey) -> Any:
    return _each(texts, mask_digits_text)


def _each(texts: Any, function: Callable[[str | None], str | None]) -> Any:
    """Apply a function once to each value that is there: many rows of a fact join one row of a dimension."""
    found = pc.dictionary_encode(texts.combine_chunks())
    return pa.array([function(text) for text in found.dictionary.to_pylist()], pa.string()).take(found.indices)


PROTECT: dict[str, Callable[[Any, TokenKey], Any]] = {TOKENIZE: _tokenized, MASK_DIGITS: _masked}


def read_token_key(secretsmanager: "SecretsManagerClient", secret_id: str) -> TokenKey:
    """Find which key is active now.

    Raises:
        EnvironmentFault: The secret cannot be read or is not as it should be; the message never holds its content.
    """
    answer = _fetch(secretsmanager, secret_id)
    active, key = _active(answer["SecretString"], secret_id)
    token = TokenKey(secret_id, answer["VersionId"], active, secretsmanager.meta.region_name)
    _keys[token] = key
    return token


def key_of(token: TokenKey) -> bytes:
    """Give the key itself, fetched at most once a process.

    Raises:
        EnvironmentFault: This version of the secret cannot be read any more.
    """
    key = _keys.get(token)
    if key is None:
        try:
            client = boto3.client("secretsmanager", region_name=token.region)
        except BotoCoreError as error:
            raise EnvironmentFault(
                f"no client for Secrets Manager ({type(error).__name__}): check region and credentials"
            ) from None
        with closing(client):
            answer = _fetch(client, token.secret_id, token.version_id)
        keys = _keys_of(answer["SecretString"], token.secret_id)[1]
        key = _keys[token] = _key(keys, token.key_id, token.secret_id)
    return key


def _fetch(client: "SecretsManagerClient", secret_id: str, version_id: str | None = None) -> dict[str, str]:
    version: Any = {"VersionId": version_id} if version_id else {}
    try:
        answer = client.get_secret_value(SecretId=secret_id, **version)
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "unknown")
        raise EnvironmentFault(f"the token secret {secret_id} cannot be read ({code}): {_MAKE_ONE}") from None
    except BotoCoreError as error:
        raise EnvironmentFault(
            f"Secrets Manager does not answer for {secret_id} ({type(error).__name__}): check region, network, credentials"
        ) from None
    return {"SecretString": answer.get("SecretString", ""), "VersionId": answer["VersionId"]}


_MAKE_ONE = 'it should hold {"active": "1", "keys": {"1": "<base64 of 32 random bytes>"}}'


def _keys_of(secret: str, secret_id: str) -> tuple[object, dict[str, object]]:
    try:
        content = json.loads(secret)
    except ValueError:
        content = None
    if not isinstance(content, dict) or not isinstance(content.get("keys"), dict):
        raise EnvironmentFault(f"the token secret {secret_id} is malformed: {_MAKE_ONE}")
    return content.get("active"), content["keys"]


def _active(secret: str, secret_id: str) -> tuple[str, bytes]:
    active, keys = _keys_of(secret, secret_id)
    if not isinstance(active, str) or not _KEY_ID.fullmatch(active) or active not in keys:
        raise EnvironmentFault(
            f"the token secret {secret_id} names no active key of 1 to 8 letters or digits: {_MAKE_ONE}"
        )
    return active, _key(keys, active, secret_id)


def _key(keys: dict[str, object], key_id: str, secret_id: str) -> bytes:
    written = keys.get(key_id)
    try:
        key = base64.b64decode(written, validate=True) if isinstance(written, str) else b""
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise EnvironmentFault(f"the token secret {secret_id} holds no key {key_id} of {KEY_BYTES} bytes: {_MAKE_ONE}")
    return key
