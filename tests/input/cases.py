# cases.py - bad input: one line that says what, why and what to do; a bad status; never a signal, never a hang
# SPDX-License-Identifier: GPL-2.0-or-later
import os
import re
import tempfile

from harness.lodge import Skip, output_of, require

MIB = 1 << 20


class Files:
    """Makes the bad files, in a folder of their own, from a good kernel."""

    def __init__(self, build):
        self.build = build
        self.folder = tempfile.TemporaryDirectory(prefix="lodge-test-")

    def make(self, name, content=b"", mode=0o644, size=None):
        path = os.path.join(self.folder.name, name)
        with open(path, "wb") as f:
            f.write(content)
            if size:
                f.truncate(size)
        os.chmod(path, mode)
        return path

    def start_of(self, path, size, name):
        with open(path, "rb") as f:
            return self.make(name, f.read(size))

    def unreadable(self):
        if os.geteuid() == 0:
            raise Skip("root may read everything")
        return self.make("unreadable", b"x", mode=0)

    def bzimage(self):
        return self.build.kernel()

    def guest(self):
        """A small good ELF kernel."""
        return self.build.path("tests/guests/faults.elf")


def broken_elf(f, offset, value):
    """The good ELF with eight bytes at that offset replaced."""
    with open(f.guest(), "rb") as g:
        data = bytearray(g.read())
    data[offset:offset + 8] = value.to_bytes(8, "little")
    return f.make("broken-%d.elf" % offset, bytes(data))


E_PHOFF, E_ENTRY = 32, 24

# name, lodge-vm's arguments (a function gets the Files), what the line must say
MACHINE = [
    ("no-kernel", ["-append", "quiet"], "no kernel"),
    ("missing-bios", ["-bios", "/nonexistent/bios"], "-bios '/nonexistent/bios'.*No such file"),
    ("bios-is-a-folder", ["-bios", "/"], "-bios '/'"),
    ("bios-of-odd-size", lambda f: ["-bios", f.make("odd", b"x" * 1000)], "1000 bytes"),
    ("bios-of-nothing", lambda f: ["-bios", f.make("nobios")], "0 bytes"),
    ("bios-too-large", lambda f: ["-bios", f.make("hugebios", size=17 * MIB)], "at most 16 MiB"),
    ("bios-and-kernel", lambda f: ["-bios", "b", "-kernel", f.guest()], "-bios with -kernel"),
    ("boot-letters", ["-boot", "x"], "-boot 'x'"),
    ("smbios-type", lambda f: ["-kernel", f.guest(), "-smbios", "type=9"], "type '9'"),
    ("smbios-file", lambda f: ["-kernel", f.guest(), "-smbios", "file=x"], "-smbios"),
    ("smbios-property", lambda f: ["-kernel", f.guest(), "-smbios", "type=1,colour=red"], "colour"),
    ("smbios-much", lambda f: ["-kernel", f.guest(), "-smbios", "type=1,serial=" + "x" * 2000], "-smbios"),
    ("missing-kernel", ["-kernel", "/nonexistent/kernel"], "/nonexistent/kernel.*No such file"),
    ("kernel-is-a-folder", ["-kernel", "/"], "-kernel '/'"),
    ("unreadable-kernel", lambda f: ["-kernel", f.unreadable()], "Permission denied"),
    ("empty-kernel", lambda f: ["-kernel", f.make("empty")], "is empty"),
    ("text-kernel", lambda f: ["-kernel", f.make("text", b"not a kernel\n" * 1000)], "is no kernel"),
    ("zero-kernel", lambda f: ["-kernel", f.make("zero", size=MIB)], "is no kernel"),
    ("bzimage-of-100-bytes", lambda f: ["-kernel", f.start_of(f.bzimage(), 100, "bz100")], "-kernel"),
    ("bzimage-cut-in-header", lambda f: ["-kernel", f.start_of(f.bzimage(), 0x220, "bzh")], "truncated"),
    ("bzimage-cut-in-setup", lambda f: ["-kernel", f.start_of(f.bzimage(), 4096, "bz4k")], "truncated"),
    ("bzimage-cut-in-kernel", lambda f: ["-kernel", f.start_of(f.bzimage(), MIB, "bz1m")], "truncated"),
    ("elf-cut-in-header", lambda f: ["-kernel", f.start_of(f.guest(), 40, "elf40")], "-kernel"),
    ("elf-cut-in-segment", lambda f: ["-kernel", f.start_of(f.guest(), 6000, "elf6k")], "truncated"),
    ("elf-with-wild-headers", lambda f: ["-kernel", broken_elf(f, E_PHOFF, 2**64 - 8)], "-kernel"),
    ("elf-of-a-program", ["-kernel", "/proc/self/exe"], "-kernel"),
    ("missing-initrd", lambda f: ["-kernel", f.bzimage(), "-initrd", "/nonexistent/initrd"], "initrd.*No such file"),
    ("empty-initrd", lambda f: ["-kernel", f.bzimage(), "-initrd", f.make("noinitrd")], "is empty"),
    ("initrd-larger-than-memory",
     lambda f: ["-kernel", f.bzimage(), "-m", "128", "-initrd", f.make("huge", size=200 * MIB)], "initrd.*memory"),
    ("initrd-beside-the-kernel",
     lambda f: ["-kernel", f.bzimage(), "-m", "128", "-initrd", f.make("large", size=120 * MIB)], "initrd.*memory"),
    ("kernel-larger-than-memory", lambda f: ["-kernel", f.bzimage(), "-m", "16"], "memory"),
    ("drive-missing", ["-kernel", "k", "-drive", "file=/nonexistent/disk"], "/nonexistent/disk.*No such file|-kernel"),
    ("drive-is-a-folder", lambda f: ["-kernel", f.guest(), "-drive", "file=/"], "image '/'"),
    ("device-unknown", lambda f: ["-kernel", f.guest(), "-device", "flux-capacitor"], "-device 'flux-capacitor'"),
    ("device-empty", lambda f: ["-kernel", f.guest(), "-device", "{}"], "'driver' is missing"),
    ("socket-nowhere", lambda f: ["-kernel", f.guest(), "-netdev", "socket,id=n"], "exactly one of"),
    ("socket-two-ways", lambda f: ["-kernel", f.guest(), "-netdev", "socket,id=n,listen=:0,connect=:1"], "exactly one of"),
    ("socket-no-port", lambda f: ["-kernel", f.guest(), "-netdev", "socket,id=n,listen=localhost"], "is not HOST:PORT"),
    ("socket-bad-port", lambda f: ["-kernel", f.guest(), "-netdev", "socket,id=n,connect=localhost:x"], "localhost:x"),
    ("socket-no-group", lambda f: ["-kernel", f.guest(), "-netdev", "socket,id=n,mcast=127.0.0.1:0"], "no group's address"),
    ("socket-no-socket", lambda f: ["-kernel", f.guest(), "-netdev", "socket,id=n,fd=0"], "is no socket"),
    ("socket-from-nowhere", lambda f: ["-kernel", f.guest(), "-netdev", "socket,id=n,udp=127.0.0.1:1"], "localaddr= is required"),
    ("log-nowhere", lambda f: ["-kernel", f.guest(), "-serial", "null,logfile=/nonexistent/x"], "/nonexistent/x"),
    ("device-unknown-property", lambda f: ["-kernel", f.guest(), "-device", "virtio-rng-pci,colour=red"], "colour"),
    ("device-without-its-drive", lambda f: ["-kernel", f.guest(), "-device", "virtio-blk-pci"], "'drive' is missing"),
    ("device-without-such-a-drive", lambda f: ["-kernel", f.guest(), "-device", "virtio-blk-pci,drive=d"],
     "no block node 'd'"),
    ("device-slot-beyond", lambda f: ["-kernel", f.guest(), "-device", "virtio-rng-pci,addr=20"], "addr '20'"),
    ("device-slot-twice", lambda f: ["-kernel", f.guest(), "-device", "virtio-rng-pci,addr=3", "-device",
                                     "virtio-rng-pci,addr=3"], "slot 0x3 is taken"),
    ("netdev-unknown", lambda f: ["-kernel", f.guest(), "-netdev", "pigeon,id=n"], "-netdev 'pigeon'"),
    ("hostfwd-malformed", lambda f: ["-kernel", f.guest(), "-netdev", "user,id=n,hostfwd=tcp:x"], "hostfwd 'tcp:x'"),
    ("mac-malformed", lambda f: ["-kernel", f.guest(), "-netdev", "user,id=n", "-device",
                                 "virtio-net-pci,netdev=n,mac=1:2"], "mac '1:2'"),
    ("nic-twice", lambda f: ["-kernel", f.guest(), "-nic", "user,id=n", "-nic", "user,id=n"], "-nic: id 'n' is taken"),
    ("name-with-a-comma", lambda f: ["-kernel", f.guest(), "-device", "virtio-rng-pci,a,,b=c"], "has a comma"),
    ("json-name-with-a-comma", lambda f: ["-kernel", f.guest(), "-device", '{"driver":"virtio-rng-pci","a,b":"c"}'],
     "neither a comma"),
    ("m-of-0", ["-m", "0"], "-m: size '0' is out of range"),
    ("m-absurd", ["-m", "99999999999999999999T"], "-m: size .* is out of range"),
    ("m-word", ["-m", "lots"], "-m: size 'lots' is not a size"),
    ("m-negative", ["-m", "-5"], "-m: size '-5' is not a size"),
    ("m-wrong-suffix", ["-m", "512Q"], "-m: size '512Q' is not a size"),
    ("m-empty", ["-m", ""], "-m: size '' is not a size"),
    ("m-without-value", ["-m"], "-m"),
    ("m-more-than-the-host-gives", lambda f: ["-kernel", f.bzimage(), "-m", "4T"], "memory|^$"),
    ("unknown-option", ["-frobnicate"], "unknown option '-frobnicate'"),
    ("stray-word", lambda f: ["-kernel", f.guest(), "/nonexistent/disk.img"], "disk.img"),
    ("unknown-accel", ["-accel", "tcg"], "accel 'tcg'"),
    ("smp-0", ["-smp", "0"], "cpus '0'"),
    ("append-too-long", lambda f: ["-kernel", f.bzimage(), "-append", "x" * 5000], "-append"),
    ("serial-unknown", lambda f: ["-kernel", f.guest(), "-serial", "carrier-pigeon"],
     "-serial 'carrier-pigeon'"),
    ("serial-file-nowhere", lambda f: ["-kernel", f.guest(), "-serial", "file:/nonexistent/out"],
     "/nonexistent/out.*No such file"),
    ("serial-socket-nowhere", lambda f: ["-kernel", f.guest(), "-serial", "unix:/nonexistent/s,server=on,wait=off"],
     "/nonexistent/s.*No such file"),
    ("serial-socket-nobody", lambda f: ["-kernel", f.guest(), "-serial", "unix:/nonexistent/s"], "/nonexistent/s"),
    ("dump-unknown-letter", lambda f: ["-kernel", f.guest(), "-d", "?"], "-d '\\?'"),
    ("dump-file-nowhere", lambda f: ["-kernel", f.guest(), "-d", "e", "-D", "/nonexistent/d"], "/nonexistent/d"),
]

# The same of lodge's arguments.
LODGE = [
    ("lodge-no-command", [], "usage|lodge help"),
    ("lodge-unknown-command", ["frobnicate"], "frobnicate"),
    ("lodge-run-nothing", ["run"], "KERNEL is missing"),
    ("lodge-run-unknown-option", ["run", "k", "--frobnicate"], "--frobnicate"),
    ("lodge-run-missing-kernel", ["run", "/nonexistent/kernel"], "/nonexistent/kernel.*No such file"),
    ("lodge-run-memory-0", ["run", "k", "--memory", "0"], "-m: size '0'"),
]


def refused(program, args, pattern, files):
    def run():
        words = args(files) if callable(args) else args
        status, out = output_of([program, *words], 20)
        require(status > 0 and status < 126, "wants a bad status, got %d, and:\n%s" % (status, out))
        require(re.search(pattern, out), "wants a line with /%s/, got:\n%s" % (pattern, out))
        require(len(out.splitlines()) == 1 or "lodge help" in out, "wants one line, got:\n%s" % out)
    return run


def closed_output(build):
    """A standard output that is closed is refused; one whose reader goes away later does not hang the program."""
    def run():
        status, out = output_of(["sh", "-c", '"$0" "$@" >&- 2>/dev/null', *build.machine("-nographic", "-kernel",
                                build.path("tests/guests/faults.elf"))], 20)
        require(0 < status < 126, "wants a bad status, got %d, and:\n%s" % (status, out))
    return run


def tests(build):
    files = Files(build)
    rows = [(name, refused(build.path("lodge-vm"), args, pattern, files)) for name, args, pattern in MACHINE]
    rows += [(name, refused(build.path("lodge"), args, pattern, files)) for name, args, pattern in LODGE]
    return rows + [("closed-output", closed_output(build))]
