# selftests.py - the Linux kernel's own tests of KVM (tools/testing/selftests/kvm), under lodge-kvm
# SPDX-License-Identifier: GPL-2.0-or-later
import os
import re
import subprocess

from harness.lodge import TOP, Skip, output_of, require

PATIENCE = 900  # hardware_disable_test starts and kills 512 VMs, each among 64 threads that leave it no processor
SKIPPED = 4  # KSFT_SKIP


def built():
    p = subprocess.run([os.path.join(TOP, "tools/fetch-selftests.sh")], stdout=subprocess.PIPE, text=True)
    require(p.returncode == 0, "fetch-selftests.sh failed (its message is above)")
    return p.stdout.strip()


def one(build, program):
    def run():
        status, out = output_of([build.path("lodge-kvm"), program], PATIENCE)
        if status == SKIPPED:
            raise Skip(re.search("# SKIP -? ?(.*)|$", out)[1] or out.strip())
        require(status == 0, "ends with status %d:\n%s" % (status, out))
    return run


def tests(build):
    folder = built()
    places = [folder, os.path.join(folder, "x86_64"), os.path.join(folder, "x86")]  # the last: since Linux 6.14
    found = sorted((entry.name, entry.path) for place in places if os.path.isdir(place) for entry in os.scandir(place)
                   if entry.is_file() and os.access(entry.path, os.X_OK) and not entry.name.endswith(".sh"))
    return [(name, one(build, path)) for name, path in found]
