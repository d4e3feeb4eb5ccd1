#!/bin/sh
# root.sh OUT PROGRAM... - makes the system that the benchmark runs in: a folder, for a chroot, and OUT.cpio.gz of it
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The workloads' programs are Debian's, unpacked and not installed; PROGRAM are our own, and go to /bench.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
tools=$here/../tools
out=${1:?usage: bench/root.sh OUT PROGRAM...}
shift
packages='libc6 libgcc-s1 libstdc++6 coreutils libacl1 libattr1 libselinux1 libpcre2-8-0 gzip xz-utils liblzma5
perl-base libcrypt1 python3.11-minimal libpython3.11-minimal libexpat1 zlib1g lua5.4 sqlite3 libsqlite3-0 libreadline8
libtinfo6 openssl libssl3 cpp-12 libgmp10 libisl23 libmpc3 libmpfr6 libzstd1'

root=$(mktemp -d "$out.XXXXXX")
trap 'rm -rf "$root"' EXIT
trap 'exit 130' INT TERM
# Debian 12 has its libraries behind links.
mkdir -p "$root"/usr/bin "$root"/usr/sbin "$root"/usr/lib "$root"/usr/lib64
for link in bin sbin lib lib64; do ln -s "usr/$link" "$root/$link"; done
mkdir -p "$root"/bbin "$root"/bench "$root"/dev "$root"/etc "$root"/proc "$root"/root "$root"/sys "$root"/tmp
for package in $packages; do
    files=$("$tools/fetch-package.sh" "$package")
    # Package by package through the links above: a folder /lib in a package becomes /usr/lib.
    (cd "$files" && tar cf - --exclude=./usr/share/doc --exclude=./usr/share/man --exclude=./usr/share/locale \
        --exclude='*/gconv/*' .) | tar xf - -C "$root" --keep-directory-symlink
done
busybox=$("$tools/fetch-package.sh" busybox-static)/bin/busybox
cp "$busybox" "$root/bbin/busybox"
for applet in $("$busybox" --list); do
    [ -e "$root/bbin/$applet" ] || ln -s busybox "$root/bbin/$applet"
done
ln -s /bbin/busybox "$root/bin/sh"
printf 'root:x:0:0:root:/root:/bin/sh\n' >"$root/etc/passwd"
printf 'root:x:0:\n' >"$root/etc/group"

cp "$here"/guest/* "$root/bench"
mv "$root/bench/init" "$root/init"
for program; do cp "$program" "$root/bench"; done
# One big C source for the compiler.
stb=$("$tools/fetch-package.sh" libstb-dev)/usr/include
printf '#define STB_IMAGE_IMPLEMENTATION\n#include <stb/stb_image.h>\n' | gcc -E -P -I "$stb" - >"$root/bench/big.i"

(cd "$root" && find . | LC_ALL=C sort | "$busybox" cpio -o -H newc -R 0:0 2>/dev/null) | gzip -1n >"$root.cpio"
rm -rf "$out"
mv "$root" "$out"
chmod 755 "$out"
mv "$root.cpio" "$out.cpio.gz"
