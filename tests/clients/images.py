# images.py - whole systems on disk images, in Debian's QEMU on Lodge: systemd to its login; libguestfs
# SPDX-License-Identifier: GPL-2.0-or-later
import glob
import os
import re
import shutil
import subprocess
import tempfile

from boot.disk import Copy, log_in, tell
from clients.qemu import PATIENCE, Qemu
from harness.lodge import Skip, output_of, require

LONG = 4 * PATIENCE


def systemd(build):
    """SeaBIOS, GRUB, Linux and systemd from a disk, to the login, in, and off by systemd."""
    def run():
        with Copy(build) as disk, Qemu(build, "-M", "q35", "-m", "512", "-smp", "2", "-drive",
                                       "if=virtio,format=raw,file=" + disk.path, kernel=False) as q:
            log_in(q.console)
            require(tell(q.console, "systemctl --failed --no-legend").strip() == "", "units have failed")
            require(tell(q.console, "systemd-detect-virt").strip() == "kvm", "systemd sees no KVM")
            q.console.send("systemctl poweroff\n")
            status = q.console.wait(LONG)
            require(status == 0, "QEMU ends with %d" % status)
    return run


def supermin(build):
    """libguestfs makes its appliance of the host's kernel: here of the one that the tests fetch."""
    kernel = build.kernel()
    release = os.path.basename(kernel).replace("vmlinuz-", "")
    top = os.path.dirname(os.path.dirname(kernel))
    modules = os.path.join(top, "lib/modules", release)
    if not glob.glob(modules + "/modules.dep"):
        subprocess.run(["/sbin/depmod", "-b", top, release], check=True)
    return {"SUPERMIN_KERNEL": kernel, "SUPERMIN_KERNEL_VERSION": release, "SUPERMIN_MODULES": modules}


def guestfish(build):
    """With its default backend, which starts QEMU with -machine accel=kvm:tcg."""
    def run():
        if not shutil.which("guestfish"):
            raise Skip("libguestfs-tools is not installed")
        if not os.path.isdir("/lib/modules"):
            raise Skip("libguestfs wants a folder /lib/modules")
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "disk")
            os.mkdir(os.path.join(folder, "files"))
            for name in "first", "second":
                with open(os.path.join(folder, "files", name), "w") as f:
                    f.write("this is the %s\n" % name)
            subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", os.path.join(folder, "files"), path, "64M"], check=True)
            words = {**supermin(build), "LIBGUESTFS_CACHEDIR": folder, "LIBGUESTFS_DEBUG": "1"}
            status, out = output_of(["env", *("%s=%s" % w for w in words.items()), build.path("lodge-kvm"), "guestfish",
                                     "-a", path, "-m", "/dev/sda", "ls", "/", ":", "write", "/third", "written inside", ":",
                                     "cat", "/second", ":", "cat", "/third"], LONG)
            require(status == 0, "guestfish ends with %d:\n%s" % (status, out[-3000:]))
            for line in "first", "second", "lost\\+found", "this is the second", "written inside":
                require(re.search("^%s\r?$" % line, out, re.M), "guestfish does not print '%s':\n%s" % (line, out[-3000:]))
            require("qemu KVM: enabled" in out, "guestfish did without KVM:\n" + out[:6000])
            debug = subprocess.run(["/sbin/debugfs", "-R", "cat /third", path], stdout=subprocess.PIPE,
                                   stderr=subprocess.DEVNULL, text=True)
            require(debug.stdout == "written inside", "the image has '%s' in /third" % debug.stdout)
    return run


def tests(build):
    """Those of make check-qemu."""
    return [("systemd", systemd(build)), ("guestfish", guestfish(build))]
