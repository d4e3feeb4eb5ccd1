# devices.py - a disk and a network for guests in QEMU: what the sets disk and net work on
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The other end of the network is a server in this process, at the loopback of the host as the user-mode network shows it
# (a guestfwd= to it would be one connection for all): what it takes of the processors counts for no machine. A
# connection's first line is "send BYTES", or "take": all that follows.
import os
import shutil
import socket
import subprocess
import tempfile
import threading

from clients.qemu import with_dependencies

MODULES = ["virtio_pci", "virtio_blk", "virtio_net"]
DISK_MIB = 256
SCRIPT = """#!/bbin/sh
for m in %s; do insmod /lib/$m.ko; done
until [ -b /dev/vda ] && ip link set eth0 up && ip addr add 10.0.2.15/24 dev eth0; do sleep 0.1; done
printf '#!/bbin/sh\nexec nc 10.0.2.2 %d\n' >/bench/server && chmod 755 /bench/server
"""


def serve(connection):
    block = bytes(1 << 16)
    with connection, connection.makefile("rb") as f:
        word, _, size = f.readline().decode().strip().partition(" ")
        if word == "send":
            for _ in range(int(size) >> 16):
                connection.sendall(block)
        while f.read(1 << 16):
            pass


def accept(listener):
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=serve, args=[connection], daemon=True).start()


class Devices:
    """words: of QEMU's command. archive: the root that the guest has, and the modules and the command `devices`."""

    def __init__(self, build):
        self.folder = tempfile.TemporaryDirectory()
        disk = os.path.join(self.folder.name, "disk")
        with open(disk, "wb") as f:
            for _ in range(DISK_MIB):
                f.write(os.urandom(1 << 20))
        listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=accept, args=[listener], daemon=True).start()
        self.port = listener.getsockname()[1]
        self.words = ["-drive", "if=virtio,format=raw,file.locking=off,file.filename=" + disk, "-nic",
                      "user,model=virtio-net-pci"]
        self.archive = os.path.join(self.folder.name, "root.cpio.gz")
        self.make_archive(build)

    def make_archive(self, build):
        top = os.path.join(self.folder.name, "more")
        os.makedirs(top + "/bench")
        os.makedirs(top + "/usr/lib")
        modules = with_dependencies(os.path.join(os.path.dirname(os.path.dirname(build.kernel())), "lib/modules"), MODULES)
        for name, path in modules.items():
            shutil.copy(path, top + "/usr/lib/%s.ko" % name)
        with open(top + "/bench/devices", "w") as f:
            f.write(SCRIPT % (" ".join(modules), self.port))
        os.chmod(top + "/bench/devices", 0o755)
        script = "cat \"$1\"; cd \"$2\"; find bench usr | cpio -o -H newc -R 0:0 --quiet | gzip -1n"
        with open(self.archive, "wb") as f:
            subprocess.run(["sh", "-ec", script, "sh", build.path("bench/root.cpio.gz"), top], stdout=f, check=True)
