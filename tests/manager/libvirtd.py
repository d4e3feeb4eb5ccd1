# libvirtd.py - Debian's own libvirtd, with a folder of its own: to compare with, and for lodge to manage
# SPDX-License-Identifier: GPL-2.0-or-later
import os
import socket
import subprocess
import tempfile

from harness.lodge import Skip, require
from manager.daemon import DOMAIN, QEMU, idle_guest, wait_for

PROGRAM, NOBODY = "/usr/sbin/libvirtd", 65534


class Libvirtd:
    """As a daemon of a user's session, so that it touches nothing of the system's; not as root, who has no such one."""

    emulator = "libvirtd"

    def __init__(self):
        if not os.path.exists(PROGRAM) or not os.path.exists(QEMU) or os.geteuid():
            raise Skip("libvirtd with QEMU is not installed, or this is not root")
        self.folder = tempfile.TemporaryDirectory(prefix="lodge-libvirtd-")
        self.root = self.folder.name
        self.socket = self.root + "/run/libvirt/libvirt-sock"
        os.chmod(self.root, 0o755)
        for name in ("run", "config", "cache"):
            os.mkdir(self.root + "/" + name)
            os.chown(self.root + "/" + name, NOBODY, NOBODY)
        with open(self.root + "/idle.elf", "wb") as file:
            file.write(idle_guest())
        self.start()

    def start(self):
        places = {"HOME": self.root, "XDG_RUNTIME_DIR": self.root + "/run", "XDG_CONFIG_HOME": self.root + "/config",
                  "XDG_CACHE_HOME": self.root + "/cache"}
        with open(self.root + "/out", "ab") as log:
            self.process = subprocess.Popen([PROGRAM], env={**os.environ, **places}, stdout=log, stderr=log,
                                            user=NOBODY, group=NOBODY, extra_groups=[])
        wait_for(self.answers, "libvirtd listens")

    def answers(self):
        require(self.process.poll() is None, "libvirtd ended:\n" + open(self.root + "/out").read())
        with socket.socket(socket.AF_UNIX) as s:
            return s.connect_ex(self.socket) == 0

    def uri(self):
        return "qemu+unix:///session?socket=" + self.socket

    def virsh(self, *args):
        p = subprocess.run(["virsh", "-c", self.uri(), *args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=90)
        require(p.returncode == 0, "virsh %s says:\n%s" % (" ".join(args), p.stdout.decode()))
        return p.stdout.decode()

    def xml(self, name):
        return DOMAIN % (name, "<kernel>%s/idle.elf</kernel>" % self.root, "", "")

    def define(self, name):
        path = "%s/%s.xml" % (self.root, name)
        with open(path, "w") as file:
            file.write(self.xml(name))
        return self.virsh("define", path)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        for name in self.virsh("list", "--name").split():
            self.virsh("destroy", name)
        self.process.terminate()
        self.process.wait(30)
        self.folder.cleanup()
