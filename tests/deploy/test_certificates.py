"""RDS's authorities are fetched once a month, and a fetch that fails harms nobody who has them."""

import io
import os
import time
import urllib.error
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from freshet.deploy import package
from freshet.deploy.package import CERTIFICATES_FILE, CERTIFICATES_LIFE_S, rds_certificates
from freshet.errors import EnvironmentFault, InputError

OLD, NEW = (f"-----BEGIN CERTIFICATE-----\n{word}\n-----END CERTIFICATE-----\n".encode() for word in ("old", "new"))


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes | Exception], None]:
    """Set what AWS's page answers."""

    def set_answer(answer: bytes | Exception) -> None:
        def opened(*_: Any, **__: Any) -> io.BytesIO:
            if isinstance(answer, Exception):
                raise answer
            return io.BytesIO(answer)

        monkeypatch.setattr(package.urllib.request, "urlopen", opened)

    return set_answer


def test_they_are_kept_for_a_month(answers: Callable[[bytes | Exception], None], tmp_path: Path) -> None:
    """Then the newest are fetched; while that fails, the kept ones do."""
    answers(OLD)
    assert OLD == rds_certificates(tmp_path, None).read_bytes()
    answers(NEW)
    assert OLD == rds_certificates(tmp_path, None).read_bytes()
    long_ago = time.time() - CERTIFICATES_LIFE_S - 1
    os.utime(tmp_path / CERTIFICATES_FILE, (long_ago, long_ago))
    answers(urllib.error.URLError("no way"))
    assert OLD == rds_certificates(tmp_path, None).read_bytes()
    answers(NEW)
    assert NEW == rds_certificates(tmp_path, None).read_bytes()


def test_without_any_it_says_what_to_do(answers: Callable[[bytes | Exception], None], tmp_path: Path) -> None:
    """Behind a wall one names a file; what is no certificate is not taken."""
    answers(urllib.error.URLError("no way"))
    with pytest.raises(EnvironmentFault, match="--rds-ca FILE"):
        rds_certificates(tmp_path, None)
    answers(b"<html>log in first</html>")
    with pytest.raises(EnvironmentFault, match="holds no certificates"):
        rds_certificates(tmp_path, None)
    with pytest.raises(InputError, match="there is no PEM file"):
        rds_certificates(tmp_path, tmp_path / "none.pem")
