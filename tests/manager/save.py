# save.py - a guest goes into a file and comes back, as virsh does it
# SPDX-License-Identifier: GPL-2.0-or-later
import os
import re
import struct
import time

from harness.console import Console
from harness.lodge import PROMPT, Skip, output_of, require, shell
from manager.daemon import EMULATORS, Daemon, small_file_system
from manager.devices import boot, define_linux


def can_migrate(daemon, name):
    """Whether the machine writes its state at all."""
    if "migrate" in daemon.qmp_commands(name):
        return
    out = daemon.virsh("save", name, daemon.root + "/refused", good=False)
    require(daemon.state(name) == "running (save canceled)" and not os.path.exists(daemon.root + "/refused"), "after a refused save: " + out)
    raise Skip("this machine does not write its state yet")


def awake(console):
    """The prompt of a shell that has printed its prompt long ago."""
    console.expect(r"Escape character[^\n]*\n", 60)
    time.sleep(0.5)  # virsh throws away what was typed before it changes the terminal
    console.send("\n")
    console.expect(PROMPT, 60)


def linux(build, emulator):
    """What a guest has in its memory is there after save and restore, and after a managed save."""
    def run():
        with Daemon(build, emulator) as daemon:
            define_linux(build, daemon, machine="pc" if emulator == "qemu" else "q35")
            with boot(daemon) as c:
                can_migrate(daemon, "linux")
                shell(c, "echo kept in memory >/note")
                disk = daemon.write("b.img", b"\0" * (1 << 20))
                if emulator == "qemu":
                    daemon.virsh("attach-disk", "linux", disk, "vdb", "--live")
                daemon.virsh("save", "linux", daemon.root + "/saved")
            require(daemon.state("linux") == "shut off (saved)", "after save: " + daemon.state("linux"))
            require("<name>linux</name>" in daemon.virsh("save-image-dumpxml", daemon.root + "/saved"), "save-image-dumpxml")
            daemon.virsh("restore", daemon.root + "/saved")
            require(daemon.state("linux") == "running (restored)", "after restore: " + daemon.state("linux"))
            with Console(["virsh", "-c", daemon.uri(), "console", "linux"]) as c:
                awake(c)
                require("kept in memory" in shell(c, "cat /note", 60), "the guest has forgotten")
                if emulator == "qemu":
                    require(" vd" in shell(c, "cat /proc/partitions", 60), "the disk that was attached is gone")
            daemon.virsh("managedsave", "linux")
            require("linux" in daemon.virsh("list", "--all", "--with-managed-save", "--name"), "the list of managed saves")
            require("Managed save:   yes" in daemon.virsh("dominfo", "linux"), daemon.virsh("dominfo", "linux"))
            daemon.virsh("undefine", "linux", good=False)
            daemon.kill()
            daemon.start()
            daemon.virsh("start", "linux")
            require("Managed save:   no" in daemon.virsh("dominfo", "linux"), "the managed save is still there")
            with Console(["virsh", "-c", daemon.uri(), "console", "linux"]) as c:
                awake(c)
                require("kept in memory" in shell(c, "cat /note", 60), "the guest has forgotten after a managed save")
                c.send("poweroff -f\n")
                c.wait(90)
    return run


def check_core(path, memory, processors, code):
    """The core file of idle_guest: all memory, and processors that stand in its code. The form is QEMU's, of a 64-bit guest."""
    with open(path, "rb") as f:
        core = f.read()
    kind, machine, phoff, count = *struct.unpack_from("<HH", core, 16), *struct.unpack_from("<Q", core, 32), *struct.unpack_from("<H", core, 56)
    rows = [struct.unpack_from("<IIQQQQQQ", core, phoff + 56 * i) for i in range(count)]
    require(core[:5] == b"\x7fELF\2" and (kind, machine) == (4, 62), "the file is no core file")
    loads = {r[4]: r for r in rows if r[0] == 1}
    low = loads[0]
    require(sum(r[5] for r in loads.values()) == memory, str(rows))
    require(core[low[2] + 0x100000:low[2] + 0x100000 + len(code)] == code, "the guest's code is not where it was loaded")
    at, size = next((r[2], r[5]) for r in rows if r[0] == 4)
    notes, end = [], at + size
    while at < end:
        names, descs, note = struct.unpack_from("<III", core, at)
        notes.append((core[at + 12:at + 12 + names], note, core[at + 20:at + 20 + descs]))
        at += 20 + (descs + 3 & ~3)
    require([n[:2] for n in notes] == [(b"CORE\0", 1)] * processors + [(b"QEMU\0", 0)] * processors, str(notes))
    rip, cs = struct.unpack_from("<QQ", notes[0][2], 112 + 16 * 8)
    version, whole, cr0 = *struct.unpack_from("<II", notes[processors][2]), *struct.unpack_from("<Q", notes[processors][2], 8 + 18 * 8 + 10 * 24)
    require(0x100000 < rip < 0x100030 and cs == 8, "the first processor is at %x:%x" % (cs, rip))
    require((version, whole, len(notes[0][2]), cr0 & 1) == (1, 440, 336, 1), "the note of QEMU's")


def files(build, emulator):
    """The files of saved guests, good ones and bad ones."""
    def run():
        with Daemon(build, emulator) as daemon:
            daemon.define("a")
            saved = daemon.root + "/saved"
            daemon.virsh("start", "a")
            can_migrate(daemon, "a")
            daemon.virsh("domjobinfo", "a")
            daemon.virsh("suspend", "a")
            daemon.virsh("save", "a", saved)
            require(re.search(r"Completed(.|\n)*Operation: +Save(.|\n)*Data processed: +[1-9]", daemon.virsh("domjobinfo", "a", "--completed")), "how the save went")
            daemon.virsh("restore", saved)
            require(daemon.state("a").startswith("paused"), "a paused guest comes back " + daemon.state("a"))
            daemon.virsh("restore", saved, good=False)
            daemon.virsh("destroy", "a")
            daemon.virsh("restore", saved, "--running")
            require(daemon.state("a") == "running (restored)", daemon.state("a"))
            daemon.virsh("dump", "a", daemon.root + "/core", "--live")
            require(daemon.state("a").startswith("running") and os.path.getsize(daemon.root + "/core") > 1000, "dump")
            daemon.virsh("dump", "a", daemon.root + "/elf", "--memory-only")
            require(daemon.state("a").startswith("running"), "the guest does not run on after a dump")
            if emulator == "lodge-vm":
                check_core(daemon.root + "/elf", 64 << 20, 2, b"\xfa\x0f\x01\x15")
                out = daemon.virsh("dump", "a", daemon.root + "/x", "--memory-only", "--format", "kdump-zlib", good=False)
                require("unsupported dumpformat 'kdump-zlib'" in out and not os.path.exists(daemon.root + "/x"), out)
            else: # of a guest that is not in 64-bit mode, QEMU writes a 32-bit file
                require(open(daemon.root + "/elf", "rb").read(4) == b"\x7fELF", "dump --memory-only")
                daemon.virsh("dump", "a", daemon.root + "/kdump", "--memory-only", "--format", "kdump-zlib")
                require(open(daemon.root + "/kdump", "rb").read(12) == b"makedumpfile", "dump --format kdump-zlib")
            daemon.virsh("destroy", "a")
            bad = {"short": b"x", "magic": b"LibvirtQemudSavX" + b"\0" * 200, "partial": b"LibvirtQemudPart" + open(saved, "rb").read()[16:],
                   "large": open(saved, "rb").read()[:20] + b"\xff\xff\xff\x7f" + b"\0" * 200, "cut": open(saved, "rb").read()[:2500],
                   "cut2": open(saved, "rb").read()[:os.path.getsize(saved) // 2]}
            for name, content in bad.items():
                daemon.virsh("restore", daemon.write("bad-" + name, content), good=False)
                require(daemon.state("a").startswith("shut off"), name + ": " + daemon.state("a"))
            daemon.virsh("restore", "/etc", good=False)
            daemon.virsh("start", "a")
            daemon.virsh("managedsave", "a")
            daemon.virsh("managedsave-remove", "a")
            daemon.virsh("start", "a")
            daemon.virsh("managedsave", "a", "--paused")
            daemon.virsh("start", "a", "--force-boot")
            require(daemon.state("a") == "running (booted)", daemon.state("a"))
            daemon.virsh("managedsave", "a")
            daemon.virsh("undefine", "a", "--managed-save")
            require(not os.listdir(daemon.root + "/lib/save"), "a managed save is left")
    return run


def full_disk(build, emulator):
    """No room for the state: the error says so, nothing is left, the guest runs on."""
    def run():
        with Daemon(build, emulator) as daemon, small_file_system(daemon.root + "/small", "8k") as small:
            daemon.define("a")
            daemon.virsh("start", "a")
            can_migrate(daemon, "a")
            status, out = output_of(["virsh", "-c", daemon.uri(), "save", "a", small + "/state"], 120)
            require(status and ("o space" in out or "write" in out), "save to a full disk: " + out)
            require(daemon.state("a") == "running (save canceled)", "after a failed save: " + daemon.state("a"))
            require(not os.listdir(small), "a failed save has left a file")
            daemon.virsh("save", "a", daemon.root + "/saved")
    return run


def tests(build):
    return [("%s-%s" % (name, e), test(build, e)) for name, test in (("save-files", files), ("save-full-disk", full_disk))
            for e in EMULATORS]


def guest_tests(build):
    return [("save-linux-" + e, linux(build, e)) for e in EMULATORS]
