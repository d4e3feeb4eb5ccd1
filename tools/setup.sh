#!/bin/sh
# setup.sh PURPOSE... - installs what a purpose needs and this machine lacks (Debian 12 packages)
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Purposes: build, run, check, qemu, selftests, ci, guestview, bench. With --dry-run first: prints the missing packages and
# installs nothing.
# Quick when nothing is missing: no package list is read, apt is not started.
set -eu

# purpose, package, and what shows that it is there: an absolute path, or a command's name
needs() {
    cat <<'END'
build  gcc              gcc
build  libc6-dev        /usr/include/stdio.h
build  make             make
build  libzydis-dev     /usr/include/Zydis/Zydis.h
build  libxml2-dev      /usr/include/libxml2/libxml/tree.h
build  python3          python3
build  libjansson-dev   /usr/include/jansson.h
build  zlib1g-dev       /usr/include/zlib.h
build  libzstd-dev      /usr/include/zstd.h
build  liburing-dev     /usr/include/liburing.h
build  libslirp-dev     /usr/include/slirp/libslirp.h
build  libseccomp-dev   /usr/include/seccomp.h
run    seabios          /usr/share/seabios/bios-256k.bin
check  grub-common      grub-mkimage
check  grub-pc-bin      /usr/lib/grub/i386-pc/boot.img
check  fakeroot         fakeroot
check  e2fsprogs        /usr/sbin/mke2fs
check  seabios          /usr/share/seabios/bios-256k.bin
check  lz4              lz4
check  iperf3           iperf3
check  fio              fio
check  curl             curl
check  iproute2         ip
check  python3          python3
check  gdb              gdb
check  qemu-system-x86  qemu-system-x86_64
check  libvirt-clients  virsh
check  libvirt-daemon   /usr/sbin/libvirtd
check  libvirt-daemon-driver-qemu /usr/lib/x86_64-linux-gnu/libvirt/connection-driver/libvirt_driver_qemu.so
check  virtinst         virt-install
check  python3-libvirt  /usr/lib/python3/dist-packages/libvirt.py
check  clang-format     clang-format
check  qemu-utils       qemu-img
qemu   qemu-system-x86  qemu-system-x86_64
qemu   qemu-utils       qemu-img
qemu   ovmf             /usr/share/OVMF/OVMF_CODE.fd
qemu   libguestfs-tools guestfish
qemu   e2fsprogs        mke2fs
qemu   kmod             /sbin/depmod
selftests xz-utils      xz
ci     clang            clang
ci     libclang-rt-14-dev /usr/lib/llvm-14/lib/clang/14.0.6/lib/linux/libclang_rt.fuzzer-x86_64.a
guestview python3       python3
guestview debootstrap   /usr/sbin/debootstrap
guestview cpio          cpio
bench  python3          python3
bench  qemu-system-x86  qemu-system-x86_64
bench  debootstrap      /usr/sbin/debootstrap
bench  cpio             cpio
bench  libssl-dev       /usr/include/openssl/evp.h
END
}

dry_run=
if [ "${1-}" = --dry-run ]; then
    dry_run=1
    shift
fi
[ $# -gt 0 ] || { echo "usage: tools/setup.sh [--dry-run] build|run|check|qemu|selftests|ci|guestview|bench ..." >&2; exit 2; }

is_there() {
    case $1 in
    /*) [ -e "$1" ] ;;
    *) command -v "$1" >/dev/null 2>&1 ;;
    esac
}

missing=
for purpose; do
    case $purpose in
    build) purposes='build' ;;
    run) purposes='build run' ;;
    check) purposes='build check' ;;
    qemu) purposes='build qemu' ;;
    selftests) purposes='build selftests' ;;
    ci) purposes='build check ci' ;;
    guestview) purposes='build guestview' ;;
    bench) purposes='build bench' ;;
    *) echo "setup.sh: no purpose is called '$purpose'; it is one of build, run, check, qemu, selftests, ci, guestview, bench" >&2; exit 2 ;;
    esac
    for p in $purposes; do
        missing="$missing $(needs | while read -r for package probe; do
            if [ "$for" = "$p" ] && ! is_there "$probe"; then echo "$package"; fi
        done)"
    done
done
missing=$(printf '%s\n' $missing | sort -u | tr '\n' ' ')
missing=${missing% }
[ -n "$missing" ] || exit 0
if [ -n "$dry_run" ]; then
    echo "$missing"
    exit 0
fi

if ! command -v apt-get >/dev/null 2>&1; then
    echo "setup.sh: this needs $missing, and this system has no apt-get: please install them by hand" >&2
    exit 1
fi
as_root=
if [ "$(id -u)" != 0 ]; then
    if ! command -v sudo >/dev/null 2>&1 || ! sudo -v; then
        echo "setup.sh: missing: $missing; run as root: apt-get install $missing" >&2
        exit 1
    fi
    as_root="sudo env DEBIAN_FRONTEND=noninteractive"
fi
export DEBIAN_FRONTEND=noninteractive
echo "Installing: $missing"
# The lists of a fresh system may be empty or old: they are read only where the first try fails.
install="$as_root apt-get install -y -q --no-install-recommends"
if ! apt-get -s install --no-install-recommends $missing >/dev/null 2>&1 || ! $install $missing; then
    $as_root apt-get update -q
    $install $missing || { echo "setup.sh: apt-get could not install: $missing (its message is above)" >&2; exit 1; }
fi
