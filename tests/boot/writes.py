# writes.py - what a guest writes to a qcow2 disk: fio verifies it there; and lodge-vm is killed while it writes
# SPDX-License-Identifier: GPL-2.0-or-later
import os
import random
import re
import subprocess
import tempfile
import time

from boot.devices import BOOT_PATIENCE, has, initrd
from harness.console import Console
from harness.lodge import PROMPT, require, shell
from image.kill import check

SLOTS, SLOT, SIZE = 256, 64 << 10, 64 << 20
# Each number goes to its slot and is told when it has been flushed; beside it, all the rest of the disk is written to.
WRITER = """i=%d
while :; do dd if=/dev/urandom of=/dev/vda bs=128k seek=$((256 + RANDOM %% 250)) count=2 conv=notrunc 2>/dev/null; done &
while :; do i=$((i + 1))
printf '%%-512s' $i | dd of=/dev/vda bs=512 count=1 seek=$((i %% 256 * 128)) conv=notrunc,fsync 2>/dev/null && echo flushed $i
done
"""


def machine(build, image, disk, *more):
    return build.machine("-nographic", "-m", "512", "-kernel", build.kernel(), "-initrd", image, "-append", "console=ttyS0 quiet",
                         "-drive", "file=%s,format=qcow2,if=virtio" % disk, *more)


def create(folder):
    disk = os.path.join(folder, "disk.qcow2")
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", disk, str(SIZE)], check=True)
    return disk


def fio(build):
    """Writes of many sizes, many at once, that fio reads back and verifies; and all of them again after a restart."""
    def run():
        with tempfile.TemporaryDirectory(prefix="lodge-test-") as folder:
            disk, image = create(folder), initrd(build, folder, "fio")
            job = ("fio --name=v --filename=/dev/vda --size=8m --rw=randwrite --bsrange=512-64k --direct=1 --ioengine=libaio"
                   " --iodepth=16 --verify=crc32c --verify_fatal=1 --randseed=7 --thread --output=/out")
            for step in ("--do_verify=1 --fsync=50", "--verify_only"):
                with Console(machine(build, image, disk)) as c:
                    c.expect(PROMPT, BOOT_PATIENCE)
                    shell(c, "for m in /lib/modules/*.ko; do insmod $m; done", 60)
                    for i, part in enumerate(re.findall(r".{1,60}(?: |$)", job + " " + step)):  # the terminal is 80 wide
                        shell(c, "J%s'%s '" % ("=" if i == 0 else '="$J"', part))
                    shell(c, "$J; echo $? >/status", 300)
                    require(shell(c, "cat /status").strip() == "0", "fio fails: " + shell(c, "tail -n 12 /out"))
                    has(c, "grep -c 'err= 0' /out", "1")
                    c.send("poweroff -f\n")
                    require(c.wait() == 0, "the guest did not power off")
                require(check(disk), "the image has lost room")
    return run


def killed(build, image, disk, first, seconds):
    """The last number that the guest said to be flushed."""
    with Console(machine(build, image, disk)) as c:
        c.expect(PROMPT, BOOT_PATIENCE)
        shell(c, "for m in /lib/modules/*.ko; do insmod $m; done", 60)
        c.send("cat >/w <<'END'\n" + WRITER % first + "END\n")
        c.expect(r"> END\r*\n", BOOT_PATIENCE)
        c.expect(PROMPT, BOOT_PATIENCE)
        c.send("sh /w\n")
        c.expect(r"flushed \d+", BOOT_PATIENCE)
        time.sleep(seconds)
        c.process.kill()
        c.wait()
        return int(re.findall(r"flushed (\d+)\r?\n", c.log)[-1])


def kill(build, rounds, seed=1):
    def run():
        chance, last = random.Random(seed), 0
        with tempfile.TemporaryDirectory(prefix="lodge-test-") as folder:
            disk, image, raw = create(folder), initrd(build, folder), os.path.join(folder, "raw")
            for n in range(rounds):
                last = killed(build, image, disk, last, chance.uniform(0.2, 2))
                check(disk)
                subprocess.run(["qemu-img", "convert", "-f", "qcow2", "-O", "raw", disk, raw], check=True)
                with open(raw, "rb") as f:
                    for i in range(max(1, last - SLOTS + 2), last + 1):
                        f.seek(i % SLOTS * SLOT)
                        got = f.read(512)
                        require(got.strip() == b"%d" % i and len(got) == 512,
                                "round %d: %d was flushed, up to %d, and its place has %r" % (n, i, last, got[:20]))
        require(last > 3 * rounds, "the guest wrote %d times" % last)
    return run


def tests(build):
    return [("fio-verify", fio(build)), ("killed-while-writing", kill(build, 2))]


def many(build):
    return [("killed-machine", kill(build, 100))]
