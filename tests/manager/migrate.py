# migrate.py - guests move between two lodged, and whatever goes wrong on the way, one of them runs
# SPDX-License-Identifier: GPL-2.0-or-later
import json
import os
import random
import re
import signal
import struct
import subprocess
import time

from harness.console import Console
from harness.lodge import PROMPT, output_of, require, shell
from manager.daemon import EMULATORS, Daemon, wait_for
from manager.devices import boot, define_linux
from manager.robust import Wire

REMOTE = 0x20008086
BEGIN, PREPARE, PERFORM, FINISH, CONFIRM = 302, 303, 305, 306, 307
LIVE, PEER, PERSIST, UNDEFINE, PAUSED, PROTECT = 1, 2, 8, 16, 32, 256


class Pair:
    """Two daemons with folders of their own."""

    def __init__(self, build, emulator="lodge-vm", settings=""):
        self.daemons = []
        for _ in range(2):
            daemon = Daemon(build, emulator)
            self.daemons.append(daemon)
            if settings:
                daemon.kill()
                with open(daemon.root + "/etc/lodged.conf", "a") as f:
                    f.write(settings)
                daemon.start()
        self.source, self.destination = self.daemons

    def define(self, mebibytes=0, more="", name="a"):
        """A guest that halts; with so much in its memory that has to be sent."""
        source = self.source
        os_xml = "<kernel>%s/idle.elf</kernel>" % source.root
        if mebibytes:
            path = source.write("ballast", random.Random(1).randbytes(mebibytes << 20))
            os_xml += "<initrd>%s</initrd>" % path
        source.define(name, os_xml, devices=more)
        source.virsh("start", name)

    def migrate(self, *options, source=None, name="a", good=True):
        source = source or self.source
        other = self.destination if source is self.source else self.source
        return source.virsh("migrate", name, other.uri(), *options, good=good)

    def begin(self, *options, name="a"):
        """In the background, and slowly: it is on its way when this returns."""
        process = subprocess.Popen(["virsh", "-c", self.source.uri(), "migrate", "--live", name, self.destination.uri(), "--bandwidth", "1",
                                    *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        wait_for(lambda: re.search("Memory processed: +[1-9]", output_of(["virsh", "-c", self.source.uri(), "domjobinfo", name], 60)[1]),
                 "the guest is on its way")
        return process

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        for daemon in self.daemons:
            daemon.__exit__(*exception)


def runs(daemon, name="a"):
    """Whether its processors run, by the machine's own word."""
    status, out = output_of(["virsh", "-c", daemon.uri(), "qemu-monitor-command", name, '{"execute":"query-status"}'], 60)
    return status == 0 and json.loads(out)["return"]["running"]


def absent(daemon, name="a"):
    return name not in daemon.virsh("list", "--all", "--name").split()


def went(pair, to, reason="running (migrated)", name="a"):
    """It runs there, and only there."""
    other = pair.source if to is pair.destination else pair.destination
    require(to.state(name) == reason, "after the migration: " + to.state(name))
    require(runs(to, name) == reason.startswith("running"), "what the machine does is not what domstate says")
    require(absent(other, name) or other.state(name).startswith("shut off"), "it is at the source, too")


def stayed(pair, state="running (migration canceled)"):
    """It runs where it was, and nothing of it is at the destination; and it can still move."""
    wait_for(lambda: pair.source.state("a") == state, "the guest is %s; it is %s" % (state, pair.source.state("a")))
    wait_for(lambda: absent(pair.destination), "the destination has forgotten it")
    require(runs(pair.source) == state.startswith("running"), "the machine does not do what domstate says")
    if state.startswith("paused"):
        pair.source.virsh("resume", "a")
    pair.migrate("--live", "--bandwidth", "1000")
    went(pair, pair.destination)


# ---- it goes ----

def count(console, seconds=60):
    """The number that the guest prints next."""
    return int(console.expect(r"\nn(\d+)\r", seconds)[1])


def moves(build, emulator):
    """Debian counts, and writes its memory full meanwhile: it goes over and back, and no number is missing or comes twice."""
    def run():
        with Pair(build, emulator) as pair:
            define_linux(build, pair.source, machine="pc" if emulator == "qemu" else "q35")
            with boot(pair.source, "linux") as c:
                shell(c, "mkdir -p /t; mount -t tmpfs none /t; echo kept >/note")
                c.send("(while :; do dd if=/dev/urandom of=/t/f bs=1M count=16 2>/dev/null; done) & "
                       "i=0; while :; do i=$((i+1)); echo n$i; echo $i >/dev/null; sleep 0.2; done\n")
                last = max(count(c) for _ in range(5))
            here, there = pair.source, pair.destination
            for options in ([], ["--p2p"], ["--persistent"], ["--p2p", "--undefinesource"]):
                pair.migrate("--live", "--verbose", *options, source=here, name="linux")
                went(pair, there, name="linux")
                with Console(["virsh", "-c", there.uri(), "console", "linux"]) as c:
                    c.expect(r"Escape character[^\n]*\n", 60)
                    numbers = [count(c) for _ in range(5)]
                require(numbers == list(range(numbers[0], numbers[0] + 5)) and numbers[0] > last, "%d, and then %s" % (last, numbers))
                last = numbers[-1]
                here, there = there, here
            with Console(["virsh", "-c", here.uri(), "console", "linux"]) as c:
                c.expect(r"Escape character[^\n]*\n", 60)
                count(c)
                c.send("\3")
                c.expect(PROMPT, 60)
                require("kept" in shell(c, "cat /note", 60), "the guest has forgotten")
                c.send("poweroff -f\n")
                c.wait(90)
    return run


def disks(build, emulator):
    """A qcow2 image that both see: what one side has written, the other reads; and the source has it back if it comes to nothing."""
    def run():
        with Pair(build, emulator) as pair:
            image = pair.source.root + "/d.qcow2"
            subprocess.run([build.path("lodge"), "image", "create", "-f", "qcow2", image, "24M"], check=True, stdout=subprocess.DEVNULL)
            define_linux(build, pair.source, name="a", machine="pc" if emulator == "qemu" else "q35",
                         more="<disk type='file'><driver type='qcow2'/><source file='%s'/><target dev='vda' bus='virtio'/></disk>" % image)
            here, there = pair.daemons
            boot(here, "a").close()

            def at_shell(daemon, command):
                with Console(["virsh", "-c", daemon.uri(), "console", "a"]) as c:
                    c.expect(r"Escape character[^\n]*\n", 60)
                    time.sleep(0.5)
                    c.send("\n")
                    c.expect(PROMPT, 60)
                    return shell(c, command, 120)

            def fill(daemon, at):
                at_shell(daemon, "dd if=/dev/urandom of=/dev/vda bs=1M count=4 seek=%d" % at)
                return seen(daemon)

            def seen(daemon):
                return re.search("[0-9a-f]{32}", at_shell(daemon, "sync; echo 3 >/proc/sys/vm/drop_caches; md5sum /dev/vda"))[0]

            for i, options in enumerate(([], ["--p2p"])):
                before = fill(here, 5 * i)
                pair.migrate("--live", "--unsafe", "--persistent", *options, source=here, name="a")
                went(pair, there, name="a")
                require(seen(there) == before, "the destination reads something else than the source has written")
                here, there = there, here
            pair.daemons = [here, there]
            pair.source, pair.destination = here, there
            s, flags = Steps(pair), LIVE | PROTECT | 512
            before = fill(here, 15)
            for step in (s.begin, s.prepare, s.perform):
                went_well(step(flags))
            refused(s.finish(1, flags), 93, "migration successfully aborted")
            went_well(s.confirm(1, flags))
            require(runs(here, "a") and seen(here) == before and fill(here, 20) != before, "the source has not got its disk back")
            here.virsh("destroy", "a")
            status, out = output_of([build.path("lodge"), "image", "check", image], 60)
            require(status == 0, "the image is damaged: " + out)
    return run


def forms(build, emulator):
    """What virsh's options ask for."""
    def run():
        with Pair(build, emulator) as pair:
            source, destination = pair.daemons
            pair.define(2)
            events = [subprocess.Popen(["stdbuf", "-oL", "virsh", "-c", d.uri(), "event", "--all", "--loop", "--timeout", "80"], stdout=subprocess.PIPE)
                      for d in pair.daemons]
            time.sleep(1)
            require("[100 %]" in pair.migrate("--live", "--verbose", "--persistent"), "progress")
            went(pair, destination)
            require(source.state("a") == "shut off (migrated)", source.state("a"))
            out = [re.findall(r"'(?:lifecycle|job-completed)' for domain 'a': ?([\w ]*)", finish_events(e)) for e in events]
            require(out == [["Suspended Migrated", "Stopped Migrated", ""], ["Started Migrated", "Defined Added", "Resumed Migrated"]], str(out))
            for d, operation in ((source, "Outgoing"), (destination, "Incoming")):
                done = d.virsh("domjobinfo", "a", "--completed")
                require(re.search("Operation: +%s migration(.|\n)*Memory processed: +[1-9]" % operation, done), done)
            require("Persistent:     yes" in destination.virsh("dominfo", "a"), "--persistent")
            pair.migrate("--live", "--undefinesource", "--suspend", source=destination)
            went(pair, source, "paused (user)")
            require(absent(destination), "--undefinesource")
            source.virsh("resume", "a")
            pair.migrate("--dname", "b", "--p2p", good=True)
            went(pair, destination, name="b")
            xml = destination.write("new.xml", destination.virsh("dumpxml", "b", "--migratable").replace(
                "<name>b</name>", "<name>b</name><title>moved</title>", 1))
            source.virsh("undefine", "a")
            pair.migrate("--live", "--xml", xml, source=destination, name="b")
            went(pair, source, name="b")
            require("<title>moved</title>" in source.virsh("dumpxml", "b"), "--xml")
            source.virsh("suspend", "b")
            pair.migrate("--live", name="b")
            went(pair, destination, "paused (user)", name="b")
            destination.virsh("destroy", "b")
            source.define("c")
            pair.migrate("--offline", "--persistent", "--undefinesource", name="c")
            require(destination.state("c").startswith("shut off") and absent(source, "c"), "--offline")
            pair.migrate("--offline", "--persistent", "--p2p", source=destination, name="c")
            require("c" in source.virsh("list", "--all", "--name", "--persistent"), "--offline --p2p")
            out = pair.migrate("--offline", name="c", good=False)
            require("offline migration must be specified with the persistent flag set" in out, out)
    return run


def finish_events(process):
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    return process.communicate(timeout=60)[0].decode()


def unix_socket(build):
    """The state goes over a UNIX socket, whose file is gone afterwards."""
    def run():
        with Pair(build) as pair:
            pair.define()
            path = pair.source.root + "/state.sock"
            pair.migrate("--live", "--migrateuri", "unix://" + path)
            went(pair, pair.destination)
            require(not os.path.exists(path), "the socket's file is left")
    return run


def by_lodge(build):
    """lodge migrate: running and not, there and back, and what it says when it cannot."""
    def run():
        with Pair(build) as pair:
            def do(daemon, *words, status=0):
                got, out = output_of([build.path("lodge"), *words, "--root", daemon.root], 90)
                require(got == status and len(out.splitlines()) == 1, "lodge %s ends with %d and says: %s" % (words, got, out))
                return out
            pair.define()
            require("a: moved" in do(pair.source, "migrate", "a", pair.destination.root), "by its folder")
            went(pair, pair.destination)
            require(absent(pair.source), "it is still defined at the source")
            require(json.loads(do(pair.destination, "migrate", "a", pair.source.socket, "--json")) == {"name": "a", "result": "moved"}, "by its socket")
            went(pair, pair.source)
            pair.source.virsh("destroy", "a")
            do(pair.source, "migrate", "a", pair.destination.uri())
            require(pair.destination.state("a").startswith("shut off") and absent(pair.source), "one that does not run")
            require("name the folder of a lodged" in do(pair.destination, "migrate", "a", "/nonexistent", status=1), "no destination")
            require("same host" in do(pair.destination, "migrate", "a", pair.destination.root, status=1), "itself")
            require("lodged connects to UNIX sockets alone" in do(pair.destination, "migrate", "a", "qemu+ssh://x/system", status=1), "a host")
    return run


def suspends(build):
    """--timeout: who takes too long is suspended, so that it comes through; the destination has it running."""
    def run():
        with Pair(build) as pair:
            pair.define(6)
            pair.migrate("--live", "--bandwidth", "2", "--timeout", "1", "--timeout-suspend")
            went(pair, pair.destination)
    return run


# ---- it does not go ----

def refusals(build):
    def run():
        with Pair(build) as pair:
            source, destination = pair.daemons
            disk = source.write("d.img", b"\0" * (1 << 20))
            pair.define(more="<disk type='file'><source file='%s'/><target dev='vda'/></disk>" % disk)
            for options, text in (
                    (["--live"], "Unsafe migration: Migration without shared storage is unsafe"),
                    (["--live", "--p2p"], "Unsafe migration: Migration without shared storage is unsafe"),
                    (["--unsafe", "--live", "--copy-storage-all"], "non-shared storage .* is not supported"),
                    (["--unsafe", "--live", "--copy-storage-inc"], "non-shared storage .* is not supported"),
                    (["--unsafe", "--live", "--p2p", "--tunnelled"], "tunnelled migration is not supported"),
                    (["--unsafe", "--live", "--postcopy"], "post-copy migration is not supported"),
                    (["--unsafe", "--live", "--compressed"], "compressed migration is not supported"),
                    (["--unsafe", "--live", "--auto-converge"], "auto-converge.* not supported"),
                    (["--unsafe", "--live", "--tls"], "TLS is not supported"),
                    (["--unsafe", "--live", "--parallel"], "parallel connections is not supported"),
                    (["--unsafe", "--live", "--migrateuri", "foo://x"], "unsupported scheme foo in migration URI foo://x"),
                    (["--unsafe", "--live", "--migrateuri", "tcp://"], "missing host in migration URI"),
                    (["--unsafe", "--live", "--migrateuri", "tcp://localhost:x"], "port in migration URI"),
                    (["--offline", "--persistent"], "offline migration is of a domain that does not run")):
                out = pair.migrate(*options, good=False)
                require(re.search(text, out) and source.state("a") == "running (booted)" and absent(destination), "%s: %s" % (options, out))
            source.virsh("detach-disk", "a", "vda", "--config")
            source.virsh("destroy", "a")
            source.virsh("start", "a")
            for uri, text in ((source.uri(), "Attempt to migrate guest to the same host"), ("qemu+tcp://elsewhere/system", "lodged connects to UNIX sockets alone"),
                              ("qemu+unix:///system?socket=/nonexistent", "cannot connect to the daemon at '/nonexistent'")):
                out = source.virsh("migrate", "--live", "a", "--p2p", uri, good=False)
                require(text in out and runs(source), out)
            out = source.virsh("-r", "migrate", "--live", "a", destination.uri(), good=False)
            require("read only" in out or "forbidden" in out, out)
            out = source.virsh("migrate", "--live", "a", destination.uri("-ro"), good=False)
            require("read only" in out and runs(source), out)
            destination.define("a")
            out = pair.migrate("--live", good=False)
            require("domain 'a' already exists with uuid" in out and runs(source), out)
            destination.virsh("undefine", "a")
            uuid = source.virsh("domuuid", "a").strip()
            other = destination.write("o.xml", destination.xml("other").replace("<name>", "<uuid>%s</uuid><name>" % uuid))
            destination.virsh("define", other)
            out = pair.migrate("--live", good=False)
            require("is already defined with uuid" in out and runs(source), out)
            destination.virsh("undefine", "other")
            destination.virsh("create", destination.write("a.xml", destination.xml("a").replace("<name>", "<uuid>%s</uuid><name>" % uuid)))
            out = pair.migrate("--live", good=False)
            require("domain 'a' is already active" in out and runs(source), out)
            destination.virsh("destroy", "a")
            pair.migrate("--live")
            went(pair, destination)
    return run


def aborted(build, emulator, *options):
    def run():
        with Pair(build, emulator) as pair:
            pair.define(12)
            process = pair.begin(*options)
            out = output_of(["virsh", "-c", pair.destination.uri(), "domjobinfo", "a"], 60)[1]
            require("migration statistics are available only on the source host" in out, out)
            pair.source.virsh("domjobabort", "a")
            out = process.communicate(timeout=60)[0].decode()
            require(process.returncode and "operation aborted: migration out job: canceled by client" in out, out)
            stayed(pair, "running (booted)")
    return run


def broken(build, emulator, hurt, *options, state="running (booted)"):
    """hurt(pair, virsh) ends somebody in the middle; the guest runs on at the source."""
    def run():
        with Pair(build, emulator) as pair:
            pair.define(12)
            process = pair.begin(*options)
            hurt(pair, process)
            process.communicate(timeout=90)
            require(process.returncode, "virsh says that it went well")
            stayed(pair, state)
    return run


def kill_client(pair, process):
    process.kill()


def kill_machine(pair, process):
    os.kill(pair.destination.pid("a"), signal.SIGKILL)


def destroy_there(pair, process):
    pair.destination.virsh("destroy", "a")


def kill_destination(pair, process):
    pair.destination.kill()
    pair.destination.start()


def kill_source(pair, process):
    pair.source.kill()
    pair.source.start()


def kill_both(pair, process):
    pair.source.kill()
    pair.destination.kill()
    pair.source.start()
    pair.destination.start()


def source_dies(build):
    """The guest ends at the source: it is nowhere then."""
    def run():
        with Pair(build) as pair:
            pair.define(12)
            process = pair.begin()
            pair.source.virsh("destroy", "a")
            out = process.communicate(timeout=90)[0].decode()
            require(process.returncode and ("domain is not running" in out or "unexpectedly closed the monitor: lodge-vm: " in out), out)
            require(pair.source.state("a") == "shut off (destroyed)", pair.source.state("a"))
            wait_for(lambda: absent(pair.destination), "the destination has forgotten it")
            pair.source.virsh("start", "a")
            pair.migrate("--live")
    return run


# ---- step by step ----

def string(text):
    data = text if isinstance(text, bytes) else text.encode()
    return struct.pack(">I", len(data)) + data + b"\0" * (-len(data) % 4)


def params(**values):
    out = struct.pack(">I", len(values))
    for name, value in values.items():
        out += string(name) + (struct.pack(">IQ", 4, value) if isinstance(value, int) else struct.pack(">I", 7) + string(value))
    return out


class Mover(Wire):
    """A client that makes the calls one by one."""

    def __init__(self, daemon):
        super().__init__(daemon.socket)
        self.call(REMOTE, 66)
        require(self.call(REMOTE, 1, struct.pack(">I", 1) + string("qemu:///system") + struct.pack(">I", 0)) == 0, "cannot connect")

    def ask(self, number, payload):
        """The answer, or the error: (code, text)."""
        self.serial += 1
        self.s.sendall(struct.pack(">7I", 28 + len(payload), REMOTE, 1, number, 0, self.serial, 0) + payload)
        while True:
            head = struct.unpack(">7I", self.read(28))
            body = self.read(head[0] - 28)
            if head[4] == 1 and head[5] == self.serial:
                break
        if not head[6]:
            return body
        code, _, there, size = struct.unpack_from(">IIII", body)
        return (code, body[16:16 + size].decode() if there else "")


class Steps:
    """The five calls, with what goes from one to the next."""

    def __init__(self, pair):
        self.source, self.destination = Mover(pair.source), Mover(pair.destination)
        uuid = bytes.fromhex(pair.source.virsh("domuuid", "a").strip().replace("-", ""))
        self.dom = string("a") + uuid + struct.pack(">i", -1)
        self.cookie, self.xml, self.uri = b"", None, None

    def given(self, **more):
        values = {"destination_name": "a", **({"destination_xml": self.xml} if self.xml else {}), **({"migrate_uri": self.uri} if self.uri else {})}
        return params(**{**values, **more})

    def take_cookie(self, answer):
        size = struct.unpack_from(">I", answer)[0]
        self.cookie = answer[4:4 + size]
        return answer[4 + size + -size % 4:]

    def begin(self, flags=LIVE | PROTECT, **more):
        answer = self.source.ask(BEGIN, self.dom + self.given(**more) + struct.pack(">I", flags))
        if isinstance(answer, bytes):
            rest = self.take_cookie(answer)
            self.xml = rest[4:4 + struct.unpack_from(">I", rest)[0]].decode()
        return answer

    def prepare(self, flags=LIVE | PROTECT, cookie=None, **more):
        answer = self.destination.ask(PREPARE, self.given(**more) + string(self.cookie if cookie is None else cookie) + struct.pack(">I", flags))
        if isinstance(answer, bytes):
            rest = self.take_cookie(answer)
            self.uri = rest[8:8 + struct.unpack_from(">I", rest, 4)[0]].decode()
        return answer

    def perform(self, flags=LIVE | PROTECT, cookie=None, **more):
        answer = self.source.ask(PERFORM, self.dom + struct.pack(">I", 0) + self.given(**more) + string(self.cookie if cookie is None else cookie) +
                                 struct.pack(">I", flags))
        if isinstance(answer, bytes):
            self.take_cookie(answer)
        return answer

    def finish(self, cancelled=0, flags=LIVE | PROTECT, cookie=None, **more):
        return self.destination.ask(FINISH, self.given(**more) + string(self.cookie if cookie is None else cookie) + struct.pack(">II", flags, cancelled))

    def confirm(self, cancelled=0, flags=LIVE | PROTECT, cookie=b""):
        return self.source.ask(CONFIRM, self.dom + self.given() + string(cookie) + struct.pack(">II", flags, cancelled))


def refused(answer, code, text):
    require(not isinstance(answer, bytes) and answer[0] == code and text in answer[1], "instead of %d, '%s': %s" % (code, text, answer))


def went_well(answer):
    require(isinstance(answer, bytes), "refused: %s" % (answer,))


def order(build):
    """Calls that come when they should not, and what is no cookie, no flag, no parameter; libvirtd's codes and texts."""
    def run():
        with Pair(build) as pair:
            pair.define()
            s = Steps(pair)
            refused(s.perform(), 55, "domain 'a' is not being migrated")
            refused(s.confirm(), 55, "domain 'a' is not being migrated")
            refused(s.finish(), 42, "no domain with matching name 'a'")
            refused(s.begin(bogus="x"), 74, "parameter 'bogus' not supported")
            refused(s.begin(bandwidth="x"), 8, "invalid type 'string' for parameter 'bandwidth', expected 'ullong'")
            refused(s.begin(bandwidth=1 << 60), 82, "bandwidth must be less than 8796093022208")
            refused(s.begin(flags=0x40000000), 8, "unsupported flags (0x40000000)")
            refused(s.begin(destination_xml="<foo/>"), 27, "<foo>")
            refused(s.begin(destination_xml=pair.source.xml("b")), 67, "the document is of another domain")
            went_well(s.begin())
            good = s.cookie
            refused(s.confirm(), 55, "domain 'a' is not being migrated")
            refused(s.prepare(cookie=b""), 1, "Migration cookie was not NULL terminated")
            refused(s.prepare(cookie=good[:-1]), 1, "Migration cookie was not NULL terminated")
            refused(s.prepare(cookie=b"garbage\0"), 35, "Start tag expected")
            refused(s.prepare(cookie=good[:100] + b"\0"), 35, "")
            for word, instead, text in ((b"<name>a</name>", b"", "missing name element"), (b"<name>a<", b"<name>z<", "had unexpected name z vs a"),
                                        (b"<uuid>", b"<uuid>0", "had unexpected UUID"), (b"<hostname>", b"<h/><hostname>", None),
                                        (b"<hostuuid>", b"<hostuuid>x", "malformed hostuuid element"),
                                        (b"</hostuuid>", b"</hostuuid><feature name='frob'/>", "Unknown migration cookie feature frob")):
                answer = s.prepare(cookie=good.replace(word, instead))
                if text:
                    refused(answer, 1, text)
                else:
                    refused(s.finish(cancelled=1, cookie=b""), 93, "migration successfully aborted")
                    s.uri = None
                s.cookie = good
            require(b"<feature policy='require' name='pni'/>" in good, "the processor's instructions are not in the cookie")
            refused(s.prepare(cookie=good.replace(b"'pni'", b"'none-has-that'")), 67, "Host CPU does not provide required features: none-has-that")
            refused(s.prepare(destination_name="../x"), 27, "")
            refused(s.prepare(destination_xml=s.xml.replace("<domain", "<foo").replace("</domain", "</foo")), 27, "")
            require(absent(pair.destination), "a prepare that failed has left a domain")
            went_well(s.prepare())
            refused(s.prepare(), 1, "")
            refused(s.prepare(cookie=good), 55, "domain 'a' is already active")
            require(pair.destination.state("a") == "paused (migrating)", pair.destination.state("a"))
            refused(s.destination.ask(PERFORM, s.dom + struct.pack(">I", 0) + s.given() + string(good) + struct.pack(">I", LIVE | PROTECT)), 55, "not being migrated")
            refused(s.perform(cookie=b"garbage\0"), 35, "")
            require(pair.source.state("a") == "running (booted)", pair.source.state("a"))
            refused(s.finish(cancelled=1), 93, "migration successfully aborted")
            require(absent(pair.destination), "a prepare that was cancelled has left a domain")
            s.uri = None
            for step in (s.begin, s.prepare, s.perform):
                went_well(step())
            refused(s.perform(), 55, "domain 'a' is not being migrated")
            require(pair.source.state("a") == "paused (migrating)", pair.source.state("a"))
            refused(s.finish(cookie=b"garbage\0"), 35, "")
            went_well(s.confirm(cancelled=1))
            stayed(pair)
    return run


def left(build):
    """The client goes between two steps: only behind `perform` the source does not know, and stands still."""
    def run():
        for last, state in (("begin", "running (booted)"), ("prepare", "running (booted)"), ("perform", "paused (migrating)")):
            with Pair(build) as pair:
                pair.define()
                s = Steps(pair)
                for step in ("begin", "prepare", "perform"):
                    went_well(getattr(s, step)())
                    if step == last:
                        break
                s.source.s.close()
                s.destination.s.close()
                stayed(pair, state)
    return run


def killed_between(build):
    """Both daemons are killed between two steps: what was prepared goes, what has been sent stands still, what has arrived runs."""
    def run():
        for last in ("begin", "prepare", "perform", "finish"):
            with Pair(build) as pair:
                pair.define()
                s = Steps(pair)
                for step in ("begin", "prepare", "perform", "finish"):
                    went_well(getattr(s, step)())
                    if step == last:
                        break
                kill_both(pair, None)
                if last != "finish":
                    stayed(pair, "paused (migrating)" if last == "perform" else "running (booted)")
                    continue
                wait_for(lambda: runs(pair.destination), "it runs at the destination")
                require(pair.source.state("a") == "paused (migrating)" and not runs(pair.source), "at the source: " + pair.source.state("a"))
    return run


def waits_in_vain(build):
    """A prepare that nobody finishes: it ends by itself, and there are only so many."""
    def run():
        with Pair(build, settings="migration_timeout = 3\nmigration_port_min = 49300\nmigration_port_max = 49300\n") as pair:
            pair.define()
            pair.define(name="b")
            s = Steps(pair)
            went_well(s.begin())
            first = s.cookie
            went_well(s.prepare())
            out = pair.migrate("--live", name="b", good=False)
            require("Unable to find an unused port in range 'migration' (49300-49300)" in out, out)
            wait_for(lambda: absent(pair.destination), "the domain that nobody sends is given up")
            refused(s.finish(cookie=first), 42, "no domain with matching name 'a'")
            pair.migrate("--live", name="b")
            went(pair, pair.destination, name="b")
            s.source.s.close()
            stayed(pair, "running (booted)")
    return run


def numbers(build):
    """Speed and downtime, as virsh sets and asks for them."""
    def run():
        with Pair(build) as pair:
            pair.define(6)
            v = pair.source.virsh
            require(v("migrate-getspeed", "a").strip() == "8796093022207" and v("migrate-getmaxdowntime", "a").strip() == "300", "defaults")
            v("migrate-setspeed", "a", "1")
            v("migrate-setmaxdowntime", "a", "450")
            require(v("migrate-getspeed", "a").strip() == "1" and v("migrate-getmaxdowntime", "a").strip() == "450", "what was set")
            out = v("migrate-setspeed", "a", "8796093022208", good=False)
            require("bandwidth must be less than 8796093022208" in out, out)
            out = v("migrate-setmaxdowntime", "a", "2000001", good=False)
            require("downtime_limit" in out, out)
            process = subprocess.Popen(["virsh", "-c", pair.source.uri(), "migrate", "--live", "a", pair.destination.uri()])
            wait_for(lambda: re.search("Memory processed: +[1-9]", output_of(["virsh", "-c", pair.source.uri(), "domjobinfo", "a"], 60)[1]), "it is on its way")
            v("migrate-setspeed", "a", "1000")
            require(process.wait(60) == 0, "the migration")
            went(pair, pair.destination)
            out = v("migrate-getmaxdowntime", "a", good=False)
            require("domain is not running" in out, out)
    return run


HURTS = (("client", kill_client, ()), ("machine", kill_machine, ()), ("destroyed", destroy_there, ()), ("destination", kill_destination, ()),
         ("source", kill_source, ()), ("both", kill_both, ()), ("peer-destination", kill_destination, ("--p2p",)), ("peer-source", kill_source, ("--p2p",)))


def tests(build):
    simple = {"unix": unix_socket, "lodge": by_lodge, "suspend": suspends, "refusals": refusals, "source-dies": source_dies, "order": order, "left": left,
              "killed-between": killed_between, "in-vain": waits_in_vain, "numbers": numbers}
    return ([("migrate-forms-" + e, forms(build, e)) for e in EMULATORS] + [("migrate-abort-" + e, aborted(build, e)) for e in EMULATORS] +
            [("migrate-abort-peer", aborted(build, "lodge-vm", "--p2p"))] + [("migrate-" + n, t(build)) for n, t in simple.items()] +
            [("migrate-killed-%s-%s" % (n, e), broken(build, e, hurt, *options)) for n, hurt, options in HURTS for e in EMULATORS])


def guest_tests(build):
    return [("migrate-%s-%s" % (n, e), test(build, e)) for n, test in (("linux", moves), ("disks", disks)) for e in EMULATORS]
