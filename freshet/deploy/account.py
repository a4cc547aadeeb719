"""The AWS account that a command acts on: who we are there, its clients, its errors in words.

Nothing is asked of AWS before `open_account`, which fails when there are no credentials.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, ProfileNotFound

from freshet.deploy.settings import AwsSettings
from freshet.errors import EnvironmentFault

NOT_ALLOWED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AccessDeniedFault", "403"}
EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "InvalidClientTokenId", "UnrecognizedClientException",
           "SignatureDoesNotMatch", "InvalidSignatureException"}  # fmt: skip


@dataclass(frozen=True)
class Account:
    """An account and a region, the name of the stack in it, and the ARN of who asks."""

    session: boto3.Session
    id: str
    region: str
    stack: str
    identity: str = ""
    _clients: dict[str, Any] = field(default_factory=dict, compare=False)

    def client(self, service: str) -> Any:
        """Give the boto3 client of a service."""
        if service not in self._clients:
            self._clients[service] = _client(self.session, service, self.region)
        return self._clients[service]

    def close(self) -> None:
        """Close the clients' connections."""
        while self._clients:
            self._clients.popitem()[1].close()

    @property
    def partition(self) -> str:
        """The part of AWS: aws, aws-cn or aws-us-gov."""
        return str(self.session.get_partition_for_region(self.region))

    @property
    def redshift_user(self) -> str | None:
        """The user as which the Data API lets us into Redshift Serverless; None for the account's root.

        Source: Redshift management guide, "Database user" of an IAM identity: IAM:user, IAMR:role.
        """
        kind, _, name = self.identity.rpartition(":")[2].partition("/")
        if kind == "assumed-role":
            return f"IAMR:{name.partition('/')[0]}"
        return f"IAM:{name.rpartition('/')[2]}" if kind == "user" else None

    @property
    def domain(self) -> str:
        """The domain of its endpoints."""
        return "amazonaws.com.cn" if self.partition == "aws-cn" else "amazonaws.com"


def open_account(settings: AwsSettings) -> Account:
    """Find credentials and region, and ask AWS who we are.

    Raises:
        EnvironmentFault: There are none, they have expired, or no region is named.
    """
    try:
        region = settings.region or os.environ.get("AWS_REGION")
        session = boto3.Session(profile_name=settings.profile, region_name=region)
    except ProfileNotFound:
        raise EnvironmentFault(
            f"there is no AWS profile {settings.profile}: `aws configure list-profiles` shows those that there are"
        ) from None
    if session.region_name is None:
        raise EnvironmentFault("no region is named: set AWS_REGION, or `aws: {region: ...}` in freshet.yaml")
    sts = _client(session, "sts", session.region_name)
    try:
        with aws_errors():
            identity = sts.get_caller_identity()
    finally:
        sts.close()
    return Account(session, str(identity["Account"]), session.region_name, settings.stack, str(identity["Arn"]))


@contextmanager
def aws_errors() -> Iterator[None]:
    """Turn what AWS and boto3 refuse into an error that says what to do."""
    try:
        yield
    except NoCredentialsError:
        raise EnvironmentFault(
            "no AWS credentials were found: `aws configure sso`, AWS_PROFILE, or `aws: {profile: ...}` in freshet.yaml"
        ) from None
    except ClientError as error:
        raise EnvironmentFault(explain(error)) from None
    except BotoCoreError as error:
        raise EnvironmentFault(f"AWS did not answer ({type(error).__name__}): {error}") from None


def error_code(error: ClientError) -> str:
    """Give the code of what AWS refused."""
    return str(error.response.get("Error", {}).get("Code", ""))


def explain(error: ClientError) -> str:
    """Say what AWS refused, and what to do."""
    code, message = error_code(error), str(error.response.get("Error", {}).get("Message", ""))
    told = f"AWS refused {error.operation_name} ({code})" + (f": {message}" if message else "")
    if code in NOT_ALLOWED:
        return f"{told}. These credentials lack the right; docs/security.md lists what deploying needs"
    if code in EXPIRED:
        return f"{told}. Log in again: `aws sso login`, or new access keys"
    return told


def _client(session: boto3.Session, service: str, region: str) -> Any:
    config = Config(retries={"mode": "standard", "total_max_attempts": 8}, connect_timeout=10, read_timeout=60)
    make: Any = session.client  # typed a service at a time
    return make(service, region_name=region, config=config)
