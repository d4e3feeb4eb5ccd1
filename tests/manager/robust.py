# robust.py - lodged with clients that mean harm, and killed while its guests run
# SPDX-License-Identifier: GPL-2.0-or-later
import os
import random
import re
import signal
import socket
import struct
import subprocess
import time

from harness.console import Console
from harness.lodge import TOP, output_of, require
from manager.daemon import Daemon, wait_for
from manager.libvirtd import Libvirtd
from manager.virsh import prepare


def survival(build, rounds=6):
    """kill -9 of the daemon: its guests run on, and the next daemon has them as they are."""
    def run():
        with Daemon(build) as daemon:
            for name in ("runs", "waits", "dies"):
                daemon.define(name)
                daemon.virsh("start", name)
            daemon.virsh("suspend", "waits")
            pid, ids = daemon.pid("runs"), daemon.virsh("list")
            for i in range(rounds):
                # Each second time in the middle of a call.
                call = subprocess.Popen(["virsh", "-c", daemon.uri(), "suspend" if i % 4 == 1 else "resume", "runs"],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) if i % 2 else None
                daemon.kill()
                if call:
                    call.wait(60)
                daemon.start()
                wait_for(lambda: "status: running" in output_of(
                    ["virsh", "-c", daemon.uri(), "qemu-monitor-command", "runs", "--hmp", "info status"], 60)[1] or
                    daemon.state("runs").startswith("paused"), "the guest answers")
                if daemon.state("runs").startswith("paused"):
                    daemon.virsh("resume", "runs")
                require(daemon.pid("runs") == pid, "the guest is another process")
                require(daemon.virsh("list") == ids, "the list differs:\n%s\n%s" % (ids, daemon.virsh("list")))
            dead = daemon.pid("dies")
            daemon.kill()
            os.kill(dead, signal.SIGKILL)
            daemon.start()
            require(daemon.state("dies") == "shut off (crashed)", "a guest that died is " + daemon.state("dies"))
            daemon.virsh("resume", "waits")
            require(daemon.state("waits").startswith("running"), "the paused guest does not go on")
    return run


# What a client may be in the middle of.
WORK = ("save a @a.save", "managedsave a", "attach-disk a @d.img vdb --live", "detach-disk a vdb --live", "dump a @a.core",
        "setmem a 48M", "destroy a", "reset a")


def processes_of(root):
    """The machines that run with this folder, whoever knows of them."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/cmdline" % pid, "rb") as f:
                words = f.read()
        except OSError:
            continue
        if b"lodge-vm" in words.split(b"\0")[0] and root.encode() in words:
            found.append(int(pid))
    return found


def at_work(build, rounds=10):
    """kill -9 of the daemon while it saves, plugs, ends: the machine runs on or is off, and nothing is left over."""
    def run():
        with Daemon(build) as daemon:
            daemon.define("a")
            daemon.write("d.img", b"\0" * 1048576)
            chance = random.Random(rounds)
            for i in range(rounds):
                off = daemon.state("a").startswith("shut off")
                if daemon.state("a").startswith("paused"):
                    daemon.virsh("resume", "a")
                work = "start a" if off else WORK[i % len(WORK)]
                words = [w.replace("@", daemon.root + "/") for w in work.split()]
                call = subprocess.Popen(["virsh", "-c", daemon.uri(), *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                time.sleep(chance.random() * 0.15)
                daemon.kill()
                call.wait(60)
                daemon.start()
                what = "virsh %s was cut off: " % " ".join(words)
                wait_for(lambda: not re.search("starting|saving|dump", daemon.state("a")), what + "the state settles")
                state, running = daemon.state("a"), processes_of(daemon.root)
                alive = not state.startswith("shut off")
                require(len(running) == alive, what + "the domain is %s, and there are %d processes" % (state, len(running)))
                require("crashed" not in state, what + state)
                require(not alive or "yes" not in re.search("Managed save: .*", daemon.virsh("dominfo", "a"))[0],
                        what + "an old managed save would be started from")
                if alive:
                    require(running == [daemon.pid("a")], what + "the process is another one")
                    require("VM status" in daemon.virsh("qemu-monitor-command", "a", "--hmp", "info status"), "the machine answers")
            if not daemon.state("a").startswith("shut off"):
                daemon.virsh("destroy", "a")
            daemon.virsh("start", "a")
    return run


def parse_definition():
    """The calls of protocol.def: number, access, name, arguments."""
    with open(os.path.join(TOP, "manager/rpc/protocol.def")) as f:
        text = f.read()
    return re.findall(r"^(?:call|empty) (\d+) (\w+) (\w+) \((.*?)\)(?: ->.*)?$", text, re.M)


def zeros(arguments, uuid):
    """The arguments, as empty as they can be, but for the domain."""
    out = b""
    for field in filter(None, arguments.split(", ")):
        kind = field.split()[0]
        if kind == "domain":
            out += struct.pack(">I", 1) + b"a\0\0\0" + uuid + struct.pack(">i", -1)
        elif kind == "uuid":
            out += uuid
        else:
            out += b"\0" * (8 if kind in ("u64", "i64") else 4)
    return out


class Wire:
    def __init__(self, path):
        self.s = socket.socket(socket.AF_UNIX)
        self.s.settimeout(60)
        self.s.connect(path)
        self.serial = 0

    def read(self, n):
        data = b""
        while len(data) < n:
            more = self.s.recv(n - len(data))
            require(more, "lodged closed the connection")
            data += more
        return data

    def call(self, program, number, payload=b""):
        """0, or the error's code."""
        self.serial += 1
        self.s.sendall(struct.pack(">7I", 28 + len(payload), program, 1, number, 0, self.serial, 0) + payload)
        while True:
            head = struct.unpack(">7I", self.read(28))
            body = self.read(head[0] - 28)
            if head[4] == 1 and head[5] == self.serial:
                return struct.unpack(">I", body[:4])[0] if head[6] else 0


def read_only(build):
    """Every procedure there is, tried on the read-only socket: those that change something are refused."""
    def run():
        with Daemon(build) as daemon:
            prepare(daemon)
            uuid = bytes.fromhex(daemon.virsh("domuuid", "a").strip().replace("-", ""))
            before = daemon.virsh("dumpxml", "a")
            calls = parse_definition()
            require(len(calls) > 50, "protocol.def has no calls")
            wire = Wire(daemon.socket + "-ro")
            remote, qemu = 0x20008086, 0x20008087
            require(wire.call(remote, 1, struct.pack(">II", 0, 0)) == 0, "cannot open a read-only connection")
            known = {(qemu if name.startswith("qemu_") else remote, int(n)): (access, name, args)
                     for n, access, name, args in calls}
            for program, last in ((remote, 460), (qemu, 10)):
                for number in range(last):
                    access, name, args = known.get((program, number), ("none", "", ""))
                    if name in ("connect_close", "connect_open"):
                        continue
                    code = wire.call(program, number, zeros(args, uuid))
                    if access == "none":
                        require(code in (3, 39), "unknown procedure %d gives %d" % (number, code))
                    if access == "write":
                        require(code == 29, "%s on a read-only connection gives %d, not 29" % (name, code))
            require(daemon.virsh("dumpxml", "a") == before and "shut off" in daemon.state("a"), "something has changed")
            out = daemon.virsh("-r", "start", "a", good=False)
            require("read only" in out or "forbidden" in out, out)
    return run


def read_only_as_theirs(build):
    """What libvirt's own daemon keeps from those who only read, lodged keeps from them, too."""
    def answers(daemon):
        daemon.define("a")
        domain = bytes.fromhex(daemon.virsh("domuuid", "a").strip().replace("-", ""))
        codes = {}
        wire = read_only_wire(daemon, b"qemu:///session" if isinstance(daemon, Libvirtd) else b"qemu:///system")
        for number, _, name, args in parse_definition():
            if name in ("connect_open", "connect_close"):
                continue
            codes[name] = wire.call(0x20008087 if name.startswith("qemu_") else 0x20008086, int(number), zeros(args, domain))
        return codes

    def run():
        with Libvirtd() as daemon:
            theirs = answers(daemon)
        with Daemon(build) as daemon:
            ours = answers(daemon)
        refused = {name for name, code in theirs.items() if code == 29}
        require(len(refused) > 50, "libvirtd refuses only %s" % refused)
        given = [name for name in refused if ours[name] != 29]
        require(not given, "lodged lets readers call %s" % given)
    return run


def read_only_wire(daemon, uri):
    """On the socket for those who may change things, by a client that does not want to."""
    wire = Wire(daemon.socket)
    wire.call(0x20008086, 66)
    text = struct.pack(">I", len(uri)) + uri + b"\0" * (-len(uri) % 4)
    require(wire.call(0x20008086, 1, struct.pack(">I", 1) + text + struct.pack(">I", 1)) == 0, "cannot open a read-only connection")
    return wire


def hostile(build):
    """Messages that no client sends; others are served meanwhile."""
    def run():
        with Daemon(build) as daemon:
            prepare(daemon)
            raw = [b"\0\0\0\0", b"\xff" * 64, struct.pack(">I", 28), struct.pack(">I", 33554437), b"\0\0\0\x1b" + b"\0" * 40,
                   struct.pack(">7I", 28, 0x20008086, 1, 66, 1, 0, 0), struct.pack(">7I", 28, 1, 1, 66, 0, 0, 0),
                   struct.pack(">7I", 28, 0x20008086, 1, 0xffffffff, 0, 0, 0),
                   struct.pack(">9I", 36, 0x20008086, 1, 1, 0, 0, 0, 1, 0xffffffff),
                   struct.pack(">7I", 28, 0x20008086, 1, 201, 3, 5, 2), struct.pack(">7I", 28, 0x20008086, 1, 201, 6, 5, 2)]
            kept = []
            for data in raw:
                s = socket.socket(socket.AF_UNIX)
                s.connect(daemon.socket)
                s.sendall(data)
                kept.append(s)
            for i in range(200):
                s = socket.socket(socket.AF_UNIX)
                s.connect(daemon.socket)
                s.sendall(struct.pack(">7I", 28, 0x20008086, 1, 66, 0, 0, 0)[:i % 28])
                kept.append(s)
            require(daemon.virsh("list", "--all", "--name") == "a\n\n", "virsh is not served")
            deep = "<domain>" + "<a>" * 100000
            with open(daemon.root + "/bad-deep", "w") as f:
                f.write(deep)
            daemon.virsh("define", daemon.root + "/bad-deep", good=False)
            for s in kept:
                s.close()
            require(daemon.virsh("list", "--all", "--name") == "a\n\n", "virsh is not served")
    return run


# A program that lodged takes for QEMU. How its monitor misbehaves is the name of the machine.
LIAR = """#!/usr/bin/python3
import json, os, re, socket, sys, time
arguments = " ".join(sys.argv[1:])
answers = {"-version": "QEMU emulator version 7.2.0", "-machine help": "Supported machines are:\\npc   PC (default)",
           "-device help": " virtio-blk-pci virtio-net-pci isa-serial ", "-object help": " rng-random "}
if arguments in answers:
    print(answers[arguments])
    sys.exit()
how = sys.argv[sys.argv.index("-name") + 1]
s = socket.socket(socket.AF_UNIX)
s.bind(re.search("path=([^,]*monitor),", arguments)[1])
s.listen()
if how == "dies":
    sys.exit("the disk smells of smoke")
c, _ = s.accept()
while how == "mute":
    time.sleep(1)
c.sendall(b'{"QMP": {"version": {}, "capabilities": []}}\\r\\n')
count = 0
for line in c.makefile():
    call = json.loads(line)
    count += 1
    answer = {"return": {}, "id": call["id"]}
    if call["execute"] == "query-chardev":
        answer["return"] = [{"label": "charserial0", "filename": "pty:" + os.path.abspath(sys.argv[0])}, {"label": 7}, 3, None, {"filename": []}]
    if call["execute"] == "query-status":
        answer["return"] = {"status": "running"}
    if how == "hangs" and call["execute"] == "stop":
        continue
    if how == "junk" and call["execute"] == "stop":
        c.sendall(b"HTTP/1.0 400 Bad Request\\r\\n\\r\\n")
    if how == "closes" and call["execute"] == "stop":
        c.close()
        time.sleep(1000)
    if how == "quits" and call["execute"] == "stop":
        sys.exit(0)
    if how == "lies" and call["execute"] != "qmp_capabilities":
        answer["return"] = [[{"status": ["running"], "label": {}, "stats": 1e300, "buses": "x"}] * 50]
        for name in ("STOP", "RESUME", "SHUTDOWN?", "BALLOON_CHANGE", "DEVICE_DELETED", "BLOCK_IO_ERROR", "RTC_CHANGE", "RESET"):
            for data in (None, [], {"device": 7, "actual": "x", "offset": {}}, {"actual": -1}, {"actual": 1 << 70}, "x"):
                c.sendall(json.dumps({"event": name, "data": data, "timestamp": data}).encode() + b"\\r\\n")
        c.sendall(json.dumps({"return": {}, "id": count + 1000}).encode() + b"\\r\\n" + json.dumps({"return": {}, "id": "x"}).encode() + b"\\r\\n")
    if how == "floods" and call["execute"] == "stop":
        try:
            while True:
                c.sendall(b"x" * 1000000)
        except OSError:
            time.sleep(1000)
    c.sendall(json.dumps(answer).encode() + b"\\r\\n")
"""


def liars(build):
    """Machines whose monitors hang, close, send junk, lie: the call gets an error in time, other machines notice nothing."""
    def run():
        with Daemon(build) as daemon:
            liar = daemon.write("liar", LIAR)
            os.chmod(liar, 0o755)
            daemon.process.terminate()
            daemon.process.wait(30)
            daemon.write("etc/lodged.conf", "monitor_timeout = 3\n")
            daemon.start()
            daemon.define("good")
            daemon.virsh("start", "good")
            pid = daemon.pid("good")
            emulator = "<emulator>%s</emulator><memballoon model='none'/>" % liar
            starts = {"dies": "smells of smoke", "mute": "does not greet|cannot|failed"}
            for name in ("dies", "mute", "hangs", "junk", "closes", "quits", "lies", "floods"):
                daemon.define(name, devices=emulator)
                if name in starts:
                    out = daemon.virsh("start", name, good=False)
                    require(re.search(starts[name], out), name + ": " + out)
                    require(daemon.state(name) == "shut off (failed)", name + ": " + daemon.state(name))
                    continue
                status, out = output_of(["virsh", "-c", daemon.uri(), "start", name], 60)
                if name == "lies":
                    for command in ("domstats", "domblkstat", "vcpuinfo", "dommemstat", "suspend", "resume", "domblkerror", "domifaddr", "destroy"):
                        output_of(["virsh", "-c", daemon.uri(), command, name], 60)
                else:
                    require(status == 0, out)
                    with Console(["virsh", "-c", daemon.uri(), "console", name]) as c:
                        c.expect("Cannot open '%s': Inappropriate ioctl" % liar, 60)
                    out = daemon.virsh("suspend", name, good=False)
                    require(re.search("has not answered|not running", out), name + ": " + out)
                if not daemon.state(name).startswith("shut off"):
                    daemon.virsh("destroy", name)
                require(daemon.virsh("domstate", "good") == "running\n\n" and daemon.pid("good") == pid, name + " has touched another machine")
            daemon.virsh("suspend", "good")
            daemon.virsh("resume", "good")
    return run


def crowd(build):
    """200 clients at once, each with calls in work; as many that send and never read; one virsh among them."""
    def run():
        with Daemon(build) as daemon:
            prepare(daemon)
            uuid = bytes.fromhex(daemon.virsh("domuuid", "a").strip().replace("-", ""))
            xml = struct.pack(">7I", 60, 0x20008086, 1, 14, 0, 9, 0) + struct.pack(">I", 1) + b"a\0\0\0" + uuid + struct.pack(">iI", -1, 0)
            wires = [Wire(daemon.socket) for _ in range(200)]
            for w in wires:
                require(w.call(0x20008086, 1, struct.pack(">II", 0, 0)) == 0, "one of 200 clients is not served")
            for w in wires[::2]:
                w.s.settimeout(0.05)
                try:
                    w.s.sendall(xml * 2000)  # and never reads
                except socket.timeout:
                    pass
            for w in wires[1::2]:
                require(w.call(0x20008086, 59) == 0, "a client is not served beside those that do not read")
            require(daemon.virsh("list", "--all", "--name") == "a\n\n", "virsh is not served")
            with open("/proc/%d/status" % daemon.process.pid) as f:
                resident = int(re.search(r"VmRSS:\s+(\d+)", f.read())[1])
            require(resident < 700000, "200 clients that do not read cost %d KiB" % resident)
    return run


def activated(build):
    """Sockets and readiness as systemd hands them over, and a configuration file with every setting."""
    def run():
        with Daemon(build) as daemon:
            daemon.process.terminate()
            daemon.process.wait(30)
            status, text = output_of([daemon.program, "--help-config"], 20)
            require(status == 0 and "#emulator = lodge-vm" in text, text)
            daemon.write("etc/lodged.conf", re.sub("^#(?=\\w)", "", text, flags=re.M))
            paths = [daemon.root + "/ro.sock", daemon.root + "/rw.sock"]
            sockets = []
            for path in paths:
                s = socket.socket(socket.AF_UNIX)
                s.bind(path)
                s.listen()
                sockets.append(s)
            ready = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            ready.bind(daemon.root + "/notify")
            ready.settimeout(60)
            script = 'exec 3<&%d 4<&%d; export LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=x-ro:x NOTIFY_SOCKET=%s; exec "$0" --root "$1"' % (
                sockets[0].fileno(), sockets[1].fileno(), daemon.root + "/notify")
            daemon.process = subprocess.Popen(["sh", "-c", script, daemon.program, daemon.root], pass_fds=[s.fileno() for s in sockets])
            require(ready.recv(100) == b"READY=1", "lodged does not say that it is ready")
            daemon.socket = paths[1]
            daemon.define("a")
            daemon.socket = paths[0]
            require("forbidden" in daemon.virsh("undefine", "a", good=False), "the socket that is called -ro is not read-only")
            require(daemon.virsh("list", "--all", "--name") == "a\n\n", "the read-only socket shows something else")
    return run


def tests(build):
    return [("survival", survival(build)), ("at-work", at_work(build)), ("read-only", read_only(build)),
            ("read-only-as-libvirtd", read_only_as_theirs(build)), ("hostile", hostile(build)),
            ("liars", liars(build)), ("crowd", crowd(build)), ("activated", activated(build))]
