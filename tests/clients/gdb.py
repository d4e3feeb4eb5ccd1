# gdb.py - the GDB stub of lodge-vm: real gdb on the booting Debian kernel and on a guest with symbols, and bad packets
# SPDX-License-Identifier: GPL-2.0-or-later
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time

from harness.console import Console
from harness.lodge import PROMPT, Skip, require, shell

PATIENCE = 60


class Debugged:
    """A machine that waits for a debugger at a socket, and what it prints."""

    def __init__(self, build, *args, stopped=True):
        self.folder = tempfile.TemporaryDirectory()
        self.path = os.path.join(self.folder.name, "gdb")
        self.console = Console(build.machine("-nographic", "-m", "512", "-gdb", "unix:" + self.path,
                                             *(["-S"] if stopped else []), *args))
        end = time.monotonic() + 10
        while not os.path.exists(self.path):
            require(time.monotonic() < end and self.console.process.poll() is None,
                    "lodge-vm does not listen:\n" + self.console.log)
            self.console.pump(0.05)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.console.close()
        self.folder.cleanup()

    def gdb(self, commands, symbols=None):
        """Output of gdb that runs these commands, connected."""
        if not shutil.which("gdb"):
            raise Skip("gdb is not installed")
        script = ["set confirm off", "set pagination off", "set width 0", "set tcp connect-timeout 5",
                  "target remote " + self.path] + commands
        argv = ["gdb", "-nx", "-batch"] + [word for c in script for word in ("-ex", c)] + ([symbols] if symbols else [])
        p = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        end = time.monotonic() + PATIENCE
        while p.poll() is None:
            if time.monotonic() > end:
                p.kill()
                require(False, "gdb does not end; it printed:\n" + p.communicate()[0])
            self.console.pump(0.1)
        return p.communicate()[0]


def wants(output, *patterns):
    """The patterns stand in the output in that order."""
    at = 0
    for pattern in patterns:
        match = re.compile(pattern, re.M).search(output, at)
        require(match, "no /%s/ in what gdb printed after %d characters:\n%s" % (pattern, at, output))
        at = match.end()


def kernel_args(build):
    return ["-kernel", build.kernel(), "-initrd", build.path("initramfs.cpio.gz"),
            "-append", "console=ttyS0 quiet nokaslr"]


def kernel_symbols(build):
    """Addresses of a kernel without symbols: it tells them itself, and they are the same in each boot."""
    names = ["x86_64_start_kernel", "start_kernel", "do_sys_openat2", "jiffies", "saved_command_line"]
    with build.boot(append="console=ttyS0 quiet nokaslr") as c:
        c.expect(PROMPT, PATIENCE)
        text = "".join(shell(c, "grep -w %s /proc/kallsyms" % name) for name in names)
    found = {name: address for address, name in re.findall(r"([0-9a-f]{16}) \S (\w+)", text)}
    require(set(found) == set(names), "/proc/kallsyms has only:\n" + text)
    return {name: "0x" + address for name, address in found.items()}


def booting_kernel(build):
    """Stops in the kernel's first C function by a hardware breakpoint (its page tables are not there before), at
    start_kernel by a software breakpoint, steps, stops at each open, asks who called, watches a variable, and lets the
    kernel go on to its shell."""
    def run():
        symbol = kernel_symbols(build)
        with Debugged(build, *kernel_args(build)) as m:
            out = m.gdb(["hbreak *" + symbol["x86_64_start_kernel"], "continue", "printf \"early %lx\\n\", $pc", "delete",
                         "break *" + symbol["start_kernel"], "continue", "printf \"at %lx\\n\", $pc", "delete",
                         "x/2i $pc", "stepi", "stepi", "printf \"then %lx\\n\", $pc",
                         "break *" + symbol["do_sys_openat2"], "continue", "continue", "printf \"open %lx\\n\", $pc",
                         "backtrace 2",
                         "x/s *(char**)" + symbol["saved_command_line"], "delete",
                         "watch *(unsigned long*)" + symbol["jiffies"], "continue", "continue", "delete",
                         "info threads", "p $mxcsr", "detach"])
            address = {name: "%x" % int(value, 16) for name, value in symbol.items()}
            wants(out, "Hardware assisted breakpoint 1", "early " + address["x86_64_start_kernel"], "Breakpoint 2",
                  "at " + address["start_kernel"], "call", "then ffffffff8", "Breakpoint 3",
                  "open " + address["do_sys_openat2"], "^#0 +" + symbol["do_sys_openat2"], "^#1 +0x", "console=ttyS0 quiet nokaslr",
                  "Hardware watchpoint 4", "Old value = .*\nNew value", "Old value = .*\nNew value",
                  r"Thread 1 \(processor 0\)", "detached")
            m.console.expect(PROMPT, PATIENCE)
            require("up" in shell(m.console, "uptime"), "the shell does not answer after gdb has left")
    return run


def running_kernel(build):
    """Comes to a running kernel, interrupts it, changes memory and registers back and forth, leaves."""
    def run():
        with Debugged(build, *kernel_args(build), stopped=False) as m:
            m.console.expect(PROMPT, PATIENCE)
            for _ in range(3):
                out = m.gdb(["p/x $cs", "x/i $pc", "set $old = $r15", "set $r15 = 0x1234", "p/x $r15", "set $r15 = $old",
                             "set $word = *(long*)$rsp", "set *(long*)$rsp = 77", "p *(long*)$rsp",
                             "set *(long*)$rsp = $word", "stepi", "stepi", "p $pc", "x/x 0x123456789abc", "detach"])
                wants(out, r"\$1 = 0x(10|33)$", "=> ", "= 0x1234$", "= 77$", "Cannot access memory", "detached")
                require(shell(m.console, "echo $((6 * 7))").strip() == "42", "the shell does not answer")
    return run


def with_symbols(build):
    """Source-level debugging of a bare-metal guest: break, next, finish, print, watch, and the program's end."""
    def run():
        elf = build.path("tests/guests/faults.elf")
        with Debugged(build, "-no-reboot", "-kernel", elf) as m:
            out = m.gdb(["break main", "continue", "break single_step", "watch steps", "continue", "continue", "finish",
                         "backtrace 1", "info registers rip", "delete", "continue"], elf)
            wants(out, r"Breakpoint 1, .*main \(\)", "watchpoint 3: steps", r"Old value = 0\s+New value = ",
                  r"exited normally|Remote connection closed|\[Inferior 1 .* exited")
            m.console.expect("done", PATIENCE)
    return run


# ---- the protocol itself ----

class Client:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(10)
        self.socket.connect(path)

    def send(self, data):
        self.socket.sendall(data)

    def packet(self, data, checksum=None):
        self.send(b"$" + data + b"#%02x" % (sum(data) & 255 if checksum is None else checksum))

    def byte(self):
        data = self.socket.recv(1)
        require(data, "the stub has closed the connection")
        return data

    def answer(self):
        """The next packet, acknowledged."""
        while self.byte() != b"$":
            pass
        data = b""
        while not data.endswith(b"#"):
            data += self.byte()
        self.byte(), self.byte()
        self.send(b"+")
        return data[:-1]

    def ask(self, data):
        self.packet(data)
        return self.answer()


BAD = [b"", b"m", b"m,", b"m0", b"mx,y", b"mffffffffffffffff,ffffffffffffffff", b"m11111111111111111,1", b"M0,4:00",
       b"M0,ffffffffffff:00", b"X0,100:ab", b"Xffff", b"p", b"pffffffff", b"p-1", b"P0", b"Pff=00", b"P0=zz", b"G",
       b"Gzz", b"Z", b"Z0", b"Z0,0", b"Z9,0,1", b"Z3,1000,4", b"Z2,1001,4", b"Z2,1000,5", b"Z1,,", b"z0,1234,1",
       b"Hg99", b"H", b"Hgzz", b"Tzz", b"T99", b"vCont;", b"vCont;x", b"vCont;s:99", b"vContzz", b"v", b"q",
       b"qXfer:features:read:target.xml:", b"qXfer:features:read:target.xml:ffffff,10",
       b"qXfer:features:read:../etc/passwd:0,10", b"qThreadExtraInfo,99", b"\xff\xfe\x00", b"m" + b"0" * 3000, b"!"]


def bad_packets(build):
    def run():
        with Debugged(build, *kernel_args(build)) as m:
            c = Client(m.path)
            require(c.ask(b"?").startswith(b"T05"), "no stop reply at first")
            for bad in BAD:
                reply = c.ask(bad)
                require(reply == b"" or re.fullmatch(rb"E[0-9a-f]{2}", reply),
                        "%r is answered by %r" % (bad, reply))
            c.packet(b"g", 0)
            require(c.byte() == b"-", "a packet with a wrong sum is acknowledged")
            c.send(b"$" + b"a" * 100000 + b"#00")
            require(c.byte() == b"-", "a packet that is too long is acknowledged")
            c.send(b"garbage#00#zz$g#z")
            registers = c.ask(b"g")
            require(len(registers) > 1000 and re.fullmatch(b"[0-9a-f]+", registers), "g gives %r" % registers)
            require(c.ask(b"G" + registers) == b"OK", "G does not take what g gave")
            require(c.ask(b"P0=efcdab8967452301") == b"OK" and c.ask(b"p0") == b"efcdab8967452301",
                    "a register does not keep what was written")
            require(c.ask(b"X8000,4:a}\x03}]}\x04") == b"OK" and c.ask(b"m8000,4") == b"61237d24",
                    "escaped bytes are written otherwise")
            require(c.ask(b"Z0,8000,1") == b"OK" and c.ask(b"m8000,1") == b"61", "memory shows the breakpoint")
            require(c.ask(b"M8000,1:62") == b"OK" and c.ask(b"z0,8000,1") == b"OK" and c.ask(b"m8000,1") == b"62",
                    "memory written over a breakpoint is lost")
            require(c.ask(b"QStartNoAckMode") == b"OK", "no-acknowledgement mode is refused")
            c.packet(b"c")
            c.send(b"$g#67")  # while it runs: no answer, no harm
            time.sleep(0.3)
            c.send(b"\x03")
            require(c.answer().startswith(b"T02"), "Ctrl-C does not stop the guest")
            c.packet(b"c")
            c.socket.close()  # in the middle: the guest goes on
            m.console.expect(PROMPT, PATIENCE)
            c = Client(m.path)
            require(c.ask(b"?").startswith(b"T05"), "a second client is not served")
            c.packet(b"k")
            require(m.console.wait() == 0, "k does not end the program")
    return run


def whole_answer(s):
    data = b""
    while not re.search(b"#..$", data):
        data += s.recv(64)
    return data


def tcp(build):
    def run():
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        with Console(build.machine("-m", "128", "-S", "-gdb", "tcp::%d" % port, "-kernel",
                                   build.path("tests/guests/faults.elf"))) as c:
            end = time.monotonic() + 10
            with socket.socket() as s:
                s.settimeout(10)
                while s.connect_ex(("127.0.0.1", port)):
                    require(time.monotonic() < end, "nobody listens at the port:\n" + c.log)
                    c.pump(0.05)
                s.sendall(b"$?#3f")
                require(whole_answer(s).startswith(b"+$T05"), "no stop reply")
                s.sendall(b"+$D#44")
                require(whole_answer(s).startswith(b"+$OK"), "no detach")
            c.expect("done", PATIENCE)
    return run


def tests(build):
    return [("gdb-booting-kernel", booting_kernel(build)), ("gdb-running-kernel", running_kernel(build)),
            ("gdb-symbols", with_symbols(build)), ("gdb-bad-packets", bad_packets(build)), ("gdb-tcp", tcp(build))]
