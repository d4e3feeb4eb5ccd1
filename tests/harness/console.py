# console.py - a program on a terminal of its own, driven like a person would: look for an answer, then type
# SPDX-License-Identifier: GPL-2.0-or-later
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time


class Timeout(Exception):
    pass


class Console:
    """Runs argv with a new terminal as its standard input and output (and controlling terminal)."""

    def __init__(self, argv, rows=24, cols=80):
        self.master, self.slave = pty.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))
        self.before = termios.tcgetattr(self.slave)
        self.log = ""      # everything the program wrote
        self.position = 0  # up to here, expect has looked
        self.started = time.monotonic()

        def own_terminal():
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(argv, stdin=self.slave, stdout=self.slave, stderr=self.slave,
                                        preexec_fn=own_terminal)

    def pump(self, seconds):
        """Reads what there is, waiting at most that long for it. False: the program has ended and all is read."""
        ready, _, _ = select.select([self.master], [], [], seconds)
        if not ready:
            return self.process.poll() is None
        # Our own copy of the slave keeps the terminal alive, so there is no end of file: poll tells.
        data = os.read(self.master, 65536)
        self.log += data.decode("utf-8", "replace")
        return True

    def expect(self, pattern, timeout=20):
        """Waits for the pattern in what was written since the last match; gives the match."""
        end = time.monotonic() + timeout
        while True:
            match = re.compile(pattern).search(self.log, self.position)
            if match:
                self.position = match.end()
                return match
            left = end - time.monotonic()
            if left <= 0 or not self.pump(min(left, 0.2)):
                what = "ended" if self.process.poll() is not None else "wrote nothing of the kind for %g s" % timeout
                raise Timeout("waited for /%s/, but the program %s; it wrote at last:\n%s"
                              % (pattern, what, self.log[-600:]))

    def send(self, text):
        os.write(self.master, text.encode())

    def wait(self, timeout=20):
        """The program's exit status, negative for a signal."""
        end = time.monotonic() + timeout
        while self.process.poll() is None:
            if time.monotonic() > end:
                raise Timeout("the program did not end within %g s; it wrote at last:\n%s"
                              % (timeout, self.log[-600:]))
            self.pump(0.05)
        while select.select([self.master], [], [], 0)[0]:
            self.pump(0)
        return self.process.returncode

    def terminal(self):
        return termios.tcgetattr(self.slave)

    def close(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()
