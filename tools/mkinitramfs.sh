#!/bin/sh
# mkinitramfs.sh OUT [FILE=PATH_IN_GUEST ...] - makes the initramfs that `make run` boots: a static busybox
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Needs no root: the archive has no device nodes (the kernel's own built-in archive has /dev/console, devtmpfs makes
# the rest). FILE=PATH_IN_GUEST adds a file, executable as it is here.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
out=${1:?usage: tools/mkinitramfs.sh OUT [FILE=PATH_IN_GUEST ...]}
shift
busybox=$("$here/fetch-package.sh" busybox-static)/bin/busybox

mkdir -p "$(dirname "$out")"
root=$(mktemp -d "$out.XXXXXX")
trap 'rm -rf "$root"' EXIT
trap 'exit 130' INT TERM
(cd "$root" && mkdir -p bin dev etc proc root sys tmp)
cp "$busybox" "$root/bin/busybox"
for applet in $("$busybox" --list); do
    [ -e "$root/bin/$applet" ] || ln -s busybox "$root/bin/$applet"
done
ln -s bin "$root/sbin"
printf 'root:x:0:0:root:/root:/bin/sh\n' >"$root/etc/passwd"
printf 'root:x:0:\n' >"$root/etc/group"
printf "export HOME=/root TERM=linux; cd; PS1='lodge:\\\\w# '\n" >"$root/etc/profile"
cp "$here/initramfs-rc" "$root/etc/rc"
# cttyhack gives the shell the console as its controlling terminal, so that Ctrl-C and job control work.
cat >"$root/etc/inittab" <<'END'
::sysinit:/etc/rc
::respawn:/bin/cttyhack /bin/sh -l
END
# The kernel starts /init before there is a /dev to speak of.
cat >"$root/init" <<'END'
#!/bin/sh
mount -t devtmpfs dev /dev
exec /bin/init </dev/console >/dev/console 2>&1
END
chmod 755 "$root/init" "$root/etc/rc" "$root/bin/busybox"
for extra; do
    mkdir -p "$root/$(dirname "${extra#*=}")"
    cp -p "${extra%%=*}" "$root/${extra#*=}"
done
find "$root" -exec touch -h -d @0 {} +
(cd "$root" && find . | LC_ALL=C sort | "$busybox" cpio -o -H newc -R 0:0 --renumber-inodes 2>/dev/null) | gzip -1n >"$root.cpio"
mv "$root.cpio" "$out"
