#!/bin/sh
# Prepare this clone: .venv with the pinned Python packages, and the two system packages, OpenJDK 17 and MariaDB.
#
# Safe to run again: what is there stays, and when nothing changed it ends at once. It writes to .venv only, and says what
# it does on stderr, so that `make demo` keeps its stdout. .venv/java_home then names the Java 17 to use.
set -eu
cd "$(dirname "$0")"

EXTRAS='spark,cli,sandbox,dev'
# Debian's -core packages hold the programs alone: no service, nothing is started.
APT_MARIADB='mariadb-server-core mariadb-client-core'
APT_JAVA='openjdk-17-jre-headless'
STAMP=.venv/prepared

PATH="${PATH:-/usr/bin:/bin}:/usr/local/bin:/usr/sbin:/usr/local/sbin:/opt/homebrew/bin:/opt/homebrew/sbin"
started=$(date +%s)

say() { printf 'setup: %s\n' "$*" >&2; }
stop() {
    say "$*"
    exit 3
}

# Prints the newest Python that is new enough; the argument is what it must be able to import.
find_python() {
    for name in python3.14 python3.13 python3.12 python3.11 python3; do
        # A version manager's stand-in may exist without the Python behind it, so each is tried.
        if "$name" -c "import sys, $1; sys.exit(not (3, 11) <= sys.version_info < (3, 15))" >/dev/null 2>&1; then
            command -v "$name"
            return
        fi
    done
    return 1
}

is_java_17() { [ -x "$1/bin/java" ] && "$1/bin/java" -version 2>&1 | grep -q 'version "17[."]'; }

# Prints the home of a Java 17, wherever it is, whichever Java comes first on the PATH.
find_java() {
    if command -v java >/dev/null 2>&1; then
        first=$(java -XshowSettings:properties -version 2>&1 | sed -n 's/^ *java\.home = //p')
    fi
    macos=$([ ! -x /usr/libexec/java_home ] || /usr/libexec/java_home -v 17 2>/dev/null || true)
    for home in "${JAVA_HOME:-}" "${first:-}" "$macos" /usr/lib/jvm/*17* /opt/homebrew/opt/openjdk@17 \
        /usr/local/opt/openjdk@17 "${HOME:-}"/.sdkman/candidates/java/17*; do
        if [ -n "$home" ] && is_java_17 "$home"; then
            printf '%s\n' "$home"
            return
        fi
    done
    return 1
}

has_mariadb() { command -v mariadbd >/dev/null 2>&1 && command -v mariadb-install-db >/dev/null 2>&1; }

# Installs Debian packages, or says how to.
apt_install() {
    command="apt-get install -y --no-install-recommends $*"
    if [ "$(id -u)" = 0 ]; then
        as_root=
    elif sudo -n true 2>/dev/null; then
        as_root='sudo -n'
    else
        stop "missing: $*. Run: sudo apt-get update && sudo $command"
    fi
    say "installing $* with apt-get"
    log=$(mktemp)
    # shellcheck disable=SC2086  # words, on purpose
    {
        $as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 update &&
            $as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 \
                install -y --no-install-recommends "$@"
    } </dev/null >"$log" 2>&1 || {
        tail -n 20 "$log" >&2
        stop "apt-get could not install $*. Try: apt-get update && $command"
    }
    rm -f "$log"
}

# Installs what is missing, in the words of this system's packager.
install_missing() {
    if command -v apt-get >/dev/null 2>&1; then
        # shellcheck disable=SC2086  # words, on purpose
        apt_install $1
    else
        stop "missing: $2. On macOS: brew install $2. Elsewhere: OpenJDK 17 and MariaDB 10.6 or newer, on the PATH"
    fi
}

prepare_system() {
    missing_apt= missing_brew=
    has_mariadb || { missing_apt="$missing_apt $APT_MARIADB" missing_brew="$missing_brew mariadb"; }
    java_home=$(find_java) || { missing_apt="$missing_apt $APT_JAVA" missing_brew="$missing_brew openjdk@17"; }
    [ -z "$missing_apt" ] || install_missing "${missing_apt# }" "${missing_brew# }"
    has_mariadb || stop 'mariadbd or mariadb-install-db is still not on the PATH'
    java_home=$(find_java) || stop 'no Java 17 was found; set JAVA_HOME to one'
}

prepare_python() {
    if .venv/bin/python -c 'import pip' 2>/dev/null; then
        return
    fi
    if ! python=$(find_python 'ensurepip, venv'); then
        # Debian keeps the venv module in a package of its own.
        python=$(find_python sys) || stop 'Python 3.11 or newer is missing; install python3.13, 3.12 or 3.11'
        install_missing "$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')" python@3.13
    fi
    say "making .venv with $("$python" --version)"
    rm -rf .venv
    "$python" -m venv .venv >&2 || stop "$python could not make .venv"
}

# The stamp holds the place too: a venv that was moved does not work.
wanted=$({ pwd && cat setup.sh pyproject.toml constraints.txt; } | cksum)
if [ "$wanted" = "$(cat "$STAMP" 2>/dev/null)" ] && .venv/bin/python -c '' 2>/dev/null &&
    is_java_17 "$(cat .venv/java_home 2>/dev/null)" && has_mariadb; then
    exit 0
fi

prepare_system
[ ! -e "$STAMP" ] || [ "$(cat .venv/place 2>/dev/null)" = "$(pwd)" ] || rm -rf .venv
prepare_python
say 'installing the Python packages (the first time takes a minute or two: PySpark alone is 450 MB)'
quiet=--quiet
[ ! -t 2 ] || quiet=
# shellcheck disable=SC2086  # nothing, or one word
.venv/bin/python -m pip install $quiet --disable-pip-version-check --no-input -c constraints.txt -e ".[$EXTRAS]" \
    </dev/null >&2 || stop 'pip could not install the packages; its message is above'
# The sandbox, the simulators and the benchmarks are no part of the package; in a clone they are found all the same.
pwd >"$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/clone.pth"
printf '%s\n' "$java_home" >.venv/java_home
say "keeping Spark's classes for quicker starts"
JAVA_HOME=$java_home .venv/bin/python -m streaming_job.class_archive 2>/dev/null || say 'that did not work; Spark starts more slowly'
pwd >.venv/place
printf '%s\n' "$wanted" >"$STAMP"
say "ready after $(($(date +%s) - started)) s: $(.venv/bin/python --version), Java 17 in $java_home, $(mariadbd --version | sed 's/.*Ver \([0-9.]*\).*/MariaDB \1/')"
