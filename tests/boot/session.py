# session.py - Debian's kernel: a session at its shell, the ways to end, the time, the console's other ends
# SPDX-License-Identifier: GPL-2.0-or-later
import hashlib
import os
import re
import socket
import tempfile
import time

from harness.console import Console, Timeout
from harness.lodge import PROMPT, Failure, require, shell

BOOT_LIMIT = 10  # seconds to the prompt, of processor time: the time that an idle machine would take
BOOT_PATIENCE = 90


class Session:
    """One boot that many tests type at, in order."""

    def __init__(self, build, patience=20):
        self.build = build
        self.patience = patience  # with a command
        self.console = None

    def start(self):
        console = self.build.boot()
        console.expect(PROMPT, BOOT_PATIENCE)
        self.console = console
        took = cpu_seconds(console.process.pid)
        require(took < BOOT_LIMIT, "the prompt came after %.1f s of processor time; the limit is %d s" % (took, BOOT_LIMIT))

    def at_prompt(self):
        """The console; a command that hangs has left no prompt, so that nothing more can be tried."""
        if not self.console or not re.search(PROMPT + r"[^\n]*$", self.console.log):
            raise Failure("there is no prompt to type at")
        return self.console

    def type(self, command, timeout=None):
        return shell(self.at_prompt(), command, timeout or self.patience)

    def has(self, command, *wanted):
        out = self.type(command)
        for text in wanted:
            require(text in out, "%s: wants '%s', got:\n%s" % (command, text, out))

    def uname(self):
        release = os.path.basename(self.build.kernel()).removeprefix("vmlinuz-")
        self.has("uname -a", "Linux lodge " + release, "x86_64")

    def cpuinfo(self):
        self.has("cat /proc/cpuinfo", "processor\t: 0", "lm ", "bogomips")

    def ps(self):
        self.has("ps", "init", "kthreadd", "ps")

    def top(self):
        self.has("top -b -n1 | head -20", "Mem:", "CPU:", "PID")

    def arithmetic(self):
        """Programs run right, not only start: integers and floating point, against Python's here."""
        numbers = "".join("%d\n" % i for i in range(1, 20001)).encode()
        self.has("seq 1 20000 | md5sum", hashlib.md5(numbers).hexdigest())
        self.has("seq 1 20000 | gzip | gunzip | sha256sum", hashlib.sha256(numbers).hexdigest())
        total = 0.0
        for i in range(1, 2001):
            total += 1 / i
        self.has("awk 'BEGIN{for(i=1;i<=2000;i++)s+=1/i;printf \"%.12f\\n\",s}'", "%.12f" % total)

    def vi(self):
        c = self.at_prompt()
        c.send("vi /tmp/note\n")
        c.expect("/tmp/note")
        c.send("ihello from vi")
        c.expect("hello from vi")
        c.send("\x1b")
        time.sleep(0.5)  # or vi takes what follows for the rest of a function key
        c.send(":wq\n")
        c.expect(PROMPT)
        self.has("cat /tmp/note", "hello from vi")

    def control_c(self):
        """Ctrl-C is the guest's: it ends sleep there, and not lodge-vm here."""
        c = self.at_prompt()
        c.send("sleep 100\n")
        c.expect("sleep 100\r*\n")
        time.sleep(0.5)
        c.send("\x03")
        c.expect(PROMPT)
        self.has("echo status $?", "status 130")

    def stamp(self, command):
        """A number that the guest prints, and the host's times before and after it can have been made."""
        before = time.monotonic()
        number = float(self.type(command).split()[0])
        return number, before, time.monotonic()

    def sleep(self):
        """A guest's second is a second, by the host's clock; what a busy host adds lies between the two stamps."""
        first, before_first, after_first = self.stamp("cut -d' ' -f1 /proc/uptime")
        self.type("sleep 10", 60)
        last, before_last, after_last = self.stamp("cut -d' ' -f1 /proc/uptime")
        went = last - first
        require(went > 9.98, "sleep 10 took %.2f s of the guest's time" % went)
        require(before_last - after_first - 0.05 < went < after_last - before_first + 0.05,
                "the guest's clock went %.2f s, the host's %.2f to %.2f s"
                % (went, before_last - after_first, after_last - before_first))

    def wall_clock(self):
        start = time.time()
        guest = int(self.type("date +%s").split()[0])
        require(start - 3 < guest < time.time() + 3, "the guest's date is %d s off" % (guest - start))

    def idle(self):
        """An idle guest costs under 3% of a core, and its translations have gone (hypervisor/translate/trim.c)."""
        pid = self.at_prompt().process.pid
        time.sleep(2)
        before = cpu_seconds(pid)
        time.sleep(10)
        used = cpu_seconds(pid) - before
        require(used < 0.3, "idle, it used %.2f s of processor time in 10 s" % used)
        end = time.monotonic() + 60  # a busy host may take part of what looks idle
        while (beside := mib_beside_guest(pid)) > 24 and time.monotonic() < end:
            time.sleep(1)
        require(beside <= 24, "idle, it has %.1f MiB beside the guest's memory" % beside)

    def poweroff(self):
        c = self.at_prompt()
        c.send("poweroff\n")
        status = c.wait()
        require(status == 0, "poweroff ended lodge-vm with status %d" % status)
        require("powered off" in c.log.rstrip().splitlines()[-1], "the last line does not say how the guest ended:\n"
                + c.log[-300:])
        require(c.terminal() == c.before, "the terminal's settings were not restored")
        c.close()


def mib_beside_guest(pid):
    """Without its largest mapping, which is the guest's memory."""
    with open("/proc/%d/smaps" % pid) as f:
        fields = [line.split() for line in f]
    sizes = [int(w[1]) for w in fields if w[0] == "Size:"]
    pss = [int(w[1]) for w in fields if w[0] == "Pss:"]
    return (sum(pss) - pss[sizes.index(max(sizes))]) / 1024


def cpu_seconds(pid):
    with open("/proc/%d/stat" % pid) as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def one_boot(build, act, **options):
    def run():
        with build.boot(**options) as console:
            console.expect(PROMPT, BOOT_PATIENCE)
            act(console)
    return run


def power_off(console):
    console.send("poweroff -f\n")
    status = console.wait()
    require(status == 0, "poweroff -f ended with status %d" % status)


def reboot(console):
    console.send("reboot -f\n")
    console.expect(PROMPT, BOOT_PATIENCE)
    require(float(shell(console, "cut -d' ' -f1 /proc/uptime")) < 60, "the guest did not start again")
    power_off(console)


def reboot_ends(console):
    console.send("reboot\n")
    status = console.wait()
    require(status == 0, "reboot with -no-reboot ended with status %d" % status)
    require("reboot" in console.log.rstrip().splitlines()[-1], "the last line does not say so:\n" + console.log[-300:])


def escape(console):
    console.send("\x01x")
    status = console.wait()
    require(status == 0, "Ctrl-a x ended with status %d" % status)
    require(console.terminal() == console.before, "the terminal's settings were not restored")


def escape_while_booting(build):
    def run():
        with build.boot(append="console=ttyS0 earlyprintk=serial") as console:
            console.expect("Linux version", BOOT_PATIENCE)
            escape(console)
    return run


def killed(build):
    """SIGTERM is an end like another: the terminal is restored."""
    def run():
        with build.boot() as console:
            console.expect(PROMPT, BOOT_PATIENCE)
            console.process.terminate()
            status = console.wait()
            require(status == 128 + 15, "SIGTERM ended it with status %d" % status)
            require(console.terminal() == console.before, "the terminal's settings were not restored")
    return run


def lodge_run(build):
    """What `make run` does."""
    def run():
        with Console([build.path("lodge"), "run", build.kernel(), "--initrd", build.path("initramfs.cpio.gz"),
                      "--append", "quiet", "--memory", "256M", "--accel", "lodge"]) as console:
            console.expect(PROMPT, BOOT_PATIENCE)
            power_off(console)
    return run


def processors(build, n):
    """All of them come up, take interrupts, and share work and memory without a word from the kernel's watchdogs."""
    def run():
        with build.boot("-smp", str(n)) as c:
            c.expect(PROMPT, BOOT_PATIENCE)
            require("%d" % n in shell(c, "nproc").split(), "the guest does not have %d processors" % n)
            shell(c, "work() { seq 1 100000 | gzip | gunzip | sha256sum; }")  # short lines: the shell wraps others
            shell(c, "for i in $(seq %d); do work >/tmp/work$i & done; wait" % (2 * n), 120)
            want = hashlib.sha256("".join("%d\n" % i for i in range(1, 100001)).encode()).hexdigest()
            results = shell(c, "cat /tmp/work*").split()
            require(results == [want, "-"] * (2 * n), "a result is wrong: %s" % results)
            ticks = shell(c, "grep -E 'LOC|RES|CAL|TLB' /proc/interrupts")
            local = [int(x) for x in re.search(r"LOC: +((?:\d+ +)+)", ticks).group(1).split()]
            require(len(local) == n and min(local) > 0, "a processor without timer interrupts:\n" + ticks)
            bad = shell(c, "dmesg | grep -E 'BUG|stall|lockup|Call Trace'")
            require(not bad.strip(), bad)
            power_off(c)
    return run


def serial_file(build):
    def run():
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "serial")
            with build.boot("-serial", "file:" + path, "-no-reboot", append="console=ttyS0 panic=-1 init=/nowhere rdinit=/nowhere") as c:
                c.wait(BOOT_PATIENCE)
            with open(path) as f:
                require("Linux version" in f.read(), "the file has no kernel messages")
    return run


def serial_socket(build):
    def run():
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "serial")
            with build.boot("-serial", "unix:%s,server=on,wait=off" % path) as c:
                talk(c, path)
                c.wait()
    return run


def talk(console, path):
    s = socket.socket(socket.AF_UNIX)
    end = time.monotonic() + 10
    while s.connect_ex(path):
        require(time.monotonic() < end, "nobody listens at the socket")
        time.sleep(0.05)
    s.settimeout(BOOT_PATIENCE)
    got = b""
    while b"# " not in got:
        data = s.recv(4096)
        require(data, "the socket was closed")
        got += data
    s.sendall(b"poweroff -f\n")


def tests(build):
    s = Session(build)
    in_session = [("prompt", s.start), ("uname", s.uname), ("cpuinfo", s.cpuinfo), ("ps", s.ps), ("top", s.top),
                  ("arithmetic", s.arithmetic), ("vi", s.vi), ("ctrl-c", s.control_c), ("wall-clock", s.wall_clock),
                  ("sleep", s.sleep), ("idle", s.idle), ("poweroff", s.poweroff)]
    machine = build.machine("-nographic", "-m", "512", "-no-reboot")
    return in_session + [
        ("vmlinux", one_boot(build, power_off, kernel=("--vmlinux",))),
        ("reboot", one_boot(build, reboot)),
        ("no-reboot", one_boot(build, reboot_ends, program=machine)),
        ("ctrl-a-x", one_boot(build, escape)),
        ("ctrl-a-x-while-booting", escape_while_booting(build)),
        ("sigterm", killed(build)),
        ("lodge-run", lodge_run(build)),
        ("smp-2", processors(build, 2)),
        ("smp-8", processors(build, 8)),
        ("serial-file", serial_file(build)),
        ("serial-socket", serial_socket(build)),
    ]
