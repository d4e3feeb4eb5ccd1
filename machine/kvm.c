/* kvm.c - the machine's seam downward: the KVM API, from the library or from the kernel */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/config/vm_config.h"
#include "base/kvm_probe.h"
#include "lodge/kvm.h"
#include "machine/kvm.h"

static int kernel_open(void)
{
    return open("/dev/kvm", O_RDWR | O_CLOEXEC);
}

static int kernel_ioctl(int fd, unsigned long request, unsigned long arg)
{
    return ioctl(fd, request, arg);
}

const struct kvm_api kvm_lodge = {.name = "lodge",
                                  .open = lodge_kvm_open,
                                  .ioctl = lodge_kvm_ioctl,
                                  .close = lodge_kvm_close,
                                  .writes = lodge_kvm_writes,
                                  .wrote = lodge_kvm_wrote};
const struct kvm_api kvm_kernel = {.name = "kvm", .open = kernel_open, .ioctl = kernel_ioctl, .close = close};

const struct kvm_api *kvm_api(unsigned accel)
{
    static const struct kvm_api *const apis[] = {[ACCEL_LODGE] = &kvm_lodge, [ACCEL_KVM] = &kvm_kernel};
    return apis[accel];
}

void kvm_choose(struct vm_config *c)
{
    struct kvm_probe p;
    bool wants_dump = c->dump_letters;

    if (c->accel != ACCEL_AUTO) {
        if (c->accel_verbose)
            report("-accel %s, as told", kvm_api(c->accel)->name);
        return;
    }
    kvm_probe(&p);
    c->accel = p.hardware && !wants_dump ? ACCEL_KVM : ACCEL_LODGE;
    if (c->accel_verbose)
        report("-accel %s: %s", kvm_api(c->accel)->name,
               p.hardware && wants_dump ? "-d is a dump of Lodge's hypervisor" : p.why);
}

/* What the machine cannot do without, whoever serves the API. */
static const struct {
    int number;
    const char *name;
} needed[] = {
    {KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY"}, {KVM_CAP_EXT_CPUID, "KVM_CAP_EXT_CPUID"},
    {KVM_CAP_IRQCHIP, "KVM_CAP_IRQCHIP"},         {KVM_CAP_PIT2, "KVM_CAP_PIT2"},
    {KVM_CAP_SIGNAL_MSI, "KVM_CAP_SIGNAL_MSI"},   {KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT"},
};

static int check_capabilities(const struct kvm_api *api, int fd, struct error *e)
{
    int version = api->ioctl(fd, KVM_GET_API_VERSION, 0);
    if (version != KVM_API_VERSION)
        return error_set(e, ENOTSUP, "-accel %s serves version %d of the KVM API, not %d", api->name, version,
                         KVM_API_VERSION);
    for (size_t i = 0; i < ARRAY_SIZE(needed); i++)
        if (api->ioctl(fd, KVM_CHECK_EXTENSION, (unsigned long)needed[i].number) <= 0)
            return error_set(e, ENOTSUP, "-accel %s does not have %s, which the machine needs", api->name,
                             needed[i].name);
    return 0;
}

int kvm_open(const struct kvm_api *api, struct error *e)
{
    int fd = api->open();
    if (fd < 0)
        return error_set(e, errno, "cannot open -accel %s: %s%s", api->name, strerror(errno),
                         api == &kvm_kernel ? ": use -accel lodge, which needs no /dev/kvm" : "");
    int r = check_capabilities(api, fd, e);
    if (r < 0)
        api->close(fd);
    return r < 0 ? r : fd;
}

int kvm_call_named(const struct kvm_api *api, int fd, unsigned long request, unsigned long arg,
                   const char *name, struct error *e)
{
    int r;
    do
        r = api->ioctl(fd, request, arg);
    while (r < 0 && errno == EINTR);
    return r < 0 ? error_set(e, errno, "-accel %s: %s failed: %s", api->name, name, strerror(errno)) : r;
}
