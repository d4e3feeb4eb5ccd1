#!/bin/sh
# fetch-kernel.sh [--vmlinux] - fetches Debian's cloud kernel, unmodified, and prints the path of its bzImage
# SPDX-License-Identifier: GPL-2.0-or-later
#
# linux-image-cloud-amd64 is an empty package that depends on the newest kernel; that one is what is unpacked.
# --vmlinux: prints the path of the ELF kernel inside the bzImage instead (it boots by PVH).
set -eu

here=$(cd "$(dirname "$0")" && pwd)
meta_dir=$("$here/fetch-package.sh" linux-image-cloud-amd64)
# The package's only file is a changelog in a folder of its own name; its dependency is in apt's lists, and is kept
# beside it so that a cached kernel is found again when the lists are gone or newer.
note=$meta_dir/kernel-package
if [ ! -s "$note" ]; then
    newest=$(apt-cache depends --important linux-image-cloud-amd64 | sed -n 's/^ *Depends: \(linux-image-[^ ]*\)$/\1/p' |
        head -n 1)
    [ -n "$newest" ] || { echo "fetch-kernel.sh: apt does not say which kernel linux-image-cloud-amd64 stands for" >&2; exit 1; }
    echo "$newest" >"$note"
fi
dir=$("$here/fetch-package.sh" "$(cat "$note")")
kernel=$(echo "$dir"/boot/vmlinuz-*)
[ -r "$kernel" ] || { echo "fetch-kernel.sh: no kernel in $dir/boot" >&2; exit 1; }

if [ "${1-}" = --vmlinux ]; then
    elf=$dir/boot/vmlinux
    if [ ! -s "$elf" ]; then
        "$here/extract-vmlinux" "$kernel" >"$elf.$$"
        mv "$elf.$$" "$elf"
    fi
    kernel=$elf
fi
echo "$kernel"
