#!/bin/sh
# Prepare this clone: .venv with the pinned Python packages, and two system packages, a Java (17, else 21) and MariaDB.
#
# Safe to run again: what is there stays, and when nothing changed it ends at once. One line a step goes to stderr, so that
# `make demo` keeps its stdout; what apt-get and pip say goes to .freshet/setup.log. An interrupted set-up begins anew.
# .venv/java_home then names the Java to use.
set -eu
cd "$(dirname "$0")"
here=$(pwd -P)

EXTRAS='spark,cli,sandbox,dev'
# Debian's -core packages hold the programs alone: no service, nothing is started.
APT_MARIADB='mariadb-server-core mariadb-client-core'
# What Spark 4.1 runs on; AWS Glue 6.0 has the first.
JAVA_VERSIONS='17 21'
STAMP=.venv/prepared
PLACE=.venv/place
LOG=.freshet/setup.log
APT_WAITS_S=300

PATH="${PATH:-/usr/bin:/bin}:/usr/local/bin:/usr/sbin:/usr/local/sbin:/opt/homebrew/bin:/opt/homebrew/sbin"
started=$(date +%s)

say() { printf 'setup: %s\n' "$*" >&2; }
stop() {
    say "$*"
    exit 3
}

# Runs a command whose words go to the log.
logged() {
    printf '\n$ %s\n' "$*" >>"$LOG"
    "$@" </dev/null >>"$LOG" 2>&1
}

# Says why the command before failed, and where its words are.
stop_logged() {
    tail -n 5 "$LOG" | cut -c 1-200 >&2
    stop "$*; all it said is in $LOG"
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

# Prints the version of a Java home, if it is one that serves.
java_version() {
    for version in $JAVA_VERSIONS; do
        if [ -x "$1/bin/java" ] && "$1/bin/java" -version 2>&1 | grep -q "version \"${version}[.\"]"; then
            printf '%s\n' "$version"
            return
        fi
    done
    return 1
}

# Prints the home of a Java, wherever it is, whichever comes first on the PATH.
find_java() {
    if command -v java >/dev/null 2>&1; then
        first=$(java -XshowSettings:properties -version 2>&1 | sed -n 's/^ *java\.home = //p')
    fi
    for wanted in $JAVA_VERSIONS; do
        macos=$([ ! -x /usr/libexec/java_home ] || /usr/libexec/java_home -v "$wanted" 2>/dev/null || true)
        for home in "${JAVA_HOME:-}" "${first:-}" "$macos" /usr/lib/jvm/*"$wanted"* /opt/homebrew/opt/openjdk@"$wanted" \
            /usr/local/opt/openjdk@"$wanted" "${HOME:-}"/.sdkman/candidates/java/"$wanted"*; do
            if [ -n "$home" ] && [ "$(java_version "$home")" = "$wanted" ]; then
                printf '%s\n' "$home"
                return
            fi
        done
    done
    return 1
}

has_mariadb() { command -v mariadbd >/dev/null 2>&1 && command -v mariadb-install-db >/dev/null 2>&1; }

# Tells whether this user may install; as_root then holds what goes before such a command.
is_admin() {
    as_root=''
    [ "$(id -u)" = 0 ] || { sudo -n true 2>/dev/null && as_root='sudo -n'; }
}

# Runs apt-get or dpkg as root; waits while another program holds the lock of apt's lists or of dpkg.
as_admin() {
    waited=0
    # shellcheck disable=SC2086  # nothing, or two words
    until logged $as_root env DEBIAN_FRONTEND=noninteractive "$@"; do
        if ! tail -n 3 "$LOG" | grep -Eiq 'could not get lock|unable to lock|unable to acquire|was locked by' ||
            [ "$waited" -ge "$APT_WAITS_S" ]; then
            return 1
        fi
        [ "$waited" != 0 ] || say "apt-get is used by another program; waiting for it, $((APT_WAITS_S / 60)) minutes at most"
        sleep 5
        waited=$((waited + 5))
    done
}

# Prints the Java package of this system's archive.
apt_java() {
    for version in $JAVA_VERSIONS; do
        if LC_ALL=C apt-cache policy "openjdk-$version-jre-headless" 2>/dev/null | grep -q 'Candidate: [^(]'; then
            printf 'openjdk-%s-jre-headless\n' "$version"
            return
        fi
    done
    return 1
}

# Installs Debian packages, or says how to; the word java stands for the one that the archive has.
apt_install() {
    if ! is_admin; then
        choose_java "$@" || stop "missing: $*. Run: sudo apt-get update; then this again, which names the packages"
        stop "missing: $packages. Run: sudo apt-get update && sudo apt-get install -y --no-install-recommends $packages"
    fi
    # What a private umask would make unreadable for others belongs to the whole system.
    mask=$(umask)
    umask 022
    say 'reading what the system archive has (apt-get update)'
    as_admin apt-get -qq update || stop_logged 'apt-get update failed'
    choose_java "$@" || stop "the system archive has no Java $JAVA_VERSIONS; install one and set JAVA_HOME to it"
    say "installing $packages with apt-get"
    finish_interrupted
    # shellcheck disable=SC2086  # words, on purpose
    as_admin apt-get -qq install -y --no-install-recommends $packages || stop_logged "apt-get could not install $packages"
    umask "$mask"
}

# Finishes an installation that was interrupted: what it left may look whole, such as a Java without its settings.
finish_interrupted() {
    half=$(dpkg --audit 2>/dev/null) || half=''
    [ -n "$half" ] || return 0
    if is_admin; then
        say 'finishing an installation that was interrupted (dpkg --configure -a)'
        as_admin dpkg --configure -a || as_admin apt-get -qq install -y --fix-broken --no-install-recommends ||
            stop_logged 'dpkg could not finish what was begun before'
    elif printf '%s\n' "$half" | grep -Eq 'openjdk|java|mariadb|python3'; then
        stop 'an installation was interrupted. Run: sudo dpkg --configure -a; then this again'
    fi
}

# Puts the package of the archive's Java in the place of the word java.
choose_java() {
    packages=''
    for name in "$@"; do
        [ "$name" != java ] || name=$(apt_java) || return 1
        packages="$packages${packages:+ }$name"
    done
}

# Installs what is missing, in the words of this system's packager: apt's first, Homebrew's second.
install_missing() {
    if command -v apt-get >/dev/null 2>&1; then
        # shellcheck disable=SC2086  # words, on purpose
        apt_install $1
    else
        stop "missing: $2. On macOS: brew install $2. Elsewhere: Python 3.11 or newer, OpenJDK 17 or 21, MariaDB 10.6 or newer, on the PATH"
    fi
}

prepare_system() {
    missing_apt='' missing_brew=''
    has_mariadb || { missing_apt="$missing_apt $APT_MARIADB" missing_brew="$missing_brew mariadb"; }
    java_home=$(find_java) || { missing_apt="$missing_apt java" missing_brew="$missing_brew openjdk@17"; }
    if ! find_python 'ensurepip, venv' >/dev/null; then
        # Debian keeps the venv module in a package of its own.
        venv=$(python=$(find_python sys) && "$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])') ||
            venv=python3-venv
        missing_apt="$missing_apt $venv"
        missing_brew="$missing_brew python@3.13"
    fi
    finish_interrupted
    [ -z "$missing_apt" ] || install_missing "${missing_apt# }" "${missing_brew# }"
    has_mariadb || stop 'mariadbd or mariadb-install-db is still not on the PATH'
    java_home=$(find_java) || stop 'no Java 17 or 21 was found; set JAVA_HOME to one'
    python=$(find_python 'ensurepip, venv') || stop 'no Python 3.11 to 3.14 with the module venv was found; install python3.13, 3.12 or 3.11'
}

# What a user's pip is told elsewhere must not change what is installed; where the packages come from is the user's choice.
pip() {
    PIP_REQUIRE_HASHES=0 PIP_USER=0 PIP_NO_DEPS=0 PIP_REQUIRE_VIRTUALENV=0 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 \
        logged .venv/bin/python -m pip "$@"
}

# A console script names its interpreter by a path, and a path with quotes cannot be written there.
write_command() {
    rm -f .venv/bin/freshet
    # shellcheck disable=SC2016  # the script's own dollars
    printf '%s\n' '#!/bin/sh' 'exec "$(dirname "$(readlink -f "$0")")/python" -P -m freshet "$@"' >.venv/bin/freshet
    chmod +x .venv/bin/freshet
}

prepare_python() {
    # Only a finished set-up of this very place is brought up to date; a half or a moved one is made anew.
    if [ "$(cat "$PLACE" 2>/dev/null)" != "$here" ] || ! .venv/bin/python -c 'import pip' 2>/dev/null; then
        say "making .venv with $("$python" --version)"
        rm -rf .venv
        logged "$python" -m venv .venv || stop_logged "$python could not make .venv"
    fi
    rm -f "$STAMP" "$PLACE"
    say 'installing the Python packages, a minute or two: PySpark alone is 450 MB'
    # Older pips run PySpark's setup.py in place of building a wheel, and that reads a dollar in the path as a variable.
    pip install --quiet --use-pep517 -c constraints.txt -e ".[$EXTRAS]" || stop_logged 'pip could not install the packages'
    # The sandbox, the simulators and the benchmarks are no part of the package; in a clone they are found all the same. The
    # path is relative: before Python 3.13 the locale decides how this file is read.
    echo ../../../.. >"$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/clone.pth"
    write_command
    logged .venv/bin/python -c 'import freshet.cli, sandbox.control, streaming_job.session' ||
        stop_logged 'the packages were installed, but do not work'
}

case "$here" in *[:,]*)
    stop "this folder's path has a colon or a comma, which Python's and Spark's lists of folders cannot hold: move the clone" ;;
esac
# The stamp holds the place too: a venv that was moved does not work.
wanted=$({ printf '%s\n' "$here" && cat setup.sh pyproject.toml constraints.txt; } | cksum)
if [ "$wanted" = "$(cat "$STAMP" 2>/dev/null)" ] && .venv/bin/python -c '' 2>/dev/null &&
    java_version "$(cat .venv/java_home 2>/dev/null)" >/dev/null && has_mariadb; then
    exit 0
fi

[ -d .freshet ] || mkdir -m 700 .freshet
(umask 077 && : >"$LOG")
prepare_system
# The system's own folder for temporary files may be small, or forbid programs. Not for apt-get: its helper is another user.
mkdir -p .freshet/tmp
export TMPDIR="$here/.freshet/tmp"
prepare_python
printf '%s\n' "$java_home" >.venv/java_home
say "keeping Spark's classes for quicker starts"
logged .venv/bin/python -m streaming_job.class_archive || say "that did not work, and $LOG says why; Spark starts more slowly"
printf '%s\n' "$here" >"$PLACE"
printf '%s\n' "$wanted" >"$STAMP"
say "ready after $(($(date +%s) - started)) s: $(.venv/bin/python --version), Java $(java_version "$java_home"), $(mariadbd --version | sed 's/.*Ver \([0-9.]*\).*/MariaDB \1/')"
