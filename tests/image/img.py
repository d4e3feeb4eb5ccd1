# img.py - lodge image against qemu-img: what one makes the other reads, checks and compares; what is refused is refused by name
# SPDX-License-Identifier: GPL-2.0-or-later
import hashlib
import json
import os
import tempfile

from harness.lodge import output_of, require

SHAPES = ["", "-o cluster_size=512", "-o compat=0.10", "-c", "-c -o compression_type=zstd", "-c -o cluster_size=4k",
          "-o refcount_bits=1", "-o cluster_size=2M,refcount_bits=64", "-o preallocation=metadata", "-o lazy_refcounts=on"]


def ok(*argv):
    status, out = output_of(argv, 120)
    require(status == 0, "%s: status %d\n%s" % (" ".join(argv), status, out))
    return out


def fails(pattern, *argv):
    status, out = output_of(argv, 60)
    require(status > 0 and pattern in out and out.count("\n") == 1, "%s: wants one line with '%s', got status %d and:\n%s"
            % (" ".join(argv), pattern, status, out))


def folder(test):
    def run(build):
        with tempfile.TemporaryDirectory(prefix="lodge-test-") as place:
            before = os.getcwd()
            os.chdir(place)
            try:
                test(build.path("lodge"))
            finally:
                os.chdir(before)
    return run


def same_json(lodge, verb, image):
    theirs = json.loads(ok("qemu-img", verb, "--output=json", image))
    ours = json.loads(ok(lodge, "image", verb, "--output=json", image))
    require(theirs == ours, "%s of %s: QEMU has\n%s\nwe have\n%s" % (verb, image, theirs, ours))


def same_info(lodge, image):
    theirs, ours = ok("qemu-img", "info", image), ok(lodge, "image", "info", image)
    require(theirs == ours, "info of %s: QEMU has\n%s\nwe have\n%s" % (image, theirs, ours))
    same_json(lodge, "info", image)


def fill(*argv):
    ok("qemu-io", *argv[:-1], *[w for c in ("write -P 5 0 1M", "write -P 6 5000000 3000", "write -P 7 200M 3M", "write -z 10M 1M",
                                            "write -P 9 100M 50k") for w in ("-c", c)], argv[-1])


@folder
def snapshots(lodge):
    """Made, gone back to and removed by one, and looked at by the other; each state is what it was, and no room is lost."""
    for shape in ("", "-o cluster_size=512", "-o compat=0.10", "-o refcount_bits=8,cluster_size=4k"):
        ok(lodge, "image", "create", "-q", "-f", "qcow2", *shape.split(), "a.qcow2", "24M")
        states, sums = {}, []

        def write(pattern):
            ok("qemu-io", "-f", "qcow2", *[w for at in ("0 3M", "%dM 70k" % (10 + pattern), "20M 1M", "%d 5000" % (7 << 20)) for w in ("-c", "write -P %d %s" % (pattern, at))], "a.qcow2")

        def whole():
            ok("qemu-img", "check", "a.qcow2")
            ok(lodge, "image", "check", "a.qcow2")
            same_info(lodge, "a.qcow2")
            ok("qemu-img", "convert", "-O", "raw", "a.qcow2", "now.raw")
            with open("now.raw", "rb") as f:
                return hashlib.sha256(f.read()).hexdigest()
        for n, tool in enumerate(((lodge, "image"), ("qemu-img",), (lodge, "image"))):
            write(n + 1)
            states["s%d" % n] = whole()
            ok(*tool, "snapshot", "-c", "s%d" % n, "a.qcow2")
            require(whole() == states["s%d" % n], "a snapshot has changed the image")
        write(9)
        ok(lodge, "image", "resize", "-q", "a.qcow2", "32M")
        for name in ("s1", "s0", "s2"):
            ok(lodge, "image", "snapshot", "-a", name, "a.qcow2")
            require(whole() == states[name], "after going back to " + name)
            ok("qemu-img", "snapshot", "-a", name, "a.qcow2")
            require(whole() == states[name], "QEMU goes back to " + name)
            write(8)
        rows = json.loads(ok(lodge, "image", "snapshot", "--json", "a.qcow2"))
        require([s["name"] for s in rows] == ["s0", "s1", "s2"], rows)
        require("s1" in ok(lodge, "image", "snapshot", "a.qcow2") and "s1" in ok("qemu-img", "snapshot", "-l", "a.qcow2"), "the list")
        fails("already", lodge, "image", "snapshot", "-c", "s1", "a.qcow2")
        fails("there is no snapshot", lodge, "image", "snapshot", "-a", "s9", "a.qcow2")
        ok(lodge, "image", "snapshot", "-d", "s1", "a.qcow2")
        whole()
        ok("qemu-img", "snapshot", "-a", "s0", "a.qcow2")
        require(whole() == states["s0"], "after another was removed")
        ok(lodge, "image", "snapshot", "-d", "s0", "a.qcow2")
        ok(lodge, "image", "snapshot", "-d", "s2", "a.qcow2")
        require(whole() == states["s0"] and ok(lodge, "image", "snapshot", "-l", "a.qcow2") == "", "after all were removed")
        os.unlink("a.qcow2")
    ok(lodge, "image", "create", "-q", "-f", "qcow2", "-o", "refcount_bits=1", "b.qcow2", "8M")
    ok("qemu-io", "-f", "qcow2", "-c", "write 0 1M", "b.qcow2")
    fails("refcount_bits=16", lodge, "image", "snapshot", "-c", "s", "b.qcow2")
    ok("qemu-img", "check", "b.qcow2")
    fails("keep no snapshots", lodge, "image", "snapshot", "-f", "raw", "-c", "s", "now.raw")
    # compressed clusters, which share clusters of the file
    ok(lodge, "image", "convert", "-c", "-f", "raw", "-O", "qcow2", "now.raw", "c.qcow2")
    for words in (("-c", "s"), ("-c", "t"), ("-d", "s"), ("-a", "t"), ("-d", "t")):
        ok(lodge, "image", "snapshot", *words, "c.qcow2")
        ok("qemu-img", "check", "c.qcow2")
        ok("qemu-img", "compare", "now.raw", "c.qcow2")


@folder
def convert(lodge):
    with open("a.raw", "wb") as f:
        f.truncate(256 << 20)
    fill("-f", "raw", "a.raw")
    for shape in SHAPES:
        out = ok(lodge, "image", "convert", "-p", "-f", "raw", "-O", "qcow2", *shape.split(), "a.raw", "b.qcow2")
        require("(100.00/100%)" in out, "no progress:\n" + out)
        ok("qemu-img", "check", "b.qcow2")
        ok("qemu-img", "compare", "a.raw", "b.qcow2")
        same_json(lodge, "check", "b.qcow2")
        same_info(lodge, "b.qcow2")
        ok(lodge, "image", "convert", "b.qcow2", "c.raw")
        ok("cmp", "a.raw", "c.raw")
        os.unlink("b.qcow2")


@folder
def chains(lodge):
    ok(lodge, "image", "create", "-f", "qcow2", "a.qcow2", "256M")
    fill("a.qcow2")
    ok(lodge, "image", "create", "-f", "qcow2", "-b", "a.qcow2", "-F", "qcow2", "b.qcow2")
    ok("qemu-img", "create", "-q", "-f", "qcow2", "-o", "cluster_size=4k", "-b", "b.qcow2", "-F", "qcow2", "c.qcow2", "300M")
    ok("qemu-io", "-c", "write -P 8 4M 2M", "-c", "write -z 0 64k", "c.qcow2")
    for image in ("a.qcow2", "b.qcow2", "c.qcow2"):
        same_info(lodge, image)
    theirs = ok("qemu-img", "info", "--backing-chain", "c.qcow2")
    require(theirs == ok(lodge, "image", "info", "--backing-chain", "c.qcow2"), "info --backing-chain")
    ok(lodge, "image", "convert", "-O", "qcow2", "c.qcow2", "flat.qcow2")
    ok("qemu-img", "compare", "c.qcow2", "flat.qcow2")
    ok(lodge, "image", "convert", "-O", "qcow2", "-B", "b.qcow2", "-F", "qcow2", "c.qcow2", "again.qcow2")
    ok("qemu-img", "compare", "c.qcow2", "again.qcow2")
    ok("qemu-img", "check", "again.qcow2")


@folder
def resize(lodge):
    ok(lodge, "image", "create", "-f", "qcow2", "-o", "cluster_size=512", "a.qcow2", "1M")
    ok("qemu-io", "-c", "write -P 5 0 1M", "a.qcow2")
    for size, bytes_ in (("+4G", (4 << 30) + (1 << 20)), ("-1G", None), ("8M", None)):
        if bytes_:
            ok(lodge, "image", "resize", "-q", "a.qcow2", size)
        else:
            fails("use --shrink", lodge, "image", "resize", "-q", "a.qcow2", size)
            ok(lodge, "image", "resize", "-q", "--shrink", "a.qcow2", size)
        ok("qemu-img", "check", "a.qcow2")
    require(json.loads(ok("qemu-img", "info", "--output=json", "a.qcow2"))["virtual-size"] == 8 << 20, "the size is another")
    ok("qemu-io", "-c", "read -P 5 0 1M", "-c", "read -P 0 1M 7M", "a.qcow2")
    ok("qemu-img", "snapshot", "-c", "s", "a.qcow2")
    ok(lodge, "image", "resize", "-q", "a.qcow2", "16M")
    ok("qemu-img", "check", "a.qcow2")
    same_info(lodge, "a.qcow2")


@folder
def repairs(lodge):
    ok("qemu-img", "create", "-q", "-f", "qcow2", "a.qcow2", "64M")
    ok("qemu-io", "-c", "write -P 5 0 4M", "a.qcow2")
    ok("cp", "a.qcow2", "whole.qcow2")
    with open("a.qcow2", "r+b") as f:  # two counts: one too low, one too high
        f.seek(0x20000 + 2 * 10)
        f.write(b"\0\0\0\5")
    require(output_of([lodge, "image", "check", "a.qcow2"], 60)[0] == 2, "the fault is not found")
    same_status = output_of(["qemu-img", "check", "a.qcow2"], 60)[0]
    require(same_status == 2, "QEMU finds status %d" % same_status)
    ok(lodge, "image", "check", "-r", "all", "a.qcow2")
    ok("qemu-img", "check", "a.qcow2")
    ok("qemu-img", "compare", "a.qcow2", "whole.qcow2")


@folder
def refused(lodge):
    info = (lodge, "image", "info")
    fails("is not supported: use raw or qcow2", lodge, "image", "create", "-f", "vmdk", "a", "1M")
    fails("is not a size", lodge, "image", "create", "-f", "qcow2", "a", "1Z")
    fails("power of 2", lodge, "image", "create", "-f", "qcow2", "-o", "cluster_size=1000", "a", "1M")
    fails("use -F FORMAT", lodge, "image", "create", "-f", "qcow2", "-b", "x", "a", "1M")
    fails("encryption", lodge, "image", "create", "-f", "qcow2", "-o", "encryption=on", "a", "1M")
    ok("qemu-img", "create", "-q", "-f", "qcow2", "-o", "extended_l2=on", "e.qcow2", "1M")
    fails("extended L2 entries", *info, "e.qcow2")
    ok("qemu-img", "create", "-q", "-f", "qcow2", "-o", "data_file=d.raw", "d.qcow2", "1M")
    fails("external data file", *info, "d.qcow2")
    ok("qemu-img", "create", "-q", "-f", "qcow2", "c.qcow2", "1M")
    with open("c.qcow2", "r+b") as f:  # crypt_method
        f.seek(32)
        f.write(b"\0\0\0\1")
    fails("encrypted", *info, "c.qcow2")
    ok("qemu-img", "create", "-q", "-f", "qcow2", "-u", "-b", "loop.qcow2", "-F", "qcow2", "l.qcow2", "1M")
    os.rename("l.qcow2", "loop.qcow2")
    fails("its own backing file", lodge, "image", "info", "--backing-chain", "loop.qcow2")
    with open("cut.qcow2", "wb") as f:
        f.write(b"QFI\xfb\0\0\0\3" + b"\0" * 40)
    fails("ends within its header", *info, "cut.qcow2")
    fails("is not in qcow2 format", lodge, "image", "info", "-f", "qcow2", "/etc/passwd")


def tests(build):
    return [(t, lambda f=f: f(build)) for t, f in (("snapshots", snapshots), ("convert", convert), ("chains", chains), ("resize", resize), ("repairs", repairs),
                                                    ("refused", refused))]
