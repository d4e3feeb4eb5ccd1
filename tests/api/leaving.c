/* leaving.c - KVM_RUN answers immediate_exit and signals soon, whatever loop the guest is in (api.rst
 * 5, 4.10)
 */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * "Soon" is measured in the vcpu thread's own CPU time, which a busy machine does not lengthen. What the host
 * itself is robbed of counts as CPU time all the same, so one try in five may be slower.
 */
#include <pthread.h>
#include <signal.h>
#include <time.h>

#include "tests/api/api.h"

enum {
    CODE = 0x1000,
    TARGET = 0x1100,
    HANDLER = 0x3000,
    IDT = 0x4000,
    STACK = 0x6000,
    NOPS = 0x8000,
    TABLES = 0x9000,
    RAM_PAGES = 16384,
    LIMIT_NS = 1000000,
    TRIES = 5
};

static struct machine m;
static uint64_t before, after; /* the vcpu thread's CPU time around the request */

struct loop {
    const char *name;
    uint8_t code[24];
    bool everywhere; /* NOPs at each address of 4 GiB instead: no branch has a place to look for requests */
};

/* A register is read at HOLE, where nobody is, before the loop. */
static const struct loop after_mmio[] = {
    {"jmp after push of a register", {0xff, 0x35, 0, 0, 0, 0x10, 0xeb, 0xfe}},
    {"jmp after call by a register", {0xff, 0x15, 0, 0, 0, 0x10}}, /* to TARGET */
    {"jmp after pop to a register", {0x8f, 0x05, 0, 0, 0, 0x10, 0xeb, 0xfe}},
};

static const struct loop loops[] = {
    {"jmp to itself", {0xeb, 0xfe}},
    {"loop", {0xb9, 0xff, 0xff, 0xff, 0xff, 0xe2, 0xfe, 0xeb, 0xf7}},
    {"call and ret", {0xe8, 0x02, 0x00, 0x00, 0x00, 0xeb, 0xf9, 0xc3}},
    {"nothing but pop esp and ret", {0x5c, 0xc3}},
    {"pages in turn", {0xe9, 0xfb, 0x0f, 0x00, 0x00}}, /* and back: see pages_in_turn */
    {"rep stosb over 48 MiB", {0xbf, 0, 0, 1, 0, 0xb9, 0, 0, 0, 3, 0xf3, 0xaa, 0xeb, 0xf2}},
    {"int3", {0xcc, 0xeb, 0xfd}},
    {"cpuid", {0x0f, 0xa2, 0xeb, 0xfc}},
    {"code that changes itself", {0xfe, 0x05, 0x07, 0x10, 0x00, 0x00, 0xb0, 0x00, 0xeb, 0xf6}},
    {"sti and cli", {0xfb, 0xfa, 0xeb, 0xfc}},
    {"straight on, round 4 GiB", {0}, true},
};

static uint64_t cpu_time(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void store32(uint32_t gpa, uint32_t value)
{
    memcpy(m.ram + gpa, &value, sizeof(value));
}

/* The memory that one or another of the loops expects: a stack that feeds pop esp and ret, a jump back from
 * the next page, a descriptor table and a gate for int3. */
static void prepare_memory(void)
{
    static const uint8_t back[] = {0xe9, 0xfb, 0xef, 0xff, 0xff}, itself[] = {0xeb, 0xfe}, iret = 0xcf;

    store32(STACK, STACK + 8);
    store32(STACK + 8, CODE);
    store32(STACK + 12, STACK + 8);
    memcpy(m.ram + CODE + PAGE, back, sizeof(back));
    memcpy(m.ram + TARGET, itself, sizeof(itself));
    m.ram[HANDLER] = iret;
    store32(IDT + 3 * 8, 8 << 16 | HANDLER);
    store32(IDT + 3 * 8 + 4, 0x8e00);
    store32(IDT + 0x108, 0x0000ffff); /* the code segment at 8 of a GDT at IDT + 0x100 */
    store32(IDT + 0x10c, 0x00cf9b00);
}

/* NOPs of 15 bytes and one of 1; all entries lead to them. */
static void prepare_everywhere(struct kvm_sregs *s)
{
    static const uint8_t nop[15] = {0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x2e, 0x0f, 0x1f, 0x84};

    for (unsigned i = 0; i < PAGE / sizeof(nop); i++)
        memcpy(m.ram + NOPS + i * sizeof(nop), nop, sizeof(nop));
    m.ram[NOPS + PAGE - 1] = 0x90;
    for (unsigned i = 0; i < 1024; i++) {
        store32(TABLES + i * 4, (TABLES + PAGE) | 3);
        store32(TABLES + PAGE + i * 4, NOPS | 3);
    }
    s->cr3 = TABLES;
    s->cr0 |= 1u << 31;
}

static void enter(const struct loop *l)
{
    struct kvm_sregs s;
    struct kvm_regs r;

    memcpy(m.ram + CODE, l->code, sizeof(l->code));
    prepare_memory();
    enter_protected_mode(&m, CODE);
    CHECK_OK(m.vcpu, KVM_GET_SREGS, &s);
    s.idt.base = IDT;
    s.idt.limit = 0xff;
    s.gdt.base = IDT + 0x100;
    s.gdt.limit = 0xf;
    if (l->everywhere)
        prepare_everywhere(&s);
    CHECK_OK(m.vcpu, KVM_SET_SREGS, &s);
    CHECK_OK(m.vcpu, KVM_GET_REGS, &r);
    r.rsp = STACK;
    CHECK_OK(m.vcpu, KVM_SET_REGS, &r);
}

static void on_kick(int number)
{
    (void)number;
}

enum { BY_IMMEDIATE_EXIT, BY_SIGNAL, WAYS };
static int way;
static volatile bool left;

/* The kernel looks at immediate_exit on the way in only: there a signal goes with it. On a busy machine one
 * may come before the vcpu runs, and is lost: then there is another. */
static void *request_exit(void *vcpu_thread)
{
    const struct timespec while_it_runs = {.tv_nsec = 20000000}, while_it_leaves = {.tv_sec = 1};
    pthread_t target = *(pthread_t *)vcpu_thread;
    clockid_t clock;

    nanosleep(&while_it_runs, NULL);
    pthread_getcpuclockid(target, &clock);
    before = cpu_time(clock);
    if (way == BY_IMMEDIATE_EXIT)
        __atomic_store_n(&m.run->immediate_exit, 1, __ATOMIC_SEQ_CST);
    if (api_is_kernel || way == BY_SIGNAL)
        pthread_kill(target, SIGUSR1);
    after = cpu_time(clock);
    for (nanosleep(&while_it_runs, NULL); !left; nanosleep(&while_it_leaves, NULL))
        pthread_kill(target, SIGUSR1);
    return NULL;
}

/* Runs until the vcpu leaves for the request; reads at HOLE give the address of a loop. */
static int run(int *error)
{
    int r;

    do {
        r = KVM(m.vcpu, KVM_RUN, 0);
        *error = errno;
        *(uint32_t *)m.run->mmio.data = TARGET;
    } while (r == 0 && m.run->exit_reason == KVM_EXIT_MMIO);
    return r;
}

/* The CPU time from the request to the end of KVM_RUN; 0: this KVM does not know the loop. */
static uint64_t leave_once(const struct loop *l)
{
    pthread_t self = pthread_self(), other;
    int error;

    enter(l);
    m.run->immediate_exit = 0;
    left = false;
    pthread_create(&other, NULL, request_exit, &self);
    int r = run(&error);
    uint64_t end = cpu_time(CLOCK_THREAD_CPUTIME_ID);
    left = true;
    pthread_join(other, NULL);
    bool gave_up = m.run->exit_reason == KVM_EXIT_INTERNAL_ERROR || m.run->exit_reason == KVM_EXIT_SHUTDOWN;
    if (api_is_kernel && r == 0 && gave_up)
        return 0;
    CHECK_EQ(r, -1);
    CHECK_EQ(error, EINTR);
    CHECK_EQ(m.run->exit_reason, KVM_EXIT_INTR);
    if (after - before > LIMIT_NS / 4) /* the requesting thread was held up: once more */
        return leave_once(l);
    return end > before ? end - before : 1;
}

static void leave(const struct loop *l)
{
    uint64_t worst = 0, took;
    unsigned slow = 0;

    for (unsigned i = 0; i < (api_is_kernel ? 1 : TRIES); i++) {
        took = leave_once(l);
        if (!took) {
            printf("%-32s not known to this KVM\n", l->name);
            return;
        }
        slow += took >= LIMIT_NS;
        worst = took > worst ? took : worst;
    }
    CHECK(slow <= 1 || api_is_kernel);
    printf("%-32s %s %6.1f us at most, %u over the limit\n", l->name, way == BY_SIGNAL ? "signal" : "request",
           (double)worst / 1000, slow);
}

int main(int argc, char **argv)
{
    int kvm = api_start(argc, argv);

    signal(SIGUSR1, on_kick);
    m = machine_create(kvm, false, RAM_PAGES);
    set_supported_cpuid(kvm, m.vcpu);
    for (way = 0; way < WAYS; way++) {
        for (size_t i = 0; i < sizeof(loops) / sizeof(loops[0]); i++)
            leave(&loops[i]);
        for (size_t i = 0; i < sizeof(after_mmio) / sizeof(after_mmio[0]); i++)
            leave(&after_mmio[i]);
    }
    return TEST_DONE();
}
