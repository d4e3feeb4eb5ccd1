# check.py - lodge check on recorded hosts, and -accel auto on this one
# SPDX-License-Identifier: GPL-2.0-or-later
import json
import os
import tempfile

from harness.lodge import output_of, require

LONG_NX = "80000001 0 0 0 %x 20100000\n"
INTEL = "1 0 0 0 20 0\n" + LONG_NX % 0
AMD = "1 0 0 0 0 0\n" + LONG_NX % 4 + "8000000a 0 0 0 0 1\n"
VIRTUAL = 1 << 31
INTEL_INFO = "flags\t\t: fpu vmx lm\nvmx flags\t: vnmi ept vpid unrestricted_guest\n"


def msr(index, value):
    return lambda f: (f.seek(index), f.write(value.to_bytes(8, "little")))


COMMON = {"dev/kvm": "", "dev/vhost-net": "", "dev/net/tun": "", "kvm-mips": "5200\n",
          "sys/fs/cgroup/cgroup.controllers": "cpuset cpu io memory pids\n",
          "sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never\n", "sys/kernel/mm/ksm/run": "0\n"}
# Files of the host, its status, and the verdicts that are not PASS.
HOSTS = {
    "intel": ({**COMMON, "cpuid": INTEL, "proc/cpuinfo": INTEL_INFO, "dev/cpu/0/msr": msr(0x3a, 5),
               "sys/module/kvm_intel/parameters/nested": "Y\n", "sys/firmware/acpi/tables/DMAR": "DMAR",
               "sys/kernel/iommu_groups/0/x": ""}, 0, {}),
    "intel-locked": ({**COMMON, "cpuid": INTEL, "proc/cpuinfo": INTEL_INFO, "dev/cpu/0/msr": msr(0x3a, 1),
                      "sys/module/kvm_intel/parameters/nested": "N\n", "sys/firmware/acpi/tables/DMAR": "DMAR",
                      "proc/cmdline": "quiet\n"}, 2, {"firmware": "FAIL", "nested": "WARN", "iommu": "WARN"}),
    "intel-old": ({**COMMON, "cpuid": INTEL, "proc/cpuinfo": "flags : vmx\nvmx flags : vnmi vpid\n",
                   "sys/module/kvm_intel/parameters/nested": "Y\n", "sys/kernel/iommu_groups/0/x": ""}, 2,
                  {"slat": "FAIL", "unrestricted-guest": "WARN"}),
    "amd": ({**COMMON, "cpuid": AMD, "proc/cpuinfo": "flags : fpu svm npt\n", "dev/cpu/0/msr": msr(0xc0010114, 8),
             "sys/module/kvm_amd/parameters/nested": "1\n", "sys/firmware/acpi/tables/IVRS": "IVRS",
             "sys/kernel/iommu_groups/0/x": ""}, 0, {}),
    "amd-disabled": ({**COMMON, "cpuid": AMD, "proc/cpuinfo": "flags : fpu npt\n",
                      "sys/module/kvm_amd/parameters/nested": "1\n", "sys/kernel/iommu_groups/0/x": ""}, 2,
                     {"firmware": "FAIL"}),
    "nested": ({**COMMON, "cpuid": "1 0 0 0 %x 0\n" % (VIRTUAL | 0x20) + LONG_NX % 0, "proc/cpuinfo": INTEL_INFO,
                "sys/module/kvm_intel/parameters/nested": "N\n", "sys/kernel/iommu_groups/0/x": ""}, 0,
               {"nested": "WARN"}),
    "software-kvm": ({**COMMON, "cpuid": INTEL, "proc/cpuinfo": INTEL_INFO, "kvm-mips": "1\n",
                      "sys/module/kvm_intel/parameters/nested": "Y\n", "sys/kernel/iommu_groups/0/x": ""}, 2,
                     {"kvm-speed": "FAIL"}),
    "cloud": ({"cpuid": "1 0 0 0 %x 0\n" % VIRTUAL + LONG_NX % 0, "proc/cpuinfo": "flags : fpu lm hypervisor\n",
               "dev/net/tun": "", "sys/fs/cgroup/cgroup.controllers": "cpu memory\n",
               "sys/kernel/mm/transparent_hugepage/enabled": "[always] madvise never\n", "sys/kernel/mm/ksm/run": "0\n"}, 2,
              {"virtualization": "FAIL", "firmware": "WARN", "slat": "WARN", "unrestricted-guest": "WARN", "iommu": "WARN",
               "nested": "WARN", "kvm-module": "WARN", "kvm-device": "FAIL", "kvm-speed": "FAIL", "vhost-net": "WARN"}),
    "container": ({"cpuid": AMD, "proc/cpuinfo": "flags : fpu svm npt\n", "sys/module/kvm_amd/parameters/nested": "1\n"}, 2,
                  {"iommu": "WARN", "kvm-device": "FAIL", "kvm-speed": "FAIL", "vhost-net": "WARN", "tun": "WARN",
                   "cgroups": "WARN", "hugepages": "WARN", "ksm": "WARN"}),
}


def write(folder, files):
    for name, content in files.items():
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            content(f) if callable(content) else f.write(content.encode())


def recorded(build, files, status, other):
    def run():
        with tempfile.TemporaryDirectory() as folder:
            write(folder, files)
            got, out = output_of([build.path("lodge"), "check", "--json", "--root", folder], 60)
            rows = json.loads(out)
            verdicts = {r["id"]: r["verdict"] for r in rows if r["verdict"] != "PASS"}
            require(verdicts == other, "verdicts %s, wanted %s:\n%s" % (verdicts, other, out))
            require(got == status, "status %d, wanted %d" % (got, status))
            require(all(r["evidence"] and r["title"] for r in rows), "a row without evidence:\n" + out)
            require(all("advice" in r for r in rows if r["verdict"] == "FAIL"), "a FAIL without advice:\n" + out)
            got, out = output_of([build.path("lodge"), "check", "--root", folder], 60)
            require(got == status and out.count("PASS  ") == len(rows) - len(other), "the text differs:\n" + out)
    return run


def this_host(build):
    """Each row has a verdict, and -accel auto takes the kernel's KVM exactly where the rows say that it has hardware."""
    def run():
        status, out = output_of([build.path("lodge"), "check", "--json"], 60)
        rows = {r["id"]: r["verdict"] for r in json.loads(out)}
        require(status == (2 if "FAIL" in rows.values() else 0), "status %d with %s" % (status, rows))
        hardware = all(rows[i] == "PASS" for i in ("virtualization", "kvm-device", "kvm-speed"))
        argv = build.machine("-accel", "auto,verbose=on", "-m", "128", "-nographic", "-no-reboot", "-kernel",
                             build.path("tests/guests/ring3.elf"))
        status, out = output_of(argv, 60)
        require("-accel %s: " % ("kvm" if hardware else "lodge") in out, "-accel auto tells something else:\n" + out)
        require(hardware or "done" in out, "the guest does not run:\n" + out)
    return run


def bad(build):
    def run():
        for words in ["--no-such"], ["--root"], ["--root", "/no/such"]:
            status, out = output_of([build.path("lodge"), "check", *words], 60)
            require(status == 1 and out.count("\n") == 1 and "check: " in out, "%s: %d\n%s" % (words, status, out))
    return run


def tests(build):
    return [("check-" + name, recorded(build, *row)) for name, row in HOSTS.items()] + \
           [("check-this-host", this_host(build)), ("check-bad", bad(build))]
