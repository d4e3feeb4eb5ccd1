# stress.py - Debian's kernel while the engine runs in random modes (hypervisor/translate/stress.h)
# SPDX-License-Identifier: GPL-2.0-or-later
from boot.session import Session
from harness.lodge import PROMPT, require, shell

PATIENCE = 600
DIRECT = ("-accel", "lodge,direct=on")
MODES = ("block", "cache", "tlb", "slow", "exit", "checked", "all", "all,seed=2")


def stressed(build, mode, processors, *options):
    def run():
        machine = build.machine("-nographic", "-m", "512", "-smp", str(processors), *options)
        with build.boot(program=["env", "LODGE_STRESS=" + mode, *machine]) as console:
            console.expect(PROMPT, PATIENCE)
            session = Session(build, PATIENCE)
            session.console = console
            session.uname()
            session.arithmetic()
            bad = shell(console, "dmesg | grep -E 'BUG|Oops|general protection|Call Trace'", PATIENCE)
            require(not bad.strip(), bad)
            console.send("poweroff -f\n")
            require(console.wait(PATIENCE) == 0, "poweroff -f failed")
    return run


def tests(build):
    return [(mode, stressed(build, mode, 1)) for mode in MODES] + [
        ("smp-2", stressed(build, "all", 2)), ("direct", stressed(build, "direct", 1, *DIRECT)),
        ("direct-smp-2", stressed(build, "direct", 2, *DIRECT))]
