# devices.py - virtio devices in a Debian guest: a disk with a file system on it
# SPDX-License-Identifier: GPL-2.0-or-later
import os
import subprocess
import tempfile

from harness.console import Console
from harness.lodge import PROMPT, TOP, require, shell

BOOT_PATIENCE = 90
MODULES = ["drivers/virtio/virtio_ring", "drivers/virtio/virtio", "drivers/virtio/virtio_pci_modern_dev",
           "drivers/virtio/virtio_pci_legacy_dev", "drivers/virtio/virtio_pci", "drivers/block/virtio_blk"]


def initrd(build, folder):
    """The usual small system, with the kernel's own virtio drivers."""
    boot = os.path.dirname(build.kernel())
    release = os.path.basename(build.kernel()).removeprefix("vmlinuz-")
    top = os.path.join(os.path.dirname(boot), "lib/modules", release, "kernel")
    out = os.path.join(folder, "initrd.gz")
    files = ["%s/%s.ko=lib/modules/%02d.ko" % (top, name, i) for i, name in enumerate(MODULES)]
    subprocess.run([os.path.join(TOP, "tools/mkinitramfs.sh"), out, *files], check=True, capture_output=True)
    return out


def has(console, command, wanted, timeout=60):
    out = shell(console, command, timeout)
    require(wanted in out, "%s: wants '%s', got:\n%s" % (command, wanted, out))


def disk(build):
    """Written in the guest, through its page cache and a remount; read here, from the file."""
    def run():
        with tempfile.TemporaryDirectory(prefix="lodge-test-") as folder:
            path = os.path.join(folder, "disk.raw")
            with open(path, "wb") as f:
                f.truncate(64 << 20)
            arguments = ["-nographic", "-m", "256", "-kernel", build.kernel(), "-initrd", initrd(build, folder),
                         "-append", "console=ttyS0 quiet", "-drive", "file=%s,format=raw,serial=LODGE-1" % path]
            with Console(build.machine(*arguments)) as c:
                c.expect(PROMPT, BOOT_PATIENCE)
                shell(c, "for m in /lib/modules/*.ko; do insmod $m; done")
                has(c, "cat /sys/block/vda/size /sys/block/vda/serial", "131072\nLODGE-1")
                shell(c, "mke2fs -q /dev/vda; mount /dev/vda /tmp", 60)
                shell(c, "dd if=/dev/urandom of=/tmp/f bs=1M count=20", 60)
                shell(c, "md5sum /tmp/f >/sum", 60)
                shell(c, "umount /tmp; mount /dev/vda /tmp", 60)
                has(c, "md5sum -c /sum", "/tmp/f: OK")
                shell(c, "umount /tmp; yes lodge-was-here | head -c 4096 >/text")
                shell(c, "dd if=/text of=/dev/vda conv=fsync", 60)
                c.send("poweroff -f\n")
                require(c.wait() == 0, "the guest did not power off")
            with open(path, "rb") as f:
                require(f.read(12) == b"lodge-was-he", "what the guest wrote is not in the file")
    return run


def tests(build):
    return [("disk", disk(build))]
