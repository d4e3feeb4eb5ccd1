# sets.py - what is measured: the sets, their workloads, and the goals for each set
# SPDX-License-Identifier: GPL-2.0-or-later
CC1 = "/usr/lib/gcc/x86_64-linux-gnu/12/cc1 -fpreprocessed /bench/big.i -quiet -o /dev/null"


class Workload:
    """A line for the guest's shell. in_mean: whether it counts for the set's mean."""

    def __init__(self, name, line, in_mean=True):
        self.name, self.line, self.in_mean = name, line, in_mean


class Boot:
    """A start of a guest with an initramfs of its own, until it writes the marker. The kernel is the bzImage, or the ELF
    file in it. rest: seconds after that before its memory is looked at, and so many more to see what it costs idle."""

    def __init__(self, name, initrd, memory, append, marker, elf=False, rest=0, in_mean=True):
        self.name, self.initrd, self.memory, self.append, self.marker = name, initrd, memory, append, marker
        self.elf, self.rest, self.in_mean = elf, rest, in_mean


class Set:
    """native: at most so many times the native time. tcg: at least so many times faster than QEMU's TCG. seconds: at most
    so many, for what cannot be had natively. devices: it needs those that guests of QEMU have."""

    def __init__(self, name, title, native, tcg, workloads, before="", after="", seconds=None, devices=False):
        self.name, self.title, self.native, self.tcg, self.seconds = name, title, native, tcg, seconds
        self.devices = devices
        self.workloads, self.before, self.after = workloads, before, after


def repeated(program, names, aside=()):
    """Workloads of one of our programs (bench/programs), which repeats them for the time that it is given."""
    return [Workload(n, "%s %s {seconds} {segments}" % (program, n), n not in aside) for n in names.split()]


def timed(**commands):
    """Commands that have an end of their own."""
    return [Workload(n, "timed " + c) for n, c in commands.items()]


SETS = [
    Set("prog", "programs", 2.2, 5, timed(
        cc1_O2=CC1 + " -O2",
        cc1_O0=CC1 + " -O0",
        python3="python3.11 -S -E /bench/workload.py",
        perl="perl /bench/workload.pl",
        lua="lua5.4 /bench/workload.lua",
        sqlite="sqlite3 -init /bench/workload.sql :memory: .quit",
        xz="xz -9 --lzma2=preset=9,dict=4MiB -T1 -c /tmp/4M",
        gzip="gzip -6 -c /tmp/16M",
        gunzip="gzip -dc /tmp/16M.gz /tmp/16M.gz /tmp/16M.gz /tmp/16M.gz",
        sha256sum="sha256sum /tmp/64M",
    ), before="head -c 16777216 /usr/lib/gcc/x86_64-linux-gnu/12/cc1 >16M; head -c 4194304 16M >4M;"
        "cat 16M 16M 16M 16M >64M; gzip -1c 16M >16M.gz", after="rm -f 4M 16M 16M.gz 64M"),
    Set("fp", "floating point and vector", 1.3, 20, repeated(
        "vector", "matrix_scalar matrix_sse2 matrix_avx2 nbody x87 libm")),
    Set("ssl", "openssl", 1.2, 30, repeated("ssl", "aes-128-gcm sha256 chacha20-poly1305 rsa2048")),
    Set("mem", "memory", 1.6, 3, repeated(
        "memory", "copy64M memset64M triad64M read64M random64M chase32K chase1M chase64M")),
    Set("int", "integer, calls, branches", 2.2, 5, repeated(
        "integer", "mix fib20 sieve64k qsort4k interpreter indirect_calls loop div64 atomic strings4k rep_movsb4k")),
    # cpuid is an exit of the host's own virtual machine, where there is one: not a measure of ours.
    Set("kern", "kernel", 2, 3, repeated(
        "kernel", "getppid clock_gettime rdtsc cpuid pipe unix_socket tcp_loopback fork_exit fork_exec mmap_munmap "
        "page_touch mprotect yield file_tmpfs stat read_zero4k signal fault_signal futex threads", aside=("cpuid",))),
    Set("shell", "shell", 3, 6, timed(
        loop200k="sh -c 'i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done'",
        find="sh -c 'for i in 1 2 3 4 5 6 7 8 9 10; do find / -xdev | wc; done'",
        exec200="sh -c 'i=0; while [ $i -lt 200 ]; do /bbin/busybox true; i=$((i+1)); done'",
        perl20="sh -c 'i=0; while [ $i -lt 20 ]; do perl -e 1; i=$((i+1)); done'",
        sed_awk="""sh -c 'sed -e s/int/long/g -e "s/[a-z]*_[a-z]*/X/" /bench/big.i | """
                """awk "{n+=NF; s[\\$1]++} END{print n}" | sort | uniq -c'""",
    )),
    Set("change", "code that changes", 15, 20, repeated("changing", "self_modifying jit4k")),
    Set("boot", "program start to /init", None, 3, [
        Boot("init", "boot.cpio.gz", 512, "console=ttyS0 quiet", rb"@init"),
        Boot("init_elf", "boot.cpio.gz", 512, "console=ttyS0 quiet", rb"@init", elf=True, in_mean=False),
        Boot("shell_prompt", "boot.cpio.gz", 512, "console=ttyS0 quiet", rb"lodge:[^\n]*# ", in_mean=False),
    ], seconds=0.8),
    Set("debian", "Debian with systemd to login", None, 4, [
        Boot("login", "debian.cpio.gz", 2048, "console=ttyS0 quiet", rb"login: ", rest=10),
    ]),
    Set("disk", "disk", None, 1, timed(
        read1M="dd if=/dev/vda of=/dev/null bs=1M count=256 iflag=direct",
        read4k="dd if=/dev/vda of=/dev/null bs=4k count=8192 iflag=direct",
        write1M="dd if=/dev/zero of=/dev/vda bs=1M count=256 oflag=direct",
        write4k="dd if=/dev/zero of=/dev/vda bs=4k count=8192 oflag=direct",
    ), before="[ -b /dev/vda ] || devices", devices=True),
    Set("net", "network", None, 1, timed(
        receive64M="sh -c 'echo send 67108864 | server >/dev/null'",
        send64M="sh -c '{ echo take; head -c 67108864 /dev/zero; } | server'",
        connect100="sh -c 'i=0; while [ $i -lt 100 ]; do echo take | server; i=$((i+1)); done'",
    ), before="[ -b /dev/vda ] || devices", devices=True),
]
