# qemu.py - Debian's QEMU under lodge-kvm, with -accel kvm: boots, devices, snapshots, migration, hotplug, gdb
# SPDX-License-Identifier: GPL-2.0-or-later
import functools
import glob
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time

from harness.console import Console
from harness.lodge import PROMPT, TOP, Failure, Skip, require, shell

PATIENCE = 180
QEMU = "qemu-system-x86_64"
OVMF = "/usr/share/OVMF/OVMF_CODE.fd"
OVMF_SMM = "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd"
MODULES = ["virtio_pci", "virtio_mmio", "virtio_blk", "virtio_net", "button", "evdev", "efivarfs"]


def connect(sock, path):
    """The socket is there a moment before QEMU listens on it."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            sock.connect(path)
            return
        except ConnectionRefusedError:
            require(time.monotonic() < end, "nobody listens on %s" % path)
            time.sleep(0.01)


class Qmp:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE)
        connect(self.socket, path)
        self.file = self.socket.makefile("r")
        self.events = []
        self.read()
        self.do("qmp_capabilities")

    def read(self):
        line = self.file.readline()
        require(line, "QEMU has closed its monitor")
        return json.loads(line)

    def do(self, command, **arguments):
        self.socket.sendall(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        while True:
            reply = self.read()
            if "event" in reply:
                self.events.append(reply["event"])
                continue
            require("return" in reply, "%s(%s): %s" % (command, arguments, reply))
            return reply["return"]

    def human(self, line):
        return self.do("human-monitor-command", **{"command-line": line})

    def quit(self):
        """The answer may be lost with the connection."""
        try:
            self.do("quit")
        except (Failure, OSError):
            pass

    def wait(self, what, good):
        """Until good() is true."""
        end = time.monotonic() + PATIENCE
        while not good():
            require(time.monotonic() < end, "no %s within %d s" % (what, PATIENCE))
            time.sleep(0.1)

    def wait_event(self, name):
        self.wait("event " + name, lambda: self.do("query-status") and name in self.events)
        self.events.remove(name)


class Qemu:
    """A QEMU with these words, its serial port as a Console, and its monitor."""

    def __init__(self, build, *words, kernel=True, append=""):
        if not shutil.which(QEMU):
            raise Skip(QEMU + " is not installed")
        self.folder = tempfile.TemporaryDirectory()
        path = os.path.join(self.folder.name, "qmp")
        argv = [build.path("lodge-kvm"), QEMU, "-accel", "kvm", "-nodefaults", "-display", "none", "-chardev",
                "stdio,id=tty,signal=off", "-serial", "chardev:tty", "-qmp", "unix:%s,server=on,wait=off" % path, *words]
        if not any(w == "-m" for w in words):
            argv += ["-m", "256"]
        if kernel:
            argv += ["-kernel", build.kernel(), "-initrd", initramfs(build), "-append",
                     "console=ttyS0 quiet " + append]
        self.console = Console(argv)
        try:
            end = time.monotonic() + PATIENCE
            while not os.path.exists(path):
                require(time.monotonic() < end and self.console.process.poll() is None,
                        "QEMU does not start:\n" + self.console.log)
                self.console.pump(0.05)
            self.qmp = Qmp(path)
        except (Failure, OSError):
            self.close()
            raise

    def close(self):
        self.console.close()
        self.folder.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()

    def prompt(self):
        self.console.expect(PROMPT, PATIENCE)
        self.shell("stty cols 500")
        return self

    def shell(self, command):
        return shell(self.console, command, PATIENCE).strip()

    def wants(self, command, pattern):
        out = self.shell(command)
        require(re.search(pattern, out), "%s: no /%s/ in:\n%s" % (command, pattern, out))
        return out

    def power_off(self):
        self.console.send("poweroff -f\n")
        status = self.console.wait(PATIENCE)
        require(status == 0, "QEMU ends with %d" % status)


def with_dependencies(folder, names):
    """Files of kernel modules, each after those that it needs."""
    found = {}

    def add(name):
        for path in glob.glob("%s/*/kernel/**/%s.ko" % (folder, name), recursive=True):
            with open(path, "rb") as f:
                needs = re.search(rb"\0depends=([^\0]*)", f.read()).group(1).decode()
            for other in filter(None, needs.split(",")):
                add(other)
            found.setdefault(name, path)
    for name in names:
        add(name)
    return found


@functools.lru_cache(maxsize=None)
def initramfs(build):
    """The shell's, with the modules of virtio, loaded by the command `modules`."""
    out = build.path("tests/initramfs-virtio.cpio.gz")
    modules = with_dependencies(os.path.join(os.path.dirname(os.path.dirname(build.kernel())), "lib/modules"), MODULES)
    with tempfile.NamedTemporaryFile("w") as script:
        script.write("#!/bin/sh\nfor m in %s; do insmod /lib/$m.ko; done\n" % " ".join(modules))
        script.flush()
        os.chmod(script.name, 0o755)
        p = subprocess.run([os.path.join(TOP, "tools/mkinitramfs.sh"), out, script.name + "=bin/modules",
                            *("%s=lib/%s.ko" % (path, name) for name, path in modules.items())],
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    require(p.returncode == 0, "mkinitramfs.sh failed:\n" + p.stdout)
    return out


# ---- boots ----

def boots(build, machine, cpus, *words, kernel=True):
    """To a shell, with as many processors as there are to be, and off."""
    def run():
        with Qemu(build, "-M", machine, "-smp", str(cpus), *words, kernel=kernel) as q:
            q.prompt()
            q.wants("nproc", r"^%d$" % cpus)
            q.wants("dmesg | grep -i hypervisor", "KVM")
            q.power_off()
    return run


def ovmf(build, cpus):
    def run():
        if not os.path.exists(OVMF):
            raise Skip("ovmf is not installed")
        boots(build, "q35", cpus, "-drive", "if=pflash,format=raw,readonly=on,file=" + OVMF, "-drive",
              "if=pflash,format=raw,snapshot=on,file=" + OVMF.replace("CODE", "VARS"))()
    return run


def ovmf_smm(build, cpus):
    """The build of OVMF that keeps its variables in system management mode, in flash that only this mode can write: a
    variable is written and is there after a reset."""
    def run():
        if not os.path.exists(OVMF_SMM):
            raise Skip("ovmf is not installed")
        path = "/v/Lodge-1b7e2a52-6d0c-4a55-9f0e-2f4c7d1a9b30"
        with Qemu(build, "-M", "q35,smm=on", "-smp", str(cpus), "-global", "driver=cfi.pflash01,property=secure,value=on",
                  "-global", "ICH9-LPC.disable_s3=1", "-drive", "if=pflash,format=raw,readonly=on,file=" + OVMF_SMM, "-drive",
                  "if=pflash,format=raw,snapshot=on,file=/usr/share/OVMF/OVMF_VARS_4M.fd") as q:
            for write in True, False:
                q.prompt()
                q.wants("nproc", r"^%d$" % cpus)
                q.shell("modules; mkdir /v; mount -t efivarfs none /v")
                if write:
                    q.shell(r"printf '\7\0\0\0kept' > " + path)
                q.wants("tail -c 4 %s; echo" % path, "^kept$")
                if write:
                    q.qmp.do("system_reset")
                    q.console.expect("BusyBox", PATIENCE)
            q.power_off()
    return run


# ---- devices ----

def disk_words(folder, name="disk", size=64 << 20, form="raw"):
    path = os.path.join(folder, name)
    subprocess.run(["qemu-img", "create", "-q", "-f", form, path, str(size)], check=True)
    return ["-drive", "if=none,id=%s,format=%s,file=%s" % (name, form, path)]


def devices(build, machine, suffix):
    """A disk that keeps what is written, through ioeventfd and irqfd where there is an interrupt chip for them; a network
    that reaches QEMU's own host."""
    def run():
        with tempfile.TemporaryDirectory() as folder:
            with Qemu(build, "-M", machine, *disk_words(folder), "-device", "virtio-blk-%s,drive=disk" % suffix,
                      "-netdev", "user,id=net", "-device", "virtio-net-%s,netdev=net" % suffix) as q:
                q.prompt()
                q.shell("modules")
                q.wants("cat /sys/block/vda/size", "^131072$")
                q.shell("head -c 8000000 /dev/urandom > /tmp/a; dd if=/tmp/a of=/dev/vda bs=64k seek=16; sync")
                q.shell("echo 3 > /proc/sys/vm/drop_caches")
                q.wants("dd if=/dev/vda bs=64k skip=16 | head -c 8000000 | cmp - /tmp/a && echo same", "^same$")
                q.shell("ip link set eth0 up; ip addr add 10.0.2.15/24 dev eth0; ip route add default via 10.0.2.2")
                q.wants("ping -c 3 -W 10 10.0.2.2", "[123] packets received")
                q.wants("grep virtio /proc/interrupts", "virtio")
                q.power_off()
    return run


def from_disk(build):
    """SeaBIOS reads the boot sector from a disk and the guest runs it in real mode."""
    def run():
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "disk")
            # mov $msg, %si; next: lodsb; test %al,%al; jz stop; mov $0x3f8,%dx; out %al,%dx; jmp next; stop: hlt; jmp stop
            code = bytes.fromhex("be147c ac 84c0 7406 baf803 ee ebf5 f4 ebfd 9090".replace(" ", ""))
            code = code.ljust(20, b"\x90") + b"the boot sector runs\r\n\0"
            with open(path, "wb") as f:
                f.write(code.ljust(510, b"\0") + b"\x55\xaa")
                f.truncate(1 << 20)
            for device in "ide-hd", "virtio-blk-pci":
                with Qemu(build, "-M", "pc", "-drive", "if=none,id=d,format=raw,file=" + path, "-device",
                          device + ",drive=d", kernel=False) as q:
                    q.console.expect("the boot sector runs", PATIENCE)
    return run


# ---- life ----

def stop_and_reset(build):
    """stop, cont and system_reset of the monitor."""
    def run():
        with Qemu(build, "-M", "q35") as q:
            q.prompt()
            q.console.send("while :; do echo tick; usleep 100000; done\n")
            q.console.expect(r"tick\s", PATIENCE)
            q.qmp.do("stop")
            require(q.qmp.do("query-status")["status"] == "paused", "stop does not pause")
            q.console.pump(0.5)
            q.console.pump(0.1)
            seen = len(q.console.log)
            q.console.pump(1)
            require(len(q.console.log) == seen, "a stopped guest still prints")
            q.console.position = seen
            q.qmp.do("cont")
            q.console.expect(r"tick\s", PATIENCE)
            q.console.send("\x03")
            q.prompt()
            for _ in range(2):
                q.qmp.do("system_reset")
                q.console.expect("BusyBox", PATIENCE)
                q.prompt()
            q.qmp.wait_event("RESET")
            q.qmp.quit()
            require(q.console.wait(PATIENCE) == 0, "QEMU does not quit")
    return run


def power_button(build):
    """The guest hears of system_powerdown by ACPI, and shuts itself down."""
    def run():
        with Qemu(build, "-M", "pc") as q:
            q.prompt()
            q.shell("modules")
            q.console.send("head -c 24 /dev/input/event1 > /dev/null; poweroff -f\n")

            def ended():
                try:
                    q.qmp.do("system_powerdown")  # unheard until head has opened its file
                except (Failure, OSError):
                    pass
                q.console.pump(1)
                return q.console.process.poll() is not None
            q.qmp.wait("end of QEMU", ended)
            require(q.console.wait(PATIENCE) == 0, "QEMU does not end well")
    return run


def snapshot(build):
    """savevm, some changes, loadvm: the guest is as it was, twice, and in another QEMU."""
    def run():
        with tempfile.TemporaryDirectory() as folder:
            words = ["-M", "pc", *disk_words(folder, "snap", 1 << 30, "qcow2")]
            with Qemu(build, *words) as q:
                q.prompt()
                q.shell("echo before > /tmp/state")
                out = q.qmp.human("savevm one")
                require(not out.strip(), "savevm: " + out)
                for _ in range(2):
                    q.wants("cat /tmp/state; echo after > /tmp/state", "before")
                    out = q.qmp.human("loadvm one")
                    require(not out.strip(), "loadvm: " + out)
                q.wants("cat /tmp/state", "before")
                q.qmp.quit()
                q.console.wait(PATIENCE)
            with Qemu(build, *words, "-loadvm", "one") as q:
                q.wants("cat /tmp/state", "before")
                q.wants("for i in 1 2 3 4 5; do sleep 0.2; done; echo slept", "slept")
                q.power_off()
    return run


def migration(build, machine, cpus):
    """A working guest moves to another QEMU over a UNIX socket, and back."""
    def run():
        with tempfile.TemporaryDirectory() as folder:
            words = ["-M", machine, "-smp", str(cpus)]
            q = Qemu(build, *words)
            try:
                q.prompt()
                q.shell("echo moved > /tmp/state; i=0; (while :; do i=$((i+1)); echo $i > /tmp/count; done) &")
                for leg in range(2):
                    uri = "unix:%s/%d" % (folder, leg)
                    other = Qemu(build, *words, "-incoming", uri)
                    try:
                        move(q, other, uri)
                    finally:
                        q.close()
                        q = other
                    before = int(q.wants("until grep . /tmp/count; do :; done", r"^\d+$"))
                    q.wants("cat /tmp/state", "^moved$")
                    q.shell("sleep 1")
                    require(int(q.wants("until grep . /tmp/count; do :; done", r"^\d+$")) > before, "the guest's process does not go on")
                q.power_off()
            finally:
                q.close()
    return run


def move(source, target, uri):
    source.qmp.do("migrate", uri=uri)
    def done():
        info = source.qmp.do("query-migrate")
        require(info.get("status") not in ("failed", "cancelled"), "migration: %s" % info)
        return info.get("status") == "completed"
    source.qmp.wait("end of migration", done)
    target.qmp.wait("running guest at the target", lambda: target.qmp.do("query-status")["running"])


# ---- hotplug ----

def memory_hotplug(build):
    def run():
        with Qemu(build, "-M", "q35", "-m", "256,slots=2,maxmem=1G") as q:
            q.prompt()
            total = "awk '/MemTotal/ { print $2 }' /proc/meminfo"
            before = int(q.shell(total))
            q.qmp.do("object-add", **{"qom-type": "memory-backend-ram", "id": "m1", "size": 256 << 20})
            q.qmp.do("device_add", driver="pc-dimm", id="d1", memdev="m1")
            online = "for f in /sys/devices/system/memory/memory*/state; do grep -q offline $f && echo online > $f; done; "
            q.qmp.wait("more memory", lambda: int(q.shell(online + total)) >= before + 200000)
            q.shell("mount -o remount,size=95% /tmp")
            q.wants("head -c 300000000 /dev/zero > /tmp/big && wc -c < /tmp/big", "^300000000$")
            q.power_off()
    return run


def vcpu_hotplug(build):
    def run():
        with Qemu(build, "-M", "q35", "-smp", "1,maxcpus=2") as q:
            q.prompt()
            free = [c for c in q.qmp.do("query-hotpluggable-cpus") if "qom-path" not in c]
            require(len(free) == 1, "hotpluggable: %s" % free)
            q.qmp.do("device_add", driver=free[0]["type"], id="cpu1", **free[0]["props"])
            cpu = "/sys/devices/system/cpu/cpu1/online"
            q.wants("for i in $(seq 100); do [ -e %s ] && break; sleep 0.2; done; echo 1 > %s; nproc" % (cpu, cpu), "^2$")
            q.wants("taskset 2 sh -c 'grep Cpus_allowed: /proc/self/status'", "2$")
            q.power_off()
    return run


def gdbstub(build):
    """gdb stops a booting kernel at a breakpoint of each kind, steps, and lets go."""
    def run():
        if not shutil.which("gdb"):
            raise Skip("gdb is not installed")
        with Qemu(build, "-M", "q35", append="nokaslr") as q:
            q.prompt()
            q.wants("echo 0 > /proc/sys/kernel/kptr_restrict; grep -w do_sys_openat2 /proc/kallsyms", "do_sys_openat2")
            address = "0x" + q.shell("grep -w do_sys_openat2 /proc/kallsyms").split()[0]
            path = os.path.join(q.folder.name, "gdb")
            q.qmp.human("gdbserver unix:%s,server=on,wait=off" % path)
            q.console.send("while :; do cat /proc/uptime > /dev/null; done\n")
            script = ["set confirm off", "set pagination off", "set architecture i386:x86-64", "target remote " + path,
                      "break *" + address, "continue", 'printf "soft %lx\\n", $pc', "delete", "hbreak *" + address,
                      "continue", 'printf "hard %lx\\n", $pc', "delete", "stepi", "stepi", "stepi",
                      'printf "step %lx\\n", $pc', "detach"]
            p = subprocess.run(["gdb", "-nx", "-batch", *(w for s in script for w in ("-ex", s))],
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                               timeout=PATIENCE)
            for line in "soft " + address[2:], "hard " + address[2:], "step ":
                require(line in p.stdout, "no '%s' in what gdb printed:\n%s" % (line, p.stdout))
            require(not re.search("step " + address[2:], p.stdout), "stepi does not step:\n" + p.stdout)
            q.console.send("\x03")
            q.prompt()
            q.power_off()
    return run


def tests(build):
    """Those of make check."""
    return [("qemu-pc", boots(build, "pc", 1)), ("qemu-devices", devices(build, "q35", "pci"))]


MACHINES = ["pc", "q35", "microvm"]
CHIPS = ["on", "split", "off"]


def machine_word(machine, chip):
    """microvm's second IOAPIC is always QEMU's own, and with all other chips in KVM nobody tells it of the end of an
    interrupt (so says its maintainer: use split)."""
    more = {"microvm": ",rtc=on" + (",ioapic2=off" if chip == "on" else "")}
    return "%s%s,kernel-irqchip=%s" % (machine, more.get(machine, ""), chip)


def boots_on(build, machine, chip, cpus):
    def hangs():
        raise Skip("QEMU hangs with a second processor and its own local APICs, on the kernel's KVM too")
    return hangs if chip == "off" and cpus > 1 else boots(build, machine_word(machine, chip), cpus)


def matrix(build):
    """Those of make check-qemu."""
    rows = [("%s-%s-%d" % (m, chip, cpus), boots_on(build, m, chip, cpus))
            for m in MACHINES for chip in CHIPS for cpus in (1, 2)]
    rows += [("ovmf-1", ovmf(build, 1)), ("ovmf-2", ovmf(build, 2)), ("ovmf-smm-1", ovmf_smm(build, 1)),
             ("ovmf-smm-2", ovmf_smm(build, 2)), ("from-disk", from_disk(build))]
    rows += [("devices-%s-%s" % (m, chip), devices(build, machine_word(m, chip), "device" if m == "microvm" else "pci"))
             for m in MACHINES for chip in CHIPS]
    rows += [("stop-and-reset", stop_and_reset(build)), ("power-button", power_button(build)), ("snapshot", snapshot(build)),
             ("migration-pc", migration(build, "pc", 1)), ("migration-q35", migration(build, "q35", 2)),
             ("memory-hotplug", memory_hotplug(build)), ("vcpu-hotplug", vcpu_hotplug(build)), ("gdbstub", gdbstub(build))]
    return rows
