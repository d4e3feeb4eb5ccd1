# kill.py - images whose writer is killed at any moment: they are whole, and what was flushed is there
# SPDX-License-Identifier: GPL-2.0-or-later
import os
import random
import struct
import subprocess
import tempfile
import time

from harness.lodge import Failure, require

SECTOR, BLOCK = 512, 4096
ZERO = 1
SHAPES = [("v3", ["-o", "compat=1.1"]), ("v2", ["-o", "compat=0.10"]), ("small-clusters", ["-o", "cluster_size=4k"]),
          ("backed", ["-b", "base.raw", "-F", "raw"])]


def value(block, generation):
    return 0 if generation == ZERO else block << 32 | generation


class Truth:
    """The values that each block may have: that of the last flush, and those written since."""

    def __init__(self, blocks, base):
        self.may = [{base(b)} for b in range(blocks)]
        self.last = [None] * blocks

    def record(self, op, block, count, generation):
        if op == "f":
            for b, last in enumerate(self.last):
                if last is not None:
                    self.may[b], self.last[b] = {last}, None
            return
        for b in range(block, block + count):
            if op == "d":  # as it was, or zeros
                self.may[b].add(0)
                self.last[b] = None
            else:
                v = value(b, generation)
                self.may[b].add(v)
                self.last[b] = v

    def check(self, path):
        """What is there then is what there is, whatever was on its way when the writer was killed."""
        with open(path, "rb") as f:
            for b, may in enumerate(self.may):
                whole = f.read(BLOCK)
                self.may[b], self.last[b] = set(struct.unpack("<512Q", whole)), None
                for s in range(0, BLOCK, SECTOR):
                    sector = whole[s:s + SECTOR]
                    first = struct.unpack("<Q", sector[:8])[0]
                    require(sector == sector[:8] * 64, "block %d: a sector is torn" % b)
                    require(first in may, "block %d has %#x, and may have %s" % (b, first, sorted(map(hex, may))))


def killed(load, image, seed, truth, seconds):
    """Runs the load and kills it; what it told is in truth."""
    p = subprocess.Popen([load, image, "qcow2", str(seed), "100000000"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    os.set_blocking(p.stdout.fileno(), False)
    end, data = time.monotonic() + seconds, b""
    while time.monotonic() < end and p.poll() is None:
        data += p.stdout.read() or b""
        time.sleep(0.001)
    if p.poll() is not None:
        raise Failure("the load ended by itself: " + p.stderr.read().decode())
    p.kill()
    p.wait()
    os.set_blocking(p.stdout.fileno(), True)
    data += p.stdout.read()
    for op, block, count, generation in struct.iter_unpack("<4I", data[:len(data) // 16 * 16]):
        truth.record(chr(op), block, count, generation)
    p.stdout.close()
    p.stderr.close()
    return len(data) // 16


def check(image):
    """qemu-img's verdict: no error ever; True if it is clean, False if it lost room (a step between two writes)."""
    p = subprocess.run(["qemu-img", "check", image], capture_output=True, text=True)
    require(p.returncode in (0, 3), "qemu-img check: %s" % (p.stdout + p.stderr)[-2000:])
    return p.returncode == 0


def rounds(build, shape, count, seed=1):
    options = dict(SHAPES)[shape]
    chance = random.Random(seed)
    blocks, leaks, operations = 8192, 0, 0
    with tempfile.TemporaryDirectory(prefix="lodge-test-") as folder:
        image, raw = os.path.join(folder, "disk.qcow2"), os.path.join(folder, "disk.raw")
        with open(os.path.join(folder, "base.raw"), "wb") as f:
            for b in range(blocks):
                f.write(struct.pack("<Q", value(b, 2)) * (BLOCK // 8))
        subprocess.run([build.path("lodge"), "image", "create", "-q", "-f", "qcow2", *options, image, str(blocks * BLOCK)], check=True)
        truth = Truth(blocks, lambda b: value(b, 2) if shape == "backed" else 0)
        for n in range(count):
            operations += killed(build.path("tests/image-load"), image, n + 1, truth, chance.uniform(0.05, 0.5))
            leaks += not check(image)
            subprocess.run(["qemu-img", "convert", "-f", "qcow2", "-O", "raw", image, raw], check=True)
            truth.check(raw)
            if leaks:  # what is lost comes back when the image is opened again, or is checked
                subprocess.run([build.path("lodge"), "image", "check", "-q", "-r", "leaks", image], check=True)
    # Version 2 has no dirty bit: its commits wait for the disk between their steps, and a kill often comes there.
    require(shape == "v2" or leaks <= 1 + count // 20, "room was lost in %d of %d rounds" % (leaks, count))
    require(operations > 20 * count, "there were only %d operations" % operations)
    return leaks, operations


def tests(build):
    return [("killed-" + name, lambda name=name: rounds(build, name, 3)) for name, _ in SHAPES]


def many(build):
    """A hundred kills of each."""
    def run(name):
        leaks, operations = rounds(build, name, 100)
        print("     100 kills, %d operations: no error, nothing lost; room lost %d times" % (operations, leaks))
    return [("killed-" + name, lambda name=name: run(name)) for name, _ in SHAPES]
