# lodge.py - the verbs of lodge that manage machines
# SPDX-License-Identifier: GPL-2.0-or-later
import json
import re
import subprocess

from harness.console import Console
from harness.lodge import PROMPT, Skip, output_of, require
from manager.daemon import Daemon, wait_for

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
            for shell_words in ("complete -p lodge", "COMP_WORDS=(lodge start --c); COMP_CWORD=2; _lodge; echo ${COMPREPLY[@]}"):
                status, out = output_of(["bash", "-c", "source <(%s completion); %s" % (build.path("lodge"), shell_words)], 20)
                require(status == 0 and ("_lodge" in out or "--console" in out), "completion: " + out)
        status, out = output_of([build.path("lodge"), "list", "--root", "/nonexistent"], 20)
        require(status == 1 and "start lodged, or name its folder with --root" in out, out)
    return run


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


def tests(build):
    return [("lodge-verbs", verbs(build)), ("lodge-console", console(build))]
