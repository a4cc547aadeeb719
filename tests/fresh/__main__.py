"""Run both commands on bare Debian, as newcomers would; end with a table.

    sudo make fresh                                       every case: some hours on two cores
    sudo make fresh ARGS="--only 'without sudo' --release debian-13"

Needs root and debootstrap. Everything lies under .freshet/fresh, and the bare roots stay there for the next time. What is
committed is what is tried. Ubuntu is untried: its archive is not this system's.
"""

import argparse
import datetime as dt
import os
import re
import shutil
import sys
import time
from pathlib import Path
from typing import Final

from tests.fresh import roots
from tests.fresh.cases import CASES, USER, Case, clone
from tests.fresh.roots import Machine

ROOT: Final = Path(__file__).resolve().parents[2]
FOLDER: Final = ROOT / ".freshet" / "fresh"
SUMMARY: Final = re.compile(r"=+ (.*(?:passed|failed|error).*) in [\d.]+s.* =+$")
ASKED: Final = re.compile(r"^setup: .*Run: (.*)", re.MULTILINE)
LACKS: Final = 3


def main() -> int:
    """Try the cases; 0 when all are green, 3 when this machine cannot try them."""
    parser = argparse.ArgumentParser(
        prog="make fresh", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only", action="append", metavar="WORDS", help="cases whose name holds these words; more than once"
    )
    parser.add_argument(
        "--release", action="append", choices=list(roots.RELEASES), help="default: debian-12, debian-13"
    )
    options = parser.parse_args()
    if os.geteuid() != 0 or not shutil.which("debootstrap"):
        print("make fresh needs root and debootstrap: apt-get install debootstrap; sudo make fresh", file=sys.stderr)
        return LACKS
    (FOLDER / "logs").mkdir(parents=True, exist_ok=True)
    rows = []
    releases = options.release or ["debian-12", "debian-13"]
    try:
        for release in releases:
            for number, case in enumerate(CASES):
                asked = any(words in case.name for words in options.only or [""])
                if asked and (case.everywhere or release == releases[0]):
                    print(f"{dt.datetime.now(dt.UTC):%H:%M} {release}, {case.name} ...", file=sys.stderr, flush=True)
                    rows.append(
                        (release, case.name, attempt(release, case, FOLDER / "logs" / f"{release}-{number:02}.log"))
                    )
                    print(f"      {rows[-1][2]}", file=sys.stderr, flush=True)
    finally:
        for left in FOLDER.glob(f"machine.*.{os.getpid()}"):
            roots.remove(left)
    for release, name, result in rows:
        print(f"{release:<15} {name:<50} {result}")
    return 0 if all(result.startswith("green") for _, _, result in rows) else 1


def attempt(release: str, case: Case, log: Path) -> str:
    """Try one case; say how it ended."""
    log.unlink(missing_ok=True)
    began = time.monotonic()
    try:
        machine = bare_machine(release, log) if case.bare else used_machine(release, log)
        code = machine.type(case.script, case.user, before=case.before)
        if code == 0 and case.offline:
            code = machine.type(case.offline, case.user, offline=True)
    except RuntimeError as error:
        return f"RED: {error}"
    if not code:
        machine.tidy()
    text = log.read_text(errors="replace")
    demos = text.count('"verified": true')
    told = [f"{demos} verified"] if demos else []
    told += [found[1] for line in text.splitlines() if (found := SUMMARY.match(line))]
    told.append(f"{(time.monotonic() - began) / 60:.0f} min")
    if code or case.said not in text:
        reason = f"exit code {code}" if code else f"nobody said {case.said!r}"
        return f"RED, {reason}: {', '.join(told)}; see {log.relative_to(ROOT)}"
    return f"green: {', '.join(told)}"


def bare_machine(release: str, log: Path) -> Machine:
    """Give a machine that nobody has touched, with the repository at /origin.

    Raises:
        RuntimeError: It could not be made.
    """
    folder = FOLDER / f"machine.{release}.bare.{os.getpid()}"
    roots.remove(folder)
    roots.run(["cp", "-a", str(roots.bare(FOLDER, release, log)), str(folder)], log)
    roots.run(["git", "clone", "--quiet", "--bare", str(ROOT), str(folder / "origin")], log)
    roots.run(["chmod", "-R", "go+rX", str(folder / "origin")], log)
    return Machine(folder, log)


def used_machine(release: str, log: Path) -> Machine:
    """Give a machine whose administrator did what set-up asked of a user without sudo; the same one each time.

    Raises:
        RuntimeError: Set-up asked for nothing, or what it asked for does not work.
    """
    folder = FOLDER / f"machine.{release}.used.{os.getpid()}"
    if not folder.exists():
        machine = bare_machine(release, log)
        machine.type("apt-get update", "root")
        machine.type(f"{clone()} && make setup", USER)
        asked = ASKED.findall(log.read_text(errors="replace"))
        if not asked or machine.type(asked[-1].replace("sudo ", ""), "root"):
            raise RuntimeError(f"what set-up asked of an administrator did not work: {asked}; see {log}")
        machine.tidy()
        machine.root.rename(folder)
    return Machine(folder, log)


if __name__ == "__main__":
    sys.exit(main())
