"""The newcomers of `make fresh`: who they are, where their clone lies, what is odd about their machine.

Each case is a shell script that a newcomer types in a login shell of a bare root; $ORIGIN is what they clone.
"""

from dataclasses import dataclass
from shlex import quote
from typing import Final

USER: Final = "ann"  # has no sudo
HOMES: Final = "/home"
ODD: Final = quote("""it's a "dir" of $HOME é""")
ACCENT: Final = quote("é")
LONG: Final = "/".join(f"a-folder-with-a-long-name-{number}" for number in range(8))
DEMO: Final = 'make demo ARGS="--for 5s --json"'
TEST: Final = "make test"
FEW_TESTS: Final = 'make test ARGS="tests/sandbox tests/project tests/pipeline/test_spark_functions.py"'


@dataclass(frozen=True)
class Case:
    """One newcomer.

    Attributes:
        name: A line of the table.
        script: What the newcomer types.
        user: Who types it.
        bare: The machine has nothing. Else an administrator did on it what set-up asks of a user without sudo, and others
            may have been there before.
        before: What root does to the machine first.
        offline: What the newcomer types then, on a machine with the address 127.0.0.1 and no other.
        said: Words that must have been said, as the case is none otherwise.
        everywhere: Tried on each release, not on the first alone.
    """

    name: str
    script: str
    user: str = USER
    bare: bool = False
    before: str = ""
    offline: str = ""
    said: str = ""
    everywhere: bool = False


def clone(place: str = "freshet") -> str:
    """Write the newcomer's first line."""
    return f'git clone --quiet "$ORIGIN" {place} && cd {place}'


def steps(*lines: str) -> str:
    """Join lines of which each must succeed."""
    return " &&\n".join(lines)


CASES: Final = (
    Case("root, the clone in root's home", steps(clone(), DEMO, TEST), user="root", bare=True, everywhere=True),
    Case("a user without sudo", steps(clone(), DEMO, TEST), everywhere=True),
    Case("a path with blanks, accents, quotes, a dollar", steps(clone(ODD), DEMO, FEW_TESTS)),
    Case("such a path, root", steps(clone(ODD), DEMO), user="root"),
    Case("a path of 260 characters", steps(f"mkdir -p {LONG}", f"cd {LONG}", clone(), DEMO, FEW_TESTS)),
    Case(
        "through a symbolic link; then moved",
        steps(
            clone(), "cd ..", "ln -s freshet link", "cd link", DEMO,
            "cd ..", "mv freshet elsewhere", "cd elsewhere", DEMO,
        ),
    ),
    Case(
        "a machine that does not know its own name",
        steps(clone(), DEMO),
        before="echo 127.0.0.1 localhost > /etc/hosts\n",
    ),
    Case("no HOME", steps(clone(), f"env -u HOME {DEMO}")),
    Case("LANG=C", steps(clone(ACCENT), f"env LANG=C {DEMO}")),
    Case(
        "LC_ALL=C, umask 077",
        steps("umask 077", "export LC_ALL=C", clone(ACCENT), DEMO, FEW_TESTS),
    ),
    Case("umask 077, root", steps("umask 077", clone(), DEMO), user="root"),
    Case(
        "/tmp of 1 MB without programs; a read-only home",
        steps("cd /srv/own", clone(), DEMO, FEW_TESTS),
        before=f"""
mkdir -p /srv/own
chown {USER} /srv/own
mount -t tmpfs -o size=1m,noexec,mode=1777 tmpfs /tmp
mount --bind {HOMES}/{USER} {HOMES}/{USER}
mount -o remount,bind,ro {HOMES}/{USER}
""",
    ),
    Case(
        "two clones at once",
        steps(
            f"({clone('one')})", f"({clone('two')})",
            f"{{ (cd one && {DEMO} > ../one.out 2>&1) & }} && (cd two && {DEMO}) && wait $!",
            "tail -n 1 one.out",
        ),
    ),
    Case(
        "pip demands hashes, installs for the user, warns",
        steps(
            "mkdir -p ~/.config/pip",
            r"printf '[global]\nrequire-hashes = true\nuser = true\nno-deps = true\nextra-index-url = file:///nowhere\n'"
            " > ~/.config/pip/pip.conf",
            "trap 'rm ~/.config/pip/pip.conf' EXIT",
            clone(), DEMO,
        ),
    ),
    Case(
        "apt locked by another; set-up killed five times",
        steps(
            clone(),
            "for after_s in 3 12 25 40 60; do timeout -s KILL $after_s ./setup.sh || true; done",
            DEMO,
        ),
        user="root", bare=True, said="apt-get is used by another program",
        before="""
python3 -c 'import fcntl, time
held = [open(name, "w") for name in ("/var/lib/apt/lists/lock", "/var/lib/dpkg/lock-frontend")]
[fcntl.lockf(lock, fcntl.LOCK_EX) for lock in held]
time.sleep(12)' &
""",
    ),
    Case(
        "no network after set-up, no IPv6",
        steps(clone(), "make setup"),
        offline=steps("cd freshet", DEMO, FEW_TESTS),
    ),
)  # fmt: skip
