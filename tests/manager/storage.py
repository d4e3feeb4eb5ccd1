# storage.py - storage pools and networks, as virsh sees them
# SPDX-License-Identifier: GPL-2.0-or-later
import os
import re

from harness.lodge import output_of, require
from manager.daemon import Daemon

# A command, and what its answer must match; {root} is the daemon's folder.
POOLS = [
    ("pool-list --all", r"Name +State +Autostart\n-+\n\n"), ("pool-define-as p dir --target {root}/pool", "Pool p defined"),
    ("pool-list --all", r" p +inactive +no"), ("pool-build p", "built"), ("pool-start p", "started"), ("pool-refresh p", "refreshed"),
    ("pool-autostart p", "marked as autostarted"), ("pool-list --persistent --autostart", r" p +active +yes"),
    ("pool-info p --bytes", r"Name: +p\n(.|\n)*State: +running\nPersistent: +yes\nAutostart: +yes\nCapacity: +\d+\nAllocation: +\d+\nAvailable: +\d+"),
    ("pool-list --details", r"p +running +yes +yes +[\d.]+ \w+"), ("pool-uuid p", r"^[-0-9a-f]{36}\n"),
    ("pool-dumpxml p", r"<pool type='dir'>\n  <name>p</name>\n  <uuid>(.|\n)*<source/>\n  <target>\n    <path>/.*/pool</path>\n    <permissions>\n      <mode>0755"),
    ("vol-create-as p a.raw 8M --allocation 0", "Vol a.raw created"), ("vol-create p {root}/v.xml", "Vol v.raw created"),
    ("vol-list p", r" a.raw +/.*/pool/a.raw\n v.raw"), ("vol-list p --details", r"a.raw +\S+ +file +8.00 MiB +0.00 B"),
    ("vol-info a.raw p", r"Name: +a.raw\nType: +file\nCapacity: +8.00 MiB\nAllocation: +0.00 B"),
    ("vol-info {root}/pool/a.raw --bytes --physical", r"Physical: +8388608"),
    ("vol-path a.raw p", r"/pool/a.raw$"), ("vol-key a.raw p", r"/pool/a.raw$"), ("vol-name {root}/pool/a.raw", r"^a.raw$"),
    ("vol-pool {root}/pool/a.raw", r"^p$"), ("vol-dumpxml v.raw p", r"<capacity unit='bytes'>1048576</capacity>\n  <allocation unit='bytes'>1048576<"),
    ("vol-upload a.raw {root}/data --pool p", ""), ("vol-download a.raw {root}/back --pool p", ""),
    ("vol-upload v.raw {root}/piece --pool p --offset 4096 --length 8192", ""), ("vol-download v.raw {root}/part --pool p --offset 4096 --length 8192", ""),
    ("vol-download a.raw {root}/sparse --pool p --sparse", ""), ("vol-upload a.raw {root}/sparse --pool p --sparse", ""),
    ("vol-clone a.raw c.raw --pool p", "cloned"), ("vol-resize c.raw 16M --pool p", "successfully changed to 16M"),
    ("vol-resize c.raw 4M --pool p --delta", "changed by"), ("vol-info c.raw p", r"Capacity: +20.00 MiB"), ("vol-resize c.raw 8M --pool p --shrink", "changed"),
    ("vol-wipe v.raw --pool p", "wiped"), ("vol-delete c.raw --pool p", "Vol c.raw deleted"), ("vol-list p", r"a.raw"),
    ("pool-destroy p", "destroyed"), ("pool-start p", "started"), ("pool-event --list", "lifecycle"), ("pool-create-as t dir --target {root}/pool2 --build", "Pool t created"),
    ("pool-list --transient", r" t +active"), ("pool-destroy t", "destroyed"), ("vol-delete a.raw p", ""), ("vol-delete v.raw p", ""),
    ("pool-destroy p", "destroyed"), ("pool-delete p", "deleted"), ("pool-undefine p", "undefined"), ("pool-list --all --name", r"^\n$"),
]

QCOW2 = [
    ("vol-create-as q a.qcow2 64M --format qcow2", "created"), ("vol-info a.qcow2 q", r"Capacity: +64.00 MiB\nAllocation: +\d+.00 KiB"),
    ("vol-dumpxml a.qcow2 q", r"<format type='qcow2'/>"), ("vol-clone a.qcow2 b.qcow2 --pool q", "cloned"), ("vol-resize b.qcow2 128M q", "changed"),
    ("vol-create-as q o.qcow2 64M --format qcow2 --backing-vol a.qcow2 --backing-vol-format qcow2", "created"),
    ("vol-dumpxml o.qcow2 q", r"<backingStore>\n    <path>/.*/a.qcow2</path>\n    <format type='qcow2'/>"),
]

BAD_POOLS = [
    ("pool-define-as bad rbd --target {root}/x", "missing backend for pool type"), ("pool-define-as bad dir --target x", "absolute"),
    ("pool-define-as bad dir --target {root}/pool/../../etc", "steps like"), ("pool-define-as bad dir --target {root}/pool", "conflict with pool: 'p'"),
    ("vol-create-as p ../escape 1M", "cannot contain '/'"), ("vol-create-as p a.raw 1M", "exists already"), ("vol-create-as p .. 1M", "cannot contain"),
    ("vol-info ../idle.elf p", "not found|failed"), ("vol-info link p", "no storage vol with matching"), ("vol-delete link p", "no storage vol"),
    ("vol-create-as p big 8E", "larger than any"), ("vol-create-as p big 3E", "No space|too large|Invalid"), ("vol-resize a.raw 4096 p", "shrink"), ("vol-upload a.raw {root}/data p --offset 1 --length 18446744073709551615", "lead behind"),
    ("vol-download a.raw {root}/none p --offset 99999999999", "lead behind"), ("pool-undefine p", "still active"), ("pool-start p", "already active"), ("vol-create-as p x.foo 1M --format vmdk", "raw and qcow2"),
    ("pool-info nobody", "no storage pool with matching name"), ("vol-wipe a.raw p --algorithm gutmann", "not supported"),
    ("vol-create p {root}/self.xml", "inaccessible backing store volume self"),
]

NETWORKS = [
    ("net-list --all", r" default +active +yes +yes"), ("net-info default", r"Name: +default\nUUID: +\S+\nActive: +yes\nPersistent: +yes\nAutostart: +yes"),
    ("net-dumpxml default", r"<forward mode='nat'/>\n  <ip address='10.0.2.2'"), ("net-define {root}/net.xml", "Network other defined"), ("net-start other", "started"),
    ("net-autostart other", "marked as autostarted"), ("net-list", r"other +active +yes +yes"), ("net-uuid other", r"[-0-9a-f]{36}"),
    ("net-dhcp-leases other", "Expiry Time"), ("net-event --list", "lifecycle"), ("net-autostart other --disable", "unmarked"), ("net-destroy other", "destroyed"), ("net-list --inactive", "other"),
    ("net-undefine other", "undefined"), ("net-create {root}/net.xml", "created"), ("net-destroy other", "destroyed"), ("net-list --all --name", r"^default\n\n$"),
]


def follow(daemon, commands, good=True):
    for command, form in commands:
        out = daemon.virsh(*command.replace("{root}", daemon.root).split(), good=good)
        require(re.search(form, out, re.M), "virsh %s\nwants /%s/ but prints:\n%s" % (command, form, out))


def same(a, b, size=None):
    with open(a, "rb") as f, open(b, "rb") as g:
        return f.read() == g.read(size)


def pools(build):
    def run():
        with Daemon(build) as daemon:
            daemon.write("data", os.urandom(300000) + b"\0" * 100000 + os.urandom(5) + b"\0" * (8 * 1048576 - 400005))
            daemon.write("piece", os.urandom(8192))
            daemon.write("v.xml", "<volume><name>v.raw</name><capacity unit='MiB'>1</capacity></volume>")
            for command in POOLS:
                follow(daemon, [command])
                if command[0].startswith("vol-download a.raw") or command[0].startswith("vol-clone"):
                    copy = daemon.root + "/" + ("pool/c.raw" if "clone" in command[0] else command[0].split("}/")[1].split()[0])
                    require(same(daemon.root + "/data", copy), command[0] + ": the bytes differ")
                if "part" in command[0]:
                    require(same(daemon.root + "/part", daemon.root + "/piece"), "a part differs")
                if "wipe" in command[0]:
                    require(not any(open(daemon.root + "/pool/v.raw", "rb").read()), "what is wiped is still there")
    return run


def bad_pools(build):
    def run():
        with Daemon(build) as daemon:
            daemon.write("data", b"x" * 1000)
            daemon.write("self.xml", "<volume><name>self</name><capacity>1</capacity><target><format type='qcow2'/></target>"
                         "<backingStore><path>self</path><format type='qcow2'/></backingStore></volume>")
            follow(daemon, [("pool-define-as p dir --target {root}/pool", ""), ("pool-build p", ""), ("pool-start p", ""), ("vol-create-as p a.raw 1M", "")])
            os.symlink(daemon.root + "/idle.elf", daemon.root + "/pool/link")
            before = sorted(os.listdir(daemon.root + "/pool"))
            follow(daemon, BAD_POOLS, good=False)
            require(sorted(os.listdir(daemon.root + "/pool")) == before and not os.path.exists(daemon.root + "/escape"),
                    "a refused command has left something: %s" % os.listdir(daemon.root + "/pool"))
            daemon.kill()
            daemon.start()
            follow(daemon, [("pool-list", r"p +active"), ("vol-list p", "a.raw")])
    return run


def qcow2(build):
    def run():
        with Daemon(build) as daemon:
            follow(daemon, [("pool-create-as q dir --target {root}/q --build", "")])
            follow(daemon, QCOW2)
            for name in ("a", "b", "o"):
                status, out = output_of(["qemu-img", "check", "%s/q/%s.qcow2" % (daemon.root, name)], 60)
                require(status == 0, out)
            status, out = output_of(["qemu-img", "compare", "%s/q/a.qcow2" % daemon.root, "%s/q/o.qcow2" % daemon.root], 60)
            require(status == 0, out)
    return run


def networks(build):
    def run():
        with Daemon(build) as daemon:
            daemon.write("net.xml", "<network><name>other</name><ip address='10.9.0.1' netmask='255.255.0.0'><dhcp>"
                                    "<range start='10.9.1.1' end='10.9.2.1'/></dhcp></ip></network>")
            follow(daemon, NETWORKS)
            daemon.write("bad.xml", "<network><name>bad</name><forward mode='route'/></network>")
            follow(daemon, [("net-define {root}/bad.xml", "there are nat and bridge"), ("net-info bad", "no network with matching name"),
                            ("net-start default", "already active")], good=False)
            daemon.define("n", devices="<interface type='network'><source network='default'/></interface>")
            follow(daemon, [("start n", "started"), ("domiflist n", r"network +default +virtio"), ("destroy n", ""), ("net-destroy default", "")])
            follow(daemon, [("start n", "network 'default' is not active")], good=False)
            follow(daemon, [("net-start default", "")])
            daemon.kill()
            daemon.start()
            follow(daemon, [("net-list", r"default +active +yes"), ("start n", "started")])
    return run


def tests(build):
    return [("pools", pools(build)), ("pools-refused", bad_pools(build)), ("qcow2", qcow2(build)), ("networks", networks(build))]
