"""An account of its own for each test, and the command at a person's hand."""

import importlib
import itertools
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from freshet.cli import context, run_command
from freshet.cli.context import ROOT
from freshet.deploy import package
from freshet.deploy.start import Work
from freshet.deploy.wheels import product_wheel
from tests.deploy.cloud import Cloud, cloud
from tests.launchers.conftest import CACHE

PIPELINE = str(ROOT / "sql/pipelines/sport_event_activity")
WAITS_MAX = 200
# Of the command's modules the package `freshet.cli` shows the functions of the same names.
SCREENS = [
    importlib.import_module(f"freshet.cli.{name}")
    for name in ("context", "deploy", "destroy", "status", "query", "export", "export_aws", "pull")
]


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The product's wheel, built once: a test is not faster for building it again."""
    return product_wheel(ROOT, tmp_path_factory.mktemp("wheel"))


@dataclass
class Person:
    """Somebody at a terminal."""

    cloud: Cloud
    capsys: pytest.CaptureFixture[str]
    authorities: Path
    patch: pytest.MonkeyPatch

    def deploys(self, *options: str, code: int = 0) -> str:
        """Run `freshet deploy`; give all that it said."""
        return self.runs("deploy", PIPELINE, "--stack", "demo", "--rds-ca", str(self.authorities), *options, code=code)

    def runs(self, *command: str, code: int = 0) -> str:
        """Run a command; give all that it said."""
        self.cloud.calls.clear()
        got = run_command(list(command))
        said = "".join(reversed(self.capsys.readouterr()))
        assert got == code, said
        return said

    def answers(self, *answers: Any) -> None:
        """Sit at a terminal and answer what will be asked."""
        given = iter(answers)
        self._can_be_asked(True)
        self.patch.setattr("typer.confirm", lambda _: next(given))
        self.patch.setattr("typer.prompt", lambda _: next(given))

    def is_in_a_pipe(self) -> None:
        """Leave the terminal."""
        self._can_be_asked(False)

    def _can_be_asked(self, can: bool) -> None:
        for module in SCREENS:
            self.patch.setattr(module, "can_ask", lambda: can, raising=False)


@pytest.fixture
def person(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Person]:
    """Somebody with an empty account, whose ledger gets a batch after a while."""
    home = tmp_path / "home"
    (home / "aws").mkdir(parents=True)
    CACHE.mkdir(exist_ok=True)
    (home / "aws" / "wheels").symlink_to(CACHE)
    monkeypatch.setenv("FRESHET_HOME", str(home))
    monkeypatch.chdir(tmp_path)
    authorities = tmp_path / "authorities.pem"
    authorities.write_text("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")
    monkeypatch.setattr(package, "product_wheel", lambda _, out: _copied(built, out))
    looks, waits = itertools.count(), itertools.count()
    for module in SCREENS:
        monkeypatch.setattr(module, "out", Console(highlight=False, width=160), raising=False)
        monkeypatch.setattr(module, "pause", lambda _: _ends(next(waits)), raising=False)
        monkeypatch.setattr(module, "reader", lambda *_: lambda: _ledger(next(looks)), raising=False)
    monkeypatch.setattr(context, "err", Console(highlight=False, width=160, stderr=True))
    with cloud(monkeypatch) as made:
        yield Person(made, capsys, authorities, monkeypatch)


def _copied(wheel: Path, out: Path) -> Path:
    out.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copyfile(wheel, out / wheel.name))


def _ledger(look: int) -> Work:
    """Empty at the first looks; then each look sees one more run."""
    return Work(1, look) if look > 1 else Work()


def _ends(waited: int) -> None:
    assert waited < WAITS_MAX, "this would wait for ever"
