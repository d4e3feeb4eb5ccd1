/* kvm_probe.c - whether the kernel's KVM is there, and runs guests on hardware */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * That /dev/kvm opens is not enough: on machines that are virtual themselves there may be a KVM that
 * interprets its guests, at 1 to 2 million instructions a second. So a guest is timed: a loop of two
 * instructions in real-address mode, which any KVM runs.
 */
#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/kvm_probe.h"

enum {
    PAGE = 4096,
    WARM_UP = 100,
    ROUNDS = 100000, /* 0.1 ms of a processor, 100 to 200 ms of an interpreter */
    FAST_MIPS = 100,
};

struct probe_guest {
    int vm, vcpu;
    u8 *memory;
    struct kvm_run *run;
    size_t run_size;
};

/* mov $rounds, %ecx; again: dec %ecx; jnz again; hlt */
static void load_code(struct probe_guest *g, u32 rounds)
{
    const u8 code[] = {0x66, 0xb9, 0, 0, 0, 0, 0x66, 0x49, 0x75, 0xfc, 0xf4};

    memcpy(g->memory, code, sizeof(code));
    memcpy(g->memory + 2, &rounds, sizeof(rounds));
}

static int guest_create(struct probe_guest *g, int fd)
{
    int size = ioctl(fd, KVM_GET_VCPU_MMAP_SIZE, 0);

    if (size < (int)sizeof(struct kvm_run) || (g->vm = ioctl(fd, KVM_CREATE_VM, 0)) < 0)
        return -1;
    g->run_size = (size_t)size;
    g->memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (g->memory == MAP_FAILED)
        return -1;
    struct kvm_userspace_memory_region slot = {.memory_size = PAGE, .userspace_addr = (uintptr_t)g->memory};
    if (ioctl(g->vm, KVM_SET_USER_MEMORY_REGION, &slot) || (g->vcpu = ioctl(g->vm, KVM_CREATE_VCPU, 0)) < 0)
        return -1;
    g->run = mmap(NULL, g->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, g->vcpu, 0);
    return g->run == MAP_FAILED ? -1 : 0;
}

static void guest_destroy(struct probe_guest *g)
{
    int e = errno;

    if (g->run != MAP_FAILED)
        munmap(g->run, g->run_size);
    if (g->vcpu >= 0)
        close(g->vcpu);
    if (g->vm >= 0)
        close(g->vm);
    if (g->memory != MAP_FAILED)
        munmap(g->memory, PAGE);
    errno = e;
}

static u64 now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (u64)t.tv_sec * 1000000000 + (u64)t.tv_nsec;
}

/* Nanoseconds, 0 with errno if it does not get to its end. */
static u64 guest_time(struct probe_guest *g, u32 rounds)
{
    struct kvm_regs regs = {.rflags = 2};
    struct kvm_sregs sregs;

    load_code(g, rounds);
    if (ioctl(g->vcpu, KVM_GET_SREGS, &sregs))
        return 0;
    sregs.cs.base = 0;
    sregs.cs.selector = 0;
    if (ioctl(g->vcpu, KVM_SET_SREGS, &sregs) || ioctl(g->vcpu, KVM_SET_REGS, &regs))
        return 0;
    u64 start = now_ns();
    if (ioctl(g->vcpu, KVM_RUN, 0))
        return 0;
    u64 end = now_ns();
    errno = EIO;
    return g->run->exit_reason == KVM_EXIT_HLT ? max(end - start, (u64)1) : 0;
}

int kvm_probe_speed(int fd)
{
    struct probe_guest g = {.vm = -1, .vcpu = -1, .memory = MAP_FAILED, .run = MAP_FAILED};
    u64 best = 0;

    if (!guest_create(&g, fd) && guest_time(&g, WARM_UP))
        for (unsigned i = 0; i < 3; i++) { /* this thread may have been put off its processor in one */
            u64 ns = guest_time(&g, ROUNDS);
            best = ns && (!best || ns < best) ? ns : best;
            if (!ns || 2000ull * ROUNDS / ns >= FAST_MIPS)
                break;
        }
    guest_destroy(&g);
    return best ? (int)(2000ull * ROUNDS / best) : -errno;
}

static const char *extension(void)
{
    u32 a, b, c, d;

    if (__get_cpuid(1, &a, &b, &c, &d) && (c & BIT(5)))
        return "VT-x";
    return __get_cpuid(0x80000001, &a, &b, &c, &d) && (c & BIT(2)) ? "AMD-V" : NULL;
}

void kvm_probe(struct kvm_probe *p)
{
    const char *name = extension();

    *p = (struct kvm_probe){0};
    if (!name) {
        snprintf(p->why, sizeof(p->why), "the processor has neither VT-x nor AMD-V");
        return;
    }
    int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        snprintf(p->why, sizeof(p->why), "the processor has %s, but /dev/kvm does not open: %s", name,
                 strerror(errno));
        return;
    }
    int mips = kvm_probe_speed(fd);
    close(fd);
    p->mips = mips > 0 ? (u32)mips : 0;
    p->hardware = mips >= FAST_MIPS;
    if (mips < 0)
        snprintf(p->why, sizeof(p->why), "/dev/kvm does not run a guest that was tried: %s", strerror(-mips));
    else
        snprintf(p->why, sizeof(p->why), "%s, and a guest that was tried on /dev/kvm ran at %s%d MIPS", name,
                 p->hardware ? "" : "only ", mips);
}
