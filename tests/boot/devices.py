# devices.py - virtio devices in a Debian guest: a disk with a file system on it, the user network, random numbers
# SPDX-License-Identifier: GPL-2.0-or-later
import hashlib
import os
import re
import shutil
import socket
import struct
import subprocess
import tempfile
import threading
import time

from clients.qmp import Client
from harness.console import Console
from harness.lodge import PROMPT, TOP, Skip, require, shell

BOOT_PATIENCE = 90
MODULES = ["drivers/virtio/virtio_ring", "drivers/virtio/virtio", "drivers/virtio/virtio_pci_modern_dev",
           "drivers/virtio/virtio_pci_legacy_dev", "drivers/virtio/virtio_pci", "drivers/block/virtio_blk", "net/core/failover",
           "drivers/net/net_failover", "drivers/net/virtio_net", "drivers/char/hw_random/virtio-rng", "drivers/char/virtio_console",
           "drivers/virtio/virtio_balloon"]


def programs(*names):
    """Programs of this system with their libraries, as mkinitramfs.sh wants them."""
    out = {}
    for name in names:
        path = shutil.which(name)
        require(path, name + " is not installed")
        out[os.path.realpath(path)] = "bin/" + name
        listing = subprocess.run(["ldd", path], capture_output=True, text=True).stdout
        for library in re.findall(r"(/\S+)", listing):
            out[os.path.realpath(library)] = library.lstrip("/")
    return ["%s=%s" % row for row in out.items()]


def initrd(build, folder, *more):
    """The usual small system, with the kernel's own virtio drivers."""
    boot = os.path.dirname(build.kernel())
    release = os.path.basename(build.kernel()).removeprefix("vmlinuz-")
    top = os.path.join(os.path.dirname(boot), "lib/modules", release, "kernel")
    out = os.path.join(folder, "initrd.gz")
    files = ["%s/%s.ko=lib/modules/%02d.ko" % (top, name, i) for i, name in enumerate(MODULES)]
    subprocess.run([os.path.join(TOP, "tools/mkinitramfs.sh"), out, *files, *programs(*more)], check=True, capture_output=True)
    return out


def has(console, command, wanted, timeout=60):
    out = shell(console, command, timeout)
    require(wanted in out, "%s: wants '%s', got:\n%s" % (command, wanted, out))


def disk(build):
    """Written in the guest, through its page cache and a remount; read here, from the file."""
    def run():
        with tempfile.TemporaryDirectory(prefix="lodge-test-") as folder:
            path = os.path.join(folder, "disk.raw")
            with open(path, "wb") as f:
                f.truncate(64 << 20)
            arguments = ["-nographic", "-m", "256", "-kernel", build.kernel(), "-initrd", initrd(build, folder),
                         "-append", "console=ttyS0 quiet", "-drive", "file=%s,format=raw,serial=LODGE-1" % path]
            with Console(build.machine(*arguments)) as c:
                c.expect(PROMPT, BOOT_PATIENCE)
                shell(c, "for m in /lib/modules/*.ko; do insmod $m; done")
                has(c, "cat /sys/block/vda/size /sys/block/vda/serial", "131072\nLODGE-1")
                shell(c, "mke2fs -q /dev/vda; mount /dev/vda /tmp", 60)
                shell(c, "dd if=/dev/urandom of=/tmp/f bs=1M count=20", 60)
                shell(c, "md5sum /tmp/f >/sum", 60)
                shell(c, "umount /tmp; mount /dev/vda /tmp", 60)
                has(c, "md5sum -c /sum", "/tmp/f: OK")
                shell(c, "umount /tmp; yes lodge-was-here | head -c 4096 >/text")
                shell(c, "dd if=/text of=/dev/vda conv=fsync", 60)
                c.send("poweroff -f\n")
                require(c.wait() == 0, "the guest did not power off")
            with open(path, "rb") as f:
                require(f.read(12) == b"lodge-was-he", "what the guest wrote is not in the file")
    return run


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def serve_once(server, text, wanted):
    """Sends text to the next client, and gives what it has sent, `wanted` bytes; then it reads an end, and ends."""
    server.settimeout(BOOT_PATIENCE)
    client, _ = server.accept()
    client.settimeout(BOOT_PATIENCE)
    with client:
        client.sendall(text)
        got = b""
        while len(got) < wanted and (data := client.recv(65536)):
            got += data
    return got


def network(build):
    """DHCP; a connection from the guest to this host, and one from here to the guest through hostfwd, both ways."""
    def run():
        port = free_port()
        megabyte = bytes(range(256)) * 4096
        with tempfile.TemporaryDirectory(prefix="lodge-test-") as folder, socket.create_server(("127.0.0.1", 0)) as server:
            arguments = ["-nographic", "-m", "256", "-kernel", build.kernel(), "-initrd", initrd(build, folder),
                         "-append", "console=ttyS0 quiet", "-device", "virtio-rng-pci", "-device", "virtio-net-pci,netdev=n,mac=52:54:00:0a:0b:0c",
                         "-netdev", "user,id=n,hostfwd=tcp:127.0.0.1:%d-:7777" % port]
            with Console(build.machine(*arguments)) as c:
                c.expect(PROMPT, BOOT_PATIENCE)
                shell(c, "for m in /lib/modules/*.ko; do insmod $m; done")
                has(c, "cat /sys/class/net/eth0/address", "52:54:00:0a:0b:0c")
                has(c, "cat /sys/class/misc/hw_random/rng_current", "virtio_rng")
                has(c, "dd if=/dev/hwrng bs=1k count=16 | gzip | wc -c | cut -c1-2", "16")
                shell(c, "ip link set eth0 up")
                has(c, "udhcpc -i eth0 -n -q -s /bin/true 2>&1", "10.0.2.15")
                shell(c, "ip addr add 10.0.2.15/24 dev eth0")
                size = int(shell(c, "wc -c </bin/busybox"))
                c.send("nc 10.0.2.2 %d </bin/busybox >/got; md5sum /got /bin/busybox\n" % server.getsockname()[1])
                sent = serve_once(server, megabyte, size)
                c.expect(PROMPT, BOOT_PATIENCE)
                require(hashlib.md5(megabyte).hexdigest() in c.log, "the guest did not get what was sent:\n" + c.log[-400:])
                require(hashlib.md5(sent).hexdigest() in c.log, "what the guest sent did not arrive: %d bytes" % len(sent))
                c.send("nc -l -p 7777 >/got; md5sum /got\n")
                c.expect("md5sum /got", 20)
                send_to_guest(port, megabyte)
                c.expect(hashlib.md5(megabyte).hexdigest() + "  /got", BOOT_PATIENCE)
                c.send("poweroff -f\n")
                require(c.wait() == 0, "the guest did not power off")
    return run


def answer_dns(server):
    """Every name is 10.0.2.2 (RFC 1035): one question, one answer."""
    while True:
        try:
            query, client = server.recvfrom(512)
        except OSError:
            return
        end = query.index(0, 12) + 5
        kind = struct.unpack(">H", query[end - 4:end - 2])[0]
        answer = b"\xc0\x0c" + struct.pack(">HHIH4B", 1, 1, 60, 4, 10, 0, 2, 2) if kind == 1 else b""
        server.sendto(query[:2] + b"\x81\x80\0\1" + struct.pack(">H", bool(answer)) + b"\0\0\0\0" + query[12:end]
                      + answer, client)


def packets(path):
    """The packets of a capture file."""
    with open(path, "rb") as f:
        require(struct.unpack("<IHHiIII", f.read(24))[::6] == (0xa1b2c3d4, 1), "not a capture file")
        while head := f.read(16):
            kept, length = struct.unpack("<8xII", head)
            data = f.read(kept)
            require(len(data) == kept <= length, "the capture file ends within a packet")
            yield data


def network_services(build):
    """DNS, curl and iperf3 (both ways, TCP and UDP) through the user network; a dump of it; a cable that is pulled."""
    def run():
        with tempfile.TemporaryDirectory(prefix="lodge-test-") as folder:
            page, resolv, qmp, dump = (os.path.join(folder, n) for n in ("page", "resolv.conf", "qmp", "net.pcap"))
            with open(page, "wb") as f:
                f.write(os.urandom(3 << 20))
            with open(page, "rb") as f:
                digest = hashlib.md5(f.read()).hexdigest()
            web, iperf = free_port(), free_port()
            arguments = ["-nographic", "-m", "512", "-kernel", build.kernel(), "-initrd", initrd(build, folder, "iperf3", "curl"),
                         "-append", "console=ttyS0 quiet", "-device", "virtio-net-pci,netdev=n,id=net0",
                         "-netdev", "user,id=n,hostname=inn", "-qmp", "unix:%s,server=on,wait=off" % qmp,
                         "-object", "filter-dump,id=d,netdev=n,file=%s,maxlen=200" % dump]
            servers = [subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for argv in (
                ["python3", "-m", "http.server", "--bind", "127.0.0.1", "--directory", folder, str(web)],
                ["iperf3", "-s", "-B", "127.0.0.1", "-p", str(iperf)])]
            own_names = os.geteuid() == 0 and shutil.which("unshare") and not subprocess.run(
                ["unshare", "-m", "true"], stderr=subprocess.DEVNULL).returncode
            machine = build.machine(*arguments)
            dns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            if own_names:
                with open(resolv, "w") as f:
                    f.write("nameserver 127.0.0.1\n")
                try:
                    dns.bind(("127.0.0.1", 53))
                except OSError:
                    own_names = False
            if own_names:
                threading.Thread(target=answer_dns, args=(dns,), daemon=True).start()
                machine = ["unshare", "-m", "sh", "-c", 'mount --bind "$0" /etc/resolv.conf; exec "$@"', resolv, *machine]
            try:
                with Console(machine) as c:
                    c.expect(PROMPT, BOOT_PATIENCE)
                    m = Client(qmp, c.process)
                    m.ok("qmp_capabilities")
                    shell(c, "for m in /lib/modules/*.ko; do insmod $m; done")
                    for command in ("ip link set eth0 up", "ip addr add 10.0.2.15/24 dev eth0", "mkdir -p /etc",
                                    "ip route add default via 10.0.2.2", "echo nameserver 10.0.2.3 >/etc/resolv.conf"):
                        shell(c, command)
                    if own_names:
                        has(c, "nslookup no.such.example. 10.0.2.3", "Address: 10.0.2.2", 30)
                    has(c, "curl -s http://%s:%d/page | md5sum" % ("web.example" if own_names else "10.0.2.2", web), digest, 60)
                    for form in ("", "-R", "-u -b 5M", "-u -b 5M -R"):
                        has(c, "iperf3 -c 10.0.2.2 -p %d -t 1 %s | tail -n 2" % (iperf, form), "iperf Done.", 60)
                    m.ok("set_link", name="net0", up=False)
                    until("the guest sees a link", lambda: "0" in shell(c, "cat /sys/class/net/eth0/carrier").split())
                    m.ok("set_link", name="n", up=True)
                    until("the guest sees no link", lambda: "1" in shell(c, "cat /sys/class/net/eth0/carrier").split())
                    has(c, "curl -s http://10.0.2.2:%d/page | md5sum" % web, digest, 60)
                    shell(c, "ip link set eth0 address 52:54:00:77:77:77")
                    require(m.ok("query-rx-filter")[0]["main-mac"] == "52:54:00:77:77:77", "the card's new address")
                    m.ok("object-del", id="d")
                    require(any(b"GET /page" in p for p in packets(dump)), "the dump does not have curl's request")
                    m.ok("quit")
            finally:
                dns.close()
                for s in servers:
                    s.kill()
                    s.wait()
    return run


def tap(build):
    """A tap interface, in a network of its own: checksums and long packets go between the guest and the host's kernel."""
    def run():
        if os.geteuid() or not os.access("/dev/net/tun", os.R_OK | os.W_OK) or not shutil.which("ip"):
            raise Skip("needs root, ip and /dev/net/tun")
        with tempfile.TemporaryDirectory(prefix="lodge-test-") as folder:
            arguments = build.machine("-nographic", "-m", "512", "-kernel", build.kernel(), "-initrd",
                                      initrd(build, folder, "iperf3"), "-append", "console=ttyS0 quiet", "-nic",
                                      "tap,ifname=lodge0,script=no,downscript=no,model=virtio-net-pci")
            script = ("ip link set lo up; ip tuntap add lodge0 mode tap vnet_hdr; ip addr add 192.168.77.1/24 dev lodge0;"
                      "ip link set lodge0 up; iperf3 -s -B 192.168.77.1 >/dev/null & server=$!; \"$@\"; status=$?;"
                      "kill $server; exit $status")
            if subprocess.run(["unshare", "-n", "ip", "tuntap", "add", "lodge0", "mode", "tap"]).returncode:
                raise Skip("no tap interface can be made here")
            with Console(["unshare", "-n", "sh", "-c", script, "sh", *arguments]) as c:
                c.expect(PROMPT, BOOT_PATIENCE)
                shell(c, "for m in /lib/modules/*.ko; do insmod $m; done")
                shell(c, "ip link set eth0 up")
                shell(c, "ip addr add 192.168.77.2/24 dev eth0")
                has(c, "ping -c 3 192.168.77.1", " 0% packet loss", 60)
                for form in ("", "-R"):
                    out = shell(c, "iperf3 -c 192.168.77.1 -t 1 -f m %s | tail -n 4" % form, 60)
                    require("iperf Done." in out and not re.search(r" 0\.00 Bytes", out), out)
                c.send("poweroff -f\n")
                require(c.wait() == 0, "the guest did not power off")
    return run


def sockets(build):
    """Two guests and three networks between them: a connection, datagrams, a group. Before the connection somebody comes who
    does not speak of frames."""
    def run():
        port, one, other, group = (free_port() for _ in range(4))
        ends = (["listen=127.0.0.1:%d" % port, "udp=127.0.0.1:%d,localaddr=127.0.0.1:%d" % (one, other)],
                ["connect=127.0.0.1:%d" % port, "udp=127.0.0.1:%d,localaddr=127.0.0.1:%d" % (other, one)])
        with tempfile.TemporaryDirectory(prefix="lodge-test-") as folder:
            guests = []
            for number, words in enumerate(ends):
                cards = []
                for i, how in enumerate(words + ["mcast=239.192.0.7:%d,localaddr=127.0.0.1" % group]):
                    cards += ["-netdev", "socket,id=n%d,%s" % (i, how), "-device", "virtio-net-pci,netdev=n%d,mac=52:54:00:00:0%d:0%d" % (i, i, number)]
                guests.append(start(build, folder, cards))
                if number == 0:
                    disturb(port)
            try:
                for number, c in enumerate(guests):
                    c.expect(PROMPT, BOOT_PATIENCE)
                    shell(c, "for m in /lib/modules/*.ko; do insmod $m; done")
                    for i in range(3):
                        shell(c, "ip link set eth%d up" % i)
                        shell(c, "ip addr add 10.9.%d.%d/24 dev eth%d" % (i, number + 1, i))
                for i in range(3):
                    has(guests[0], "ping -c 3 -s 1400 10.9.%d.2" % i, " 0% packet loss", 60)
                shell(guests[1], "iperf3 -s -D >/dev/null")
                for form in ("", "-R"):
                    out = shell(guests[0], "iperf3 -c 10.9.0.2 -t 1 -f m %s | tail -n 4" % form, 60)
                    require("iperf Done." in out and not re.search(r" 0\.00 Bytes", out), out)
                for c in guests:
                    c.send("poweroff -f\n")
                    require(c.wait() == 0, "the guest did not power off")
            finally:
                for c in guests:
                    c.close()
    return run


def disturb(port):
    for words in (b"GET / HTTP/1.0\r\n\r\n", b"\0\0\0\x05hello\0\0\0\0\xff\xff\xff\xff", b"\0\0\1"):
        s = socket.socket()
        until("the machine listens", lambda: s.connect_ex(("127.0.0.1", port)) == 0)
        s.settimeout(60)
        s.sendall(words)
        if len(words) > 4:  # more than a length
            try:
                require(s.recv(1) == b"", "a stream without frames is not ended")
            except ConnectionResetError:
                pass
        s.close()


def start(build, folder, cards):
    return Console(build.machine("-nographic", "-m", "256", "-kernel", build.kernel(), "-initrd", initrd(build, folder, "iperf3"),
                                 "-append", "console=ttyS0 quiet", *cards))


def keyboard(build):
    """Keys that send-key presses, by all three ways to name them, as the guest's input layer sees them."""
    def run():
        boot = os.path.dirname(build.kernel())
        release = os.path.basename(build.kernel()).removeprefix("vmlinuz-")
        module = os.path.join(os.path.dirname(boot), "lib/modules", release, "kernel/drivers/input/evdev.ko")
        with tempfile.TemporaryDirectory(prefix="lodge-test-") as folder:
            image, qmp = os.path.join(folder, "initrd.gz"), os.path.join(folder, "qmp")
            subprocess.run([os.path.join(TOP, "tools/mkinitramfs.sh"), image, module + "=lib/modules/evdev.ko"], check=True, capture_output=True)
            arguments = ["-nographic", "-m", "256", "-kernel", build.kernel(), "-initrd", image, "-append", "console=ttyS0 quiet",
                         "-qmp", "unix:%s,server=on,wait=off" % qmp]
            with Console(build.machine(*arguments)) as c:
                c.expect(PROMPT, BOOT_PATIENCE)
                m = Client(qmp, c.process)
                m.ok("qmp_capabilities")
                has(c, "cat /sys/class/input/input0/name", "AT Translated Set 2 keyboard")
                shell(c, "insmod /lib/modules/evdev.ko; cat /dev/input/event0 >/keys & sleep 1")
                for names in (["ctrl", "a"], ["pause"], ["up"]):
                    m.ok("send-key", keys=[{"type": "qcode", "data": n} for n in names], **{"hold-time": 20})
                m.ok("send-key", keys=[{"type": "number", "data": 0x9d}], **{"hold-time": 20})
                m.ok("human-monitor-command", **{"command-line": "sendkey alt-f7 20"})
                wanted = "29:1 30:1 30:0 29:0 119:1 119:0 103:1 103:0 97:1 97:0 56:1 65:1 65:0 56:0"  # <linux/input-event-codes.h>

                def seen():
                    out = shell(c, "od -An -v -t u2 -w24 /keys | awk '$9==1{print $10\":\"$11}'")
                    return " ".join(re.findall(r"\d+:[012]", out))
                until("the guest does not see the keys", lambda: seen().endswith("56:0"))
                require(seen().replace(":2", ":1") == wanted, "the guest sees %s" % seen())
                m.ok("quit")
    return run


def echo(path, port, console):
    """Bytes through a port both ways; the guest's end is `port`."""
    data = bytes(range(1, 128)) * 2000
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(BOOT_PATIENCE)
        s.connect(path)
        console.send("head -c %d %s >/got; md5sum /got; cat /got >%s; echo written\n" % (len(data), port, port))
        s.sendall(data)
        got = b""
        while len(got) < len(data):
            more = s.recv(65536)
            require(more, "the port was closed after %d bytes" % len(got))
            got += more
        require(got == data, "the port changed what went through")
        console.expect("\nwritten", BOOT_PATIENCE)
    require(hashlib.md5(data).hexdigest() in console.log, "the guest did not get what was sent")


def resident(pid):
    with open("/proc/%d/status" % pid) as f:
        return int(next(line for line in f if line.startswith("VmRSS")).split()[1]) << 10


def until(what, good, patience=BOOT_PATIENCE):
    end = time.monotonic() + patience
    while not good():
        require(time.monotonic() < end, what)
        time.sleep(0.1)


def ports_and_balloon(build):
    """A port as a guest agent has it, with its events; a console; a balloon with statistics, whose memory comes back."""
    def run():
        with tempfile.TemporaryDirectory(prefix="lodge-test-") as folder:
            port, hvc, qmp = (os.path.join(folder, name) for name in ("port", "hvc", "qmp"))
            arguments = ["-nographic", "-m", "256", "-kernel", build.kernel(), "-initrd", initrd(build, folder),
                         "-append", "console=ttyS0 quiet", "-device", "virtio-balloon-pci,id=b0,free-page-reporting=on",
                         "-device", "virtio-serial-pci,id=vs0",
                         "-chardev", "socket,path=%s,server=on,wait=off,id=c0" % port,
                         "-device", "virtserialport,bus=vs0.0,chardev=c0,id=p0,name=org.lodge.test.0",
                         "-chardev", "socket,path=%s,server=on,wait=off,id=c1" % hvc,
                         "-device", "virtconsole,chardev=c1,id=p1", "-qmp", "unix:%s,server=on,wait=off" % qmp]
            with Console(build.machine(*arguments)) as c:
                m = Client(qmp, c.process)
                m.ok("qmp_capabilities")
                c.expect(PROMPT, BOOT_PATIENCE)
                shell(c, "for m in /lib/modules/*.ko; do insmod $m; done")
                has(c, "cat /sys/class/virtio-ports/vport*p1/name", "org.lodge.test.0")
                shell(c, "P=$(ls /dev/vport*p1)")
                echo(port, "$P", c)
                while m.event("VSERPORT_CHANGE")["data"] != {"id": "p0", "open": True}:
                    pass
                c.expect(PROMPT)
                with socket.socket(socket.AF_UNIX) as s:
                    s.settimeout(BOOT_PATIENCE)
                    s.connect(hvc)
                    shell(c, "stty raw -echo -F /dev/hvc0; echo a line from hvc >/dev/hvc0")
                    require(b"a line from hvc" in s.recv(100), "nothing came from hvc0")
                m.ok("device_del", id="p0")
                require(m.event("DEVICE_DELETED")["data"]["device"] == "p0", "DEVICE_DELETED")
                has(c, "ls /sys/class/virtio-ports/", "p0")
                require("p1" not in shell(c, "ls /sys/class/virtio-ports/"), "the port that was removed is still there")

                shell(c, "dd if=/dev/zero of=/tmp/big bs=1M count=100; rm /tmp/big", 60)
                m.ok("qom-set", path="/machine/peripheral/b0", property="guest-stats-polling-interval", value=1)
                m.ok("balloon", value=128 << 20)
                until("the balloon does not reach its size", lambda: m.ok("query-balloon")["actual"] == 128 << 20)
                require("actual" in m.event("BALLOON_CHANGE")["data"], "BALLOON_CHANGE")
                total = int(shell(c, "awk '/MemTotal/ {print $2}' /proc/meminfo"))
                require(total < 128 << 10, "the guest has %d KiB left" % total)
                until("the guest's memory does not come back: %d MiB" % (resident(c.process.pid) >> 20),
                      lambda: resident(c.process.pid) < 200 << 20)

                def stats():
                    return m.ok("qom-get", path="/machine/peripheral/b0", property="guest-stats")
                until("no statistics: %s" % stats(), lambda: 0 < stats()["stats"]["stat-total-memory"] <= 128 << 20)
                require(abs(stats()["last-update"] - time.time()) < 3600, "last-update: %s" % stats())
                m.ok("balloon", value=256 << 20)
                until("the balloon does not shrink", lambda: m.ok("query-balloon")["actual"] == 256 << 20)
                m.ok("quit")
                require(c.wait() == 0, "bad status")
    return run


def send_to_guest(port, data):
    """The host's port takes a connection before anybody listens in the guest, so a while is waited."""
    time.sleep(2)
    with socket.create_connection(("127.0.0.1", port), timeout=BOOT_PATIENCE) as s:
        s.sendall(data)


def wait_for(console, command, wanted):
    """Until the guest has noticed something."""
    for _ in range(BOOT_PATIENCE):
        if wanted in shell(console, command):
            return
        time.sleep(0.5)
    require(False, "%s: never says '%s'" % (command, wanted))


def plug_and_unplug(build, append):
    """A disk and a network card come and go while the guest runs, on interrupt lines: the guest is told by ACPI."""
    def run():
        with tempfile.TemporaryDirectory(prefix="lodge-test-") as folder:
            path, socket_path = os.path.join(folder, "disk.raw"), os.path.join(folder, "qmp")
            with open(path, "wb") as f:
                f.truncate(8 << 20)
            arguments = ["-nographic", "-m", "256", "-kernel", build.kernel(), "-initrd", initrd(build, folder),
                         "-append", "console=ttyS0 quiet " + append, "-qmp", "unix:%s,server=on,wait=off" % socket_path]
            with Console(build.machine(*arguments)) as c:
                c.expect(PROMPT, BOOT_PATIENCE)
                shell(c, "for m in /lib/modules/*.ko; do insmod $m; done")
                qmp = Client(socket_path, c.process)
                qmp.ok("qmp_capabilities")
                for _ in range(2 if not append else 1):
                    qmp.ok("blockdev-add", driver="raw", node_name="d", file={"driver": "file", "filename": path})
                    qmp.ok("device_add", driver="virtio-blk-pci", drive="d", id="disk1")
                    wait_for(c, "cat /proc/partitions", "vda")
                    shell(c, "yes hot-plugged | head -c 4096 >/text")
                    shell(c, "dd if=/text of=/dev/vda conv=fsync", 60)
                    kind = "XT-PIC" if "noapic" in append else "fasteoi" if append else "MSI"
                    has(c, "cat /proc/interrupts | grep virtio", kind)
                    qmp.ok("device_del", id="disk1")
                    require(qmp.event("DEVICE_DELETED")["data"]["device"] == "disk1", "another device was deleted")
                    require("vda" not in shell(c, "cat /proc/partitions"), "the guest still has the disk")
                    require("error" in qmp.ask("device_del", id="disk1"), "it can be deleted twice")
                    qmp.ok("blockdev-del", node_name="d")
                qmp.ok("netdev_add", type="user", id="n")
                qmp.ok("device_add", driver="virtio-net-pci", netdev="n", id="card", bus="pcie.0", addr="5")
                wait_for(c, "ls /sys/class/net", "eth0")
                qmp.ok("device_del", id="card")
                qmp.event("DEVICE_DELETED")
                qmp.ok("netdev_del", id="n")
                c.send("poweroff -f\n")
                require(c.wait() == 0, "the guest did not power off")
            with open(path, "rb") as f:
                require(f.read(11) == b"hot-plugged", "what the guest wrote is not in the file")
    return run


def tests(build):
    return [("disk", disk(build)), ("network", network(build)), ("network-services", network_services(build)),
            ("tap", tap(build)), ("sockets", sockets(build)), ("hotplug", plug_and_unplug(build, "")),
            ("hotplug-intx", plug_and_unplug(build, "pci=nomsi")),
            ("hotplug-pic", plug_and_unplug(build, "pci=nomsi noapic")), ("ports-and-balloon", ports_and_balloon(build)), ("keyboard", keyboard(build))]
