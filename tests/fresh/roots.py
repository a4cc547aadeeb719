"""Bare roots of Debian, and newcomers in them.

A root is a folder. A machine is a copy of it, with mounts and processes of its own for each command that is typed there.
"""

import os
import shutil
import socket
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.fresh.cases import HOMES, USER

# What a newcomer has who has cloned something before: neither Java nor MariaDB, neither pip nor venv.
PACKAGES: Final = "ca-certificates,git,make,python3"
# Debian's names of the releases.
RELEASES: Final = {"debian-12": "bookworm", "debian-13": "trixie", "debian-testing": "testing"}
OWN_AUTHORITIES: Final = Path("/usr/local/share/ca-certificates")
PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LEFT_RUNNING: Final = 99
# Arguments: the root, then a command.
ENTER: Final = """
root=$1; shift
mount --make-rprivate /
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
chroot "$root" "$@"
"""
# 127.0.0.1 of a new network namespace is down: SIOCSIFFLAGS, IFF_UP.
LOOPBACK_UP: Final = """
import fcntl, pathlib, socket, struct
fcntl.ioctl(socket.socket(), 0x8914, struct.pack("16sh14x", b"lo", 1))
ipv6 = pathlib.Path("/proc/sys/net/ipv6/conf/all/disable_ipv6")
if ipv6.exists():
    ipv6.write_text("1")
"""
# Arguments: who types. When the script has ended, whatever is left of ours is a fault.
TYPE: Final = f"""
code=0
su - "$1" -c "sh /typed" || code=$?
sleep 1
ours='(mariadbd|postgres|sandbox[.][a-z]+|streaming_job[.a-z_]*|pyspark[.][a-z]+|[^ ]*/java) '
left=$(cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | grep -oE "$ours" | sort -u)
[ -z "$left" ] || {{ echo "left running: $left"; exit {LEFT_RUNNING}; }}
exit $code
"""


def bare(folder: Path, release: str, log: Path) -> Path:
    """Give a release's bare root; made once.

    Raises:
        RuntimeError: It could not be made; the log says why.
    """
    root, part = folder / f"{release}.bare", folder / f"{release}.part"
    if root.exists():
        return root
    remove(part)
    scripts = Path("/usr/share/debootstrap/scripts")
    script = scripts / RELEASES[release]
    command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", RELEASES[release], str(part), _mirror()]
    run([*command, str(script if script.exists() else scripts / "sid")], log)
    # The way out is the host's: where names are looked up, and whose certificates are believed.
    shutil.copy("/etc/resolv.conf", part / "etc")
    if OWN_AUTHORITIES.is_dir():
        shutil.copytree(OWN_AUTHORITIES, part / OWN_AUTHORITIES.relative_to("/"), dirs_exist_ok=True)
    # A copy of the archive may be older than the archive says that it lives.
    (part / "etc/apt/apt.conf.d/90fresh").write_text('Acquire::Check-Valid-Until "false";\n')
    (part / "etc/gitconfig").write_text("[safe]\n\tdirectory = /origin\n[advice]\n\tdetachedHead = false\n")
    run(["chroot", str(part), "/usr/sbin/update-ca-certificates"], log)
    run(["chroot", str(part), "/usr/sbin/useradd", "--create-home", "--shell", "/bin/bash", USER], log)
    for private in ("root", f"{HOMES[1:]}/{USER}"):
        (part / private).chmod(0o700)
    part.rename(root)
    return root


def _mirror() -> str:
    """Give the archive that this system's own apt reads."""
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(SITE) $(REPO_URI)", "Created-By: Packages", "Origin: Debian"],
        capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    return next(line.split()[1] for line in listed if "security" not in line)


def remove(root: Path) -> None:
    """Delete a root, and nothing that is mounted below it."""
    if root.exists():
        subprocess.run(["rm", "-rf", "--one-file-system", str(root)], check=True)


def run(command: Sequence[str], log: Path) -> None:
    """Run a command of the preparation.

    Raises:
        RuntimeError: It failed; the log says why.
    """
    with log.open("ab") as output:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}; see {log}")


@dataclass(frozen=True)
class Machine:
    """One copy of a root, and the log of what is said there."""

    root: Path
    log: Path

    def type(self, script: str, user: str, *, before: str = "", offline: bool = False) -> int:
        """Let someone type a script in a login shell.

        Args:
            script: For sh; $ORIGIN names the repository.
            user: Who.
            before: What root does first, with the same mounts.
            offline: 127.0.0.1 is the only address.

        Returns:
            The exit code; LEFT_RUNNING when something that it started still ran at the end.
        """
        hosts = f"127.0.0.1 localhost {socket.gethostname()}\n::1 localhost\n"
        (self.root / "etc/hosts").write_text(hosts)
        typed = self.root / "typed"
        typed.write_text(f"export ORIGIN=/origin\n{script}\n", encoding="utf-8")
        typed.chmod(0o755)
        command = [
            "sh",
            "-ec",
            ENTER,
            "sh",
            str(self.root),
            "env",
            "-i",
            f"PATH={PATH}",
            "sh",
            "-ec",
            before + TYPE,
            "sh",
        ]
        if offline:
            up = ["sh", "-ec", 'python=$1; code=$2; shift 2; "$python" -c "$code"; exec "$@"', "sh"]
            command = [*up, shutil.which("python3") or "python3", LOOPBACK_UP, *command]
        namespaces = ["--mount", "--pid", "--fork", "--kill-child", *(["--net"] if offline else [])]
        with self.log.open("ab") as output:
            output.write(f"\n--- {user} types{' without a network' if offline else ''}\n{script}\n---\n".encode())
            output.flush()
            done = subprocess.run(
                ["setpriv", "--pdeathsig", "KILL", "unshare", *namespaces, *command, user],  # all of it ends with us
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False, env={"PATH": os.environ["PATH"]},
            )  # fmt: skip
        return done.returncode

    def tidy(self) -> None:
        """Delete the clones; what pip has in its cache stays."""
        for home in (self.root / HOMES[1:] / USER, self.root / "root", self.root / "srv" / "own"):
            for path in home.iterdir() if home.is_dir() else ():
                if not path.name.startswith("."):
                    remove(path)
