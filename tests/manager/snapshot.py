# snapshot.py - snapshots of domains that do not run, as virsh makes them inside qcow2 images
# SPDX-License-Identifier: GPL-2.0-or-later
import re
import shutil

from harness.lodge import Skip, output_of, require
from manager.daemon import EMULATORS, Daemon

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
            for command in ("snapshot-create-as a s4", "snapshot-delete a s2"):
                do(command, "Operation not supported: (making|removing) an internal snapshot of a domain that runs", good=False)
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
                    ("a s", "domain snapshot s already exists"), ("a a/b", "name can't contain '/'"), ("a .x", "name can't start with '.'"), ("a " + "x" * 300, "1 to 200"),
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


def tests(build):
    return [("snapshots-" + e, life(build, e)) for e in EMULATORS] + [("snapshots-refused", refused(build))]
