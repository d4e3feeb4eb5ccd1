# recorded.py - lodged's answers to virsh have the form of those that libvirt's own daemon gave (recorded.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
import os
import re
import socket
import struct
import subprocess
import threading
import xml.etree.ElementTree

from harness.lodge import TOP, output_of, require
from manager.daemon import Daemon

# How virsh opens and closes every connection: it is the same each time, and not in the record.
OPENING = {"auth_list", "connect_supports_feature", "connect_open", "connect_register_close_callback",
           "connect_unregister_close_callback", "connect_close"}


class Protocol:
    """protocol.def, to read replies by."""

    def __init__(self):
        self.structs, self.calls = {}, {}
        program = 0
        with open(os.path.join(TOP, "manager/rpc/protocol.def")) as file:
            for line in file:
                if match := re.match(r"program \w+ (\w+)", line):
                    program = int(match[1], 0)
                elif match := re.match(r"struct (\w+) \((.*)\)", line):
                    self.structs[match[1]] = match[2].split(", ")
                elif match := re.match(r"(?:call|empty) (\d+) \w+ (\w+) \(.*?\)(?: -> \((.*)\))?$", line):
                    self.calls[program, int(match[1])] = (match[2], (match[3] or "").split(", ") if match[3] else [])


class Reader:
    """Walks a reply, and collects what its form is made of."""

    def __init__(self, protocol, data):
        self.structs, self.data, self.at, self.form = protocol.structs, data, 0, []

    def number(self, code, size):
        self.at += size
        return struct.unpack(">" + code, self.data[self.at - size:self.at])[0]

    def bytes(self, size):
        self.at += (size + 3) // 4 * 4
        return self.data[self.at - (size + 3) // 4 * 4:][:size]

    def text(self):
        text = self.bytes(self.number("I", 4)).decode()
        if text.startswith("<"):
            self.document(xml.etree.ElementTree.fromstring(text), "")
        return text

    def document(self, node, above):
        path = above + re.sub(r"\{.*\}", "", node.tag)
        self.form += [path] + ["%s@%s" % (path, name) for name in node.attrib]
        for child in node:
            self.document(child, path + "/")

    def value(self, kind):
        if match := re.fullmatch(r"(.*)\[\d+\]", kind):
            if match[1] == "chars":
                return [self.number("I", 4) for _ in range(int(kind[6:-1]))]
            return [self.value(match[1]) for _ in range(self.number("I", 4))]
        if kind.endswith("?"):
            return self.value(kind[:-1]) if self.number("I", 4) else None
        if kind in ("i64", "u64", "f64"):
            return self.number("Q", 8)
        if kind == "string":
            return self.text()
        if kind == "uuid":
            return self.bytes(16)
        if kind.startswith("bytes<"):
            return self.bytes(self.number("I", 4))
        if kind == "typed_param":
            return self.param()
        if kind in self.structs:
            return self.fields(self.structs[kind], kind)
        return self.number("i", 4)

    def param(self):
        name, kind = self.text(), self.number("I", 4)
        self.form.append("%s:%d" % (re.sub(r"\.\d+\.", ".N.", name), kind))
        return self.value({3: "i64", 4: "u64", 5: "f64", 7: "string"}.get(kind, "i32"))

    def fields(self, fields, of=""):
        got = {field.split()[1]: self.value(field.split()[0]) for field in fields}
        if of in ("node_get_cpu_stats", "node_get_memory_stats"):
            self.form.append(got["field"])
        if of == "domain_memory_stat":
            self.form.append("tag%d" % got["tag"])
        return got


class Tap:
    """Between virsh and lodged, on a socket of its own: what is called and what form the reply has."""

    def __init__(self, daemon):
        self.protocol, self.calls, self.to = Protocol(), [], daemon.socket
        self.path = daemon.root + "/tap"
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(5)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(self.to)
            threading.Thread(target=self.pass_on, args=(client, server, None), daemon=True).start()
            threading.Thread(target=self.pass_on, args=(server, client, self.reply), daemon=True).start()

    def pass_on(self, source, target, look):
        data = b""
        try:
            while more := source.recv(65536):
                data += more if look else b""
                while look and len(data) >= 28 and len(data) >= (size := struct.unpack(">I", data[:4])[0]):
                    look(data[:size])
                    data = data[size:]
                target.sendall(more)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def reply(self, message):
        _, program, _, number, kind, _, status = struct.unpack(">7I", message[:28])
        name, fields = self.protocol.calls.get((program, number), ("procedure_%d" % number, []))
        if kind != 1 or name in OPENING:
            return
        name = re.sub("^qemu_", "", name)
        if status:
            self.calls.append((name, "error %d" % struct.unpack(">I", message[28:32]), set()))
            return
        reader = Reader(self.protocol, message[28:])
        reader.fields(fields)
        require(reader.at == len(reader.data), "the reply to %s has %d bytes, and %d are read" % (name, len(reader.data), reader.at))
        self.calls.append((name, "ok", set(reader.form)))


def read_record():
    """Commands, each with the calls that were recorded: name, status, form."""
    with open(os.path.join(TOP, "tests/manager/recorded.txt")) as file:
        for block in re.split(r"^\$ ", file.read(), flags=re.M)[1:]:
            command, *calls = block.rstrip().split("\n")
            rows = [re.match(r"  (\w+) (ok|error \d+) ?(.*)", call).groups() for call in calls]
            yield command, [(name, status, set(form.split())) for name, status, form in rows]


def words_of(command, root):
    if "monitor-command" in command or "agent-command" in command:
        words = command.split(" ", 3)
    else:
        words = command.split(" ")
    return [re.sub("^/x/", root + "/", w) if not w.endswith(".xml") or "/" in w else "%s/%s" % (root, w) for w in words]


DOMAIN = """<domain type='qemu'><name>d1</name><uuid>11111111-2222-3333-4444-555555555555</uuid><title>first guest</title>
<description>demo</description><memory unit='MiB'>128</memory><vcpu placement='static' current='1'>2</vcpu>
<os><type arch='x86_64' machine='q35'>hvm</type><boot dev='hd'/></os><features><acpi/><apic/></features>
<cpu mode='custom' match='exact'><model fallback='forbid'>qemu64</model></cpu><clock offset='utc'/><devices>
<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='%s/img/d1.qcow2'/><target dev='vda' bus='virtio'/></disk>
<disk type='file' device='cdrom'><target dev='sda' bus='sata'/><readonly/></disk>
<interface type='user'><mac address='52:54:00:aa:bb:cc'/><model type='virtio'/></interface>
<serial type='pty'/><console type='pty'/><graphics type='vnc' port='-1' autoport='yes' listen='127.0.0.1'/><video><model type='vga'/></video>
</devices></domain>"""
OTHER_DISK = "<disk type='file' device='disk'><source file='/x'/><target dev='sdc' bus='sata'/></disk>"
CARD = "<interface type='user'><mac address='52:54:00:00:00:07'/><model type='virtio'/></interface>"
NETWORK = "<network><name>net1</name><forward mode='nat'/><ip address='10.9.0.1' netmask='255.255.255.0'><dhcp><range start='10.9.0.15' end='10.9.0.20'/></dhcp></ip></network>"

POOL = "<pool type='dir'><name>p9</name><target><path>%s/p9</path></target></pool>"
VOLUME = "<volume><name>v1</name><capacity unit='MiB'>4</capacity><target><format type='qcow2'/></target></volume>"
EDITOR = "sed -i s/demo/demonstration/"


def prepare(daemon):
    for folder in ("img", "pool1", "p9"):
        os.mkdir(daemon.root + "/" + folder)
    for name, content in (("d1.xml", DOMAIN % daemon.root), ("disk.xml", OTHER_DISK), ("iface.xml", CARD), ("net1.xml", NETWORK),
                          ("p9.xml", POOL % daemon.root), ("v1.xml", VOLUME),
                          ("img/d2.raw", "\0" * 1048576)):
        daemon.write(name, content)
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", daemon.root + "/img/d1.qcow2", "64M"], check=True)


def compare(record, answered):
    """What of the answers is not as recorded, each difference by itself; a value or an element more is none."""
    names, ours = [r[0] for r in record], [a[0] for a in answered]
    out = []
    for name in set(names) | set(ours):
        if names.count(name) != ours.count(name):
            out.append("%s is called %d times instead of %d" % (name, ours.count(name), names.count(name)))
    for name in set(names) & set(ours):
        for (_, status, form), (_, got, has) in zip([r for r in record if r[0] == name], [a for a in answered if a[0] == name]):
            if status != got:
                out.append("%s: %s instead of %s" % (name, got, status))
            else:
                out += ["%s lacks %s" % (name, what) for what in sorted(form - has)]
    return out


# Where lodged answers otherwise, and why: commands, what of the reply, the reason. All else must be as recorded.
OTHERWISE = [
    (r"domname 1$", "error 42", "the recorded domain had the id 2"),
    (r"domifaddr d1 --source agent|domtime|domhostname|set-user-password", "error 86", "the recorded domain had an agent's channel"),
    (r"undefine d1", "domain_snapshot_num|error 55", "the recorded domain had snapshots by then"),
    (r"dumpxml|edit", "domain/devices/(controller|audio|input|video|[a-z]+/address|disk/backingStore|disk/source@index)|domain/cpu/feature",
     "what libvirt adds to the document, the program has by itself"),
    (r"", "domain/resource", "there are no control groups of the daemon's own"),
    (r"", "domain/vcpus", "which processors came later is not in the document"),
    (r"", "capabilities/host/cpu/(counter|feature)", "the host's processor is named, not each of its features"),
    (r"", "vcpu.N.wait", "the kernel counts it only when it is told to debug its scheduler"),
    (r"net-list", "network_", "there is the network 'default', too"),
    (r"net-info|net-dumpxml", "network_get_bridge_name|network/(bridge|mac)", "a user-mode network has no bridge"),
    (r"net-start|net-destroy", "error (1|55)", "the recorded daemon was not allowed to make a bridge"),
    (r"vol-list p2", "storage_vol_get_path", "the recorded folder had more files"),
    (r"save|managedsave|dump", "domain_get_job_info", "how often virsh asks is a matter of time"),
]


def expected(command, difference):
    return any(re.match(which, command) and re.search(what, difference) for which, what, why in OTHERWISE)


def recorded(build):
    def run():
        with Daemon(build, "qemu") as daemon:
            prepare(daemon)
            tap, wrong, count = Tap(daemon), [], 0
            for command, record in read_record():
                tap.calls, count = [], count + 1
                words = ["env", "EDITOR=" + EDITOR, "virsh", "-c", "qemu+unix:///system?socket=" + tap.path, *words_of(command, daemon.root)]
                out = output_of(words, 90)[1]
                differences = [d for d in compare(record, tap.calls) if not expected(command, d)]
                if differences:
                    wrong.append("virsh %s\n    %s\n    %s" % (command, "\n    ".join(differences), out.strip()))
            require(count > 170, "the record has only %d commands" % count)
            require(not wrong, "lodged answers in another form than libvirt's daemon:\n" + "\n".join(wrong))
    return run


def tests(build):
    return [("recorded", recorded(build))]
