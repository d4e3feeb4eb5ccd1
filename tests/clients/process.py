# process.py - lodge-vm as a process: in the background, filtered, with less than it began with; its options for a processor
# SPDX-License-Identifier: GPL-2.0-or-later
import os
import re
import signal
import subprocess
import tempfile
import time

from clients.qmp import Client
from harness.lodge import PROMPT, Skip, output_of, require, shell

PATIENCE = 60


def status_of(pid, name):
    with open("/proc/%s/status" % pid) as f:
        return next(line.split()[1:] for line in f if line.startswith(name + ":"))


def gone(pid):
    end = time.monotonic() + PATIENCE
    while os.path.exists("/proc/%d" % pid):
        require(time.monotonic() < end, "the program does not end")
        time.sleep(0.05)


class Running:
    """A pid that something else reaps."""

    def poll(self):
        return None


def idle(build, *more):
    return build.machine("-kernel", build.path("tests/guests/faults.elf"), "-m", "64", "-S", *more)


def daemonize(build):
    """The parent ends when all is ready, or with the child's error; each thread has its filter; SIGTERM ends it all."""
    def run():
        with tempfile.TemporaryDirectory(prefix="lodge-test-") as folder:
            pidfile, qmp = os.path.join(folder, "pid"), os.path.join(folder, "qmp")
            status, out = output_of(idle(build, "-daemonize", "-pidfile", pidfile, "-qmp", "unix:%s,server=on,wait=off" % qmp,
                                         "-name", "guest=g,process=lodge-g,debug-threads=on", "-serial", "null"), PATIENCE)
            require(status == 0 and not out, "-daemonize gave %s and %s" % (status, out))
            with open(pidfile) as f:
                pid = int(f.read())
            try:
                client = Client(qmp, Running())
                client.ok("qmp_capabilities")
                require(status_of(pid, "NoNewPrivs") == ["1"], "new privileges")
                require(status_of(pid, "Name") == ["lodge-g"], "the name")
                names = {}
                for task in os.listdir("/proc/%d/task" % pid):
                    names[" ".join(status_of(task, "Name"))] = status_of(task, "Seccomp"), status_of(task, "Seccomp_filters")
                require(all(v[0] == ["2"] for v in names.values()), "a thread without a filter: %s" % names)
                require(names["CPU 0/KVM"][1] > names["lodge-g"][1], "the vcpu has no filter of its own: %s" % names)
                require(os.readlink("/proc/%d/cwd" % pid) == "/" and os.readlink("/proc/%d/fd/0" % pid) == "/dev/null",
                        "folder or input")
                client.ok("chardev-add", id="c", backend={"type": "file", "data": {"out": os.path.join(folder, "new")}})
            finally:
                os.kill(pid, signal.SIGTERM)
            gone(pid)
            require(not os.path.exists(pidfile), "the pid file stays")
            status, out = output_of(idle(build, "-daemonize", "-kernel", "/nonexistent"), PATIENCE)
            require(status == 1 and out.count("\n") == 1 and "/nonexistent" in out, "gave %s and %s" % (status, out))
    return run


def becomes(build):
    def run():
        if os.geteuid():
            raise Skip("needs root")
        p = subprocess.Popen(idle(build, "-runas", "65534:65534", "-chroot", "/var", "-serial", "null"))
        try:
            end = time.monotonic() + PATIENCE
            while status_of(p.pid, "Seccomp") != ["2"]:
                require(time.monotonic() < end and p.poll() is None, "no filter")
                time.sleep(0.05)
            require(status_of(p.pid, "Uid") == ["65534"] * 4 and status_of(p.pid, "Gid") == ["65534"] * 4, "still root")
            require(os.readlink("/proc/%d/root" % p.pid) == "/var", "not below /var")
        finally:
            p.terminate()
        require(p.wait(PATIENCE) == 128 + signal.SIGTERM, "the status")
    return run


def processor(build):
    """The guest sees the model and the features that -cpu says, and no others."""
    def run():
        c = build.boot("-cpu", "host,-avx2,-bmi2,model-id=Lodge Test CPU")
        with c:
            c.expect(PROMPT, 90)
            model = shell(c, "grep -m1 'model name' /proc/cpuinfo")
            flags = shell(c, "grep -m1 flags /proc/cpuinfo").split()
            require("Lodge Test CPU" in model, model)
            require("avx2" not in flags and "bmi2" not in flags and "sse4_2" in flags, " ".join(flags))
        with build.boot("-cpu", "qemu64") as c:
            c.expect(PROMPT, 90)
            flags = shell(c, "grep -m1 flags /proc/cpuinfo").split()
            require("sse2" in flags and not {"avx", "ssse3", "aes", "fsgsbase"} & set(flags), " ".join(flags))
    return run


# arguments, and what the one line must say
REFUSED = [
    (["-cpu", "frob"], "unable to find CPU model 'frob'.*qemu64"),
    (["-cpu", "host,+frob"], "'host-x86_64-cpu.frob' not found"),
    (["-cpu", "host,family=99999"], "family '99999'"),
    (["-cpu", "host,+amx-fp16x"], "not found"),
    (["-cpu", "host,+ia64,enforce"], "doesn't support requested feature: CPUID.01H:EDX.ia64"),
    (["-action", "reboot=frob"], "reboot 'frob' is not supported: use one of: reset, shutdown"),
    (["-runas", "no-such-user"], "-runas 'no-such-user'"),
    (["-chroot", "/nonexistent"], "-chroot '/nonexistent'"),
    (["-sandbox", "on,spawn=allow"], "spawn 'allow' is not supported: use one of: deny"),
    (["-netdev", "user,id=n,net=frob"], "net 'frob' is no network"),
    (["-netdev", "user,id=n,dns=10.9.9.9"], "dns '10.9.9.9' is no address"),
    (["-netdev", "user,id=n,guestfwd=tcp:10.0.2.100:80-cmd:cat"], "cmd: is not supported"),
    (["-netdev", "tap,id=n,script=/bin/up"], "scripts are not run"),
    (["-netdev", "tap,id=n,fd=0"], "fd '0' is no tap interface"),
    (["-netdev", "vde,id=n"], "-netdev 'vde' is not supported"),
    (["-device", "virtserialport,chardev=x"], "there is no bus"),
    (["-device", "virtio-rng-pci,rng=x"], "rng 'x' is no source"),
    (["-object", "filter-dump,id=f,netdev=x,file=/tmp/x"], "netdev 'x' does not exist"),
    (["-global", "frob"], "-global"),
]


def refused(build):
    def run():
        for arguments, wanted in REFUSED:
            status, out = output_of(idle(build, *arguments), PATIENCE)
            require(status == 1 and out.count("\n") == 1 and re.search(wanted, out), "%s: status %d:\n%s" % (arguments, status, out))
    return run


def perf_map(build):
    """-d p: the map that perf looks for names the translations, though the filters let no vcpu make files."""
    def run():
        p = subprocess.Popen(build.machine("-kernel", build.path("tests/guests/faults.elf"), "-m", "64", "-nographic", "-no-reboot",
                                           "-d", "p"), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        out, _ = p.communicate(timeout=PATIENCE)
        path = "/tmp/perf-%d.map" % p.pid
        require(os.path.exists(path), "no %s; lodge-vm said %s" % (path, out[-500:]))
        with open(path) as f:
            lines = f.read().splitlines()
        os.unlink(path)
        bad = [line for line in lines if not re.fullmatch("[0-9a-f]+ [0-9a-f]+ guest (kernel|kernel-ac|user|16-bit|32-bit) [0-9a-f]+[+][0-9a-f]+", line)]
        require(len(lines) > 50 and not bad, "%d lines in the map, of these bad: %s" % (len(lines), bad[:3]))
    return run


def tests(build):
    return [("process-" + f.__name__, f(build)) for f in (daemonize, becomes, processor, refused, perf_map)]
