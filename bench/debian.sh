#!/bin/sh
# debian.sh OUT - makes an initramfs with a Debian 12 that systemd starts, for the benchmark's boot set
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Needs root (debootstrap) and, the first time, the network: about 60 MB. The archive stays in $LODGE_CACHE or
# ~/.cache/lodge.
set -eu

out=${1:?usage: bench/debian.sh OUT}
cache=${LODGE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/lodge}
archive=$cache/debian-12-systemd.cpio.gz
if [ ! -s "$archive" ]; then
    [ "$(id -u)" = 0 ] || { echo "debian.sh: debootstrap makes a Debian, and needs root for it" >&2; exit 1; }
    for tool in debootstrap cpio; do
        command -v $tool >/dev/null || { echo "debian.sh: needs: apt-get install $tool" >&2; exit 1; }
    done
    mkdir -p "$cache"
    work=$(mktemp -d "$cache/.debian.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    trap 'exit 130' INT TERM
    chmod 755 "$work"
    debootstrap --variant=minbase --include=systemd-sysv,udev,dbus,kmod,iproute2 bookworm "$work" >&2
    rm -rf "$work"/var/cache/apt/archives/*.deb "$work"/var/lib/apt/lists/*
    echo lodge >"$work/etc/hostname"
    ln -sf sbin/init "$work/init"
    (cd "$work" && find . -path ./usr/share/doc -prune -o -path ./usr/share/locale -prune -o -print | LC_ALL=C sort |
        cpio -o -H newc -R 0:0 --quiet) >"$work.cpio"
    gzip -1n "$work.cpio"
    mv "$work.cpio.gz" "$archive"
fi
cp "$archive" "$out"
