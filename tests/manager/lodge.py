# lodge.py - the verbs of lodge that manage machines
# SPDX-License-Identifier: GPL-2.0-or-later
import json
import os
import re
import shutil
import subprocess
import tempfile

from harness.console import Console
from harness.lodge import PROMPT, Skip, output_of, require
from manager.daemon import QEMU, Daemon, wait_for
from manager.libvirtd import NOBODY, Libvirtd

# What must fail, and what it must say; on a daemon with a machine "a" that runs.
REFUSED = [
    ("start nobody", "there is no machine 'nobody': lodge list"), ("start a", "runs already"), ("rm a", "is running: lodge stop a first"),
    ("create a --kernel {root}/idle.elf", "there is a machine 'a' already"), ("create b", "what is it to boot"), ("create", "NAME is missing"),
    ("create b --kernel /no/such", "No such file"), ("create b --import {root}/idle.elf --append x", "go with --kernel"),
    ("create b --kernel {root}/idle.elf --memory lots", "is no size"), ("create b --kernel {root}/idle.elf --forward 1:2:3", "HOSTPORT:GUESTPORT"),
    ("create b --kernel {root}/idle.elf --cpus x", "wants a number"), ("create b --kernel {root}/idle.elf --frob", "unknown option"), ("create a/b --kernel {root}/idle.elf", "cannot contain"),
    ("list extra", "one word too many"), ("logs ../etc/passwd", "is no name"), ("logs nobody", "has the machine been started"), ("top --delay 0", "1 to 3600"),
    ("stop a --timeout 1", "lodge stop --force a"),
]


def lodge(build, daemon, *words, good=True):
    status, out = output_of([build.path("lodge"), *words, "--root", daemon.root], 90)
    require((status == 0) == good and "Sanitizer" not in out, "lodge %s ends with %d and says:\n%s" % (" ".join(words), status, out))
    return out


def verbs(build):
    def run():
        with Daemon(build) as daemon:
            def do(*words, **more):
                return lodge(build, daemon, *words, **more)
            require(json.loads(do("list", "--all", "--json")) == [], "an empty list")
            disk = daemon.write("d.img", b"\0" * (1 << 20))
            require("lodge start --console a" in do("create", "a", "--kernel", daemon.root + "/idle.elf", "--memory", "64M", "--cpus", "2", "--disk", disk), "create")
            row = json.loads(do("list", "--all", "--json"))[0]
            require(row == {"name": "a", "id": None, "state": "shut off", "cpus": 2, "memory": 64 << 20}, str(row))
            do("start", "a")
            require(re.search(r"^1 +a +running +2 +64 MiB$", do("list"), re.M), do("list"))
            require("-kernel" in do("logs", "a"), "logs")
            top = json.loads(do("top", "--count", "1", "--delay", "1", "--json"))
            require(top[0]["name"] == "a" and top[0]["resident"] > 1 << 20, str(top))
            for words, text in REFUSED:
                out = do(*words.replace("{root}", daemon.root).split(), good=False)
                require(text in out and len(out.splitlines()) == 1, "lodge %s wants '%s' and says:\n%s" % (words, text, out))
            do("stop", "a", "--force")
            require(json.loads(do("rm", "a", "--json")) == {"name": "a", "result": "removed; its disks stay"}, "rm")
            require(do("list", "--all", "--names") == "", "list after rm")
            do("create", "c", "--kernel", daemon.root + "/idle.elf", "--memory", "64M", "--network", "default", "--start")
            require("running" in do("list") and "default" in daemon.virsh("domiflist", "c"), "create --start")
            do("rm", "--force", "c")
        status, out = output_of([build.path("lodge"), "list", "--root", "/nonexistent"], 20)
        require(status == 1 and "start lodged, or name its folder with --root" in out, out)
    return run


# What is on the line, the last word being the one that is completed, and what bash offers.
COMPLETIONS = [
    (["start", "--c"], ["--connect", "--console"]), (["sta"], ["start"]), (["image", "conv"], ["convert"]), (["image", "info", "--"], ["--backing-chain", "--json"]),
    (["create", "a", "--format", ""], ["qcow2", "raw"]), (["create", "a", "--network", ""], ["none", "user"]), (["run", "--accel", "l"], ["lodge"]),
    (["run", "--"], ["--accel", "--append", "--cpus", "--initrd", "--memory"]), (["image", "resize", "--"], ["--json", "--preallocation", "--shrink"]),
]


def one_table(build):
    """Help, man page and completion tell of the same verbs and options, and all of these are taken."""
    program = build.path("lodge")
    status, completion = output_of([program, "completion"], 20)
    require(status == 0, completion)
    for words, wanted in COMPLETIONS:
        script = "%s\nCOMP_WORDS=(lodge %s); COMP_CWORD=%d; _lodge; printf '%%s\\n' \"${COMPREPLY[@]}\"" % (
            completion, " ".join("'%s'" % w for w in words), len(words))
        out = output_of(["bash", "-c", "cd /proc/sys/debug 2>/dev/null || cd /proc/sys\n" + script], 20)[1].split()
        require(sorted(out) == wanted, "completion of %s offers %s" % (words, out))
    man = output_of([program, "help-man"], 20)[1].replace("\\", "")
    names = re.findall(r"^  lodge (\w+)", output_of([program, "help"], 20)[1], re.M)
    require(len(set(names)) == 15, str(names))
    for name in names:
        if name in ("help", "version"):
            continue
        text = output_of([program, "help", name], 20)[1]
        for verb, usage in re.findall(r"^  lodge (\w+(?: (?:create|info|check|convert|resize|snapshot)\b)?)((?:.|\n        )*)$", text, re.M):
            at = man.index(".B lodge " + verb)
            entry = man[at:man.index("\n.TP", at) if "\n.TP" in man[at:] else len(man)]
            for option, value in re.findall(r"\[(--?[\w-]+)( [^\]]+)?\]", usage):
                require(option in entry and option in completion, "%s of lodge %s is not everywhere" % (option, verb))
                out = output_of([program, *verb.split(), option, *(["1"] if value else []), "--no-such-option"], 20)[1]
                require("no-such-option'" in out or option in ("-o", "--preallocation"), "lodge %s %s says: %s" % (verb, option, out))


def image_json(build):
    """Each verb of lodge image answers programs."""
    with tempfile.TemporaryDirectory(prefix="lodge-test-") as folder:
        def do(*words):
            status, out = output_of([build.path("lodge"), "image", *words, "--json"], 30)
            require(status == 0, out)
            return json.loads(out)
        a, b = folder + "/a.qcow2", folder + "/b.raw"
        made = do("create", "-f", "qcow2", a, "8M")
        require((made["filename"], made["format"], made["virtual-size"]) == (a, "qcow2", 8 << 20), made)
        require(do("resize", a, "+8M")["virtual-size"] == 16 << 20 and do("info", a)["virtual-size"] == 16 << 20, "resize")
        require(do("check", a)["check-errors"] == 0, "check")
        require(do("convert", "-p", "-O", "raw", a, b)["virtual-size"] == do("info", "-f", "raw", b)["virtual-size"], "convert")
    require(json.loads(output_of([build.path("lodge"), "version", "--json"], 20)[1])["version"], "version")


def console(build):
    """A Linux guest made, started, used on its console and switched off, without any XML."""
    def run():
        with Daemon(build) as daemon:
            lodge(build, daemon, "create", "linux", "--kernel", build.kernel(), "--initrd", build.path("initramfs.cpio.gz"), "--append", "quiet", "--memory", "256M")
            with Console([build.path("lodge"), "start", "linux", "--console", "--root", daemon.root]) as c:
                c.expect("Ctrl-] leaves", 60)
                c.expect(PROMPT, 120)
                c.send("echo seven is $((3+4))\n")
                c.expect("seven is 7", 60)
                c.send("\x1d")
                require(c.wait(30) == 0, "the console is not left by Ctrl-]")
            with Console([build.path("lodge"), "console", "linux", "--root", daemon.root]) as c:
                c.expect("Ctrl-] leaves", 60)
                c.send("poweroff -f\n")
                require(c.wait(90) == 0, "the console does not end with the machine")
            wait_for(lambda: "shut off" in lodge(build, daemon, "list", "--all"), "the machine is off")
    return run


def on_libvirtd(build):
    """The verbs manage machines of Debian's libvirtd; of a machine of the user's session, its log, too."""
    def run():
        with Libvirtd() as daemon:
            environment = {**os.environ, "XDG_CACHE_HOME": daemon.root + "/cache"}
            place = ["--connect", daemon.socket]

            def do(*words, good=True):
                p = subprocess.run([build.path("lodge"), *words, *place], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=90, env=environment)
                require((p.returncode == 0) == good, "lodge %s says: %s" % (" ".join(words), p.stdout.decode()))
                return p.stdout.decode()
            for path, name in ((build.kernel(), "vmlinuz"), (build.path("initramfs.cpio.gz"), "initrd")):
                shutil.copy(path, daemon.root + "/" + name)
            with open(daemon.root + "/d.img", "wb") as disk:
                disk.truncate(1 << 20)
            os.chown(disk.name, NOBODY, NOBODY)
            require(json.loads(do("list", "--all", "--json")) == [], "an empty list")
            do("create", "a", "--kernel", daemon.root + "/vmlinuz", "--initrd", daemon.root + "/initrd", "--append", "quiet", "--memory", "256M",
               "--cpus", "2", "--disk", disk.name, "--emulator", QEMU)
            require(json.loads(do("list", "--all", "--json")) == [{"name": "a", "id": None, "state": "shut off", "cpus": 2, "memory": 256 << 20}], "list")
            require("already" in do("create", "a", "--kernel", daemon.root + "/vmlinuz", good=False), "create of what there is")
            with Console([build.path("lodge"), "start", "a", "--console", *place]) as c:
                c.expect(PROMPT, 180)
                c.send("echo seven is $((3+4))\n")
                c.expect("seven is 7", 60)
                c.send("\x1d")
                require(c.wait(30) == 0, "the console is not left by Ctrl-]")
            require("runs already" in do("start", "a", good=False) and "is running" in do("rm", "a", good=False), "refusals")
            top = json.loads(do("top", "--count", "1", "--delay", "1", "--json"))
            require(top[0]["name"] == "a" and top[0]["resident"] > 1 << 20, str(top))
            require("-kernel" in do("logs", "a") and json.loads(do("logs", "a", "--json"))["name"] == "a", "logs")
            require("switches it off" in do("stop", "a", "--timeout", "1", good=False), "a guest without ACPI's daemon")
            require(json.loads(do("stop", "a", "--force", "--json")) == {"name": "a", "result": "stopped"}, "stop")
            do("start", "a", "--paused")
            require("paused" in do("list"), "start --paused")
            require(json.loads(do("rm", "a", "--force", "--json"))["name"] == "a" and do("list", "--all", "--names") == "", "rm")
            do("create", "b", "--import", disk.name, "--autostart")
            require("enable" in daemon.virsh("dominfo", "b"), "create --autostart")
            do("rm", "b")
            status, out = output_of([build.path("lodge"), "create", "b", "--import", disk.name, "--forward", "8080:80", *place], 30)
            if status == 0:  # not before libvirt has passt, and never without a word
                require(re.search("<backend type=.passt./>", daemon.virsh("dumpxml", "b")), "create --forward")
                do("rm", "b")
            else:
                require("leave --forward out" in out, out)
    return run


def tests(build):
    return [("lodge-table", lambda: one_table(build)), ("lodge-image-json", lambda: image_json(build)), ("lodge-verbs", verbs(build)), ("lodge-console", console(build)), ("lodge-libvirtd", on_libvirtd(build))]
