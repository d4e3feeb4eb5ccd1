# daemon.py - a lodged with a folder of its own, for the tests of the manager
# SPDX-License-Identifier: GPL-2.0-or-later
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time

from harness.lodge import Failure, Skip, output_of, require

QEMU = "/usr/bin/qemu-system-x86_64"
EMULATORS = ("lodge-vm", "qemu")
DOMAIN = """<domain type='qemu'><name>%s</name><memory unit='MiB'>64</memory><currentMemory unit='MiB'>48</currentMemory>
<vcpu>2</vcpu><os><type arch='x86_64'>hvm</type>%s</os>%s<devices><console type='pty'/>%s</devices></domain>"""


def pvh_kernel(code):
    """An ELF kernel of this code at 1 MiB, which is entered there by PVH."""
    note = struct.pack("<III4sI", 4, 4, 18, b"Xen\0", 0x100000)
    header, row = 64, 56
    at = header + 2 * row
    elf = struct.pack("<4sBBB9xHHIQQQIHHHHHH", b"\x7fELF", 2, 1, 1, 2, 62, 1, 0x100000, header, 0, 0, 64, row, 2, 0, 0, 0)
    elf += struct.pack("<IIQQQQQQ", 1, 5, at + len(note), 0x100000, 0x100000, len(code), len(code), 4)
    elf += struct.pack("<IIQQQQQQ", 4, 4, at, 0, 0, len(note), len(note), 4)
    return elf + note + code


def idle_guest():
    """An ELF kernel that is entered by PVH and halts for ever; an NMI it takes and goes on."""
    base, gdt, idt, nmi = 0x100000, 0x100040, 0x100060, 0x100030
    code = b"\xfa\x0f\x01\x15" + struct.pack("<I", base + 0x78)  # cli; lgdt
    code += b"\x0f\x01\x1d" + struct.pack("<I", base + 0x80)  # lidt
    code += b"\xea" + struct.pack("<IH", base + len(code) + 7, 8)  # ljmp to the next instruction
    code += b"\x66\xb8\x10\x00\x8e\xd8\x8e\xc0\x8e\xd0\xbc" + struct.pack("<I", 0x180000)  # ds, es, ss, esp
    code += b"\xf4\xeb\xfd"  # 1: hlt; jmp 1b
    code = code.ljust(nmi - base, b"\x90") + b"\xcf"
    code = code.ljust(gdt - base, b"\0") + struct.pack("<QQQ", 0, 0xcf9a000000ffff, 0xcf92000000ffff)
    code = code.ljust(idt - base, b"\0") + b"\0" * 16 + struct.pack("<HHHH", nmi & 0xffff, 8, 0x8e00, nmi >> 16)
    code += struct.pack("<HIxxHI", 23, gdt, 23, idt)
    return pvh_kernel(code)


@contextlib.contextmanager
def small_file_system(folder, size):
    """A file system of that size, mounted at a new folder, as a disk that gets full."""
    if os.getuid():
        raise Skip("mounting a small file system needs root")
    os.mkdir(folder)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=" + size, "none", folder], stderr=subprocess.DEVNULL).returncode:
        raise Skip("this system does not let a file system be mounted")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder])


def wait_for(condition, what, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise Failure("waited %d s in vain until %s" % (seconds, what))
        time.sleep(0.05)


class Daemon:
    """A lodged with a folder of its own; what it runs ends with it."""

    def __init__(self, build, emulator="lodge-vm"):
        if not shutil.which("virsh"):
            raise Skip("virsh is not installed")
        if emulator == "qemu" and not os.path.exists(QEMU):
            raise Skip("qemu-system-x86_64 is not installed")
        self.program, self.emulator = build.path("lodged"), emulator
        self.folder = tempfile.TemporaryDirectory(prefix="lodge-test-")
        self.root = self.folder.name
        self.socket = self.root + "/run/lodged-sock"
        self.write("idle.elf", idle_guest())
        os.mkdir(self.root + "/etc")
        if emulator == "qemu":
            self.write("etc/lodged.conf", "emulator = %s\n" % QEMU)
        self.start()

    def write(self, name, content):
        """A file in the daemon's folder; returns its path."""
        path = os.path.join(self.root, name)
        with open(path, "wb") as f:
            f.write(content if isinstance(content, bytes) else content.encode())
        return path

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

    def xml(self, name, os_xml=None, features="", devices=""):
        kernel = "<kernel>%s/idle.elf</kernel>" % self.root
        return DOMAIN % (name, kernel if os_xml is None else os_xml, features, devices)

    def define(self, name, *args, **more):
        return self.virsh("define", self.write(name + ".xml", self.xml(name, *args, **more)))

    def qmp_commands(self, name):
        """What the machine of a running domain can be asked."""
        out = self.virsh("qemu-monitor-command", name, '{"execute":"query-commands"}')
        return {row["name"] for row in json.loads(out)["return"]}

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
