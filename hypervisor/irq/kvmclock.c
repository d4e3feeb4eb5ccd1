/* kvmclock.c - paravirtual clock pages (Documentation/virt/kvm/x86/msr.rst, MSR_KVM_SYSTEM_TIME), the host's
 * TSC */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * There is one linear function from the host's TSC to nanoseconds, found once in a process: `host`. Every
 * page of every vcpu is a point of it plus the same slope, and kvmclock_now reads it too, so all vcpus and
 * the VMM see one clock to the nanosecond, however far apart the pages were written.
 */
#include "hypervisor/irq/chips.h"

#include <cpuid.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct slope { /* ns = ((tsc << shift) * mul) >> 32, as the guest's page has it */
    u32 mul;
    s8 shift;
};

static struct host_clock {
    pthread_once_t once;
    pthread_mutex_t page_lock; /* one writer of guests' pages at a time; a leaf */
    u32 khz;
    struct slope slope;
    u64 tsc, ns; /* one moment in both */
} host = {.once = PTHREAD_ONCE_INIT, .page_lock = PTHREAD_MUTEX_INITIALIZER};

u64 host_now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (u64)t.tv_sec * NS_PER_SECOND + (u64)t.tv_nsec;
}

/* ---- the host's TSC ---- */

struct moment {
    u64 tsc, ns;
};

/* Both clocks at once, from the tightest of several readings. */
static struct moment moment_now(void)
{
    struct moment best = {0};
    u64 best_gap = UINT64_MAX;

    for (unsigned i = 0; i < 32; i++) {
        u64 before = host_tsc(), ns = host_now_ns(), gap = host_tsc() - before;

        if (gap < best_gap) {
            best_gap = gap;
            best = (struct moment){.tsc = before + gap / 2, .ns = ns};
        }
    }
    return best;
}

static u32 tsc_khz_measure(long ns)
{
    struct moment a = moment_now(), b;

    nanosleep(&(struct timespec){.tv_nsec = ns}, NULL);
    b = moment_now();
    return (u32)muldiv(b.tsc - a.tsc, 1000000, b.ns - a.ns);
}

/* Leaf 0x15: the TSC's ratio to the crystal, and the crystal in Hz. 0: it does not tell. */
static u32 tsc_khz_crystal(void)
{
    u32 eax, ebx, ecx, edx;

    if (!__get_cpuid(0x15, &eax, &ebx, &ecx, &edx) || !eax || !ebx || !ecx)
        return 0;
    return (u32)muldiv(ecx, ebx, eax * 1000ull);
}

/* Leaf 0x40000010 of hypervisors that tell their guests: the TSC in kHz. */
static u32 tsc_khz_hypervisor(void)
{
    u32 eax, ebx, ecx, edx;

    __cpuid(1, eax, ebx, ecx, edx);
    if (!(ecx & BIT(31)))
        return 0;
    __cpuid(0x40000000, eax, ebx, ecx, edx);
    if (eax < 0x40000010 || eax > 0x400000ff)
        return 0;
    __cpuid(0x40000010, eax, ebx, ecx, edx);
    return eax;
}

/* What the host's kernel has found: its "cpu MHz" is the TSC's where the processor does not count its own
 * clock (APERF and MPERF, leaf 6), as in virtual machines. 0: it does not tell. */
static u32 tsc_khz_kernel(void)
{
    u32 eax, ebx, ecx, edx, khz = 0;
    char text[2048];
    int fd;

    if (!__get_cpuid(6, &eax, &ebx, &ecx, &edx) || ecx & 1)
        return 0;
    fd = open("/proc/cpuinfo", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
    if (fd >= 0)
        close(fd);
    text[max(n, (ssize_t)0)] = 0;
    const char *at = strstr(text, "\ncpu MHz"), *end = at ? strchr(at + 1, '\n') : NULL;
    for (unsigned decimals = 0, point = 0; end && at < end && decimals < 3; at++) {
        if (*at >= '0' && *at <= '9') {
            khz = khz * 10 + (u32)(*at - '0');
            decimals += point;
        }
        point |= *at == '.';
    }
    return end ? khz : 0;
}

/* Within 0.2% of what a short look at the clock says: leaves may be those of another machine. */
static bool tsc_khz_plausible(u32 khz, u32 measured)
{
    u32 difference = khz > measured ? khz - measured : measured - khz;

    return difference < measured / 500;
}

static u32 tsc_khz_find(void)
{
    u32 measured = tsc_khz_measure(2000000);
    u32 told[] = {tsc_khz_hypervisor(), tsc_khz_crystal(), tsc_khz_kernel()};

    for (unsigned i = 0; i < ARRAY_SIZE(told); i++)
        if (tsc_khz_plausible(told[i], measured))
            return told[i];
    return tsc_khz_measure(40000000);
}

/* mul in [2^31, 2^32): the TSC is first shifted until it runs at 1 to 2 GHz. */
static struct slope slope_of(u32 khz)
{
    struct slope s = {0};
    u64 hz = khz * 1000ull;

    for (; hz > 2ull * NS_PER_SECOND; hz >>= 1)
        s.shift--;
    for (; hz <= NS_PER_SECOND; hz <<= 1)
        s.shift++;
    s.mul = (u32)(((u64)NS_PER_SECOND << 32) / hz);
    return s;
}

static void host_clock_find(void)
{
    struct moment now;

    host.khz = tsc_khz_find();
    host.slope = slope_of(host.khz);
    now = moment_now();
    host.tsc = now.tsc;
    host.ns = now.ns;
}

static const struct host_clock *host_clock(void)
{
    pthread_once(&host.once, host_clock_find);
    return &host;
}

u32 host_tsc_khz(void)
{
    return host_clock()->khz;
}

static u64 slope_apply(struct slope s, u64 ticks)
{
    u64 scaled = s.shift < 0 ? ticks >> -s.shift : ticks << s.shift;

    return (u64)((unsigned __int128)scaled * s.mul >> 32);
}

u64 tsc_to_ns(u64 ticks)
{
    return slope_apply(host_clock()->slope, ticks);
}

static struct slope guest_slope(const struct vcpu *v)
{
    return v->tsc_ratio ? slope_of(v->tsc_khz) : host_clock()->slope;
}

u64 guest_tsc_to_ns(const struct vcpu *v, u64 ticks)
{
    return slope_apply(guest_slope(v), ticks);
}

/* ---- the VM's clock ---- */

/* Before the moment of `host` there is no clock, and a VM's clock is never negative. */
static u64 kvmclock_at(struct vm *vm, u64 tsc)
{
    const struct host_clock *h = host_clock();
    s64 ns = (s64)(h->ns + tsc_to_ns(tsc - h->tsc) + (u64)vm->clock_offset); /* a client's offset may wrap */

    return ns > 0 ? (u64)ns : 0;
}

u64 kvmclock_now(struct vm *vm)
{
    return kvmclock_at(vm, host_tsc());
}

/* ---- the guest's pages ---- */

enum { MSR_ENABLED = BIT(0), TSC_STABLE = BIT(0), GUEST_STOPPED = BIT(1) };

/* struct pvclock_vcpu_time_info and pvclock_wall_clock of the interface. */
struct system_time {
    u32 version, pad0;
    u64 tsc_timestamp, system_time;
    u32 tsc_to_system_mul;
    s8 tsc_shift;
    u8 flags, pad[2];
};

struct wall_clock {
    u32 version, sec, nsec;
};

/* The guest may compare clocks of different vcpus only where their TSCs are the same. */
static bool tsc_is_stable(const struct vm *vm)
{
    for (unsigned i = 0; i < vm->vcpu_count; i++)
        if (vm->vcpu[i] && (vm->vcpu[i]->tsc_offset != vm->vcpu[0]->tsc_offset ||
                            vm->vcpu[i]->tsc_ratio != vm->vcpu[0]->tsc_ratio))
            return false;
    return true;
}

/* Writes a record that starts with its version: odd while the rest changes, and then higher. */
static void page_write(struct vm *vm, gpa a, u32 *version, size_t size)
{
    u32 odd;

    if (!phys_read(vm_memory(vm), a, &odd, sizeof(odd)))
        return;
    odd = (odd + 1) | 1;
    *version = odd;
    if (!phys_write(vm, a, &odd, sizeof(odd)))
        return;
    atomic_thread_fence(memory_order_release);
    phys_write(vm, a, version, size);
    atomic_thread_fence(memory_order_release);
    odd++;
    phys_write(vm, a, &odd, sizeof(odd));
}

static void system_time_write(struct vcpu *v, bool stable)
{
    struct slope slope = guest_slope(v);
    gpa a = v->kvmclock_msr & ~(u64)MSR_ENABLED;
    u64 tsc = host_tsc();
    u8 old_flags = 0;
    struct system_time page = {
        .tsc_timestamp = tsc_scale(v, tsc) + v->tsc_offset,
        .system_time = kvmclock_at(v->vm, tsc),
        .tsc_to_system_mul = slope.mul,
        .tsc_shift = slope.shift,
        .flags = stable ? TSC_STABLE : 0,
    };

    if (!(v->kvmclock_msr & MSR_ENABLED))
        return;
    phys_read(vm_memory(v->vm), a + offsetof(struct system_time, flags), &old_flags, sizeof(old_flags));
    page.flags |= old_flags & GUEST_STOPPED; /* KVM_KVMCLOCK_CTRL set it; the guest clears it */
    page_write(v->vm, a, &page.version, sizeof(page));
}

/* One vcpu's TSC decides whether the pages of all are comparable, so all are written. */
static void kvmclock_write_pages(struct vm *vm)
{
    bool stable = tsc_is_stable(vm);

    pthread_mutex_lock(&host.page_lock);
    for (unsigned i = 0; i < vm->vcpu_count; i++)
        if (vm->vcpu[i])
            system_time_write(vm->vcpu[i], stable);
    pthread_mutex_unlock(&host.page_lock);
}

void kvmclock_update(struct vcpu *v)
{
    kvmclock_write_pages(v->vm);
}

void kvmclock_set(struct vm *vm, u64 ns)
{
    const struct host_clock *h = host_clock();

    vm->clock_offset = (s64)(ns - (h->ns + tsc_to_ns(host_tsc() - h->tsc)));
    kvmclock_write_pages(vm);
}

/* The wall clock page holds the time of day at which the VM's clock was 0. */
void kvmclock_write_wall_clock(struct vm *vm, u64 msr)
{
    struct timespec t;
    struct wall_clock page;
    u64 ns;

    if (!msr)
        return;
    clock_gettime(CLOCK_REALTIME, &t);
    ns = (u64)t.tv_sec * NS_PER_SECOND + (u64)t.tv_nsec - kvmclock_now(vm);
    page = (struct wall_clock){.sec = (u32)(ns / NS_PER_SECOND), .nsec = (u32)(ns % NS_PER_SECOND)};
    page_write(vm, msr, &page.version, sizeof(page));
}
