/* ioctl.c - fuzzing of the KVM API: sequences of ioctls with arbitrary structs (libFuzzer) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The input is a program for the few instructions below: create and close objects, call a request of the
 * library's own table with bytes of the input as its argument, write guest memory, the pages that a vcpu
 * shares with its client or its dirty ring, signal an eventfd, run one vcpu or both at a time. What an input
 * may not choose is a host address: those in its structs are replaced by places in the RAM here, some of them
 * unmapped, as a client's mistake would have it. Descriptors are most often eventfds.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/base.h"
#include "lodge/kvm.h"
#include "lodge/kvm_abi.h"

enum {
    RAM_SIZE = 0x40000,
    HOLE = 0x8000,
    RUN_MS = 3,
    MAX_STEPS = 64,
    VCPUS = 2,
    EVENTS = 4,
    RING_SIZE = 0x1000
};

#define SYSTEM(request, argument, handler) {0, (u32)(request)},
#define VM(request, argument, handler)     {1, (u32)(request)},
#define VCPU(request, argument, handler)   {2, (u32)(request)},
static const struct {
    u8 kind; /* of descriptor: system, VM, vcpu */
    u32 request;
} requests[] = {
#include "hypervisor/api/ioctls.h"
};

struct input {
    const u8 *data;
    size_t size;
};

struct client {
    int fd[2 + VCPUS]; /* system, VM, vcpus; -1: none */
    struct kvm_run *run[VCPUS];
    u8 *ring[VCPUS];
    bool has_ring; /* of dirty pages: each vcpu */
    size_t run_size;
    int event[EVENTS]; /* eventfds */
};

static u8 *ram;
static struct kvm_run *_Atomic running[VCPUS];
static pthread_t _Atomic second; /* the thread of vcpu 1 while both run */

static u64 take(struct input *in, unsigned size)
{
    u64 v = 0;
    unsigned n = (unsigned)min((size_t)size, in->size);
    memcpy(&v, in->data, n);
    in->data += n;
    in->size -= n;
    return v;
}

static void stop_running(int signal)
{
    for (unsigned i = 0; i < VCPUS; i++) {
        struct kvm_run *r = running[i];
        if (r)
            r->immediate_exit = 1;
    }
    pthread_t other = second;
    if (other && other != pthread_self())
        pthread_kill(other, signal); /* it may be waiting in HLT */
}

static void run_vcpu(struct client *c, unsigned i)
{
    if (c->fd[2 + i] < 0)
        return;
    running[i] = c->run[i];
    lodge_kvm_ioctl(c->fd[2 + i], KVM_RUN, 0);
    running[i] = NULL;
    c->run[i]->immediate_exit = 0;
}

static void *run_second(void *client)
{
    run_vcpu(client, 1);
    return NULL;
}

/* Vcpu i; or both. */
static void run_vcpus(struct client *c, unsigned i, bool both)
{
    struct itimerval t = {{0, RUN_MS * 1000}, {0, RUN_MS * 1000}}, none = {{0, 0}, {0, 0}};
    pthread_t thread;
    setitimer(ITIMER_REAL, &t, NULL);
    both = both && !pthread_create(&thread, NULL, run_second, c);
    if (both)
        second = thread;
    run_vcpu(c, both ? 0 : i);
    if (both)
        pthread_join(thread, NULL);
    second = 0;
    setitimer(ITIMER_REAL, &none, NULL);
}

/* A page of the RAM, mapped or not; in 1 of 256, one that is not aligned. */
static u64 host_address(u64 chosen)
{
    return (u64)ram + (chosen & (RAM_SIZE - 1) & ~(chosen >> 56 ? 0xfffull : 0));
}

/* One of the eventfds; in 1 of 16, any number. */
static u32 descriptor(const struct client *c, u32 chosen)
{
    return chosen >> 28 == 15 ? chosen : (u32)c->event[chosen % EVENTS];
}

static void keep_descriptors_here(const struct client *c, u32 request, void *argument)
{
    struct kvm_irqfd *irqfd = argument;
    struct kvm_ioeventfd *ioeventfd = argument;
    if (request == (u32)KVM_IRQFD) {
        irqfd->fd = descriptor(c, irqfd->fd);
        irqfd->resamplefd = descriptor(c, irqfd->resamplefd);
    }
    if (request == (u32)KVM_IOEVENTFD)
        ioeventfd->fd = (s32)descriptor(c, (u32)ioeventfd->fd);
}

/* The bitmaps of a filter are read; SIGALRM stays open, as it is what ends a run. */
static void keep_filter_and_mask(u32 request, void *argument)
{
    struct kvm_msr_filter *filter = argument;
    struct kvm_signal_mask *mask = argument;
    if (request == (u32)KVM_X86_SET_MSR_FILTER) {
        for (unsigned i = 0; i < ARRAY_SIZE(filter->ranges); i++)
            filter->ranges[i].bitmap = (void *)host_address((u64)filter->ranges[i].bitmap);
    }
    if (request == (u32)KVM_SET_SIGNAL_MASK)
        mask->sigset[(SIGALRM - 1) / 8] &= (u8)~BIT((SIGALRM - 1) % 8);
}

static void keep_addresses_here(u32 request, void *argument)
{
    struct kvm_userspace_memory_region *region = argument;
    struct kvm_dirty_log *log = argument;
    struct kvm_clear_dirty_log *clear = argument;
    struct kvm_device_attr *attr = argument;
    if (request == (u32)KVM_SET_USER_MEMORY_REGION || request == (u32)KVM_SET_USER_MEMORY_REGION2) {
        region->userspace_addr = host_address(region->userspace_addr);
        region->memory_size %= RAM_SIZE - (region->userspace_addr - (u64)ram) + 1;
    }
    if (request == (u32)KVM_GET_DIRTY_LOG)
        log->dirty_bitmap = (void *)host_address((u64)log->dirty_bitmap);
    if (request == (u32)KVM_CLEAR_DIRTY_LOG)
        clear->dirty_bitmap = (void *)host_address((u64)clear->dirty_bitmap);
    if (request == (u32)KVM_GET_DEVICE_ATTR || request == (u32)KVM_SET_DEVICE_ATTR)
        attr->addr = host_address(attr->addr);
}

static void create_vcpu(struct client *c, unsigned i)
{
    if (c->fd[2 + i] >= 0 || c->fd[1] < 0)
        return;
    int fd = lodge_kvm_ioctl(c->fd[1], KVM_CREATE_VCPU, i);
    if (fd < 0)
        return;
    void *run = mmap(NULL, c->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (run == MAP_FAILED) {
        lodge_kvm_close(fd);
        return;
    }
    void *ring = MAP_FAILED;
    if (c->has_ring)
        ring =
            mmap(NULL, RING_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, KVM_DIRTY_LOG_PAGE_OFFSET * 0x1000);
    c->fd[2 + i] = fd;
    c->run[i] = run;
    c->ring[i] = ring == MAP_FAILED ? NULL : ring;
}

static void close_vcpu(struct client *c, unsigned i)
{
    if (c->fd[2 + i] < 0)
        return;
    munmap(c->run[i], c->run_size);
    if (c->ring[i])
        munmap(c->ring[i], RING_SIZE);
    lodge_kvm_close(c->fd[2 + i]);
    c->fd[2 + i] = -1;
}

/* Requests that make descriptors have their own instructions. */
static void call(struct client *c, struct input *in)
{
    static _Alignas(64) u8 argument[16384];
    unsigned i = (unsigned)take(in, 1) % ARRAY_SIZE(requests), which = (unsigned)take(in, 1);
    u32 request = requests[i].request;
    if (request == (u32)KVM_CREATE_VM || request == (u32)KVM_CREATE_VCPU || request == (u32)KVM_RUN)
        return;
    unsigned kind = which < 250 ? requests[i].kind : which % 3;
    int fd = c->fd[kind < 2 ? kind : 2 + which % VCPUS];
    unsigned size = (unsigned)take(in, 2) % sizeof(argument);
    unsigned n = (unsigned)min((size_t)size, in->size);
    memcpy(argument, in->data, n);
    memset(argument + n, 0, sizeof(argument) - n);
    in->data += n;
    in->size -= n;
    keep_addresses_here(request, argument);
    keep_filter_and_mask(request, argument);
    keep_descriptors_here(c, request, argument);
    bool value = _IOC_SIZE(request) == 0 && which & 8;
    int r = lodge_kvm_ioctl(fd, request, value ? *(u64 *)argument : (u64)argument);
    if (r >= 0 && request == (u32)KVM_GET_STATS_FD)
        close(r);
}

static void write_ram(struct input *in)
{
    u64 at = take(in, 3) % RAM_SIZE, size = take(in, 1);
    size = min(size, RAM_SIZE - at);
    if (at < HOLE + 0x1000 && at + size > HOLE)
        return;
    size = min(size, in->size);
    memcpy(ram + at, in->data, size);
    in->data += size;
    in->size -= size;
}

/* What the client may write at any time: the pages of kvm_run, or the dirty ring. */
static void write_shared(struct client *c, struct input *in, unsigned i, bool ring)
{
    u8 *to = ring ? c->ring[i] : (u8 *)c->run[i];
    size_t all = ring ? RING_SIZE : c->run_size, at = take(in, 2), size = take(in, 1);
    if (c->fd[2 + i] < 0 || !to)
        return;
    at %= all;
    size = min(min(size, all - at), in->size);
    memcpy(to + at, in->data, size);
    in->data += size;
    in->size -= size;
}

/* Real mode with RAM at 0: most programs begin with it. */
static void set_up_guest(struct client *c)
{
    struct kvm_userspace_memory_region low = {
        .flags = c->has_ring ? KVM_MEM_LOG_DIRTY_PAGES : 0, .memory_size = HOLE, .userspace_addr = (u64)ram};
    struct kvm_regs regs = {.rip = 0x1000, .rsp = 0x7000, .rflags = 2};
    struct kvm_sregs sregs;
    lodge_kvm_ioctl(c->fd[1], KVM_SET_USER_MEMORY_REGION, (u64)&low);
    create_vcpu(c, 0);
    if (c->fd[2] < 0 || lodge_kvm_ioctl(c->fd[2], KVM_GET_SREGS, (u64)&sregs))
        return;
    sregs.cs.base = sregs.cs.selector = 0;
    lodge_kvm_ioctl(c->fd[2], KVM_SET_SREGS, (u64)&sregs);
    lodge_kvm_ioctl(c->fd[2], KVM_SET_REGS, (u64)&regs);
}

/* Before there is a vcpu. */
static void enable_ring(struct client *c)
{
    struct kvm_enable_cap cap = {.cap = KVM_CAP_DIRTY_LOG_RING, .args = {RING_SIZE}};
    c->has_ring = !lodge_kvm_ioctl(c->fd[1], KVM_ENABLE_CAP, (u64)&cap);
}

/* An edge, a level with its resampling, a doorbell: many programs signal them. */
static void connect_events(struct client *c)
{
    struct kvm_irqfd edge = {.fd = (u32)c->event[0], .gsi = 4};
    struct kvm_irqfd level = {
        .fd = (u32)c->event[1], .gsi = 9, .flags = KVM_IRQFD_FLAG_RESAMPLE, .resamplefd = (u32)c->event[2]};
    struct kvm_ioeventfd doorbell = {
        .addr = 0xf4, .len = 1, .fd = c->event[3], .flags = KVM_IOEVENTFD_FLAG_PIO};
    lodge_kvm_ioctl(c->fd[1], KVM_IRQFD, (u64)&edge);
    lodge_kvm_ioctl(c->fd[1], KVM_IRQFD, (u64)&level);
    lodge_kvm_ioctl(c->fd[1], KVM_IOEVENTFD, (u64)&doorbell);
}

static void step(struct client *c, struct input *in)
{
    unsigned op = (unsigned)take(in, 1);
    switch (op & 7) {
    case 0: run_vcpus(c, op >> 3 & 1, op >> 4 & 1); break;
    case 1: write_ram(in); break;
    case 2:
        if (op >> 5 & 1)
            write_shared(c, in, op >> 3 & 1, op >> 4 & 1);
        else
            create_vcpu(c, op >> 3 & 1);
        break;
    case 3:
        if (op >> 3 & 1)
            close_vcpu(c, op >> 4 & 1);
        else
            eventfd_write(c->event[op >> 4 & (EVENTS - 1)], 1);
        break;
    default: call(c, in);
    }
}

static void open_all(struct client *c)
{
    c->fd[0] = lodge_kvm_open();
    c->fd[1] = lodge_kvm_ioctl(c->fd[0], KVM_CREATE_VM, 0);
    c->fd[2] = c->fd[3] = -1;
    for (unsigned i = 0; i < EVENTS; i++)
        c->event[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    c->run_size = (size_t)lodge_kvm_ioctl(c->fd[0], KVM_GET_VCPU_MMAP_SIZE, 0);
}

static void close_all(struct client *c)
{
    for (unsigned i = 0; i < VCPUS; i++)
        close_vcpu(c, i);
    for (unsigned i = 0; i < EVENTS; i++)
        close(c->event[i]);
    lodge_kvm_close(c->fd[1]);
    lodge_kvm_close(c->fd[0]);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(ram + HOLE, 0x1000);
    mmap(ram + HOLE, 0x1000, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    signal(SIGALRM, stop_running);
    return 0;
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
    struct input in = {data, size};
    struct client c = {.has_ring = false};
    open_all(&c);
    memset(ram, 0xf4, HOLE);
    unsigned flags = (unsigned)take(&in, 1);
    if (flags & 1)
        lodge_kvm_ioctl(c.fd[1], KVM_CREATE_IRQCHIP, 0);
    if (flags & 4)
        enable_ring(&c);
    set_up_guest(&c);
    if (flags & 2)
        connect_events(&c);
    for (unsigned i = 0; i < MAX_STEPS && in.size; i++)
        step(&c, &in);
    close_all(&c);
    return 0;
}
