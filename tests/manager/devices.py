# devices.py - devices that come and go, and what they count, in a Linux guest that virsh manages
# SPDX-License-Identifier: GPL-2.0-or-later
import re

from harness.console import Console
from harness.lodge import PROMPT, require, shell
from boot.devices import initrd
from manager.daemon import EMULATORS, Daemon, wait_for

PORTS = "".join("<controller type='pci' model='pcie-root-port'/>" for _ in range(4))
NETWORK_CARD = "<interface type='user'><mac address='52:54:00:00:00:09'/><model type='virtio'/></interface>"


def define_linux(build, daemon, name="linux", machine="q35", more="", memory=256, change=lambda xml: xml):
    boot = "<kernel>%s</kernel><initrd>%s</initrd><cmdline>console=ttyS0 quiet</cmdline>" % (
        build.kernel(), initrd(build, daemon.root))
    xml = daemon.xml(name, boot, "<features><acpi/></features>", more).replace("'MiB'>64", "'MiB'>%d" % memory).replace(
        "'MiB'>48", "'MiB'>%d" % memory).replace("arch='x86_64'", "arch='x86_64' machine='%s'" % machine)
    path = daemon.write(name + ".xml", change(xml))
    daemon.virsh("define", path)
    return path


def boot(daemon, name="linux"):
    """The guest's shell on virsh's console, with its drivers."""
    c = Console(["virsh", "-c", daemon.uri(), "start", "--console", name])
    c.expect(PROMPT, 180)
    shell(c, "for m in /lib/modules/*.ko; do insmod $m; done", 60)
    return c


def has(console, command, wanted):
    wait_for(lambda: wanted in shell(console, command, 60), "%s in the guest shows '%s'" % (command, wanted))


def counted(daemon, name):
    words = daemon.virsh("domifstat", "linux", name).split()
    return {words[i + 1]: int(words[i + 2]) for i in range(0, len(words), 3)}


def counters(daemon, console):
    """The network is the user's: only the machine knows what the guest has received and sent."""
    for command in ("ip link set eth0 up", "udhcpc -i eth0 -n -q -s /bin/true", "ip addr add 10.0.2.15/24 dev eth0"):
        shell(console, command, 60)
    first = counted(daemon, "52:54:00:00:00:09")
    require(first["rx_bytes"] > 500 and first["tx_bytes"] > 500 and first["rx_packets"] >= 2 <= first["tx_packets"], str(first))
    shell(console, "ping -c 4 -s 1000 10.0.2.2", 60)
    alias = re.search(r"net\.0\.name=(\S+)", daemon.virsh("domstats", "linux", "--interface"))[1]
    then = counted(daemon, alias)
    require(then["rx_bytes"] > first["rx_bytes"] + 4000 and then["tx_bytes"] > first["tx_bytes"] + 4000, str(then))
    require("net.0.rx.bytes=%d\n" % then["rx_bytes"] in daemon.virsh("domstats", "linux", "--interface"), "domstats")


def hotplug(build, emulator):
    def run():
        with Daemon(build, emulator) as daemon:
            define_linux(build, daemon, more=PORTS)
            disk, nic = daemon.write("b.img", b"\0" * (8 << 20)), daemon.write("nic.xml", NETWORK_CARD)
            with boot(daemon) as c:
                daemon.virsh("attach-disk", "linux", disk, "vda", "--persistent")
                has(c, "cat /proc/partitions", " vda")
                require("vda" in daemon.virsh("dumpxml", "linux") and "vda" in daemon.virsh("dumpxml", "linux", "--inactive"),
                        "the disk is not in both definitions")
                shell(c, "dd if=/dev/vda of=/dev/null bs=64k", 60)
                require(int(daemon.virsh("domblkstat", "linux", "vda").split("rd_bytes ")[1].split()[0]) >= 8 << 20,
                        "domblkstat has not counted the guest's reads")
                daemon.virsh("attach-device", "linux", nic, "--live")
                has(c, "cat /sys/class/net/*/address", "52:54:00:00:00:09")
                if "x-query-netdev-stats" in daemon.qmp_commands("linux"):
                    counters(daemon, c)
                daemon.virsh("detach-disk", "linux", "vda", "--persistent")
                wait_for(lambda: "vda" not in daemon.virsh("dumpxml", "linux"), "the disk leaves the document")
                require("vda" not in daemon.virsh("dumpxml", "linux", "--inactive"), "the disk is still in the definition")
                wait_for(lambda: " vda" not in shell(c, "cat /proc/partitions", 60), "the disk leaves the guest")
                daemon.virsh("detach-interface", "linux", "user", "--mac", "52:54:00:00:00:09")
                wait_for(lambda: "52:54:00:00:00:09" not in daemon.virsh("dumpxml", "linux"), "the card leaves the document")
                daemon.virsh("attach-disk", "linux", disk, "vda", "--live")
                has(c, "cat /proc/partitions", " vda")
                c.send("poweroff -f\n")
                c.wait(90)
            wait_for(lambda: daemon.state("linux") == "shut off (shutdown)", "the guest is shut off")
    return run


def vcpus(build, emulator):
    """A processor comes and goes, in lodge-vm, and in QEMU on Lodge's KVM; the machine with it comes back from a save."""
    def run():
        with Daemon(build, emulator) as daemon:
            with open(define_linux(build, daemon, change=lambda xml: xml.replace("<vcpu>2", "<vcpu current='1'>2").replace(
                    "type='qemu'", "type='kvm'"))) as file:
                require("current='1'" in file.read(), "the document")
            with boot(daemon) as c:
                daemon.virsh("setvcpus", "linux", "2", "--live")
                has(c, "ls /sys/devices/system/cpu", "cpu1")
                shell(c, "echo 1 >/sys/devices/system/cpu/cpu1/online", 60)
                has(c, "cat /proc/cpuinfo", "processor\t: 1")
                daemon.virsh("save", "linux", daemon.root + "/saved")
            daemon.virsh("restore", daemon.root + "/saved")
            require(daemon.virsh("vcpucount", "linux", "--live", "--current").strip() == "2", "the processor is lost in a save")
            daemon.virsh("destroy", "linux")
            daemon.virsh("vcpupin", "linux", "1", "0", "--config")
            with boot(daemon) as c:
                require(daemon.virsh("vcpucount", "linux", "--live", "--current").strip() == "1", "the definition has changed")
                daemon.virsh("setvcpus", "linux", "2", "--live")
                has(c, "ls /sys/devices/system/cpu", "cpu1")
                daemon.virsh("setvcpus", "linux", "1", "--live")
                wait_for(lambda: "cpu1" not in shell(c, "ls /sys/devices/system/cpu", 60), "the processor leaves the guest")
                for count in ("2", "1", "2") if emulator == "lodge-vm" else ():
                    daemon.virsh("setvcpus", "linux", count, "--live")
                    wait_for(lambda: ("cpu1" in shell(c, "ls /sys/devices/system/cpu", 60)) == (count == "2"), "processor 1 follows")
                    last = daemon.virsh("vcpuinfo", "linux", "--pretty").split("VCPU:")[-1]
                    require(count == "1" or re.search(r"CPU Affinity: +0 ", last), "a pin of one that comes:" + last)
                    shell(c, "echo 1 >/sys/devices/system/cpu/cpu1/online", 60)
                    shell(c, "taskset 2 sh -c 'i=0; while [ $i -lt 10000 ]; do i=$((i+1)); done'", 60)
                daemon.virsh("setvcpus", "linux", "0", "--live", good=False)
    return run


def tests(build):
    return [("hotplug-" + e, hotplug(build, e)) for e in EMULATORS] + [("vcpus-" + e, vcpus(build, e)) for e in EMULATORS]
