# move.py - a Linux guest moves: saved and restored, to another process while it runs, not at all; and streams that lie
# SPDX-License-Identifier: GPL-2.0-or-later
import os
import random
import struct
import subprocess
import tempfile
import time

from boot.devices import initrd
from clients.qmp import Client
from harness.console import Console
from harness.lodge import PROMPT, require, shell

PATIENCE = 120
PAGE = 4096


class Place:
    """A folder, and the words of a machine that has its disk there."""

    def __init__(self, build, disk=True, processors=1):
        self.folder = tempfile.TemporaryDirectory(prefix="lodge-test-")
        self.words = ["-nographic", "-m", "192", "-smp", str(processors), "-kernel", build.kernel(), "-initrd",
                      initrd(build, self.folder.name), "-append", "console=ttyS0 quiet", "-netdev", "user,id=n",
                      "-device", "virtio-net-pci,netdev=n", "-device", "virtio-rng-pci", "-sandbox", "off"]
        if disk:
            with open(self.file("disk"), "wb") as f:
                f.truncate(8 << 20)
            self.words += ["-drive", "file=%s,format=raw" % self.file("disk")]
        self.build = build

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.folder.cleanup()

    def file(self, name):
        return os.path.join(self.folder.name, name)

    def machine(self, name, *more):
        return Console(self.build.machine(*self.words, "-qmp", "unix:%s,server=on,wait=off" % self.file(name), *more))

    def client(self, console, name):
        q = Client(self.file(name), console.process)
        q.ok("qmp_capabilities")
        return q


def wait_status(q, wanted):
    end = time.monotonic() + PATIENCE
    while (s := q.ok("query-migrate")).get("status") not in ("completed", "failed", "cancelled"):
        require(time.monotonic() < end, "the migration does not end: %s" % s)
        time.sleep(0.05)
    require(s["status"] == wanted, "wants %s, got %s" % (wanted, s))
    return s


def wait_here(q, wanted="running"):
    end = time.monotonic() + PATIENCE
    while (s := q.ok("query-status")["status"]) == "inmigrate":
        require(time.monotonic() < end, "the machine does not come in")
        time.sleep(0.05)
    require(s == wanted, "is %s, not %s" % (s, wanted))


def prepare(c):
    """A counter that runs, a variable, a file in memory with its sum."""
    c.expect(PROMPT, PATIENCE)
    shell(c, "for m in /lib/modules/*.ko; do insmod $m; done")
    shell(c, "x=remembered; i=0")
    shell(c, "while :; do i=$((i+1)); echo $i >>/tmp/n; sleep 0.1; done &")
    shell(c, "dd if=/dev/urandom of=/tmp/big bs=1M count=20 2>/dev/null", PATIENCE)
    shell(c, "md5sum /tmp/big >/tmp/sum", PATIENCE)


def check(c):
    c.send("\n")
    c.expect("# ", PATIENCE)
    c.send("\n")
    c.expect(PROMPT, PATIENCE)
    require("remembered" in shell(c, "echo $x", PATIENCE), "the shell has forgotten its variable")
    require("OK" in shell(c, "md5sum -c /tmp/sum", PATIENCE), "memory has changed")
    before = int(shell(c, "tail -n 1 /tmp/n", PATIENCE))
    shell(c, "sleep 1", PATIENCE)
    require(int(shell(c, "tail -n 1 /tmp/n", PATIENCE)) > before, "the counter stands still")


def end(c):
    c.send("poweroff -f\n")
    require(c.wait(PATIENCE) == 0, "the guest did not power off")


def save(build, processors=1):
    """To a file and back, twice, with a mounted file system on the disk; the second time the guest was paused."""
    def run():
        with Place(build, processors=processors) as p:
            with p.machine("q1") as c:
                prepare(c)
                shell(c, "mke2fs -q /dev/vda; mkdir /mnt; mount /dev/vda /mnt", PATIENCE)
                shell(c, "cp /tmp/sum /mnt", PATIENCE)
                q = p.client(c, "q1")
                q.ok("migrate", uri="exec:cat >" + p.file("state"))
                done = wait_status(q, "completed")
                require(done["ram"]["remaining"] == 0 and done["ram"]["normal"] > 0, "odd numbers: %s" % done)
                require(q.ok("query-status")["status"] == "postmigrate", "it goes on after it has moved")
                q.event("STOP")
                q.ok("quit")
                c.wait(PATIENCE)
            with p.machine("q2", "-incoming", "exec:cat " + p.file("state")) as c:
                q = p.client(c, "q2")
                wait_here(q)
                check(c)
                require("sum" in shell(c, "ls /mnt", PATIENCE), "the file system has lost a file")
                q.ok("stop")
                q.ok("migrate", uri="exec:cat >" + p.file("state"))
                wait_status(q, "completed")
                q.ok("quit")
                c.wait(PATIENCE)
            with p.machine("q3", "-incoming", "defer") as c:
                q = p.client(c, "q3")
                require("error" in q.ask("migrate", uri="exec:cat >/dev/null"), "it moves out before it is in")
                q.ok("migrate-incoming", uri="exec:cat " + p.file("state"))
                wait_here(q, "paused")
                q.ok("cont")
                q.event("RESUME")
                check(c)
                shell(c, "umount /mnt", PATIENCE)
                end(c)
    return run


def live(build):
    """From process to process by a socket, while it writes to its memory."""
    def run():
        with Place(build, disk=False, processors=2) as p:
            with p.machine("q1", "-sandbox", "on") as c, p.machine("q2", "-sandbox", "on", "-incoming", "unix:" + p.file("way")) as to:
                prepare(c)
                shell(c, "while :; do cp /tmp/big /tmp/copy; done &")
                q, r = p.client(c, "q1"), p.client(to, "q2")
                q.ok("migrate-set-capabilities", capabilities=[{"capability": "events", "state": True}])
                q.ok("migrate-set-parameters", max_bandwidth=400 << 20)
                q.ok("migrate", uri="unix:" + p.file("way"))
                require(q.event("MIGRATION")["data"]["status"] == "setup", "no event for the beginning")
                done = wait_status(q, "completed")
                require(done["ram"]["dirty-sync-count"] >= 2, "memory was sent once only")
                q.ok("quit")
                wait_here(r)
                check(to)
                require("error" not in shell(to, "cmp /tmp/big /tmp/big"), "memory cannot be read")
                end(to)
    return run


def stays(build):
    """What cannot move goes on: the other side fails, or somebody thinks better of it."""
    def run():
        with Place(build) as p, p.machine("q1") as c:
            prepare(c)
            q = p.client(c, "q1")
            for uri in ("exec:exit 3", "exec:head -c 1000000 >/dev/null", "unix:/nonexistent/socket", "tcp:127.0.0.1:1"):
                q.ok("migrate", uri=uri)
                require(wait_status(q, "failed")["error-desc"], "no reason is given")
                require(q.ok("query-status")["status"] == "running", "%s: it does not go on" % uri)
            for uri in ("pigeon:coop", "fd:nothing"):
                require("error" in q.ask("migrate", uri=uri), "%s is not refused" % uri)
            q.ok("migrate-set-parameters", max_bandwidth=1 << 20)
            q.ok("migrate", uri="exec:cat >/dev/null")
            require("error" in q.ask("migrate", uri="exec:cat >/dev/null"), "two at once")
            q.ok("migrate_cancel")
            wait_status(q, "cancelled")
            check(c)
            end(c)
    return run


class Stream:
    """A saved state, taken apart: the header, and its parts as (start, end) of the rest; memory is left out."""

    def __init__(self, path):
        with open(path, "rb") as f:
            data = f.read()
        self.header, self.parts, at = data[:24], [], 24
        while data[at:at + 1] != b"E":
            if data[at:at + 1] == b"R":
                _, count, kind = struct.unpack_from("<QIB", data, at + 1)
                at += 14 + count * PAGE * kind
                continue
            start = at
            at += 1
            at += 1 + data[at]
            at += 1 + data[at]
            at += 8 + struct.unpack_from("<I", data, at + 4)[0]
            self.parts.append(data[start:at])

    def bytes(self):
        return self.header + b"".join(self.parts) + b"E"


def mutate(rng, stream):
    data = bytearray(stream.bytes())
    kind = rng.randrange(5)
    if kind == 0:
        return bytes(data[:rng.randrange(len(data))])
    if kind == 1:
        parts = stream.parts[:]
        parts[rng.randrange(len(parts))] = parts[rng.randrange(len(parts))]
        return stream.header + b"".join(parts) + b"E"
    if kind == 2:
        return stream.header + b"R" + struct.pack("<QIB", rng.randrange(1 << rng.randrange(1, 64)), rng.randrange(1 << rng.randrange(1, 32)),
                                                  rng.randrange(3)) + data[24:]
    part = rng.randrange(len(stream.parts))
    start = 24 + sum(len(x) for x in stream.parts[:part])
    for _ in range(rng.randrange(1, 6)):
        at = start + rng.randrange(len(stream.parts[part]))
        data[at] = rng.choice((0, 1, 0x7f, 0x80, 0xff, rng.randrange(256)))
    return bytes(data)


def hostile(build, rounds=30, seed=1):
    """A stream that lies is refused with one line, or is taken; nothing else happens."""
    def run():
        rng = random.Random(seed)
        with Place(build) as p:
            with p.machine("q1") as c:
                c.expect(PROMPT, PATIENCE)
                shell(c, "for m in /lib/modules/*.ko; do insmod $m; done")
                q = p.client(c, "q1")
                q.ok("migrate", uri="exec:cat >" + p.file("state"))
                wait_status(q, "completed")
                q.ok("quit")
                c.wait(PATIENCE)
            stream = Stream(p.file("state"))
            words = build.machine(*p.words, "-S", "-monitor", "none", "-serial", "null", "-incoming", "exec:cat " + p.file("bad"))
            refused = 0
            for i in range(rounds):
                data = mutate(rng, stream) if i else stream.bytes()
                with open(p.file("bad"), "wb") as f:
                    f.write(data)
                process = subprocess.Popen(words + ["-qmp", "stdio"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                           stderr=subprocess.PIPE)
                script = b'{"execute":"qmp_capabilities"}' + b'{"execute":"query-status"}' * 3
                try:
                    process.stdin.write(script)
                    process.stdin.flush()
                    end_at = time.monotonic() + 3
                    while process.poll() is None and time.monotonic() < end_at:
                        process.stdin.write(b'{"execute":"query-status"}')
                        process.stdin.flush()
                        line = process.stdout.readline()
                        if b'"status"' in line and b"inmigrate" not in line:
                            break
                    process.stdin.write(b'{"execute":"quit"}')
                    process.stdin.flush()
                except BrokenPipeError:
                    pass
                out, err = process.communicate(timeout=PATIENCE)
                lines = err.decode("utf-8", "replace").splitlines()
                require(process.returncode in (0, 1) and len(lines) == 1,
                        "round %d: status %d:\n%s" % (i, process.returncode, err.decode("utf-8", "replace")))
                require(i or process.returncode == 0, "the stream itself is refused: %s" % lines)
                refused += process.returncode
            require(refused > rounds / 4, "only %d of %d were refused" % (refused, rounds))
    return run


def tests(build):
    return [("move-save", save(build, 2)), ("move-live", live(build)),
            ("move-stays", stays(build)), ("move-hostile", hostile(build))]
