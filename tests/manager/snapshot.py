# snapshot.py - snapshots of domains, as virsh makes them inside qcow2 images, while they run and while they do not
# SPDX-License-Identifier: GPL-2.0-or-later
import os
import re
import shutil
import signal
import subprocess
import time

from harness.lodge import Skip, output_of, require
from manager.daemon import EMULATORS, Daemon, small_file_system, wait_for

DISKS = """<disk type='file'><driver name='qemu' type='qcow2'/><source file='%s/a.qcow2'/><target dev='vda'/></disk>
<disk type='file'><driver name='qemu' type='qcow2'/><source file='%s/b.qcow2'/><target dev='vdb'/></disk>
<disk type='file' device='cdrom'><target dev='sda' bus='sata'/><readonly/></disk>"""


def write(image, pattern):
    status, out = output_of(["qemu-io", "-f", "qcow2", "-c", "write -P %d 0 300k" % pattern, image], 30)
    require(status == 0, out)


def has(image, pattern):
    status, out = output_of(["qemu-io", "-f", "qcow2", "-c", "read -P %d 0 300k" % pattern, image], 30)
    require(status == 0 and "failed" not in out, "%s has not pattern %d: %s" % (image, pattern, out))
    require(output_of(["qemu-img", "check", image], 30)[0] == 0, image + " is damaged")


def prepare(daemon):
    if not shutil.which("qemu-io"):
        raise Skip("qemu-io is not installed")
    images = [daemon.root + "/a.qcow2", daemon.root + "/b.qcow2"]
    for image in images:
        require(output_of(["qemu-img", "create", "-q", "-f", "qcow2", image, "4M"], 30)[0] == 0, "qemu-img")
        write(image, 1)
    disks = DISKS if daemon.emulator == "qemu" else DISKS[:DISKS.rindex("<disk")]
    daemon.define("a", devices=disks % (daemon.root, daemon.root))
    return images


def life(build, emulator):
    """Made, looked at, gone back to, removed; the disks and the definition are what they were."""
    def run():
        with Daemon(build, emulator) as daemon:
            images = prepare(daemon)

            def do(command, wanted="", good=True):
                out = daemon.virsh(*command.split(" "), good=good)
                require(re.search(wanted, out, re.M), "virsh %s\nwants /%s/ but prints:\n%s" % (command, wanted, out))
                return out
            require(do("list --all --name --with-snapshot") == "\n" and do("list --all --name --without-snapshot") == "a\n\n", "a has none")
            do("snapshot-create-as a s1 --description first", "Domain snapshot s1 created")
            require(do("list --all --name --with-snapshot") == "a\n\n" and do("list --all --name --without-snapshot") == "\n", "a has one")
            do("snapshot-current a --name", "^s1$")
            for image in images:
                write(image, 2)
            do("setvcpus a 1 --config")
            do("snapshot-create-as a s2 --atomic", "s2 created")
            write(images[0], 3)
            do("snapshot-create-as a s3", "s3 created")
            do("snapshot-list a", r"^ s1 +\d{4}-.* shutoff\n s2 +.*shutoff\n s3 ")
            do("snapshot-list a --tree", r"s1\n  \|\n  \+- s2\n      \|\n      \+- s3")
            do("snapshot-list a --parent --leaves", r" s3 .* s2$")
            require(do("snapshot-list a --roots --name") == "s1\n\n" and do("snapshot-list a --from s1 --descendants --name").split() == ["s2", "s3"], "lists")
            require(do("snapshot-list a --active --name").split() == [] and do("snapshot-list a --no-metadata --name").split() == [], "of other kinds")
            do("snapshot-info a s2", r"Name: +s2\nDomain: +a\nCurrent: +no\nState: +shutoff\nLocation: +internal\nParent: +s1\nChildren: +1\nDescendants: +1\nMetadata: +yes")
            do("snapshot-parent a s2", "^s1$")
            do("snapshot-parent a s1", "has no parent", good=False)
            xml = do("snapshot-dumpxml a s1", r"^<domainsnapshot>\n  <name>s1</name>\n  <description>first</description>\n  <state>shutoff</state>")
            require("<disk name='vdb' snapshot='internal'/>" in xml and "<name>a</name>" in xml and "active" not in xml, xml)
            for image in images:
                require(output_of(["qemu-img", "snapshot", "-l", image], 30)[1].count(" s") >= 3, "the images have no snapshots")

            do("snapshot-revert a s1")
            for image in images:
                has(image, 1)
            do("vcpucount a --config --current", "^2$")
            do("snapshot-current a --name", "^s1$")
            do("snapshot-revert a s3 --running")
            require(daemon.state("a").startswith("running"), "revert --running")
            do("snapshot-revert a s2")
            require(daemon.state("a") == "shut off (from snapshot)", daemon.state("a"))
            for image in images:
                has(image, 2)
            daemon.kill()
            daemon.start()
            do("snapshot-current a --name", "^s2$")
            do("snapshot-delete a s2", "Domain snapshot s2 deleted")
            do("snapshot-parent a s3", "^s1$")
            do("snapshot-current a --name", "^s1$")
            do("undefine a", "cannot delete inactive domain with 2 snapshots", good=False)
            do("domrename a c", "cannot rename domain with snapshots", good=False)
            do("snapshot-delete a s1 --children", "s1 deleted")
            require(do("snapshot-list a --name").split() == [] and output_of(["qemu-img", "snapshot", "-l", images[0]], 30)[1] == "", "they are gone")
            do("snapshot-create-as a x")
            do("undefine a --snapshots-metadata", "undefined")
            do("list --all --name", r"^\n$")
    return run


def refused(build):
    def run():
        with Daemon(build) as daemon:
            images = prepare(daemon)
            raw = daemon.write("c.raw", b"\0" * (1 << 20))
            daemon.define("c", devices="<disk type='file'><driver name='qemu' type='raw'/><source file='%s'/><target dev='vda'/></disk>" % raw)
            daemon.define("n")
            daemon.virsh("snapshot-create-as", "a", "s")
            for words, form in (
                    ("a s", "domain moment s already exists"), ("a a/b", "name can't contain '/'"), ("a .x", "name can't start with '.'"), ("a " + "x" * 300, "1 to 200"),
                    ("c s", "internal snapshot for disk vda unsupported for storage type raw"), ("n s", "nothing selected for snapshot"),
                    ("a t --disk-only", "unsupported flags"), ("a t --memspec file=/x", "memory state cannot be saved"),
                    ("a t --diskspec vdz,snapshot=internal", "no disk named 'vdz'"), ("a t --diskspec vda,snapshot=external", "external snapshot of disk vda"),
                    ("a t --diskspec vda,snapshot=no --diskspec vdb,snapshot=no", "nothing selected")):
                out = daemon.virsh("snapshot-create-as", *words.split(), good=False)
                require(form in out, "snapshot-create-as %s says: %s" % (words, out))
            for command in ("snapshot-revert a none", "snapshot-delete a none", "snapshot-dumpxml a none"):
                require("no domain snapshot with matching name 'none'" in daemon.virsh(*command.split(), good=False), command)
            # the second image has one of that name: none is made in the first
            require(output_of(["qemu-img", "snapshot", "-c", "t", images[1]], 30)[0] == 0, "qemu-img")
            require("already" in daemon.virsh("snapshot-create-as", "a", "t", good=False), "a name that an image has")
            require(" t " not in output_of(["qemu-img", "snapshot", "-l", images[0]], 30)[1], "half a snapshot")
            require(daemon.virsh("snapshot-list", "a", "--name").split() == ["s"], "the list")
            daemon.write("lib/snapshots/a/broken.xml", "<domainsnapshot><name>")
            require(daemon.virsh("snapshot-list", "a", "--name").split() == ["s"], "a document that is broken")
    return run


class Events:
    """What virsh tells of a domain's life, since it was asked last."""

    def __init__(self, daemon):
        self.path, self.at = daemon.root + "/events", 0
        self.process = subprocess.Popen(["virsh", "-c", daemon.uri(), "event", "--event", "lifecycle", "--loop"],
                                        stdout=open(self.path, "w"), stderr=subprocess.DEVNULL)
        time.sleep(0.5)

    def take(self):
        time.sleep(0.2)
        with open(self.path) as f:
            f.seek(self.at)
            text = f.read()
        self.at += len(text)
        return [line.split(": ", 1)[1] for line in text.splitlines()]

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.process.kill()
        self.process.wait()


STOPPED, DEFINED = "Stopped Snapshot", "Defined Snapshot"
RESUMED, SUSPENDED = ["Started Snapshot", "Resumed Snapshot"], ["Started Snapshot", "Suspended Snapshot"]


def running(build, emulator):
    """Of a domain that runs, or stands: the states, events, documents and reasons are those of libvirt's own daemon."""
    def run():
        with Daemon(build, emulator) as daemon:
            images = prepare(daemon)
            daemon.virsh("start", "a")

            def do(command, wanted="", good=True):
                out = daemon.virsh(*command.split(" "), good=good)
                require(re.search(wanted, out, re.M), "virsh %s\nwants /%s/ but prints:\n%s" % (command, wanted, out))
                return out

            def is_now(state, *told):
                require(daemon.state("a") == state, "wants %s, is %s" % (state, daemon.state("a")))
                seen = events.take()
                require(seen == list(told), "wants %s, was told %s" % (list(told), seen))
            with Events(daemon) as events:
                do("snapshot-create-as a s1 --description first", "Domain snapshot s1 created")
                is_now("running (unpaused)", "Suspended Paused", "Resumed Unpaused")
                do("snapshot-create-as a s1", "operation failed: domain moment s1 already exists", good=False)
                do("suspend a")
                do("snapshot-create-as a p1", "p1 created")
                is_now("paused (user)", "Suspended Paused")
                do("snapshot-list a", r"^ p1 +\d{4}-.* paused\n s1 +.*running$")
                do("snapshot-info a s1", r"Name: +s1\nDomain: +a\nCurrent: +no\nState: +running\nLocation: +internal\nParent: +-\nChildren: +1\nDescendants: +1\nMetadata: +yes")
                require(do("snapshot-current a --name").split() == ["p1"] and do("snapshot-parent a p1").split() == ["s1"], "current, parent")
                require(do("snapshot-list a --active --name").split() == ["p1", "s1"] and not do("snapshot-list a --inactive --name").split(), "lists")
                xml = do("snapshot-dumpxml a s1")
                for form in (r"<name>s1</name>\n  <description>first</description>\n  <state>running</state>\n  <creationTime>\d+</creationTime>\n  <memory snapshot='internal'/>\n  <disks>",
                             r"  <domain type='qemu'>\n", r"  <inactiveDomain type='qemu'>\n(.*\n)*  </inactiveDomain>"):
                    require(re.search(form, xml), "no %s in %s" % (form, xml))
                require("unfinished" not in xml and "active>" not in xml, xml)
                for image, has_state in zip(images, (True, False)):
                    rows = output_of(["qemu-img", "snapshot", "-U", "-l", image], 30)[1].splitlines()[2:]
                    require([r.split()[1] for r in rows] == ["s1", "p1"] and all((r.split()[2:4] != ["0", "B"]) == has_state for r in rows), rows)

                do("snapshot-revert a s1", "reverted")
                is_now("running (from snapshot)", STOPPED, *RESUMED, DEFINED)
                do("snapshot-revert a p1")
                is_now("paused (from snapshot)", STOPPED, *SUSPENDED, DEFINED)
                do("snapshot-revert a p1 --running")
                is_now("running (from snapshot)", STOPPED, *RESUMED, DEFINED)
                do("snapshot-revert a s1 --paused")
                is_now("paused (from snapshot)", STOPPED, *SUSPENDED, DEFINED)
                do("resume a")
                do("destroy a")
                events.take()
                for image in images:
                    has(image, 1)
                    write(image, 2)
                do("setvcpus a 1 --config")
                do("snapshot-create-as a off", "off created")
                do("snapshot-revert a s1")
                is_now("running (from snapshot)", *RESUMED, DEFINED)
                do("vcpucount a --config --current", "^2$")
                do("snapshot-current a --name", "^s1$")
                do("snapshot-revert a off --running")
                is_now("running (booted)", STOPPED, "Resumed Unpaused", "Started Snapshot", DEFINED)
                do("vcpucount a --config --current", "^1$")
                do("snapshot-create-as a h1 --halt", "h1 created")
                require(daemon.state("a") == "shut off (from snapshot)" and events.take()[-1] == STOPPED, "--halt")
                for image in images:
                    has(image, 2)
                do("snapshot-revert a h1 --paused")
                is_now("paused (from snapshot)", *SUSPENDED, DEFINED)
                do("resume a")
                daemon.kill()
                daemon.start()
            do("snapshot-create-as a bare --no-metadata", "bare created")
            require("bare" not in do("snapshot-list a --name") and output_of(["qemu-img", "snapshot", "-U", "-l", images[0]], 30)[1].count(" bare "), "--no-metadata")
            do("snapshot-create-as a bare", "there is a snapshot 'bare' of ", good=False)
            do("snapshot-delete a s1", "s1 deleted")
            do("snapshot-delete a off --children", "off deleted")
            require(do("snapshot-list a --name").split() == ["p1"], "what is left")
            require(daemon.state("a").startswith("running"), "after snapshot-delete")
            for image in images:
                rows = output_of(["qemu-img", "snapshot", "-U", "-l", image], 30)[1].splitlines()[2:]
                require([r.split()[1] for r in rows] == ["p1", "bare"], rows)
            # the image has lost it: the domain runs on
            do("destroy a")
            require(output_of(["qemu-img", "snapshot", "-d", "p1", images[1]], 30)[0] == 0, "qemu-img")
            do("start a")
            do("snapshot-revert a p1", "there is no snapshot 'p1' of ", good=False)
            require(daemon.state("a") == "running (booted)", daemon.state("a"))
            do("snapshot-delete a p1", "p1 deleted")
            do("destroy a")
            for image in images:
                require(output_of(["qemu-img", "check", image], 30)[0] == 0, image + " is damaged")
            require(not os.listdir(daemon.root + "/lib/snapshots/a"), "documents are left")
    return run


def running_refused(build):
    """What cannot be made of a domain that runs is refused as libvirt's own daemon does; the domain runs on."""
    def run():
        with Daemon(build) as daemon:
            prepare(daemon)
            raw = daemon.write("c.raw", b"\0" * (1 << 20))
            daemon.define("c", devices="<disk type='file'><driver name='qemu' type='raw'/><source file='%s'/><target dev='vda'/></disk>" % raw)
            daemon.define("n")
            for name in "acn":
                daemon.virsh("start", name)
            for words, form in (
                    ("c s", "unsupported configuration: internal snapshot for disk vda unsupported for storage type raw"),
                    ("n s", "unsupported configuration: internal and full system snapshots require all disks to be selected for snapshot"),
                    ("a s --memspec snapshot=no", "Operation not supported: internal snapshot of a running VM must include the memory state"),
                    ("a s --diskspec vda,snapshot=no", "unsupported configuration: disk 'vda' must use snapshot mode 'internal'"),
                    ("a s --live", "Operation not supported: live snapshot creation is supported only during full system snapshots"),
                    ("a s --memspec file=/x", "this daemon makes internal ones"), ("a s --disk-only", "unsupported flags"), ("a a/b", "name can't contain '/'")):
                out = daemon.virsh("snapshot-create-as", *words.split(), good=False)
                require(form in out, "snapshot-create-as %s says: %s" % (words, out))
            for name in "acn":
                require(daemon.state(name) == "running (booted)" and not daemon.virsh("snapshot-list", name, "--name").split(), daemon.state(name))
            transient = daemon.write("t.xml", daemon.xml("t"))
            daemon.virsh("create", transient)
            require("transient" in daemon.virsh("snapshot-create-as", "t", "s", good=False), "of a transient domain")
    return run


def listed(image):
    return [row.split()[1] for row in output_of(["qemu-img", "snapshot", "-U", "-l", image], 30)[1].splitlines()[2:]]


def cut_short(build, emulator, rounds=6):
    """The daemon is killed, or the machine, or both, while a snapshot is made: it is there as a whole, or not at all."""
    def run():
        with Daemon(build, emulator) as daemon:
            images = prepare(daemon)
            daemon.virsh("start", "a")
            daemon.virsh("snapshot-create-as", "a", "first")
            for n in range(rounds):
                pid, victim = daemon.pid("a"), n % 3
                virsh = subprocess.Popen(["virsh", "-c", daemon.uri(), "snapshot-create-as", "a", "x"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                document = daemon.root + "/lib/snapshots/a/x.xml"
                end = time.monotonic() + 30
                while not os.path.exists(document) and virsh.poll() is None and time.monotonic() < end:
                    pass
                time.sleep(0.01 * (n // 3))
                if victim != 1:
                    daemon.kill()
                if victim != 0:
                    os.kill(pid, signal.SIGKILL)
                virsh.wait(30)
                if victim != 1:
                    daemon.start()
                wait_for(lambda: daemon.state("a").startswith("running" if victim == 0 else "shut off"), "the domain is known again")
                daemon.virsh("snapshot-revert", "a", "first")
                names = sorted(daemon.virsh("snapshot-list", "a", "--name").split())
                require(names in (["first"], ["first", "x"]), names)
                for image in images:
                    require(sorted(listed(image)) == names, "round %d: %s has %s, and there are documents of %s" % (n, image, listed(image), names))
                if "x" in names:
                    daemon.virsh("snapshot-delete", "a", "x")
            daemon.virsh("destroy", "a")
            for image in images:
                if emulator == "qemu":  # a QEMU that is killed loses room
                    output_of(["qemu-img", "check", "-r", "leaks", image], 30)
                has(image, 1)
    return run


def no_room(build, emulator):
    """No room for the machine's state: the error says so, there is no snapshot, the domain runs on."""
    def run():
        with Daemon(build, emulator) as daemon, small_file_system(daemon.root + "/small", "520k") as small:
            image = small + "/a.qcow2"
            require(output_of(["qemu-img", "create", "-q", "-f", "qcow2", image, "4M"], 30)[0] == 0, "qemu-img")
            daemon.define("a", devices="<disk type='file'><driver name='qemu' type='qcow2'/><source file='%s'/><target dev='vda'/></disk>" % image)
            daemon.virsh("start", "a")
            with open(small + "/fill", "wb", buffering=0) as f:
                try:
                    while f.write(bytes(4096)):
                        pass
                except OSError:
                    pass
            out = daemon.virsh("snapshot-create-as", "a", "s", good=False)
            require("Failed to take snapshot" in out, out)
            require(daemon.state("a") == "running (unpaused)", daemon.state("a"))
            require(not daemon.virsh("snapshot-list", "a", "--name").split() and listed(image) == [], "half a snapshot")
            os.unlink(small + "/fill")
            daemon.virsh("destroy", "a")
            require(output_of(["qemu-img", "check", image], 30)[0] == 0, "the image is damaged")
    return run


def tests(build):
    return [("%s-%s" % (name, e), test(build, e)) for name, test in (("snapshots", life), ("snapshots-running", running), ("snapshots-cut-short", cut_short),
                                                                    ("snapshots-no-room", no_room)) for e in EMULATORS] + \
        [("snapshots-refused", refused(build)), ("snapshots-running-refused", running_refused(build))]
