# virsh.py - lodged, managed by programs that were written for libvirt: virsh and python3-libvirt
# SPDX-License-Identifier: GPL-2.0-or-later
import os
import re
import shutil
import socket
import subprocess

from harness.console import Console
from harness.lodge import PROMPT, TOP, Skip, output_of, require
from manager.daemon import DOMAIN, EMULATORS, Daemon, wait_for

# A command, and what its answer must match: the forms are those of virsh with libvirt's own daemon.
COMMANDS = [
    ("version --daemon", r"Using API: QEMU 9\.0\.0\nRunning hypervisor: QEMU \d+\.\d+\.\d+\nRunning against daemon: 9\.0\.0"),
    ("hostname", r"^\S+$"), ("nodeinfo", r"CPU model: +x86_64\nCPU\(s\): +\d+\n"), ("freecell", r"Total: \d+ KiB"),
    ("freecell --all", r"0: +\d+ KiB"),
    ("nodememstats", r"total  : +\d+ KiB\nfree   : +\d+ KiB"), ("nodecpustats", r"user: +\d+\nsystem: +\d+\nidle: +\d+"),
    ("nodecpumap", r"CPUs present: +\d+\nCPUs online: +\d+\nCPU map: +y"), ("maxvcpus", r"^\d+$"),
    ("capabilities", r"<os_type>hvm</os_type>(.|\n)*<machine maxCpus='255'"),
    ("domcapabilities", r"<domainCapabilities>\n  <path>"), ("uri", r"^qemu\+unix:"),
    ("list --all", r"-    a +shut off"), ("list --inactive --name", r"^a\n"), ("list --all --uuid", r"^[-0-9a-f]{36}\n"),
    ("list --all --persistent --no-autostart --state-shutoff", r" a "), ("list --transient --all --name", r"^\n$"),
    ("dominfo a", r"Id: +-\nName: +a\n(.|\n)*State: +shut off\nCPU\(s\): +2\n(.|\n)*Persistent: +yes\nAutostart: +disable"),
    ("domid a", r"^-$"), ("domuuid a", r"^[-0-9a-f]{36}\n"), ("domstate a", "shut off"),
    ("domstate a --reason", r"shut off \(unknown\)"),
    ("dumpxml a", r"^<domain type='qemu'>\n  <name>a</name>\n  <uuid>(.|\n)*<memory unit='KiB'>65536</memory>\n  "
                  r"<currentMemory unit='KiB'>49152</currentMemory>\n  <vcpu placement='static'>2</vcpu>"),
    ("dumpxml a --xpath //name", "<name>a</name>"), ("vcpucount a", r"maximum +config +2\ncurrent +config +2"),
    ("domblklist a", r"Target +Source"), ("domiflist a", r"52:54:00:00:00:01"),
    ("desc a --title --new-desc First", "title updated"), ("desc a --title", "First"), ("list --all --title", "First"),
    ("desc a --new-desc about", "updated"), ("desc a", "about"),
    ("metadata a http://x.y --key k --set <v/>", "Metadata modified"), ("metadata a http://x.y", r"<v xmlns:k='http|<k:v|<v"),
    ("autostart a", "marked as autostarted"), ("list --all --autostart --name", r"^a\n"),
    ("autostart a --disable", "unmarked as autostarted"),
    ("start a --paused", "Domain 'a' started"), ("domstate a --reason", r"paused \(user\)"), ("list --state-paused", "paused"),
    ("resume a", "resumed"), ("domstate a --reason", r"running \(unpaused\)"), ("list", r" 1 +a +running"),
    ("list --id", r"^1\n"), ("domid a", r"^1$"), ("domname 1", r"^a$"), ("dominfo a", r"CPU time: +[\d.]+s"),
    ("domcontrol a", "ok"), ("dommemstat a", r"actual \d+\n(.|\n)*rss \d+"), ("ttyconsole a", r"^/dev/pts/\d+"),
    ("dumpxml a", r"^<domain type='qemu' id='1'>(.|\n)*<alias name='serial0'/>"), ("dumpxml a --inactive", r"^<domain type='qemu'>"),
    ("vcpucount a --live --current", r"^2$"), ("domif-getlink a 52:54:00:00:00:01", "default|up"),
    ("qemu-monitor-command a --hmp info status", "VM status: running"),
    ("qemu-monitor-command a {\"execute\":\"query-status\"}", r'"return".*"status":"running"'),
    ("domjobinfo a", r"Job type: +None"), ("setmem a 40M", "", "balloon"), ("vcpuinfo a", r"VCPU: +0\n(.|\n)*State: +running\nCPU time: +[\d.]+s\nCPU Affinity: +y+\n(.|\n)*VCPU: +1"),
    ("vcpupin a 1 0 --live --config", ""), ("vcpuinfo a --pretty", r"VCPU: +1\n(.|\n)*CPU Affinity: +0 "), ("vcpupin a", r" 1 +0$"),
    ("emulatorpin a 0", ""), ("emulatorpin a", r"\*: 0$"), ("dumpxml a --xpath //cputune", r"<vcpupin vcpu=.1. cpuset=.0./>(.|\n)*<emulatorpin cpuset=.0./>"),
    ("cpu-stats a --total", r"cpu_time +[\d.]+ seconds"), ("iothreadinfo a", "No IOThreads"), ("blockjob a vda", "No current block job"),
    ("snapshot-list a", r"Name +Creation Time +State"), ("checkpoint-list a", r"Name +Creation Time"), ("iface-list --all", r"Name +State +MAC"),
    ("nodedev-list", r"^$"), ("nwfilter-list", r"UUID +Name"), ("nwfilter-binding-list", r"Port Dev +Filter"), ("secret-list", r"UUID +Usage"),
    ("freepages --all", r"4KiB: \d+"), ("domxml-to-native qemu-argv --domain a", r"-uuid [-0-9a-f]{36}"),
    ("domstats a", r"state.state=1\n(.|\n)*cpu.time=\d+(.|\n)*balloon.current=\d+(.|\n)*vcpu.0.state=1(.|\n)*net.count=1\n(.|\n)* +block.count=1\n +block.0.name=vda"),
    ("domstats a --interface", r"net.count=1\n +net.0.name=net0\n +net.0.rx.bytes=0\n(.|\n)*net.0.tx.drop=0", "x-query-netdev-stats"),
    ("domifstat a 52:54:00:00:00:01", r"52:54:00:00:00:01 rx_bytes 0\n(.|\n)*52:54:00:00:00:01 tx_drop 0", "x-query-netdev-stats"),
    ("domstats --state --list-active", r"Domain: 'a'\n +state.state=1\n +state.reason=\d+\n\n$"),
    ("domblkinfo a vda", r"Capacity: +1048576\nAllocation: +\d+\nPhysical: +1048576"), ("domblkinfo a --all --human", r"vda +1.000 MiB"),
    ("domifaddr a", r"Name +MAC address"), ("domifaddr a --source arp", r"Name +MAC address"),
    ("domif-setlink a 52:54:00:00:00:01 down", "updated successfully", "set_link"), ("domblkstat a vda", r"vda rd_req \d+\nvda rd_bytes \d+", "query-blockstats"),
    ("domblkerror a", "No errors found", "query-block"), ("send-key a KEY_LEFTCTRL KEY_C", "", "send-key"), ("suspend a", "suspended"), ("domstate a --reason", r"paused \(user\)"), ("resume a", "resumed"),
    ("reset a", "was reset"), ("inject-nmi a", ""), ("shutdown a", "is being shutdown"),
    ("destroy a", "Domain 'a' destroyed"), ("domstate a --reason", r"shut off \(destroyed\)"), ("vcpupin a", r" 0 +0-?\d*\n +1 +0$"),
    ("start a", "Domain 'a' started"), ("destroy a --graceful", "destroyed"),
    ("create @b", "Domain 'b' created"), ("list --transient --name", r"^b\n"), ("destroy b", "destroyed"),
    ("list --all --name", r"^a\n\n$"), ("setmaxmem a 128M", ""), ("setmem a 100M --config", ""), ("dominfo a", r"Max memory: +131072 KiB\nUsed memory: +102400 KiB"),
    ("setvcpus a 4 --maximum --config", ""), ("setvcpus a 3 --config", ""), ("vcpucount a", r"maximum +config +4\ncurrent +config +3"),
    ("vcpuinfo a", r"VCPU: +0\nCPU: +N/A"), ("domblkinfo a vda", r"Capacity: +1048576"), ("domstats a", r"state.state=5\n(.|\n)*block.0.path=/"),
    ("attach-disk a @disk vdb --config", "attached successfully"), ("domblklist a", r"vdb +/"),
    ("attach-device a @nic --config", "attached successfully"), ("domiflist a", r"52:54:00:00:00:02"),
    ("detach-disk a vdb --config", "detached successfully"), ("detach-interface a user --mac 52:54:00:00:00:02 --config", "detached successfully"),
    ("dommemstat a --period 5 --config", "", "balloon"), ("domrename a other", "renamed"), ("list --all --name", r"^other\n"), ("domrename other a", "renamed"),
    ("undefine a", "has been undefined"), ("list --all --name", r"^\n$"),
]

# Commands that must fail, and how; the daemon lives on.
REFUSED = [
    ("start nobody", "failed to get domain 'nobody'"), ("destroy a", "domain is not running"),
    ("suspend a", "domain is not running"), ("create @clash", "already exists"), ("define @nodevice", "smoke"),
    ("define @badname", "cannot contain '/'"), ("define @notxml", "definition"), ("define @doctype", "document type"),
    ("define @secret", "'passwd' of <graphics> is not supported"), ("define @nomemory", "[Mm]emory"), ("define @emulator", "Cannot check QEMU binary"), ("setmem a 1G --live", "not running"),
    ("domifstat a 52:54:00:00:00:01", "not running"), ("domblkstat a vda", "not running"), ("setmem a 1G --config", "higher than max"),
    ("setvcpus a 9 --config", "greater than max"), ("attach-disk a @disk vda --config", "already exists|duplicated"), ("detach-disk a vdz --config", "No disk found|not found"),
    ("snapshot-create a", "internal snapshot for disk vda unsupported for storage type raw"), ("snapshot-current a", "no current snapshot"),
    ("blockpull a vda", "not supported by the connection driver: virDomainBlockPull"), ("migrate a qemu:///x", "not running|refused|Failed|Cannot"),
    ("domtime a", "domain is not running"), ("domjobinfo a", "domain is not running"), ("vcpupin a 9 0 --config", "vcpu 9 is out of range"), ("define @pin", "bitmap '0-'"), ("nodedev-dumpxml x", "no node device with matching name"),
    ("iface-dumpxml eth9", "couldn't find interface"), ("send-key a KEY_ENTER", "not running"), ("domrename a a", "itself|already exists"), ("domblkinfo a vdz", "invalid path"),
    ("console a", "domain is not running|controlling terminal"), ("managedsave a", "not supported|not running|unknown"),
]

BAD = {
    "b": None, "clash": DOMAIN % ("a", "", "", ""), "nodevice": DOMAIN % ("x", "", "", "<smoke/>"),
    "badname": DOMAIN % ("a/b", "", "", ""), "notxml": "<domain><name>", "secret": DOMAIN % ("x", "", "", "<graphics type='vnc' passwd='x'/>"), "nic": "<interface type='user'><mac address='52:54:00:00:00:02'/></interface>", "disk": "\0" * 1048576, "nomemory": DOMAIN.replace("64", "0") % ("x", "", "", ""),
    "doctype": "<!DOCTYPE d [<!ENTITY a 'b'>]>" + DOMAIN % ("x", "", "", ""),
    "pin": DOMAIN.replace("<vcpu>", "<vcpu cpuset='0-'>") % ("x", "", "", ""),
    "emulator": DOMAIN % ("x", "", "", "<emulator>/no/such</emulator>"),
}


def with_files(daemon, command):
    words = command.split(" ", 2 if "monitor-command" in command else -1)
    if "--hmp" in command:
        words = command.split(" ", 3)
    return [daemon.root + "/bad-" + w[1:] if w.startswith("@") else w for w in words]


def prepare(daemon):
    for name, text in BAD.items():
        daemon.write("bad-" + name, text or daemon.xml(name))
    daemon.write("a.img", b"\0" * 1048576)
    daemon.define("a", devices="<disk type='file'><source file='%s/a.img'/><target dev='vda'/></disk>"
                  "<interface type='user'><mac address='52:54:00:00:00:01'/></interface>" % daemon.root)


def commands(build, emulator):
    def run():
        with Daemon(build, emulator) as daemon:
            prepare(daemon)
            has = ()
            for command, form, *needs in COMMANDS:
                if command.startswith("resume a") and not has:
                    has = daemon.qmp_commands("a")
                if needs and needs[0] not in has:
                    continue
                out = daemon.virsh(*with_files(daemon, command))
                require(re.search(form, out, re.M), "virsh %s\nwants /%s/ but prints:\n%s" % (command, form, out))
    return run


def refused(build):
    def run():
        with Daemon(build) as daemon:
            prepare(daemon)
            for command, form in REFUSED:
                out = daemon.virsh(*with_files(daemon, command), good=False)
                require(re.search(form, out, re.M), "virsh %s\nwants /%s/ but prints:\n%s" % (command, form, out))
            require(daemon.virsh("list", "--all", "--name") == "a\n\n", "a refused command has changed something")
    return run


EVENTS = """
import libvirt, sys, threading, time
libvirt.virEventRegisterDefaultImpl()
seen = []
def loop():
    while True: libvirt.virEventRunDefaultImpl()
threading.Thread(target=loop, daemon=True).start()
c = libvirt.open(sys.argv[1])
c.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, lambda c, d, e, r, o: seen.append((e, r)), None)
d = c.lookupByName('a')
d.create(); d.suspend(); d.resume(); d.destroy()
want = [(4, 0), (2, 0), (3, 0), (4, 0), (5, 1)]
end = time.monotonic() + 60
while [s for s in seen if s[0] != 6] != want and time.monotonic() < end: time.sleep(0.05)
print([s for s in seen if s[0] != 6] == want, seen, d.isActive(), d.ID())
"""


def need_bindings():
    if subprocess.run(["/usr/bin/python3", "-c", "import libvirt"], stderr=subprocess.DEVNULL).returncode:
        raise Skip("python3-libvirt is not installed")


def viewer(build, emulator):
    def run():
        need_bindings()
        with Daemon(build, emulator) as daemon:
            prepare(daemon)
            daemon.virsh("undefine", "a")
            status, out = output_of(["/usr/bin/python3", TOP + "/tests/manager/viewer.py", daemon.uri(), daemon.root + "/a.xml"], 120)
            require(status == 0 and out == "good\n", out)
    return run


def events(build):
    def run():
        need_bindings()
        with Daemon(build) as daemon:
            prepare(daemon)
            status, out = output_of(["/usr/bin/python3", "-c", EVENTS, daemon.uri()], 120)
            require(status == 0 and out.startswith("True") and out.rstrip().endswith("0 -1"), out)
    return run


def console(build, emulator):
    """A Linux guest on virsh's console; it powers itself off, which virsh and the state say."""
    def run():
        with Daemon(build, emulator) as daemon:
            boot = "<kernel>%s</kernel><initrd>%s</initrd><cmdline>console=ttyS0 quiet</cmdline>" % (
                build.kernel(), build.path("initramfs.cpio.gz"))
            xml = daemon.xml("linux", boot, "<features><acpi/></features>")
            log = daemon.write("console.log", "before\n")
            xml = xml.replace("<console type='pty'/>", "<console type='pty'><log file='%s' append='on'/></console>" % log)
            path = daemon.write("linux.xml", xml.replace("'MiB'>64", "'MiB'>256").replace("'MiB'>48", "'MiB'>256"))
            daemon.virsh("define", path)
            with Console(["virsh", "-c", daemon.uri(), "start", "--console", "linux"]) as c:
                c.expect(PROMPT, 180)
                c.send("echo seven is $((3+4))\n")
                c.expect("seven is 7", 60)
                c.send("poweroff -f\n")
                c.wait(90)
            wait_for(lambda: daemon.state("linux") == "shut off (shutdown)", "the guest is shut off by itself")
            with open(log, errors="replace") as f:
                text = f.read()
            require(text.startswith("before\n") and "seven is 7" in text, "the log has " + text)
            require(daemon.virsh("dumpxml", "linux").count("<log file='%s' append='on'/>" % log) == 2, "the port and its console have the log")
    return run


# Where a device of the machine leads, and what the program must be told; None: it is refused.
ENDS = (
    ("<serial type='unix'><source path='/s'/></serial>", "-chardev socket,id=charserial0,path=/s"),
    ("<serial type='unix'><source mode='bind' path='/s'/></serial>", "-chardev socket,id=charserial0,path=/s,server=on,wait=off"),
    ("<console type='tcp'><source mode='connect' host='::1' service='7'/></console>", "-chardev socket,id=charserial0,host=::1,port=7"),
    ("<serial type='tcp'><source mode='bind' host='localhost' service='7'/><protocol type='raw'/></serial>",
     "-chardev socket,id=charserial0,host=localhost,port=7,server=on,wait=off"),
    ("<serial type='file'><source path='/f' append='on'/></serial>", "-chardev file,id=charserial0,path=/f,append=on"),
    ("<console type='null'><log file='/l'/></console>", "-chardev null,id=charserial0,logfile=/l"),
    ("<serial type='tcp'><source host='::1' service='7'/><protocol type='telnet'/></serial>", None),
    ("<serial type='tcp'><source host='::1'/></serial>", None),
    ("<serial type='unix'><source mode='x' path='/s'/></serial>", None),
    ("<serial type='pty'><log append='on'/></serial>", None),
    ("<serial type='pty'><log file='/l' append='x'/></serial>", None),
    ("<channel type='unix'><source mode='bind' path='/s'/><target type='virtio' name='x'/><alias name='ua-e_1'/></channel>",
     "-chardev socket,id=charua-e_1,path=/s,server=on,wait=off"),
    ("<channel type='unix'><source mode='bind' path='/s'/><target type='virtio' name='x'/><alias name='ua-/../e'/></channel>",
     "-chardev socket,id=charchannel0,path=/s,server=on,wait=off"),
    ("<channel type='null'><target type='virtio' name='x'/><alias name='ua-e'/></channel>"
     "<channel type='null'><target type='virtio' name='y'/><alias name='ua-e'/></channel>", None),
    ("<interface type='server'><source address='127.0.0.1' port='7'/></interface>", "-netdev socket,listen=127.0.0.1:7,id=hostnet0"),
    ("<interface type='client'><source address='127.0.0.1' port='7'/></interface>", "-netdev socket,connect=127.0.0.1:7,id=hostnet0"),
    ("<interface type='mcast'><source address='230.0.0.1' port='7'/></interface>", "-netdev socket,mcast=230.0.0.1:7,id=hostnet0"),
    ("<interface type='udp'><source address='127.0.0.1' port='7'><local address='127.0.0.2' port='8'/></source></interface>",
     "-netdev socket,udp=127.0.0.1:7,localaddr=127.0.0.2:8,id=hostnet0"),
    ("<interface type='udp'><source address='127.0.0.1' port='7'/></interface>", None),
    ("<interface type='client'><source port='7'/></interface>", None),
    ("<interface type='server'/>", None),
)


def ends(build, emulator):
    """Where serial ports and networks lead, as the document says it and as the program is told."""
    def run():
        with Daemon(build, emulator) as daemon:
            xml = daemon.xml("a")
            for device, wanted in ENDS:
                path = daemon.write("a.xml", xml.replace("<console type='pty'/>", device))
                out = daemon.virsh("domxml-to-native", "qemu-argv", "--xml", path, good=wanted is not None)
                require(wanted is None or wanted + " " in out, "%s becomes %s" % (device, out))
    return run


def channels(build):
    """The sockets that the daemon has made go with the machine; those of others stay, wherever they are said to be."""
    def run():
        with Daemon(build) as daemon, socket.socket(socket.AF_UNIX) as theirs:
            theirs.bind(daemon.root + "/theirs")
            theirs.listen()
            channel = "<channel type='unix'>%s<target type='virtio' name='%s'/></channel>"
            daemon.define("a", devices=channel % ("<source mode='connect' path='%s/run/../theirs'/>" % daemon.root, "one") + channel % ("", "two"))
            daemon.virsh("start", "a")
            path = daemon.root + "/run/domains/a.channel1"
            require(os.path.exists(path) and path in daemon.virsh("dumpxml", "a"), "a channel has no socket")
            daemon.virsh("destroy", "a")
            require(os.listdir(daemon.root + "/run/domains") == [], "left: %s" % os.listdir(daemon.root + "/run/domains"))
            require(os.path.exists(daemon.root + "/theirs"), "a socket of others is gone")
    return run


def virt_install(build, emulator):
    """virt-install --import, on paper and for real; the disk is empty, so that the firmware ends its search."""
    def run():
        if not shutil.which("virt-install"):
            raise Skip("virt-install is not installed")
        with Daemon(build, emulator) as daemon:
            disk = daemon.write("disk.raw", b"\0" * (1 << 20))
            words = ["virt-install", "--connect", daemon.uri(), "--name", "vi", "--memory", "256", "--import", "--disk", disk + ",format=raw",
                     "--os-variant", "linux2022", "--graphics", "none", "--virt-type", "qemu"]
            status, out = output_of([*words, "--print-step", "all"], 120)
            require(status == 0 and '<source network="default"/>' in out and '<target dev="vda" bus="virtio"/>' in out, out)
            status, out = output_of([*words, "--noautoconsole"], 120)
            require(status == 0 and "Domain creation completed" in out, out)
            require(daemon.state("vi").startswith("running"), daemon.state("vi"))
            require("vda" in daemon.virsh("domblklist", "vi") and "default" in daemon.virsh("domiflist", "vi"), "its devices")
            daemon.virsh("destroy", "vi")
            daemon.virsh("start", "vi")
    return run


def tests(build):
    both = [("commands", commands), ("console", console), ("ends", ends), ("virt-install", virt_install), ("viewer", viewer)]
    return [(name + "-" + e, test(build, e)) for name, test in both for e in EMULATORS] + [
        ("refused", refused(build)), ("events", events(build)), ("channels", channels(build))]
