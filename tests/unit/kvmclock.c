/* kvmclock.c - test of the paravirtual clock (Documentation/virt/kvm/x86/msr.rst, MSR_KVM_SYSTEM_TIME) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/test.h"
#include "tests/unit/irq_fake.h"

enum { MS = 1000000 };

struct page { /* struct pvclock_vcpu_time_info */
    u32 version, pad0;
    u64 tsc_timestamp, system_time;
    u32 mul;
    s8 shift;
    u8 flags, pad[2];
};

static struct vm *vm;

static struct page page_at(gpa a)
{
    struct page p;

    memcpy(&p, fake_memory + a, sizeof(p));
    return p;
}

/* As a guest computes it. */
static u64 guest_clock(const struct page *p, u64 tsc)
{
    u64 delta = tsc - p->tsc_timestamp;

    delta = p->shift < 0 ? delta >> -p->shift : delta << p->shift;
    return p->system_time + (u64)((unsigned __int128)delta * p->mul >> 32);
}

/* The TSC's frequency by a measurement of the test's own. */
/* As the guest's WRMSR does. */
static void write_system_time(struct vcpu *v, u64 msr)
{
    v->kvmclock_msr = msr;
    kvmclock_update(v);
}

static void test_frequency(void)
{
    u32 khz = host_tsc_khz(), best = UINT32_MAX;

    CHECK(khz > 100000 && khz < 10000000);
    for (unsigned i = 0; i < 5; i++) { /* one good one will do: the machine may be busy */
        u64 tsc = host_tsc(), ns = host_now_ns();

        sleep_ns(20 * MS);
        host_now_ns(); /* the first call after a sleep is slow */
        tsc = host_tsc() - tsc;
        ns = host_now_ns() - ns;
        u32 measured = (u32)(tsc * 1000000 / ns);

        best = min(best, measured > khz ? measured - khz : khz - measured);
    }
    CHECK(best < khz / 10000);
    CHECK(tsc_to_ns(khz * 1000ull) > 999990000 && tsc_to_ns(khz * 1000ull) < 1000010000);
    CHECK(tsc_to_ns(khz * 1000ull * 86400 * 365) / 1000000000 > 86400ull * 365 - 10);
}

static void test_system_time(void)
{
    struct vcpu *v = vm->vcpu[0];
    struct page p;
    u64 now, guest;

    fake_memory[0x1000] = 7; /* an odd version left by someone */
    write_system_time(v, 0x1001);
    p = page_at(0x1000);
    CHECK_EQ(p.version & 1, 0);
    CHECK(p.version > 7);
    CHECK_EQ(p.flags, 1); /* TSC stable */
    CHECK(p.tsc_timestamp <= guest_tsc(v));
    now = kvmclock_now(vm);
    guest = guest_clock(&p, guest_tsc(v));
    CHECK(guest >= now);
    CHECK(guest - now < 1000ull * MS); /* the time between the two readings */
    CHECK(guest_clock(&p, guest_tsc(v)) <= kvmclock_now(vm) + 1);
    kvmclock_update(v);
    CHECK_EQ(page_at(0x1000).version, p.version + 2);
    write_system_time(v, 0x1000); /* disabled */
    kvmclock_update(v);
    CHECK_EQ(page_at(0x1000).version, p.version + 2);
    write_system_time(v, 0xfffffffffffff001); /* not memory: nothing happens */
    write_system_time(v, 0);
}

/* Pages written at different times show the same clock to the nanosecond. */
static void test_vcpus_agree(void)
{
    struct page a, b;
    u64 tsc;
    s64 difference;

    write_system_time(vm->vcpu[0], 0x1001);
    a = page_at(0x1000);
    sleep_ns(20 * MS);
    write_system_time(vm->vcpu[1], 0x2001);
    b = page_at(0x2000);
    CHECK(b.tsc_timestamp > a.tsc_timestamp);
    tsc = guest_tsc(vm->vcpu[0]) + host_tsc_khz() * 3600000ull;
    difference = (s64)(guest_clock(&a, tsc) - guest_clock(&b, tsc));
    CHECK(difference >= -2 && difference <= 2);
    vm->vcpu[1]->tsc_offset += 1000; /* other TSCs: no longer comparable, and the other page says so too */
    kvmclock_update(vm->vcpu[1]);
    CHECK_EQ(page_at(0x2000).flags, 0);
    CHECK_EQ(page_at(0x1000).flags, 0);
    vm->vcpu[1]->tsc_offset -= 1000;
}

static void test_set(void)
{
    struct page p;
    u64 hour = 3600ull * 1000 * MS, before;

    kvmclock_set(vm, 0);
    before = kvmclock_now(vm);
    CHECK(before < 10000ull * MS);
    sleep_ns(2 * MS);
    CHECK(kvmclock_now(vm) - before >= 2 * MS - MS / 100);
    kvmclock_set(vm, hour);
    CHECK(kvmclock_now(vm) >= hour);
    p = page_at(0x1000);
    CHECK(p.system_time >= hour);
    vm->clock_offset = INT64_MIN / 2; /* before its beginning */
    CHECK_EQ(kvmclock_now(vm), 0);
    kvmclock_set(vm, hour);
}

static void test_wall_clock(void)
{
    struct {
        u32 version, sec, nsec;
    } w;
    struct timespec t;

    memset(fake_memory + 0x3000, 0, sizeof(w));
    kvmclock_write_wall_clock(vm, 0x3000);
    memcpy(&w, fake_memory + 0x3000, sizeof(w));
    CHECK(w.version && !(w.version & 1));
    CHECK(w.nsec < NS_PER_SECOND);
    clock_gettime(CLOCK_REALTIME, &t);
    u64 now = w.sec + (w.nsec + kvmclock_now(vm)) / NS_PER_SECOND;
    CHECK(now >= (u64)t.tv_sec);
    CHECK(now <= (u64)t.tv_sec + 10);
    kvmclock_write_wall_clock(vm, UINT64_MAX - 3);
}

int main(void)
{
    vm = fake_vm(2);
    host_tsc_khz();
    vm->vcpu[0]->tsc_offset = vm->vcpu[1]->tsc_offset = -host_tsc();
    kvmclock_set(vm, 0);
    test_frequency();
    test_system_time();
    test_vcpus_agree();
    test_set();
    test_wall_clock();
    fake_vm_free(vm);
    return TEST_DONE();
}
