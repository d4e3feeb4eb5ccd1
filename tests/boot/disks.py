# disks.py - qcow2 disks in a Debian guest, and what QMP tells of them: compared with qemu-img and with QEMU
# SPDX-License-Identifier: GPL-2.0-or-later
import json
import os
import resource
import socket
import subprocess
import tempfile
import time

from boot.devices import BOOT_PATIENCE, has, initrd
from harness.console import Console
from harness.lodge import PROMPT, require, shell


class Qmp:
    def __init__(self, path):
        end = time.monotonic() + BOOT_PATIENCE
        self.socket = socket.socket(socket.AF_UNIX)
        while True:
            try:
                self.socket.connect(path)
                break
            except OSError:
                require(time.monotonic() < end, "there is no monitor at " + path)
                time.sleep(0.1)
        self.socket.settimeout(BOOT_PATIENCE)
        self.file = self.socket.makefile("r")  # one that writes as well would forget what it has read ahead
        self.events = []
        self.file.readline()
        self("qmp_capabilities")

    def __call__(self, command, **arguments):
        arguments = {k.replace("_", "-"): v for k, v in arguments.items()}
        self.socket.sendall(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        while True:
            answer = json.loads(self.file.readline())
            if "event" not in answer:
                return answer.get("return", answer)
            self.events.append(answer)

    def event(self, name):
        while True:
            for e in self.events:
                if e["event"] == name:
                    self.events.remove(e)
                    return e
            self.events.append(json.loads(self.file.readline()))


def start(build, folder, *more, before=()):
    return Console(list(before) + build.machine(
        "-nographic", "-m", "256", "-kernel", build.kernel(), "-initrd", initrd(build, folder), "-append",
        "console=ttyS0 quiet", "-qmp", "unix:%s/qmp,server=on,wait=off" % folder, *more))


def ready(console):
    console.expect(PROMPT, BOOT_PATIENCE)
    shell(console, "for m in /lib/modules/*.ko; do insmod $m; done")


def each(console, *commands):
    """One after another: a line that does not fit the terminal is not recognized."""
    for command in commands:
        shell(console, command, 60)


def off(console):
    console.send("poweroff -f\n")
    require(console.wait() == 0, "the guest did not power off")


def img(*words):
    p = subprocess.run(["qemu-img", *words], capture_output=True, text=True)
    require(p.returncode == 0, "qemu-img %s: %s" % (" ".join(words), p.stdout + p.stderr))
    return p.stdout


def names(v):
    """The form of an answer: its members' names, and their kinds."""
    if isinstance(v, dict):
        return {k: names(w) for k, w in v.items()}
    return [names(w) for w in v] if isinstance(v, list) else type(v).__name__


COMMANDS = ["query-block", "query-blockstats", "query-named-block-nodes"]


def of_qemu(folder, *more):
    p = subprocess.Popen(["qemu-system-x86_64", "-accel", "tcg", "-M", "q35", "-m", "64", "-display", "none", "-S", "-nodefaults", "-qmp",
                          "unix:%s/qemu,server=on,wait=off" % folder, *more])
    q = Qmp(folder + "/qemu")
    answers = {c: q(c) for c in COMMANDS}
    q("quit")
    p.wait(BOOT_PATIENCE)
    return answers


def qcow2(build):
    """An overlay is written in the guest; its chain, its size while it runs, and what is on it afterwards."""
    def run():
        with tempfile.TemporaryDirectory(prefix="lodge-test-") as folder:
            base, disk, other = (os.path.join(folder, n) for n in ("base.qcow2", "disk.qcow2", "other.qcow2"))
            img("create", "-q", "-f", "qcow2", base, "64M")
            subprocess.run(["qemu-io", "-c", "write -P 17 60M 1M", base], check=True, capture_output=True)
            img("create", "-q", "-f", "qcow2", "-b", base, "-F", "qcow2", disk)
            img("create", "-q", "-f", "qcow2", other, "32M")
            arguments = ["-drive", "file=%s,if=none,id=d0,discard=unmap" % disk, "-device", "virtio-blk-pci,drive=d0,id=vd0,serial=S1",
                         "-blockdev", "driver=file,node-name=f1,filename=%s,discard=unmap" % other, "-blockdev",
                         "driver=qcow2,node-name=n1,file=f1,discard=unmap", "-device", "virtio-blk-pci,drive=n1,id=vd1"]
            theirs = of_qemu(folder, *arguments)
            with start(build, folder, *arguments, "-smp", "2") as c:
                ready(c)
                q = Qmp(folder + "/qmp")
                has(c, "cat /sys/block/vda/serial; ls /sys/block/vda/mq", "S10  1")
                each(c, "dd if=/dev/vda bs=1M skip=60 count=1 of=/x", "tr -d '\\021' </x | wc -c >/n")
                has(c, "echo n=$(cat /n)", "n=0\n")
                each(c, "mke2fs -q -b 4096 /dev/vda 32768", "mount /dev/vda /tmp", "dd if=/dev/urandom of=/tmp/f bs=1M count=16",
                     "md5sum /tmp/f >/sum", "umount /tmp; mount /dev/vda /tmp")
                has(c, "md5sum -c /sum", "/tmp/f: OK")
                each(c, "rm /tmp/f; fstrim /tmp; umount /tmp", "blkdiscard -z -o 40M -l 8M /dev/vda", "dd if=/dev/vda of=/dev/vdb bs=1M count=32")
                require(q("block_resize", device="d0", size=96 << 20) == {}, "block_resize")
                has(c, "cat /sys/block/vda/size", str((96 << 20) // 512))
                for command in COMMANDS:
                    compare(command, theirs[command], q(command))
                require("Failed to find node" in q("blockdev-del", node_name="zz")["error"]["desc"], "blockdev-del of nothing")
                require("Node n1 is in use" in q("blockdev-del", node_name="n1")["error"]["desc"], "blockdev-del of a disk's node")
                text = q("human-monitor-command", command_line="info block")
                require("d0 (#block" in text and "(chain depth: 1)" in text and "/machine/peripheral/vd1/virtio-backend" in text, text)
                require(q("query-blockstats")[0]["stats"]["wr_bytes"] > 16 << 20, "nothing was counted")
                off(c)
            for image in (base, disk, other):
                require("No errors" in img("check", image), "qemu-img check " + image)
            require(json.loads(img("info", "--output=json", disk))["virtual-size"] == 96 << 20, "the new size is not in the image")
            img("convert", "-O", "raw", disk, disk + ".raw")
            img("convert", "-O", "raw", other, other + ".raw")
            with open(disk + ".raw", "rb") as a, open(other + ".raw", "rb") as b:
                require(a.read(32 << 20) == b.read(), "the disks differ")
                a.seek(60 << 20)
                require(a.read(1 << 20) == b"\x11" * (1 << 20), "the base's part is gone")
    return run


def compare(command, theirs, ours):
    """All that QEMU's answer has, ours has, and of the same kind; the file's part and the backing image's statistics are left out."""
    for one in theirs:
        one.pop("parent", None)
        one.pop("backing", None)
    by = {v.get("device", "") + v.get("qdev", "") + v.get("file", ""): v for v in ours}
    for one in theirs:
        key = one.get("device", "") + one.get("qdev", "") + one.get("file", "")
        if command == "query-named-block-nodes" and key not in by:
            continue  # nodes that QEMU makes by itself
        require(key in by, "%s does not tell of %s: %s" % (command, key, sorted(by)))
        if command != "query-named-block-nodes":
            require(names(one) == names(by[key]), "%s: QEMU has\n%s\nwe have\n%s" % (command, names(one), names(by[key])))


def snapshot(build):
    """-snapshot: the guest's writes are there for it, and nowhere afterwards; raw is guessed with a warning."""
    def run():
        with tempfile.TemporaryDirectory(prefix="lodge-test-") as folder:
            disk = os.path.join(folder, "disk.raw")
            with open(disk, "wb") as f:
                f.write(b"lodge" * 1024)
                f.truncate(16 << 20)
            before = os.stat(disk).st_mtime_ns
            with start(build, folder, "-drive", "file=%s" % disk, "-snapshot") as c:
                ready(c)
                require("WARNING: Image format was not specified" in c.log, "no warning of a guess")
                each(c, "dd if=/dev/urandom of=/dev/vda bs=1M count=8 conv=fsync", "dd if=/dev/vda bs=1M count=8 | md5sum >/sum",
                     "echo 3 >/proc/sys/vm/drop_caches", "dd if=/dev/vda bs=1M count=8 | md5sum >/sum2")
                has(c, "cmp /sum /sum2 && echo the-same", "the-same\n")
                off(c)
            with open(disk, "rb") as f:
                require(f.read(5120) == b"lodge" * 1024 and os.stat(disk).st_mtime_ns == before, "the image has been written to")
    return run


def stop_at_error(folder, c):
    """The guest writes more than the file may grow by, and is stopped."""
    ready(c)
    q = Qmp(folder + "/qmp")
    c.send("dd if=/dev/urandom of=/f bs=1M count=8; dd if=/f of=/dev/vda bs=1M conv=fsync; echo went-on\n")
    e = q.event("BLOCK_IO_ERROR")["data"]
    require(e["operation"] == "write" and e["action"] == "stop" and e["device"] == "d0", str(e))
    q.event("STOP")
    require(q("query-status")["status"] == "io-error", "the guest is not stopped")
    require(q("query-block")[0]["io-status"] == "failed", "io-status")
    return q


def went_on(c):
    c.expect("\nwent-on", BOOT_PATIENCE)
    c.expect(PROMPT)
    each(c, "echo 3 >/proc/sys/vm/drop_caches; md5sum </f >/a", "dd if=/dev/vda bs=1M count=8 | md5sum >/b")
    has(c, "cmp /a /b && echo the-same", "the-same\n")
    off(c)


LIMITED = ["prlimit", "--fsize=%d:unlimited" % (4 << 20)]


def stops_at_errors(disk):
    return ["-drive", "file=%s,format=qcow2,if=none,id=d0,werror=stop" % disk, "-device", "virtio-blk-pci,drive=d0"]


def error_stops(build):
    """A file that cannot grow: the guest stops, and goes on when it can."""
    def run():
        with tempfile.TemporaryDirectory(prefix="lodge-test-") as folder:
            disk = os.path.join(folder, "disk.qcow2")
            img("create", "-q", "-f", "qcow2", disk, "64M")
            with start(build, folder, *stops_at_errors(disk), before=LIMITED) as c:
                q = stop_at_error(folder, c)
                resource.prlimit(c.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
                q("cont")
                went_on(c)
            require("No errors" in img("check", disk), "qemu-img check")
    return run


def error_moves(build):
    """What had failed when the machine was saved is tried again where it goes on: here, if it could not be saved, or there."""
    def run():
        with tempfile.TemporaryDirectory(prefix="lodge-test-") as folder:
            disk, state = os.path.join(folder, "disk.qcow2"), os.path.join(folder, "state")
            img("create", "-q", "-f", "qcow2", disk, "64M")
            with start(build, folder, *stops_at_errors(disk), "-sandbox", "off", before=LIMITED) as c:
                q = stop_at_error(folder, c)
                for where, end in (("exec:cat >/dev/full", "failed"), ("exec:cat >" + state, "completed")):
                    resource.prlimit(c.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
                    q("migrate", uri=where)
                    while (status := q("query-migrate")["status"]) not in ("failed", "completed"):
                        time.sleep(0.05)
                    require(status == end, "migrate to %s has %s" % (where, status))
                    if end == "failed":
                        resource.prlimit(c.process.pid, resource.RLIMIT_FSIZE, (4 << 20, resource.RLIM_INFINITY))
                        q("cont")
                        q.event("BLOCK_IO_ERROR")
                        q.event("STOP")
                q("quit")
                c.wait(BOOT_PATIENCE)
            with start(build, folder, *stops_at_errors(disk), "-sandbox", "off", "-incoming", "exec:cat " + state) as c:
                q = Qmp(folder + "/qmp")
                while (status := q("query-status")["status"]) == "inmigrate":
                    time.sleep(0.05)
                require(status == "paused", "the guest is " + status)
                q("cont")
                went_on(c)
            require("No errors" in img("check", disk), "qemu-img check")
    return run


def tests(build):
    return [("qcow2", qcow2(build)), ("snapshot", snapshot(build)), ("error-stops", error_stops(build)), ("error-moves", error_moves(build))]
