# machines.py - where a workload runs: natively, in lodge-vm, in QEMU; and what of the processor's time it takes there
# SPDX-License-Identifier: GPL-2.0-or-later
#
# A machine is a process that runs bench/guest/serve. A workload prints "@begin", waits for a line, computes, prints "@end
# COUNT WALL CPU", and waits for a line. In a guest, CPU and WALL are the guest's own opinion; what counts is what its
# process took of the host's processors between the two lines: no clock of the guest's has a part in it, and
# neither has what else the host does meanwhile. Natively CPU counts, that of the workload and its children.
import os
import re
import select
import signal
import subprocess
import time

PATIENCE = 900  # seconds without a word
NATIVE = """set -e; mount -t tmpfs -o mode=755 root "$1/../native"; cp -a "$1/." "$1/../native"; cd "$1/../native"
mount -t proc proc proc; mount --rbind /dev dev; mount -t tmpfs tmp tmp
exec chroot . /bbin/env -i /bench/serve"""


class Broken(Exception):
    """The machine does not answer any more."""


class Failed(Exception):
    """The workload ended with a bad status."""


class Sample:
    """One segment: nanoseconds for each of its operations. clock: the guest's time through the host's."""

    def __init__(self, count, cpu, wall, clock=None):
        self.cpu, self.wall_total, self.clock = cpu / count, wall, clock
        self.memory, self.idle = None, None  # of a boot: MiB beside the guest's memory, share of a processor when idle


def children_cpu(pid):
    """Processes that run guest code for it (hypervisor/direct) count too: those that are there, those that it had."""
    with open("/proc/%d/stat" % pid) as f:
        fields = f.read().rpartition(")")[2].split()
    total = (int(fields[13]) + int(fields[14])) * (1000000000 // os.sysconf("SC_CLK_TCK"))
    for task in os.listdir("/proc/%d/task" % pid):
        try:
            with open("/proc/%d/task/%s/children" % (pid, task)) as f:
                total += sum(own_cpu(int(child)) for child in f.read().split())
        except OSError:
            pass
    return total


def process_cpu(pid):
    return own_cpu(pid) + children_cpu(pid)


def own_cpu(pid):
    """Nanoseconds that all threads of a process have run, those that have ended too (its CPU clock, clock_getcpuclockid)."""
    return time.clock_gettime_ns(~pid << 3 | 2)


def memory_beside_guest(pid):
    """MiB that a process has beside the guest's memory, which is its largest mapping. Pages mapped twice count once."""
    sizes, pss = [], []
    with open("/proc/%d/smaps" % pid) as f:
        for line in f:
            if line.startswith("Size:"):
                sizes.append(int(line.split()[1]))
            elif line.startswith("Pss:"):
                pss.append(int(line.split()[1]))
    return (sum(pss) - pss[sizes.index(max(sizes))]) / 1024


class Machine:
    """program: the command that boots a guest, without the guest; None natively."""

    def __init__(self, name, argv, program=None):
        self.name, self.argv, self.program, self.native = name, argv, program, program is None
        self.process, self.buffer, self.log = None, b"", b""

    def launch(self):
        self.buffer = self.log = b""
        # Not even a benchmark that is killed leaves one running.
        self.process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *self.argv], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)

    def start(self):
        """Returns when it takes requests."""
        self.launch()
        said = []
        while True:
            line = self.line(120)
            if line == "@ready":
                return
            said.append(line)
            if len(said) > 200:
                raise Broken("it does not come to its @ready: %s" % " / ".join(said[-5:]))

    def stop(self):
        if self.process:
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self.process.wait()
            self.process.stdin.close()
            self.process.stdout.close()
            self.process = None

    def until(self, pattern, patience=PATIENCE):
        """What it writes, up to and with the pattern."""
        end = time.monotonic() + patience
        while not (match := re.search(pattern, self.buffer)):
            left = end - time.monotonic()
            if left <= 0:
                raise Broken("no /%s/ in %d s; it wrote at last: %s" % (pattern.decode(), patience, self.last_words()))
            if select.select([self.process.stdout], [], [], min(left, 1))[0]:
                data = os.read(self.process.stdout.fileno(), 65536)
                if not data:
                    raise Broken("it has ended; it wrote at last: %s" % self.last_words())
                self.buffer += data
                self.log = (self.log + data)[-300:]
        said, self.buffer = self.buffer[:match.end()], self.buffer[match.end():]
        return said.decode("utf-8", "replace")

    def last_words(self):
        return " / ".join(self.log.decode("utf-8", "replace").split("\n")).strip()

    def line(self, patience=PATIENCE):
        return self.until(rb"\n", patience).strip("\r\n")

    def send(self, text):
        try:
            os.write(self.process.stdin.fileno(), text.encode() + b"\n")
        except BrokenPipeError:
            raise Broken("it has ended")

    def clocks(self):
        return process_cpu(self.process.pid), time.monotonic_ns()

    def request(self, line):
        """Has it run a line; gives the segments that it measured."""
        if not self.process:
            self.start()
        samples, said, begin = [], [], None
        self.send(line)
        while True:
            answer = self.line()
            clocks = self.clocks()
            words = answer.split()
            if answer == "@begin":
                begin = self.clocks()
                self.send("")
            elif words[:1] == ["@end"]:
                samples.append(self.sample(begin, clocks, *[int(w) for w in words[1:4]]))
                self.send("")
            elif words[:1] == ["@done"]:
                if words[1] != "0":
                    raise Failed("status %s%s" % (words[1], "".join(": " + s for s in said[-1:])))
                return samples
            else:
                said.append(answer)

    def sample(self, begin, end, count, wall, cpu):
        used = cpu if self.native else end[0] - begin[0]
        return Sample(count, max(used, 1), wall, wall / (end[1] - begin[1]))

    def boot(self, boot, kernel, initrd):
        """One start of another guest: from the start of the program to the words that show that it is there."""
        if self.native:
            return []
        other = Machine(self.name, [*self.program, "-m", str(boot.memory), "-kernel", kernel, "-initrd", initrd,
                                    "-append", boot.append, "-no-reboot"], self.program)
        began = time.monotonic_ns()
        other.launch()
        try:
            other.until(boot.marker)
            sample = Sample(1, process_cpu(other.process.pid), time.monotonic_ns() - began)
            if boot.rest:
                time.sleep(boot.rest)
                sample.memory = memory_beside_guest(other.process.pid)
                cpu, wall = other.clocks()
                time.sleep(boot.rest)
                cpu_later, wall_later = other.clocks()
                sample.idle = (cpu_later - cpu) / (wall_later - wall)
            return [sample]
        finally:
            other.stop()


def native(root):
    os.makedirs(os.path.join(root, "../native"), exist_ok=True)
    return Machine("native", ["unshare", "--mount", "sh", "-c", NATIVE, "sh", root])


def guest(name, program, kernel, archive):
    return Machine(name, [*program, "-m", "1024", "-kernel", kernel, "-initrd", archive, "-no-reboot", "-append",
                          "console=ttyS0 quiet loglevel=0 panic=-1"], program)


def ours(build, kernel, root):
    return guest("ours", [os.path.join(build, "lodge-vm"), "-serial", "stdio"], kernel, root + ".cpio.gz")


def qemu(name, start, kernel, root, devices=None):
    """start: the words up to its accelerator."""
    return guest(name, [*start, "-display", "none", "-serial", "stdio", "-monitor", "none",
                        *(devices.words if devices else ["-nic", "none"])], kernel,
                 devices.archive if devices else root + ".cpio.gz")


def tcgs(kernel, root, devices=None):
    start = ["qemu-system-x86_64", "-accel", "tcg"]
    return [qemu("tcg", start, kernel, root, devices), qemu("tcg max", [*start, "-cpu", "max"], kernel, root, devices)]


def qemu_on_ours(build, kernel, root, devices):
    return qemu("ours", [os.path.join(build, "lodge-kvm"), "qemu-system-x86_64", "-accel", "kvm", "-cpu", "host"], kernel,
                root, devices)
