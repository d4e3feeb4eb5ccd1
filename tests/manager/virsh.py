# virsh.py - lodged, managed by programs that were written for libvirt: virsh and python3-libvirt
# SPDX-License-Identifier: GPL-2.0-or-later
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time

from harness.console import Console
from harness.lodge import PROMPT, TOP, Failure, Skip, output_of, require

QEMU = "/usr/bin/qemu-system-x86_64"
DOMAIN = """<domain type='qemu'><name>%s</name><memory unit='MiB'>64</memory><currentMemory unit='MiB'>48</currentMemory>
<vcpu>2</vcpu><os><type arch='x86_64'>hvm</type>%s</os>%s<devices><console type='pty'/>%s</devices></domain>"""


def wait_for(condition, what, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise Failure("waited %d s in vain until %s" % (seconds, what))
        time.sleep(0.05)


class Daemon:
    """A lodged with a folder of its own; what it runs ends with it."""

    def __init__(self, build):
        if not shutil.which("virsh") or not os.path.exists(QEMU):
            raise Skip("virsh or qemu-system-x86_64 is not installed")
        self.program = build.path("lodged")
        self.folder = tempfile.TemporaryDirectory(prefix="lodge-test-")
        self.root = self.folder.name
        self.socket = self.root + "/run/lodged-sock"
        self.start()

    def start(self):
        log = open(self.root + "/lodged.out", "ab")
        self.process = subprocess.Popen([self.program, "--root", self.root], stdout=log, stderr=log)
        log.close()
        wait_for(self.answers, "lodged listens")

    def answers(self):
        require(self.process.poll() is None, "lodged ended:\n" + open(self.root + "/lodged.out").read())
        with socket.socket(socket.AF_UNIX) as s:
            return s.connect_ex(self.socket) == 0

    def kill(self):
        self.process.kill()
        self.process.wait()

    def uri(self, suffix=""):
        return "qemu+unix:///system?socket=" + self.socket + suffix

    def virsh(self, *args, good=True, suffix=""):
        status, out = output_of(["virsh", "-c", self.uri(suffix), *args], 90)
        require((status == 0) == good, "virsh %s ends with %d and says:\n%s" % (" ".join(args), status, out))
        return out

    def define(self, name, os_xml="", features="", devices=""):
        path = "%s/%s.xml" % (self.root, name)
        with open(path, "w") as f:
            f.write(DOMAIN % (name, os_xml, features, devices))
        return self.virsh("define", path)

    def state(self, name):
        return self.virsh("domstate", name, "--reason").strip()

    def pid(self, name):
        with open("%s/run/domains/%s.xml" % (self.root, name)) as f:
            return int(re.search(r"pid='(\d+)'", f.read())[1])

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        folder = self.root + "/run/domains"
        for name in os.listdir(folder) if os.path.isdir(folder) else []:
            if name.endswith(".xml"):
                try:
                    os.kill(self.pid(name[:-4]), signal.SIGKILL)
                except (OSError, TypeError):
                    pass
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(30)
        require(self.process.returncode in (0, -signal.SIGKILL),
                "lodged ended with %d:\n%s" % (self.process.returncode, open(self.root + "/lodged.out").read()))
        self.folder.cleanup()


# A command, and what its answer must match: the forms are those of virsh with libvirt's own daemon.
COMMANDS = [
    ("version --daemon", r"Using API: QEMU 9\.0\.0\nRunning hypervisor: QEMU \d+\.\d+\.\d+\nRunning against daemon: 9\.0\.0"),
    ("hostname", r"^\S+$"), ("nodeinfo", r"CPU model: +x86_64\nCPU\(s\): +\d+\n"), ("freecell", r"Total: \d+ KiB"),
    ("freecell --all", r"0: +\d+ KiB"),
    ("nodememstats", r"total  : +\d+ KiB\nfree   : +\d+ KiB"), ("nodecpustats", r"user: +\d+\nsystem: +\d+\nidle: +\d+"),
    ("nodecpumap", r"CPUs present: +\d+\nCPUs online: +\d+\nCPU map: +y"), ("maxvcpus", r"^\d+$"),
    ("capabilities", r"<os_type>hvm</os_type>(.|\n)*<machine maxCpus='255'"),
    ("domcapabilities", r"<domainCapabilities>\n  <path>"), ("uri", r"^qemu\+unix:"),
    ("list --all", r"-    a +shut off"), ("list --inactive --name", r"^a\n"), ("list --all --uuid", r"^[-0-9a-f]{36}\n"),
    ("list --all --persistent --no-autostart --state-shutoff", r" a "), ("list --transient --all --name", r"^\n$"),
    ("dominfo a", r"Id: +-\nName: +a\n(.|\n)*State: +shut off\nCPU\(s\): +2\n(.|\n)*Persistent: +yes\nAutostart: +disable"),
    ("domid a", r"^-$"), ("domuuid a", r"^[-0-9a-f]{36}\n"), ("domstate a", "shut off"),
    ("domstate a --reason", r"shut off \(unknown\)"),
    ("dumpxml a", r"^<domain type='qemu'>\n  <name>a</name>\n  <uuid>(.|\n)*<memory unit='KiB'>65536</memory>\n  "
                  r"<currentMemory unit='KiB'>49152</currentMemory>\n  <vcpu placement='static'>2</vcpu>"),
    ("dumpxml a --xpath //name", "<name>a</name>"), ("vcpucount a", r"maximum +config +2\ncurrent +config +2"),
    ("domblklist a", r"Target +Source"), ("domiflist a", r"52:54:00:00:00:01"),
    ("desc a --title --new-desc First", "title updated"), ("desc a --title", "First"), ("list --all --title", "First"),
    ("desc a --new-desc about", "updated"), ("desc a", "about"),
    ("metadata a http://x.y --key k --set <v/>", "Metadata modified"), ("metadata a http://x.y", r"<v xmlns:k='http|<k:v|<v"),
    ("autostart a", "marked as autostarted"), ("list --all --autostart --name", r"^a\n"),
    ("autostart a --disable", "unmarked as autostarted"),
    ("start a --paused", "Domain 'a' started"), ("domstate a --reason", r"paused \(user\)"), ("list --state-paused", "paused"),
    ("resume a", "resumed"), ("domstate a --reason", r"running \(unpaused\)"), ("list", r" 1 +a +running"),
    ("list --id", r"^1\n"), ("domid a", r"^1$"), ("domname 1", r"^a$"), ("dominfo a", r"CPU time: +[\d.]+s"),
    ("domcontrol a", "ok"), ("dommemstat a", r"actual \d+\nrss \d+"), ("ttyconsole a", r"^/dev/pts/\d+"),
    ("dumpxml a", r"^<domain type='qemu' id='1'>(.|\n)*<alias name='serial0'/>"), ("dumpxml a --inactive", r"^<domain type='qemu'>"),
    ("vcpucount a --live --current", r"^2$"), ("domif-getlink a 52:54:00:00:00:01", "default|up"),
    ("qemu-monitor-command a --hmp info status", "VM status: running"),
    ("qemu-monitor-command a {\"execute\":\"query-status\"}", r'"return".*"status":"running"'),
    ("setmem a 40M", r""), ("suspend a", "suspended"), ("domstate a --reason", r"paused \(user\)"), ("resume a", "resumed"),
    ("reset a", "was reset"), ("inject-nmi a", ""), ("shutdown a", "is being shutdown"),
    ("destroy a", "Domain 'a' destroyed"), ("domstate a --reason", r"shut off \(destroyed\)"),
    ("start a", "Domain 'a' started"), ("destroy a --graceful", "destroyed"),
    ("create @b", "Domain 'b' created"), ("list --transient --name", r"^b\n"), ("destroy b", "destroyed"),
    ("list --all --name", r"^a\n\n$"), ("undefine a", "has been undefined"), ("list --all --name", r"^\n$"),
]

# Commands that must fail, and how; the daemon lives on.
REFUSED = [
    ("start nobody", "failed to get domain 'nobody'"), ("destroy a", "domain is not running"),
    ("suspend a", "domain is not running"), ("create @clash", "already exists"), ("define @nodevice", "smoke"),
    ("define @badname", "cannot contain '/'"), ("define @notxml", "definition"), ("define @doctype", "document type"),
    ("define @secret", "'passwd' of <graphics> is not supported"), ("define @nomemory", "[Mm]emory"), ("define @emulator", "Cannot check QEMU binary"), ("setmem a 1G --live", "not running"),
    ("console a", "domain is not running|controlling terminal"), ("managedsave a", "not supported|not running|unknown"),
]

BAD = {
    "b": DOMAIN % ("b", "", "", ""), "clash": DOMAIN % ("a", "", "", ""), "nodevice": DOMAIN % ("x", "", "", "<smoke/>"),
    "badname": DOMAIN % ("a/b", "", "", ""), "notxml": "<domain><name>", "secret": DOMAIN % ("x", "", "", "<graphics type='vnc' passwd='x'/>"), "nomemory": DOMAIN.replace("64", "0") % ("x", "", "", ""),
    "doctype": "<!DOCTYPE d [<!ENTITY a 'b'>]>" + DOMAIN % ("x", "", "", ""),
    "emulator": DOMAIN % ("x", "", "", "<emulator>/no/such</emulator>"),
}


def with_files(daemon, command):
    words = command.split(" ", 2 if "monitor-command" in command else -1)
    if "--hmp" in command:
        words = command.split(" ", 3)
    return [daemon.root + "/bad-" + w[1:] if w.startswith("@") else w for w in words]


def prepare(daemon):
    for name, text in BAD.items():
        with open(daemon.root + "/bad-" + name, "w") as f:
            f.write(text)
    daemon.define("a", devices="<interface type='user'><mac address='52:54:00:00:00:01'/></interface>")


def commands(build):
    def run():
        with Daemon(build) as daemon:
            prepare(daemon)
            for command, form in COMMANDS:
                out = daemon.virsh(*with_files(daemon, command))
                require(re.search(form, out, re.M), "virsh %s\nwants /%s/ but prints:\n%s" % (command, form, out))
    return run


def refused(build):
    def run():
        with Daemon(build) as daemon:
            prepare(daemon)
            for command, form in REFUSED:
                out = daemon.virsh(*with_files(daemon, command), good=False)
                require(re.search(form, out, re.M), "virsh %s\nwants /%s/ but prints:\n%s" % (command, form, out))
            require(daemon.virsh("list", "--all", "--name") == "a\n\n", "a refused command has changed something")
    return run


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


def parse_definition():
    """The calls of protocol.def: number, access, name, arguments."""
    with open(os.path.join(TOP, "manager/rpc/protocol.def")) as f:
        text = f.read()
    return re.findall(r"^call (\d+) (\w+) (\w+) \((.*?)\)(?: ->.*)?$", text, re.M)


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
                        require(code == 39, "unknown procedure %d gives %d" % (number, code))
                    if access == "write":
                        require(code == 29, "%s on a read-only connection gives %d, not 29" % (name, code))
            require(daemon.virsh("dumpxml", "a") == before and "shut off" in daemon.state("a"), "something has changed")
            out = daemon.virsh("-r", "start", "a", good=False)
            require("read only" in out or "forbidden" in out, out)
    return run


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


EVENTS = """
import libvirt, sys, threading, time
libvirt.virEventRegisterDefaultImpl()
seen = []
def loop():
    while True: libvirt.virEventRunDefaultImpl()
threading.Thread(target=loop, daemon=True).start()
c = libvirt.open(sys.argv[1])
c.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, lambda c, d, e, r, o: seen.append((e, r)), None)
d = c.lookupByName('a')
d.create(); d.suspend(); d.resume(); d.destroy()
want = [(4, 0), (2, 0), (3, 0), (4, 0), (5, 1)]
end = time.monotonic() + 60
while [s for s in seen if s[0] != 6] != want and time.monotonic() < end: time.sleep(0.05)
print([s for s in seen if s[0] != 6] == want, seen, d.isActive(), d.ID())
"""


def events(build):
    def run():
        if subprocess.run(["/usr/bin/python3", "-c", "import libvirt"], stderr=subprocess.DEVNULL).returncode:
            raise Skip("python3-libvirt is not installed")
        with Daemon(build) as daemon:
            prepare(daemon)
            status, out = output_of(["/usr/bin/python3", "-c", EVENTS, daemon.uri()], 120)
            require(status == 0 and out.startswith("True") and out.rstrip().endswith("0 -1"), out)
    return run


def console(build):
    """A Linux guest on virsh's console; it powers itself off, which virsh and the state say."""
    def run():
        with Daemon(build) as daemon:
            boot = "<kernel>%s</kernel><initrd>%s</initrd><cmdline>console=ttyS0 quiet</cmdline>" % (
                build.kernel(), build.path("initramfs.cpio.gz"))
            path = daemon.root + "/linux.xml"
            with open(path, "w") as f:
                f.write((DOMAIN % ("linux", boot, "<features><acpi/></features>", "")).replace("64", "256", 1).replace("x86_256", "x86_64"))
            daemon.virsh("define", path)
            with Console(["virsh", "-c", daemon.uri(), "start", "--console", "linux"]) as c:
                c.expect(PROMPT, 180)
                c.send("echo seven is $((3+4))\n")
                c.expect("seven is 7", 60)
                c.send("poweroff -f\n")
                c.wait(90)
            wait_for(lambda: daemon.state("linux") == "shut off (shutdown)", "the guest is shut off by itself")
    return run


def tests(build):
    return [("commands", commands(build)), ("refused", refused(build)), ("survival", survival(build)),
            ("read-only", read_only(build)), ("hostile", hostile(build)), ("events", events(build)), ("console", console(build))]
