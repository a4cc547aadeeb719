#!/bin/sh
# Fetch a real MySQL server into .freshet/mysql-server, for `sandbox up --mysql mysql`: no root, nothing is installed.
#
# A MySQL that is on the PATH is used as it is. Else apt-get, with lists, cache and package state of its own below .freshet,
# downloads the server and every library it needs, and dpkg unpacks them; they run by their own loader. Debian has MySQL
# in its unstable suite alone, so that suite is read from the archive that this system uses; elsewhere the system's own lists.
#
# Safe to run again: what is there stays, and an interrupted download goes on. One line a step goes to stderr, what apt-get
# says to .freshet/setup.log. Ends with 1 where MySQL cannot be had.
set -eu
cd "$(dirname "$0")/.."
here=$(pwd -P)
there=.freshet/mysql-server
work=.freshet/mysql-fetch
log=.freshet/setup.log
PATH="${PATH:-/usr/bin:/bin}:/usr/sbin:/usr/local/sbin:/opt/homebrew/bin:/opt/homebrew/opt/mysql/bin:/usr/local/opt/mysql/bin"

say() { printf 'mysql: %s\n' "$*" >&2; }
stop() {
    say "$*"
    exit 1
}
logged() {
    printf '\n$ %s\n' "$*" >>"$log"
    "$@" </dev/null >>"$log" 2>&1
}
stop_logged() {
    tail -n 3 "$log" | cut -c 1-200 >&2
    stop "$*; all it said is in $log. The sandbox goes on with MariaDB"
}

# MariaDB's packages bring a mysqld too.
if [ ! -e "$there" ] && said=$(mysqld --version 2>/dev/null) && ! printf '%s\n' "$said" | grep -qi mariadb; then
    say "this machine has one: $(command -v mysqld)"
    exit 0
fi
# The folder gets its name when it is whole.
[ ! -e "$there" ] || exit 0
if ! command -v apt-get >/dev/null 2>&1 || ! command -v dpkg >/dev/null 2>&1; then
    stop 'this machine has no apt-get to fetch a MySQL with. On macOS: brew install mysql. Elsewhere put mysqld 8.0.22 or newer on the PATH. Until then the sandbox uses MariaDB'
fi

started=$(date +%s)
mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/none"
[ -e "$log" ] || (umask 077 && : >"$log")
# With no package installed, the libraries come too, down to libc.
: >"$work/status"

# Runs apt-get or apt-cache on our own lists, cache and state.
private() {
    tool=$1
    shift
    env LC_ALL=C "$tool" -o Dir::State::lists="$here/$work/lists" -o Dir::State::status="$here/$work/status" \
        -o Dir::Cache="$here/$work/cache" -o APT::Sandbox::User= -o APT::Install-Recommends=0 \
        -o APT::Get::List-Cleanup=0 -o Acquire::Languages=none -o Acquire::Retries=2 -o Acquire::http::Timeout=20 -o Acquire::https::Timeout=20 "$@"
}

# Prints the address of the Debian archive that this system installs from.
archive() {
    sed -n 's/^ *URIs: *\([^ ]*\).*/\1/p; s/^ *deb *\(\[[^]]*\]\)\{0,1\} *\([^ ]*\) .*/\2/p' \
        /etc/apt/sources.list /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list 2>/dev/null |
        grep '/debian/*$' | head -n 1
}

if [ "$(. /etc/os-release && printf '%s' "$ID")" = debian ]; then
    address=$(archive)
    printf 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s unstable main\n' \
        "${address:-http://deb.debian.org/debian}" >"$work/sources.list"
    # apt has no option that says these in place of its own files and of nothing else.
    printf 'Dir::Etc::sourcelist "%s";\nDir::Etc::sourceparts "%s";\n' "$here/$work/sources.list" "$here/$work/none" >"$work/apt.conf"
    APT_CONFIG="$here/$work/apt.conf"
    export APT_CONFIG
fi
say 'reading what the archive has'
logged private apt-get -qq update || stop_logged 'apt-get could not read the archive'
package=''
for name in mysql-server-core mysql-server-core-8.4 mysql-server-core-8.0; do
    if private apt-cache policy "$name" 2>/dev/null | grep -q 'Candidate: [^(]'; then
        package=$name
        break
    fi
done
[ -n "$package" ] || stop 'the archive of this system has no MySQL server. The sandbox goes on with MariaDB'
say "downloading $package and its libraries, about 60 MB"
logged private apt-get -qq -y --download-only install "$package" || stop_logged "apt-get could not download $package"
say 'unpacking'
rm -rf "$work/root"
mkdir "$work/root"
for file in "$work"/cache/archives/*.deb; do
    case ${file##*/} in perl*) continue ;; esac # a dependency of its scripts, which nobody runs here
    logged dpkg -x "$file" "$work/root" || stop_logged "dpkg could not unpack ${file##*/}"
done
rm -rf "$work/root/usr/share/doc" "$work/root/usr/share/man"
mv "$work/root" "$there"
rm -rf "$work"
say "ready after $(($(date +%s) - started)) s: $package in $there"
