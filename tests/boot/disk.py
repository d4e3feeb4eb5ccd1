# disk.py - from a disk: SeaBIOS, GRUB, Linux, systemd, a login on the serial port; and the power button
# SPDX-License-Identifier: GPL-2.0-or-later
import os
import shutil
import tempfile

from clients.qmp import Client
from harness.console import Console
from harness.lodge import require

PATIENCE = 400
PROMPT = r"root@lodge:[^\n]*# "
UUID = "12345678-9abc-def0-1234-56789abcdef0"


class Copy:
    """The image that `make` has made, for one test to write to."""

    def __init__(self, build):
        self.folder = tempfile.TemporaryDirectory(prefix="lodge-test-")
        self.path = os.path.join(self.folder.name, "disk.raw")
        # A copy keeps the holes.
        require(os.system("cp --sparse=always %s %s" % (build.path("disk.raw"), self.path)) == 0, "cannot copy the image")

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.folder.cleanup()

    def file(self, name):
        return os.path.join(self.folder.name, name)


def log_in(c):
    c.expect("login: ", PATIENCE)
    c.send("root\n")
    c.expect(PROMPT, PATIENCE)
    tell(c, "export SYSTEMD_PAGER=cat PS1='root@lodge:~# '; dmesg -n 1")


def tell(c, command):
    """What the command printed."""
    start = c.position
    c.send(command + "\n")
    c.expect("\n", PATIENCE)
    match = c.expect(PROMPT, PATIENCE)
    text = c.log[start:match.start()].replace("\r", "")
    return text[text.index("\n") + 1:]


def login(build):
    def run():
        with Copy(build) as disk:
            words = ["-nographic", "-m", "512", "-no-reboot", "-uuid", UUID, "-boot", "strict=on",
                     "-blockdev", "driver=file,node-name=f,filename=" + disk.path,
                     "-blockdev", "driver=raw,node-name=d,file=f", "-device", "virtio-blk-pci,drive=d,bootindex=1",
                     "-smbios", "type=1,serial=LODGE-7", "-qmp", "unix:%s,server=on,wait=off" % disk.file("qmp")]
            with Console(build.machine(*words)) as c:
                c.expect("SeaBIOS", PATIENCE)
                c.expect("GRUB", PATIENCE)
                log_in(c)
                require(tell(c, "cat /sys/class/dmi/id/product_uuid").strip() == UUID, "the guest has another UUID")
                require(tell(c, "cat /sys/class/dmi/id/product_serial").strip() == "LODGE-7", "the guest has another serial")
                require("SeaBIOS" in tell(c, "cat /sys/class/dmi/id/bios_vendor"), "the firmware is another")
                require(tell(c, "systemctl --failed --no-legend").strip() == "", "units have failed")
                qmp = Client(disk.file("qmp"), c.process)
                qmp.ok("qmp_capabilities")
                qmp.ok("system_powerdown")
                qmp.event("POWERDOWN")
                require(qmp.event("SHUTDOWN")["data"]["reason"] == "guest-shutdown", "ended otherwise")
                require(c.wait(PATIENCE) == 0, "the power button did not end the machine")
    return run


def nothing(build):
    """No disk: the firmware says so, and its console is the serial port."""
    def run():
        with Console(build.machine("-nographic", "-m", "64")) as c:
            c.expect("No bootable device", PATIENCE)
            c.send("\x01x")
            require(c.wait() == 0, "Ctrl-a x did not end it")
    return run


def tests(build):
    return [("disk-none", nothing(build)), ("disk-login", login(build))]
