#!/bin/sh
# mkrootfs.sh OUT [FILE=PATH_IN_GUEST ...] - makes an initramfs with a Debian 12, its compiler, Python and tests
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Needs root (debootstrap makes device nodes and runs the packages' scripts in a chroot) and the network, the first
# time: about 120 MB are downloaded. The folder and its archive stay in $LODGE_CACHE or ~/.cache/lodge. FILE is added
# as an archive of its own behind the big one; one of the files has to be /init. Prints the folder's path.
set -eu

out=${1:?usage: tools/mkrootfs.sh OUT [FILE=PATH_IN_GUEST ...]}
shift
cache=${LODGE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/lodge}
folder=$cache/debian-12
packages=stress-ng,openssl,gcc,libc6-dev,python3,libpython3-stdlib,libpython3.11-testsuite,perl,xz-utils,zstd,kmod

if [ ! -e "$folder" ]; then
    [ "$(id -u)" = 0 ] || { echo "mkrootfs.sh: debootstrap makes a Debian in $folder, and needs root for it" >&2; exit 1; }
    command -v debootstrap >/dev/null || { echo "mkrootfs.sh: needs: apt-get install debootstrap" >&2; exit 1; }
    mkdir -p "$cache"
    # An interrupted run leaves no half system under the name that is looked for.
    work=$(mktemp -d "$cache/.debian.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    trap 'exit 130' INT TERM
    debootstrap --variant=minbase --include="$packages" bookworm "$work" >&2
    rm -rf "$work"/var/cache/apt/archives/*.deb "$work"/var/lib/apt/lists/*
    chmod 755 "$work"
    mv "$work" "$folder"
fi

archive() { LC_ALL=C sort | cpio -o -H newc -R 0:0 --quiet | gzip -1n; }
if [ ! -s "$folder.cpio.gz" ]; then
    (cd "$folder" && find . -path ./proc/\* -prune -o -path ./usr/share/doc -prune -o -path ./usr/share/locale -prune -o \
        -print | archive) >"$folder.cpio.gz.$$"
    mv "$folder.cpio.gz.$$" "$folder.cpio.gz"
fi

more=$(mktemp -d)
trap 'rm -rf "$more"' EXIT
trap 'exit 130' INT TERM
for extra; do
    mkdir -p "$more/$(dirname "${extra#*=}")"
    cp -p "${extra%%=*}" "$more/${extra#*=}"
done
{ cat "$folder.cpio.gz"; (cd "$more" && find . | archive); } >"$out.$$"
mv "$out.$$" "$out"
echo "$folder"
