#!/bin/sh
# fetch-package.sh PACKAGE - downloads a Debian package and unpacks it, without installing it
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Prints the folder with the package's files. Needs no root where apt's package lists are there. What was unpacked
# once is taken from the cache: $LODGE_CACHE, or ~/.cache/lodge, or build/cache where there is no home.
set -eu

package=${1:?usage: tools/fetch-package.sh PACKAGE}
here=$(cd "$(dirname "$0")/.." && pwd)
if [ -n "${LODGE_CACHE-}" ]; then
    cache=$LODGE_CACHE
elif [ -n "${HOME-}" ] && [ -w "$HOME" ]; then
    cache=${XDG_CACHE_HOME:-$HOME/.cache}/lodge
else
    cache=$here/build/cache
fi
say() { echo "$*" >&2; }

mkdir -p "$cache"
dir=$cache/$package
if [ -d "$dir" ]; then
    echo "$dir"
    exit 0
fi

known() { apt-cache show --no-all-versions "$package" >/dev/null 2>&1; }
update_lists() {
    say "Reading the package lists ..."
    if [ "$(id -u)" = 0 ]; then
        apt-get update -q >&2
    elif command -v sudo >/dev/null 2>&1; then
        sudo apt-get update -q >&2
    else
        say "fetch-package.sh: apt knows no package $package; run as root: apt-get update"
        exit 1
    fi
}

# Everything happens in a folder of its own, so that an interrupted run leaves no half package behind.
work=$(mktemp -d "$cache/.fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
download() { (cd "$work" && apt-get download -o APT::Sandbox::User=root "$package" >&2); }

known || update_lists
say "Downloading $package ..."
# Old lists name files that the mirror no longer has: the lists are read anew and the download tried once more.
download || { update_lists; download; } ||
    { say "fetch-package.sh: could not download $package (apt's message is above)"; exit 1; }
say "Unpacking $(cd "$work" && ls ./*.deb | sed 's,^\./,,') ..."
dpkg-deb -x "$work"/*.deb "$work/files"
mv "$work/files" "$dir" 2>/dev/null || [ -d "$dir" ]
echo "$dir"
