#!/bin/sh
# fetch-selftests.sh - fetches Debian's newest kernel source, builds its KVM selftests, and prints the folder they are in
# SPDX-License-Identifier: GPL-2.0-or-later
set -eu

here=$(cd "$(dirname "$0")" && pwd)
package=$(apt-cache search --names-only '^linux-source-[0-9.]+$' | cut -d' ' -f1 | sort -V | tail -n 1)
[ -n "$package" ] || { echo "fetch-selftests.sh: apt knows no linux-source package; run as root: apt-get update" >&2; exit 1; }
dir=$("$here/fetch-package.sh" "$package")
built=$dir/selftests/tools/testing/selftests/kvm

# Of the source only what the tests need. A build that was interrupted begins again.
if [ ! -e "$dir/selftests" ]; then
    work=$(mktemp -d "$dir/.build.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    trap 'exit 130' INT TERM
    echo "Unpacking and building the selftests of $package ..." >&2
    tar -C "$work" -xf "$dir/usr/src/$package.tar.xz" --strip-components=1 \
        "$package/Makefile" "$package/Kbuild" "$package/Kconfig" "$package/scripts" "$package/include" \
        "$package/arch/x86" "$package/tools" "$package/usr" "$package/lib/vdso"
    make -C "$work" -s headers >&2
    make -C "$work/tools/testing/selftests/kvm" -s -k -j"$(nproc)" >"$work/log" 2>&1 ||
        { tail -n 20 "$work/log" >&2; echo "fetch-selftests.sh: they do not build (the end of what make said is above)" >&2; exit 1; }
    chmod 755 "$work"
    mv "$work" "$dir/selftests"
fi
echo "$built"
