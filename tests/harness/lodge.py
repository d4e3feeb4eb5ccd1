# lodge.py - what the groups of tests share: results, the programs under test, the kernel
# SPDX-License-Identifier: GPL-2.0-or-later
import os
import re
import signal
import subprocess

from harness.console import Console

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROMPT = r"lodge:[^\n]*# "


class Failure(Exception):
    pass


class Skip(Exception):
    pass


def require(good, what):
    if not good:
        raise Failure(what)


def output_of(argv, timeout, stdin=subprocess.DEVNULL):
    """Status and combined output of a program; it and its children are killed at the timeout."""
    p = subprocess.Popen(argv, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        out, _ = p.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(p.pid, signal.SIGKILL)
        out, _ = p.communicate()
        raise Failure("did not end within %g s; its output ends:\n%s" % (timeout, out.decode("utf-8", "replace")[-1500:]))
    return p.returncode, out.decode("utf-8", "replace")


class Build:
    """The folder with what was built, and the guest that is booted from it."""

    def __init__(self, folder):
        self.folder = os.path.abspath(folder)
        self.fetched = {}

    def path(self, name):
        return os.path.join(self.folder, name)

    def files(self, pattern_folder, suffix=""):
        """What make has built from the sources that are there now; left-overs of deleted tests are not run."""
        sources = os.listdir(os.path.join(TOP, pattern_folder))
        names = sorted(os.path.splitext(s)[0] for s in sources if s.endswith((".c", ".S")))
        return [(n, self.path(os.path.join(pattern_folder, n + suffix))) for n in names]

    def kernel(self, *args):
        """Path of the Debian kernel: the bzImage, or with "--vmlinux" the ELF file."""
        if args not in self.fetched:
            p = subprocess.run([os.path.join(TOP, "tools/fetch-kernel.sh"), *args], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
            require(p.returncode == 0, "fetch-kernel.sh failed:\n" + p.stderr)
            self.fetched[args] = p.stdout.strip()
        return self.fetched[args]

    def machine(self, *args):
        """The words of a lodge-vm command."""
        return [self.path("lodge-vm"), *args]

    def boot(self, *more, kernel=(), append="console=ttyS0 quiet", program=None):
        """A Console with the Debian kernel on its way to a shell."""
        return Console((program or self.machine("-nographic", "-m", "512")) +
                       ["-kernel", self.kernel(*kernel), "-initrd", self.path("initramfs.cpio.gz"), "-append", append,
                        *more])


def shell(console, command, timeout=20):
    """Types a command at the guest's prompt and gives what it printed."""
    start = console.position
    console.send(command + "\n")
    console.expect(re.escape(command) + r"\r*\n", timeout)
    start = console.position
    match = console.expect(PROMPT, timeout)
    return console.log[start:match.start()].replace("\r", "")
