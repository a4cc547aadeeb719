"""How simulators connect, and what they say."""

import json
from pathlib import Path
from typing import Any

import boto3
import pytest

from sandbox import certificates
from tests.moto_server import moto_server
from tests.simulators.conftest import Shop


def test_no_personal_data_is_printed(small_shop: Shop) -> None:
    """No name, address or phone number of a customer is in any output."""
    said = small_shop.run("initial", "--customers", 20) + small_shop.run("incremental", "--count", 1)
    sold = small_shop.number("select ticket_id from ticket_activity")
    said += small_shop.run("upsert", "--ticket_id_to_be_updated", sold)
    said += small_shop.run("upsert", "--ticket_id_to_be_updated", 10**9, code=2)
    said += small_shop.run("burst", "--changes", 50)
    personal = [value for row in small_shop.rows("select name, email, phone from customer") for value in row if value]
    assert len(personal) > 50
    assert [value for value in personal if value in said] == []


def test_a_missing_password_is_named(small_shop: Shop) -> None:
    """The variable that is not set is named, exit code 2."""
    del small_shop.environment["SHOP_PASSWORD"]
    assert "SHOP_PASSWORD" in small_shop.run("incremental", code=2)


def test_a_wrong_password_is_the_environments_fault(small_shop: Shop) -> None:
    """Exit code 3, and the password is not repeated."""
    small_shop.environment["SHOP_PASSWORD"] = "not-the-password"
    said = small_shop.run("incremental", code=3)
    assert "no connection to 127.0.0.1" in said
    assert "not-the-password" not in said


def test_a_server_with_another_certificate_is_refused(small_shop: Shop, tmp_path: Path) -> None:
    """Whoever cannot prove to be the server gets no password."""
    certificates.make(tmp_path)
    assert "no connection" in small_shop.run("incremental", "--ssl_ca", tmp_path / "ca.pem", code=3)
    assert "is not there" in small_shop.run("incremental", "--ssl_ca", tmp_path / "nothing.pem", code=3)


def test_without_tables_it_says_what_to_run_first(shop: Shop) -> None:
    """An empty database is named as such, exit code 2."""
    assert "run initial.py first" in shop.run("incremental", code=2)
    assert "run initial.py first" in shop.run("upsert", "--ticket_id_to_be_updated", 1, code=2)


def test_glues_own_arguments_do_no_harm(small_shop: Shop) -> None:
    """A Python shell job gets arguments that nobody asked for."""
    small_shop.run("incremental", "--scriptLocation", "s3://bucket/incremental.py", "--job-language", "python")


@pytest.mark.parametrize("options", [("--rate", "0"), ("--for", "3"), ("--count", "0"), ("--cuont", "3")])
def test_options_that_make_no_sense_are_refused(small_shop: Shop, options: tuple[str, str]) -> None:
    """They end with exit code 2 and sell nothing."""
    small_shop.run("incremental", *options, code=2)
    assert small_shop.number("select count(*) from ticket_activity") == 0


def test_a_secret_and_a_bucket_are_all_that_a_glue_job_needs(small_shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Host, port, user, password and database come from the secret, the CA from S3."""
    mysql = small_shop.mysql
    with moto_server() as url:
        aws = {
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": "sandbox",
            "AWS_SECRET_ACCESS_KEY": "sandbox",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        for name, value in aws.items():
            monkeypatch.setenv(name, value)
        secret: dict[str, Any] = {"host": mysql["host"], "port": mysql["port"], "username": mysql["user"]}
        secret |= {"password": mysql["password"], "dbname": small_shop.name}
        secrets = boto3.client("secretsmanager")
        secrets.create_secret(Name="shop/mysql", SecretString=json.dumps(secret))
        secrets.create_secret(Name="shop/half", SecretString=json.dumps({"password": mysql["password"]}))
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket="certificates")
        s3.put_object(Bucket="certificates", Key="ca.pem", Body=Path(mysql["tls_ca"]).read_bytes())

        small_shop.environment |= aws
        ca = ("--ssl_ca", "s3://certificates/ca.pem")
        small_shop.run("incremental", "--user", "", "--port", 1, "--secret", "shop/mysql", *ca)
        assert small_shop.number("select count(*) from ticket_activity") == 1
        said = small_shop.run("incremental", "--secret", "shop/half", *ca, code=2)
        assert "is not JSON with host" in said
        assert mysql["password"] not in said
        assert "ResourceNotFound" in small_shop.run("incremental", "--secret", "shop/other", *ca, code=3)
        assert "cannot be read" in small_shop.run("incremental", "--ssl_ca", "s3://certificates/other", code=3)
        secrets.close()
        s3.close()
