/* check.c - lodge check: what of hardware virtualization this host has, in plain words */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "manager/cli/host.h"
#include "manager/cli/verb.h"

enum verdict { PASS, WARN, FAIL };
static const char *const verdict_names[] = {"PASS", "WARN", "FAIL"};

enum { STATUS_FAIL = 2, FAST_MIPS = 100 };
enum { MSR_FEATURE_CONTROL = 0x3a, MSR_VM_CR = 0xc0010114 }; /* SDM 3C 24.7; APM vol. 2 15.30.1 */
enum { FEATURE_CONTROL_LOCK = BIT(0), FEATURE_CONTROL_VMX = BIT(2), VM_CR_SVMDIS = BIT(4) };

struct finding {
    enum verdict verdict;
    char evidence[256];
    const char *advice; /* what to do; NULL: nothing */
};

__attribute__((format(printf, 4, 5))) static void found(struct finding *f, enum verdict v, const char *advice,
                                                        const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    vsnprintf(f->evidence, sizeof(f->evidence), format, ap);
    va_end(ap);
    f->verdict = v;
    f->advice = v == PASS ? NULL : advice;
}

/* ---- the processor ---- */

static bool has_vmx(const struct host *h)
{
    return host_cpuid(h, 1, 0).ecx & BIT(5);
}

static bool has_svm(const struct host *h)
{
    return host_cpuid(h, 0x80000001, 0).ecx & BIT(2);
}

static bool is_virtual(const struct host *h)
{
    return host_cpuid(h, 1, 0).ecx & BIT(31);
}

static void check_virtualization(const struct host *h, struct finding *f)
{
    if (has_vmx(h))
        found(f, PASS, NULL, "CPUID leaf 1 has VMX (Intel VT-x)");
    else if (has_svm(h))
        found(f, PASS, NULL, "CPUID leaf 80000001 has SVM (AMD-V)");
    else
        found(f, FAIL,
              is_virtual(h)
                  ? "this host is a virtual machine: turn on nested virtualization where it is made, or "
                    "use -accel lodge, which needs none"
                  : "use -accel lodge, which needs none",
              "CPUID has neither VMX (Intel VT-x) nor SVM (AMD-V)%s",
              is_virtual(h) ? ", and says that this is a virtual machine" : "");
}

static void check_vmx_lock(const struct host *h, struct finding *f)
{
    static const char *const advice =
        "turn on \"Virtualization Technology\" in the firmware's setup, and power off once";
    u64 control;
    bool there, flag = host_cpuinfo(h, "flags", "vmx", &there);

    if (host_msr(h, MSR_FEATURE_CONTROL, &control))
        found(f, (control & FEATURE_CONTROL_LOCK) && !(control & FEATURE_CONTROL_VMX) ? FAIL : PASS, advice,
              "IA32_FEATURE_CONTROL is %#llx: %s", (unsigned long long)control,
              !(control & FEATURE_CONTROL_LOCK) ? "not locked"
              : control & FEATURE_CONTROL_VMX   ? "locked with VMX on"
                                                : "locked with VMX off");
    else
        found(f, there && !flag ? FAIL : PASS, advice,
              "the kernel %s vmx in /proc/cpuinfo (MSR 3a cannot be read here)",
              there && !flag ? "does not list" : "lists");
}

static void check_svm_lock(const struct host *h, struct finding *f)
{
    static const char *const advice = "turn on \"SVM\" in the firmware's setup";
    u64 cr;
    bool there, flag = host_cpuinfo(h, "flags", "svm", &there);

    if (host_msr(h, MSR_VM_CR, &cr))
        found(f, cr & VM_CR_SVMDIS ? FAIL : PASS, advice, "VM_CR is %#llx: SVM is %s", (unsigned long long)cr,
              cr & VM_CR_SVMDIS ? "disabled" : "not disabled");
    else
        found(f, there && !flag ? FAIL : PASS, advice,
              "the kernel %s svm in /proc/cpuinfo (MSR c0010114 cannot be read here)",
              there && !flag ? "does not list" : "lists");
}

static void check_firmware(const struct host *h, struct finding *f)
{
    if (has_vmx(h))
        check_vmx_lock(h, f);
    else if (has_svm(h))
        check_svm_lock(h, f);
    else
        found(f, WARN, "see the line above", "there is nothing that firmware could have locked");
}

static void check_slat(const struct host *h, struct finding *f)
{
    static const char *const advice =
        "guests run, with page tables in software: several times slower in the kernel";
    bool there, ept = host_cpuinfo(h, "vmx flags", "ept", &there);

    if (has_svm(h)) {
        bool npt = host_cpuid(h, 0x8000000a, 0).edx & BIT(0);
        found(f, npt ? PASS : FAIL, advice, "CPUID leaf 8000000a %s nested paging (NPT)",
              npt ? "has" : "does not have");
    } else if (has_vmx(h) && there) {
        found(f, ept ? PASS : FAIL, advice, "/proc/cpuinfo %s ept (extended page tables)",
              ept ? "lists" : "does not list");
    } else if (has_vmx(h)) {
        found(f, WARN, "look with a kernel of 5.10 or later",
              "the kernel does not tell whether there is EPT");
    } else {
        found(f, WARN, NULL, "EPT and NPT come with VT-x and AMD-V");
    }
}

static void check_unrestricted(const struct host *h, struct finding *f)
{
    bool there, has = host_cpuinfo(h, "vmx flags", "unrestricted_guest", &there);

    if (has_svm(h))
        found(f, PASS, NULL, "AMD-V runs real mode as it is");
    else if (has_vmx(h) && there)
        found(f, has ? PASS : WARN, "guests' real mode is emulated: firmware and boot loaders run slowly",
              "/proc/cpuinfo %s unrestricted_guest", has ? "lists" : "does not list");
    else
        found(f, WARN, NULL, "the kernel does not tell");
}

static void check_long_mode(const struct host *h, struct finding *f)
{
    bool has = host_cpuid(h, 0x80000001, 0).edx & BIT(29);
    found(f, has ? PASS : FAIL, "Lodge needs a 64-bit processor", "CPUID leaf 80000001 %s LM",
          has ? "has" : "does not have");
}

static void check_nx(const struct host *h, struct finding *f)
{
    bool has = host_cpuid(h, 0x80000001, 0).edx & BIT(20);
    found(f, has ? PASS : WARN, "turn on \"Execute Disable\" or \"NX\" in the firmware's setup",
          "CPUID leaf 80000001 %s NX", has ? "has" : "does not have");
}

static void check_iommu(const struct host *h, struct finding *f)
{
    char line[4096];
    bool dmar = host_exists(h, "/sys/firmware/acpi/tables/DMAR"),
         ivrs = host_exists(h, "/sys/firmware/acpi/tables/IVRS");
    unsigned groups = host_count(h, "/sys/kernel/iommu_groups");
    const char *name = dmar ? "DMAR (VT-d)" : ivrs ? "IVRS (AMD-Vi)" : NULL;

    host_text(h, "/proc/cmdline", line, sizeof(line));
    if (groups)
        found(f, PASS, NULL, "%u IOMMU groups%s%s", groups, name ? ", ACPI table " : "", name ? name : "");
    else if (name)
        found(
            f, WARN,
            dmar ? "add intel_iommu=on to the kernel command line, to give devices to guests"
                 : "take amd_iommu=off and iommu=off from the kernel command line, to give devices to guests",
            "ACPI has %s, but there are no IOMMU groups; the command line has%s an iommu option", name,
            strstr(line, "iommu") ? "" : " not");
    else
        found(f, WARN, "turn on VT-d or AMD-Vi in the firmware's setup, if devices are to be given to guests",
              "no DMAR or IVRS table, no IOMMU groups");
}

static void check_nested(const struct host *h, struct finding *f)
{
    static const char *const advice = "for guests that run guests, load the module with nested=1";
    char value[16];

    if (host_text(h, "/sys/module/kvm_intel/parameters/nested", value, sizeof(value)) ||
        host_text(h, "/sys/module/kvm_amd/parameters/nested", value, sizeof(value))) {
        bool on = strchr("Yy1", value[0]) && value[0];
        found(f, on ? PASS : WARN, advice, "nested is %s%s", on ? "on" : "off",
              is_virtual(h) ? "; this host is a virtual machine itself" : "");
    } else {
        found(f, WARN, advice, "neither kvm_intel nor kvm_amd is loaded%s",
              is_virtual(h) ? "; this host is a virtual machine itself" : "");
    }
}

/* ---- the kernel ---- */

static void check_device(const struct host *h, struct finding *f)
{
    int e = host_opens(h, "/dev/kvm");

    if (e == ENOENT)
        found(f, FAIL,
              "load the module kvm_intel or kvm_amd, or hand /dev/kvm to this container; or use -accel lodge",
              "there is no /dev/kvm");
    else if (e)
        found(f, FAIL, "add yourself to the group kvm, or use -accel lodge", "/dev/kvm does not open: %s",
              strerror(e));
    else
        found(f, PASS, NULL, "/dev/kvm opens");
}

static void check_speed(const struct host *h, struct finding *f)
{
    int mips = host_kvm_speed(h);

    if (mips < 0)
        found(f, FAIL, "use -accel lodge", "no guest could be tried on /dev/kvm: %s", strerror(-mips));
    else if (mips < FAST_MIPS)
        found(f, FAIL, "the KVM here is software: use -accel lodge, which is faster",
              "a guest that was tried on /dev/kvm ran at %d MIPS only", mips);
    else
        found(f, PASS, NULL, "a guest that was tried on /dev/kvm ran at %d MIPS", mips);
}

static void check_modules(const struct host *h, struct finding *f)
{
    bool intel = host_exists(h, "/sys/module/kvm_intel"), amd = host_exists(h, "/sys/module/kvm_amd");
    found(f, intel || amd ? PASS : WARN,
          "modprobe kvm_intel or kvm_amd, where the processor has VT-x or AMD-V",
          intel || amd ? "%s is there" : "neither kvm_intel nor kvm_amd is there%s",
          intel ? "kvm_intel"
          : amd ? "kvm_amd"
                : "");
}

static void device_for_network(const struct host *h, struct finding *f, const char *path, const char *advice)
{
    int e = host_opens(h, path);
    found(f, e ? WARN : PASS, advice, e ? "%s does not open: %s" : "%s opens", path, strerror(e));
}

static void check_vhost_net(const struct host *h, struct finding *f)
{
    device_for_network(h, f, "/dev/vhost-net", "modprobe vhost_net, for fast bridged networks");
}

static void check_tun(const struct host *h, struct finding *f)
{
    device_for_network(h, f, "/dev/net/tun", "modprobe tun, for bridged networks; user networks need it not");
}

static void check_cgroups(const struct host *h, struct finding *f)
{
    char list[256];
    const char *advice = "boot with cgroup v2 and these controllers, to limit what guests use";

    if (!host_text(h, "/sys/fs/cgroup/cgroup.controllers", list, sizeof(list))) {
        bool v1 = host_exists(h, "/sys/fs/cgroup/cpu") && host_exists(h, "/sys/fs/cgroup/memory");
        found(f, WARN, advice, v1 ? "cgroup v1, with cpu and memory" : "no cgroup v2 controllers");
        return;
    }
    bool good = strstr(list, "cpu") && strstr(list, "memory");
    found(f, good ? PASS : WARN, advice, "cgroup v2 has: %s", *list ? list : "none");
}

static void check_hugepages(const struct host *h, struct finding *f)
{
    char free_pages[32] = "", thp[64] = "";

    host_text(h, "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", free_pages, sizeof(free_pages));
    host_text(h, "/sys/kernel/mm/transparent_hugepage/enabled", thp, sizeof(thp));
    bool reserved = free_pages[0] && strcmp(free_pages, "0"),
         transparent = strstr(thp, "[always]") || strstr(thp, "[madvise]");
    found(f, reserved || transparent ? PASS : WARN,
          "echo madvise >/sys/kernel/mm/transparent_hugepage/enabled",
          "free 2 MiB pages: %s; transparent: %s", free_pages[0] ? free_pages : "unknown",
          thp[0] ? thp : "unknown");
}

static void check_ksm(const struct host *h, struct finding *f)
{
    char run[16];

    if (!host_text(h, "/sys/kernel/mm/ksm/run", run, sizeof(run)))
        found(f, WARN, "use a kernel with CONFIG_KSM, if guests are to share equal pages",
              "the kernel has no KSM");
    else
        found(f, PASS, NULL, "the kernel has KSM, %s", strcmp(run, "1") ? "not running" : "running");
}

static const struct {
    const char *id, *title;
    void (*check)(const struct host *h, struct finding *f);
} checks[] = {
    {"virtualization", "hardware virtualization (VT-x or AMD-V)", check_virtualization},
    {"firmware", "firmware leaves it on", check_firmware},
    {"slat", "second-level address translation (EPT or NPT)", check_slat},
    {"unrestricted-guest", "real mode in hardware (unrestricted guest)", check_unrestricted},
    {"long-mode", "64-bit processor", check_long_mode},
    {"nx", "pages that are not executable (NX)", check_nx},
    {"iommu", "IOMMU (VT-d or AMD-Vi)", check_iommu},
    {"nested", "nested virtualization", check_nested},
    {"kvm-module", "kernel module of KVM", check_modules},
    {"kvm-device", "/dev/kvm", check_device},
    {"kvm-speed", "/dev/kvm runs on hardware", check_speed},
    {"vhost-net", "/dev/vhost-net", check_vhost_net},
    {"tun", "/dev/net/tun", check_tun},
    {"cgroups", "cgroup controllers", check_cgroups},
    {"hugepages", "huge pages", check_hugepages},
    {"ksm", "sharing of equal pages (KSM)", check_ksm},
};

/* ---- telling it ---- */

static void print_text(size_t i, const struct finding *f)
{
    printf("%s  %s: %s\n", verdict_names[f->verdict], checks[i].title, f->evidence);
    if (f->advice)
        printf("      %s\n", f->advice);
}

static void add_json(json_t *list, size_t i, const struct finding *f)
{
    json_t *o = json_pack("{s:s, s:s, s:s, s:s}", "id", checks[i].id, "title", checks[i].title, "verdict",
                          verdict_names[f->verdict], "evidence", f->evidence);
    if (f->advice)
        json_object_set_new(o, "advice", json_string(f->advice));
    json_array_append_new(list, o);
}

static int run_checks(const struct host *h, bool as_json)
{
    json_t *list = as_json ? json_array() : NULL;
    int status = 0;

    for (size_t i = 0; i < ARRAY_SIZE(checks); i++) {
        struct finding f = {0};
        checks[i].check(h, &f);
        status = f.verdict == FAIL ? STATUS_FAIL : status;
        if (as_json)
            add_json(list, i, &f);
        else
            print_text(i, &f);
    }
    if (as_json) {
        json_dumpf(list, stdout, JSON_INDENT(2));
        putchar('\n');
    } else {
        puts(status ? "Guests run on Lodge's own hypervisor here, which needs no hardware: -accel lodge."
                    : "Guests can run on the kernel's KVM here: -accel kvm.");
    }
    json_decref(list);
    return status;
}

struct check_arguments {
    const char *root;
    bool json;
};

static const struct argument table[] = {
    {"json", ARGUMENT_FLAG, offsetof(struct check_arguments, json), NULL},
    {"root", ARGUMENT_TEXT, offsetof(struct check_arguments, root), "FOLDER"},
    {0},
};

static int check(int argc, char **argv, struct error *e)
{
    struct check_arguments a = {0};
    int r = arguments_parse(argc, argv, &verb_check, &a, NULL, e);
    if (r < 0)
        return r;
    const struct host h = {.root = a.root};
    if (h.root && !host_exists(&h, "/cpuid"))
        return error_set(e, ENOENT, "check: '%s' is no recorded host: there is no file 'cpuid' in it",
                         h.root);
    return run_checks(&h, a.json);
}

const struct verb verb_check = {
    .name = "check",
    .words = "",
    .table = table,
    .help =
        "      tell what this host has for virtualization, each with PASS, WARN or FAIL, and what to do;\n"
        "      status 2 if anything FAILs; --root: of a recorded host (docs/manager.md)\n",
    .run = check,
};
