#!/bin/sh
# mkdisk.sh OUT [PACKAGE ...] - makes a disk image with a Debian 12 that GRUB starts and systemd brings up, of packages alone
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Nothing is mounted and no script of a package runs, so that no root is needed: packages are unpacked, and what their
# scripts would have set up of users, PAM and the boot is written here. A user who is not root needs fakeroot, for
# the owners of files. The console is the first serial port; root logs in without a password. The first time,
# packages of about 100 MB are downloaded, to $LODGE_CACHE or ~/.cache/lodge.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
out=${1:?usage: tools/mkdisk.sh OUT [PACKAGE ...]}
shift
if [ "$(id -u)" != 0 ] && [ -z "${FAKEROOTKEY-}" ]; then
    command -v fakeroot >/dev/null || { echo "mkdisk.sh: needs: apt-get install fakeroot" >&2; exit 1; }
    exec fakeroot "$0" "$out" "$@"
fi
for tool in mke2fs grub-mkimage python3; do
    PATH=$PATH:/sbin:/usr/sbin command -v $tool >/dev/null ||
        { echo "mkdisk.sh: needs $tool: tools/setup.sh check installs it" >&2; exit 1; }
done
PATH=$PATH:/sbin:/usr/sbin
grub=/usr/lib/grub/i386-pc
cache=${LODGE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/lodge}
packages="base-files base-passwd coreutils dash debconf findutils grep hostname mawk mount perl-base procps sed util-linux
    usr-is-merged bash systemd-sysv udev dbus login kmod iproute2 libpam-systemd $*"
size_mib=768 start_mib=1

work=$(mktemp -d "$out.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
root=$work/root

# ---- packages ----
# apt says what belongs to them, for a system on which nothing is installed yet.
list=$(apt-get -o Dir::State::status=/dev/null -s install --no-install-recommends $packages 2>/dev/null |
    sed -n 's/^Inst \([^ ]*\) (\([^ ]*\) .*/\1=\2/p' | sort)
[ -n "$list" ] || { echo "mkdisk.sh: apt does not know: $packages (run apt-get update)" >&2; exit 1; }
mkdir -p "$cache/debs"
for p in $list; do
    name=${p%%=*} version=$(echo "${p#*=}" | sed 's/:/%3a/g')
    found=$(ls "$cache/debs/${name%%:*}_${version}"_*.deb 2>/dev/null | head -n 1)
    [ -n "$found" ] || missing="${missing-} $p"
done
[ -z "${missing-}" ] || (cd "$cache/debs" && echo "Downloading $(echo $missing | wc -w) packages ..." >&2 &&
    apt-get download -q -o APT::Sandbox::User=root $missing >/dev/null 2>&1) ||
    { echo "mkdisk.sh: apt-get could not download:$missing" >&2; exit 1; }

mkdir -p "$root"
for folder in bin sbin lib lib64; do # as Debian has merged them
    mkdir -p "$root/usr/$folder"
    ln -s usr/$folder "$root/$folder"
done
for p in $list; do
    name=${p%%=*} version=$(echo "${p#*=}" | sed 's/:/%3a/g')
    dpkg-deb --fsys-tarfile "$cache/debs/${name%%:*}_${version}"_*.deb |
        tar -x --keep-directory-symlink -C "$root" --exclude=./usr/share/doc --exclude=./usr/share/locale --exclude=./usr/share/man
done

# ---- what the packages' scripts would do ----
chmod 755 "$root"
for f in passwd group; do cp "$root/usr/share/base-passwd/$f.master" "$root/etc/$f"; done
sed -i 's,^root:[^:]*:,root::,' "$root/etc/passwd"
for user in messagebus:100 systemd-network:101 systemd-resolve:102 systemd-timesync:103; do
    echo "${user%:*}:x:${user#*:}:${user#*:}::/nonexistent:/usr/sbin/nologin" >>"$root/etc/passwd"
    echo "${user%:*}:x:${user#*:}:" >>"$root/etc/group"
done
for group in systemd-journal:110 input:111 sgx:112 kvm:113 render:114; do
    echo "${group%:*}:x:${group#*:}:" >>"$root/etc/group"
done
cp "$root/usr/share/pam/common-session-noninteractive" "$root/etc/pam.d/"
for kind in auth account password session; do
    sed '/^\$/d' "$root/usr/share/pam/common-$kind" >"$root/etc/pam.d/common-$kind"
done
printf 'auth [success=1 default=ignore] pam_unix.so nullok\nauth requisite pam_deny.so\nauth required pam_permit.so\n' \
    >"$root/etc/pam.d/common-auth"
printf 'account required pam_permit.so\n' >"$root/etc/pam.d/common-account"
printf 'session required pam_unix.so\nsession optional pam_systemd.so\n' >"$root/etc/pam.d/common-session"
printf 'session required pam_unix.so\n' >"$root/etc/pam.d/common-session-noninteractive"
printf 'password required pam_unix.so\n' >"$root/etc/pam.d/common-password"
echo lodge >"$root/etc/hostname"
printf '127.0.0.1 localhost lodge\n' >"$root/etc/hosts"
printf '/dev/vda1 / ext4 defaults 0 1\n' >"$root/etc/fstab"
cp "$root/usr/share/base-files/profile" "$root/etc/profile" 2>/dev/null || :
cp "$root/usr/share/base-files/dot.bashrc" "$root/root/.bashrc" 2>/dev/null || :
: >"$root/etc/machine-id"
ln -sf dash "$root/bin/sh"
ln -sf mawk "$root/bin/awk" 2>/dev/null || :
ldconfig -r "$root"
mkdir -p "$root/etc/systemd/system/getty.target.wants" "$root/proc" "$root/sys" "$root/dev" "$root/run" "$root/tmp" \
    "$root/var/lib/dbus" "$root/var/log"
chmod 1777 "$root/tmp"

# ---- kernel, first file system, GRUB ----
kernel=$("$here/fetch-kernel.sh")
release=$(basename "$kernel" | sed 's/^vmlinuz-//')
modules=$(dirname "$(dirname "$kernel")")/lib/modules/$release
mkdir -p "$root/lib/modules" "$root/boot/grub"
cp -r "$modules" "$root/lib/modules/"
"$root/lib64/ld-linux-x86-64.so.2" --library-path "$root/usr/lib/x86_64-linux-gnu" --argv0 depmod "$root/usr/bin/kmod" \
    -b "$root" "$release"
cp "$kernel" "$root/boot/vmlinuz"
cat >"$work/init" <<'END'
#!/bin/sh
mount -t devtmpfs dev /dev
mount -t proc proc /proc
for m in /lib/modules/*.ko; do insmod $m; done
for word in $(cat /proc/cmdline); do
    case $word in root=*) device=${word#root=} ;; esac
done
n=0
while [ ! -b $device ] && [ $n -lt 100 ]; do sleep 0.1; n=$((n + 1)); done
mount -o ro $device /root || exec sh
umount /proc
exec switch_root /root /sbin/init
END
chmod 755 "$work/init"
files="$work/init=init" n=10
for m in drivers/virtio/virtio_ring drivers/virtio/virtio drivers/virtio/virtio_pci_modern_dev \
    drivers/virtio/virtio_pci_legacy_dev drivers/virtio/virtio_pci drivers/block/virtio_blk; do
    [ ! -e "$modules/kernel/$m.ko" ] || files="$files $modules/kernel/$m.ko=lib/modules/$n-$(basename $m).ko"
    n=$((n + 1))
done
"$here/mkinitramfs.sh" "$root/boot/initrd.img" $files
cat >"$root/boot/grub/grub.cfg" <<'END'
serial --unit=0 --speed=115200
terminal_input serial
terminal_output serial
set timeout=0
menuentry "Debian" {
    linux /boot/vmlinuz root=/dev/vda1 console=ttyS0 quiet
    initrd /boot/initrd.img
}
END
grub-mkimage -O i386-pc -d "$grub" -p '(hd0,msdos1)/boot/grub' -o "$work/core.img" \
    biosdisk part_msdos ext2 normal configfile linux serial terminal echo boot reboot halt ls test
find "$root" -exec touch -h -d @1700000000 {} +

# ---- the disk ----
truncate -s $((size_mib + start_mib))M "$work/disk"
mke2fs -q -F -t ext4 -O ^metadata_csum_seed -d "$root" -E offset=$((start_mib << 20)),root_owner=0:0 -U 11111111-2222-4333-8444-555555555555 \
    "$work/disk" ${size_mib}M
python3 - "$work/disk" "$grub/boot.img" "$work/core.img" $((start_mib * 2048)) $((size_mib * 2048)) <<'END'
import struct, sys
disk, boot, core, start, sectors = sys.argv[1:]
start, sectors = int(start), int(sectors)
image = open(core, "rb").read()
if len(image) > (start - 1) * 512:
    sys.exit("mkdisk.sh: GRUB's image is too large for the gap before the partition")
entry = struct.pack("<B3sB3sII", 0x80, b"\xfe\xff\xff", 0x83, b"\xfe\xff\xff", start, sectors)
with open(disk, "r+b") as f:
    f.write(open(boot, "rb").read()[:440] + struct.pack("<IH", 0x4c4f4447, 0) + entry + bytes(48) + b"\x55\xaa")
    f.write(image)
END
mv "$work/disk" "$out"
