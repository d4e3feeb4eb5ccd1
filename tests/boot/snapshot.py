# snapshot.py - a Linux guest and its disks as of one moment, inside qcow2 images: kept, gone back to, damaged; no room, a quit, a kill
# SPDX-License-Identifier: GPL-2.0-or-later
import os
import random
import shutil
import struct
import subprocess
import tempfile
import time

from boot.devices import initrd
from clients.qmp import Client, Machine
from harness.console import Console
from harness.lodge import PROMPT, Skip, output_of, require, shell

PATIENCE = 120


def img(*words):
    status, out = output_of(["qemu-img", *words], 60)
    require(status == 0, "qemu-img %s: %s" % (" ".join(words), out))
    return out


class Place:
    """A folder with two disks, and the words of a machine that has them."""

    def __init__(self, build, shape="", memory=192, guest=None):
        if not shutil.which("qemu-img"):
            raise Skip("qemu-img is not installed")
        self.temporary = tempfile.TemporaryDirectory(prefix="lodge-test-")
        self.folder = self.temporary.name
        self.disks = [self.file("a.qcow2"), self.file("b.qcow2")]
        for disk in self.disks:
            img("create", "-q", "-f", "qcow2", *shape.split(), disk, "32M")
        self.bare = ["-m", str(memory), "-netdev", "user,id=n", "-device", "virtio-net-pci,netdev=n",
                     "-device", "virtio-rng-pci", "-device", "virtio-balloon-pci"]
        for i, disk in enumerate(self.disks):
            self.bare += ["-blockdev", "driver=qcow2,node-name=d%d,file.driver=file,file.filename=%s" % (i, disk),
                          "-device", "virtio-blk-pci,drive=d%d" % i]
        self.build = build
        linux = ["-kernel", build.kernel(), "-initrd", initrd(build, self.folder), "-append", "console=ttyS0 quiet"]
        self.kernel = ["-kernel", build.path("tests/guests/%s.elf" % guest)] if guest else linux

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.temporary.cleanup()

    def file(self, name):
        return os.path.join(self.folder, name)

    def console(self, *more):
        return Console(self.build.machine("-nographic", *self.kernel, *self.bare, "-qmp", "unix:%s,server=on,wait=off" % self.file("q"), *more))

    def machine(self, *more):
        return Machine(self.build.machine("-serial", "null", "-display", "none", *self.kernel, *self.bare, *more)).negotiate()

    def client(self, console):
        q = Client(self.file("q"), console.process)
        q.ok("qmp_capabilities")
        return q

    def whole(self, *tags):
        """The images are without errors and leaks, and have these snapshots."""
        for disk in self.disks:
            img("check", disk)
            have = [line.split()[1] for line in img("snapshot", "-l", disk).splitlines()[2:]]
            require(have == list(tags), "%s has %s, not %s" % (disk, have, tags))


def job(q, command, tag, good=True, job_id="j", disks=("d0", "d1"), vmstate="d0"):
    """Runs it to its end; the error."""
    words = {} if command == "snapshot-delete" else {"vmstate": vmstate}
    q.ok(command, job_id=job_id, tag=tag, devices=list(disks), **words)
    while (e := q.event("JOB_STATUS_CHANGE")["data"]) != {"id": job_id, "status": "concluded"}:
        require(e["id"] == job_id, e)
    row = next(j for j in q.ok("query-jobs") if j["id"] == job_id)
    require(("error" not in row) == good, "%s %s: %s" % (command, tag, row))
    q.ok("job-dismiss", id=job_id)
    while q.event("JOB_STATUS_CHANGE")["data"]["status"] != "null":
        pass
    return row.get("error")


def human(q, line):
    return q.ok("human-monitor-command", command_line=line)


def awake(c):
    c.send("\n")
    c.expect("# ", PATIENCE)
    c.send("\n")
    c.expect(PROMPT, PATIENCE)


def says(c, command, text):
    out = shell(c, command, PATIENCE)
    require(text in out, "%s: wants '%s', got: %s" % (command, text, out))


def goes_back(build, shape=""):
    """Memory, disks and what runs are there again: in the machine that saved them, in a new one, by QMP and by the monitor."""
    def run():
        with Place(build, shape) as p:
            with p.console() as c:
                c.expect(PROMPT, PATIENCE)
                shell(c, "for m in /lib/modules/*.ko; do insmod $m; done")
                for command in ("mke2fs -q /dev/vda >/dev/null; mkdir /mnt; mount /dev/vda /mnt",
                                "echo first >/mnt/f; echo first >/tmp/f; sync", "dd if=/dev/urandom of=/tmp/big bs=1M count=20 2>&-",
                                "md5sum /tmp/big >/tmp/sum", "x=one; echo raw1 | dd of=/dev/vdb conv=fsync 2>&-"):
                    shell(c, command, PATIENCE)
                shell(c, "i=0; while :; do i=$((i+1)); echo $i >>/tmp/n; sleep 0.1; done &")
                q = p.client(c)
                require(human(q, "info snapshots") == "There is no snapshot available.\r\n", "info snapshots")
                job(q, "snapshot-save", "s1")
                q.event("STOP")
                q.event("RESUME")
                for command in ("x=two; echo second >/mnt/f; echo second >/tmp/f; rm /tmp/big", "echo raw2 | dd of=/dev/vdb conv=fsync 2>&-; sync"):
                    shell(c, command, PATIENCE)
                require(human(q, "savevm s2") == "", "savevm")
                require("already exists" in job(q, "snapshot-save", "s2", good=False), "two of one name")
                for round in range(2):
                    require(human(q, "loadvm s1") == "", "loadvm")
                    require(q.ok("query-status")["status"] == "running", "it stands after loadvm")
                    awake(c)
                    says(c, "echo $x", "one")
                    says(c, "cat /tmp/f; md5sum -c /tmp/sum", "OK")
                    says(c, "echo 3 >/proc/sys/vm/drop_caches; cat /mnt/f", "first")
                    says(c, "head -c 4 /dev/vdb", "raw1")
                    before = int(shell(c, "tail -n 1 /tmp/n", PATIENCE))
                    shell(c, "sleep 1; echo again >/mnt/g; sync", PATIENCE)
                    require(int(shell(c, "tail -n 1 /tmp/n", PATIENCE)) > before, "the counter stands still")
                q.ok("stop")
                job(q, "snapshot-load", "s2")
                require(q.ok("query-status")["status"] == "paused", "a paused machine goes on")
                q.ok("cont")
                awake(c)
                says(c, "echo $x; cat /tmp/f", "two")
                says(c, "cat /mnt/f", "second")
                says(c, "head -c 4 /dev/vdb", "raw2")
                require(human(q, "savevm s1") == "", "savevm of a name that there is")
                rows = human(q, "info snapshots").split("\r\n")
                require(rows[0] == "List of snapshots present on all disks:" and [r.split()[1] for r in rows[2:4]] == ["s2", "s1"], rows)
                q.ok("quit")
                c.wait(PATIENCE)
            p.whole("s2", "s1")
            row = img("snapshot", "-l", p.disks[0]).splitlines()[2].split()
            require(row[2:4] != ["0", "B"] and img("snapshot", "-l", p.disks[1]).splitlines()[2].split()[2:4] == ["0", "B"], "the state's size: %s" % row)
            with p.console("-loadvm", "s2") as c:
                awake(c)
                says(c, "echo $x; cat /mnt/f", "two")
                q = p.client(c)
                job(q, "snapshot-delete", "s2")
                require(human(q, "delvm nothing") == "", "delvm of none")
                require("does not exist" in human(q, "loadvm s2") and q.ok("query-status")["running"], "one that has gone")
                q.ok("system_reset")
                c.expect(PROMPT, PATIENCE)
                require(human(q, "loadvm s1") == "", "after a reset")
                awake(c)
                says(c, "echo $x", "two")
                q.ok("quit")
                c.wait(PATIENCE)
            with p.console("-loadvm", "s1", "-S") as c:
                q = p.client(c)
                require(q.ok("query-status")["status"] == "prelaunch", "-S")
                q.ok("cont")
                awake(c)
                says(c, "echo $x", "two")
                require(human(q, "delvm s1") == "", "delvm")
                c.send("poweroff -f\n")
                require(c.wait(PATIENCE) == 0, "poweroff")
            p.whole()
    return run


def refused(build):
    """What cannot be is said in one line, and the guest runs on; the images are as they were."""
    with Place(build) as p:
        raw = p.file("c.raw")
        with open(raw, "wb") as f:
            f.truncate(1 << 20)
        blockdev = ["-blockdev", "driver=raw,node-name=r,file.driver=file,file.filename=" + raw, "-device", "virtio-blk-pci,drive=r"]
        with p.machine(*blockdev) as m:
            q = m.client
            for line in ("savevm x", "loadvm x", "delvm x"):
                require(human(q, line) == "Error: Device 'r' is writable but does not support snapshots\r\n", line + ": " + human(q, line))
            require("vmstate block device 'r' does not exist" == job(q, "snapshot-save", "x", False, vmstate="r"), "vmstate")
            for disks, text in (((), "At least one device is required for snapshot"), (("d0", "no"), "No block device node 'no'"),
                                (("r",), "Device 'r' is writable but does not support snapshots"), (("d1",), "vmstate block device 'd0' does not exist")):
                require(job(q, "snapshot-save", "x", False, disks=disks) == text, text)
            job(q, "snapshot-save", "part", disks=("d0",))
            require("does not exist in one or more" in job(q, "snapshot-load", "part", False), "one that a disk has not")
            job(q, "snapshot-load", "part", disks=("d0",))
            for words, text in ((dict(job_id="1"), "Invalid job ID '1'"), (dict(job_id="j", devices=[1]), "Invalid parameter type for 'devices[0]', expected: string")):
                require(q.ask("snapshot-save", **{"tag": "x", "vmstate": "d0", "devices": ["d0"], **words})["error"]["desc"] == text, text)
            q.ok("stop")  # so that the guest does not let it go
            q.ok("device_add", driver="virtio-rng-pci", id="x")
            q.ok("device_del", id="x")
            require("in the process of unplug" in job(q, "snapshot-load", "part", False, disks=("d0",)), "while a device goes")
            q.ok("cont")
            require(q.ask("job-dismiss", id="no")["error"]["desc"] == "Job not found", "a job that there is not")
            nothing = {"tag": "x", "vmstate": "d0", "devices": ["no"]}
            for n in range(64):
                q.ok("snapshot-save", job_id="j%d" % n, **nothing)
            require("there are 64 jobs already" in q.ask("snapshot-save", job_id="j64", **nothing)["error"]["desc"], "jobs without bound")
            while any(j["status"] != "concluded" for j in q.ok("query-jobs")):
                pass
            for n in range(64):
                q.ok("job-dismiss", id="j%d" % n)
            require(q.ok("query-status")["running"], "the guest stands still")
        img("snapshot", "-d", "part", p.disks[0])
        img("snapshot", "-c", "off", p.disks[0])
        img("snapshot", "-c", "off", p.disks[1])
        with p.machine() as m:
            require(job(m.client, "snapshot-load", "off", False) == "This is a disk-only snapshot. Revert to it  offline using qemu-img", "without a state")
            m.client.ok("block_resize", node_name="d1", size=64 << 20)
            require("had 33554432 bytes then" in job(m.client, "snapshot-load", "off", False), "another size")
            m.client.ok("quit")
            m.ended()
        p.whole("off")
        for words, text in (("-loadvm no", "-loadvm no: Snapshot 'no' does not exist in one or more devices"), ("-loadvm x -incoming defer", "from one place only")):
            status, out = output_of(build.machine("-serial", "null", "-display", "none", *p.kernel, *p.bare, *words.split()), 60)
            require(status == 1 and text in out and out.count("\n") == 1, "%s: %d, %s" % (words, status, out))


class State:
    """Where the machine's state lies in the file: of each byte of the stream, its place."""

    def __init__(self, path):
        with open(path, "rb") as f:
            self.data = f.read()
        bits, = struct.unpack_from(">I", self.data, 20)
        table, = struct.unpack_from(">Q", self.data, 64)
        l1, entries, ids, names = struct.unpack_from(">QIHH", self.data, table)
        self.table, self.cluster = table, 1 << bits
        self.size, disk = struct.unpack_from(">QQ", self.data, table + 40)
        self.l1 = l1 + 8 * -(-disk // (self.cluster * self.cluster // 8))
        self.l2 = self.entry(self.l1)

    def entry(self, at):
        return struct.unpack_from(">Q", self.data, at)[0] & 0x00fffffffffffe00

    def place(self, offset):
        return self.entry(self.l2 + 8 * (offset // self.cluster)) + offset % self.cluster

    def read(self, offset, n):
        return bytes(self.data[self.place(offset + i)] for i in range(n))


def damages(state, rng):
    """Files with something else in one place: (what, bytes)."""
    def with_bytes(at, new):
        data = bytearray(state.data)
        data[at:at + len(new)] = new
        return bytes(data)

    yield "no magic", with_bytes(state.place(0), b"QEVM")
    yield "another memory", with_bytes(state.place(16), struct.pack("<Q", 1 << 40))
    yield "a page behind the end", with_bytes(state.place(25), struct.pack("<Q", 1 << 50))
    yield "no size", with_bytes(state.table + 40, bytes(8))
    yield "bytes behind the end", with_bytes(state.table + 40, struct.pack(">Q", 1 << 62))
    yield "a size in the middle", with_bytes(state.table + 40, struct.pack(">Q", state.size // 2))
    yield "a huge disk", with_bytes(state.table + 48, b"\xff" * 8)
    yield "no tables", with_bytes(state.table + 8, struct.pack(">I", 1))
    yield "a table nowhere", with_bytes(state.l1, struct.pack(">Q", 0x7ffffffffe0000))
    yield "a table in between", with_bytes(state.l1, struct.pack(">Q", state.l2 + 512))
    yield "packed clusters", with_bytes(state.l2, struct.pack(">Q", 1 << 62 | state.l2))
    yield "no end", with_bytes(state.place(state.size - 1), b"X")
    for part in (b"P\x03kvm", b"P\x04vcpu", b"P\x0avirtio-blk", b"P\x09virtqueue", b"P\x0avirtio-net", b"P\x06serial"):
        at = state.data.index(part)
        yield "a name in " + repr(part), with_bytes(at + 3, b"X")
        yield "a size in " + repr(part), with_bytes(at + 2 + part[1] + 8, b"\xff\xff\xff")
        for _ in range(4):
            yield "bytes in " + repr(part), with_bytes(at + rng.randrange(40, 200), bytes(rng.randrange(256) for _ in range(8)))


def hostile(build, seed=1):
    """An image whose state of a machine is damaged: one line, and the guest that is there runs on; or it is taken. Nothing else."""
    rng = random.Random(seed)
    with Place(build, memory=64, guest="faults") as p:
        with p.machine("-S") as m:
            job(m.client, "snapshot-save", "s")
            m.client.ok("quit")
            m.ended()
        good = State(p.disks[0])
        require(good.read(0, 8) == b"LODGEVM\n" and good.read(good.size - 1, 1) == b"E", "the state is not where it should be")
        refusals = 0
        for what, data in damages(good, rng):
            with open(p.disks[0], "wb") as f:
                f.write(data)
            process = subprocess.run(build.machine("-serial", "null", "-display", "none", *p.kernel, *p.bare, "-S", "-loadvm", "s", "-qmp", "stdio"),
                                     input=b'{"execute":"qmp_capabilities"}{"execute":"quit"}', capture_output=True, timeout=PATIENCE)
            text = process.stderr.decode("utf-8", "replace")
            require(process.returncode in (0, 1) and text.count("\n") == 1, "%s: status %d\n%s" % (what, process.returncode, text))
            require(process.returncode or what.startswith("bytes"), what + " is taken")
            refusals += process.returncode
        require(refusals > 20, "only %d are refused" % refusals)
        with open(p.disks[0], "wb") as f:  # one that is refused late: at a device's own values
            at = good.data.index(b"P\x04vcpu")
            f.write(good.data[:at + 3] + b"X" + good.data[at + 4:])
        with p.machine("-S") as m:
            for _ in range(3):
                require(human(m.client, "loadvm s").startswith("Error: "), "it is taken")
            require(m.client.ok("query-status")["status"] == "prelaunch", "its state is another one")
            m.client.ok("cont")
            require(m.client.event("SHUTDOWN")["data"]["guest"] and m.ended() == 0, "the guest does not come to its end")


def no_room(build):
    """A full disk: an error that says so, no snapshot, no room lost, and the guest runs on."""
    if os.getuid():
        raise Skip("mounting a small file system needs root")
    with Place(build) as p:
        small = p.file("small")
        os.mkdir(small)
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "none", small], stderr=subprocess.DEVNULL).returncode:
            raise Skip("this system does not let a file system be mounted")
        try:
            for i, disk in enumerate(p.disks):
                place = p.file("small/x.qcow2")
                shutil.move(disk, place)
                os.symlink(place, disk)
                with p.machine() as m:
                    q = m.client
                    used = os.stat(place).st_blocks
                    for command in ("savevm s", "savevm s") if i == 0 else ():
                        require("o space" in human(q, command), "no word of the full disk: " + command)
                    with open(small + "/fill", "wb", buffering=0) as f:  # not even a table
                        try:
                            while f.write(bytes(4096)):
                                pass
                        except OSError:
                            pass
                    require("o space" in job(q, "snapshot-save", "s", False), "a disk that is full")
                    require(q.ok("query-status")["running"], "the guest stands still")
                    require(os.stat(place).st_blocks <= used + 512, "what did not become a snapshot takes room: %d" % (os.stat(place).st_blocks - used))
                    os.unlink(small + "/fill")
                    if i == 1:
                        job(q, "snapshot-save", "s")
                        job(q, "snapshot-load", "s")
                    q.ok("quit")
                    m.ended()
                p.whole(*["s"][:i])
                os.unlink(disk)
                shutil.move(place, disk)
        finally:
            subprocess.run(["umount", small])


def interrupted(build, rounds=12, seed=1):
    """Killed, or ended, in the middle of a save: the disks are whole, and have the earlier snapshot."""
    rng = random.Random(seed)
    with Place(build) as p:
        with p.machine() as m:
            begun = time.monotonic()
            job(m.client, "snapshot-save", "first")
            took = time.monotonic() - begun
            m.client.ok("quit")
            m.ended()
        for n in range(rounds):
            with p.machine("-loadvm", "first") as m:
                q = m.client
                q.ok("snapshot-save", job_id="j", tag="x", vmstate="d0", devices=["d0", "d1"])
                time.sleep(took * rng.random() * 1.2)
                if n % 2:
                    m.process.kill()
                else:
                    q.ok("quit")
                require(m.ended() in (0, -9), "it ends badly")
            with p.machine("-S") as m:
                human(m.client, "delvm x")
                require(human(m.client, "loadvm first") == "", "what was there is lost")
                m.client.ok("quit")
                m.ended()
            p.whole("first")


def tests(build):
    return [("snapshot-back", goes_back(build)), ("snapshot-back-small", goes_back(build, "-o cluster_size=4k")),
            ("snapshot-refused", lambda: refused(build)), ("snapshot-hostile", lambda: hostile(build)),
            ("snapshot-no-room", lambda: no_room(build)), ("snapshot-interrupted", lambda: interrupted(build))]
