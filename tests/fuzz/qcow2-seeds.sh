#!/bin/sh
# qcow2-seeds.sh DIR - small images of all kinds by QEMU, for the fuzzer to begin with
# SPDX-License-Identifier: GPL-2.0-or-later
set -eu
mkdir -p "$1"
cd "$1"
[ ! -e plain ] || exit 0
make() {
    qemu-img create -q -f qcow2 -o "$2" "$1" 2M
    qemu-io -c 'write -P 5 0 3k' -c 'write -P 6 100k 2k' -c 'write -z 200k 8k' -c 'discard 0 1k' "$1" >/dev/null
}
make plain cluster_size=512
make v2 cluster_size=512,compat=0.10
make wide cluster_size=512,refcount_bits=64
make narrow cluster_size=512,refcount_bits=1
make larger cluster_size=4k
make snapshots cluster_size=512
qemu-img snapshot -c one snapshots
qemu-io -c 'write -P 7 1k 3k' snapshots >/dev/null
make bitmaps cluster_size=1k
qemu-img bitmap --add -f qcow2 bitmaps b
qemu-img convert -c -O qcow2 -o cluster_size=512 plain packed
qemu-img convert -c -O qcow2 -o cluster_size=1k,compression_type=zstd plain packed-zstd
for f in *; do head -c 144 /dev/urandom >>"$f"; done
