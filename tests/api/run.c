/* run.c - KVM_RUN: exits, their completion, immediate_exit and signals, memory that changes between runs
 * (api.rst 5) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <signal.h>
#include <sys/time.h>

#include "tests/api/api.h"

enum { CODE = 0x1000, RAM_PAGES = 16, HOLE = 0x100000 };

static struct machine m;

/* Puts 32-bit code into place and the vcpu before it. */
#define GUEST(...)                                   \
    do {                                             \
        static const uint8_t code[] = {__VA_ARGS__}; \
        memcpy(m.ram + CODE, code, sizeof(code));    \
        enter_protected_mode(&m, CODE);              \
    } while (0)
#define CHECK_EXIT(reason)                    \
    do {                                      \
        CHECK_OK(m.vcpu, KVM_RUN, 0);         \
        CHECK_EQ(m.run->exit_reason, reason); \
    } while (0)

static struct kvm_regs registers(void)
{
    struct kvm_regs r;

    CHECK_OK(m.vcpu, KVM_GET_REGS, &r);
    return r;
}

static void halt(void)
{
    struct kvm_sregs s;

    GUEST(0xf4 /* hlt */, 0xf4);
    CHECK_EXIT(KVM_EXIT_HLT);
    CHECK_EQ(registers().rip, CODE + 1);
    CHECK_EQ(m.run->if_flag, 0);
    CHECK_EQ(m.run->ready_for_interrupt_injection, 0);
    CHECK_OK(m.vcpu, KVM_GET_SREGS, &s);
    CHECK_EQ(m.run->apic_base, s.apic_base);
    CHECK_EQ(m.run->cr8, 0);
    CHECK_EXIT(KVM_EXIT_HLT);
    CHECK_EQ(registers().rip, CODE + 2);
}

static uint8_t *io_data(void)
{
    return (uint8_t *)m.run + m.run->io.data_offset;
}

static void check_io(uint8_t direction, uint16_t port, uint8_t size)
{
    CHECK_EXIT(KVM_EXIT_IO);
    CHECK_EQ(m.run->io.direction, direction);
    CHECK_EQ(m.run->io.port, port);
    CHECK_EQ(m.run->io.size, size);
    CHECK_EQ(m.run->io.count, 1);
}

static void ports(void)
{
    GUEST(0xb8, 0x78, 0x56, 0x34, 0x12, /* mov eax, 0x12345678 */
          0xe6, 0x80,                   /* out 0x80, al */
          0x66, 0xba, 0xf8, 0x03,       /* mov dx, 0x3f8 */
          0xef,                         /* out dx, eax */
          0xec,                         /* in al, dx */
          0xf4);
    check_io(KVM_EXIT_IO_OUT, 0x80, 1);
    CHECK_EQ(io_data()[0], 0x78);
    check_io(KVM_EXIT_IO_OUT, 0x3f8, 4);
    CHECK(!memcmp(io_data(), "\x78\x56\x34\x12", 4));
    check_io(KVM_EXIT_IO_IN, 0x3f8, 1);
    io_data()[0] = 0x99;
    CHECK_EXIT(KVM_EXIT_HLT);
    CHECK_EQ(registers().rax, 0x12345699);
}

static void memory_mapped(void)
{
    GUEST(0xb8, 0x78, 0x56, 0x34, 0x12, /* mov eax, 0x12345678 */
          0xa3, 0x08, 0x00, 0x10, 0x00, /* mov [HOLE + 8], eax */
          0xa1, 0x10, 0x00, 0x10, 0x00, /* mov eax, [HOLE + 16] */
          0xf4);
    CHECK_EXIT(KVM_EXIT_MMIO);
    CHECK_EQ(m.run->mmio.phys_addr, HOLE + 8);
    CHECK_EQ(m.run->mmio.len, 4);
    CHECK_EQ(m.run->mmio.is_write, 1);
    CHECK(!memcmp(m.run->mmio.data, "\x78\x56\x34\x12", 4));
    CHECK_EXIT(KVM_EXIT_MMIO);
    CHECK_EQ(m.run->mmio.phys_addr, HOLE + 16);
    CHECK_EQ(m.run->mmio.is_write, 0);
    memcpy(m.run->mmio.data, "\x01\x02\x03\x04", 4);
    CHECK_EXIT(KVM_EXIT_HLT);
    CHECK_EQ(registers().rax, 0x04030201);
}

/* The client makes the count of a string instruction smaller, before the data goes to memory. */
static void shortened_string(void)
{
    struct kvm_regs r;

    GUEST(0xb9, 2, 0, 0, 0,       /* mov ecx, 2 */
          0xbf, 0x00, 0x30, 0, 0, /* mov edi, 0x3000 */
          0x66, 0xba, 0x80, 0,    /* mov dx, 0x80 */
          0xf3, 0x6c,             /* rep insb */
          0xf4);
    memset(m.ram + 0x3000, 0, 4);
    CHECK_EXIT(KVM_EXIT_IO);
    memset(io_data(), 0xaa, 2);
    r = registers();
    r.rcx = 1;
    CHECK_OK(m.vcpu, KVM_SET_REGS, &r);
    CHECK_EXIT(KVM_EXIT_HLT);
    CHECK_EQ(registers().rcx, 0);
    CHECK_EQ(registers().rdi, 0x3001);
    CHECK(!memcmp(m.ram + 0x3000, "\xaa\0", 2));
}

/* Completes what was pending, but runs nothing: how clients bring a vcpu to a state that can be saved. */
static void immediate_exit(void)
{
    GUEST(0xe4, 0x80, /* in al, 0x80 */
          0xf4);
    check_io(KVM_EXIT_IO_IN, 0x80, 1);
    io_data()[0] = 0x42;
    m.run->immediate_exit = 1;
    CHECK_FAILS(m.vcpu, KVM_RUN, 0, EINTR);
    CHECK_EQ(registers().rip, CODE + 2);
    CHECK_EQ(registers().rax, 0x42);
    CHECK_EQ(m.run->exit_reason, KVM_EXIT_IO); /* nothing new has happened */
    CHECK_FAILS(m.vcpu, KVM_RUN, 0, EINTR);
    m.run->immediate_exit = 0;
    CHECK_EXIT(KVM_EXIT_HLT);
}

static void immediate_exit_after_mmio(void)
{
    GUEST(0xa1, 0x10, 0x00, 0x10, 0x00, /* mov eax, [HOLE + 16] */
          0xf4);
    CHECK_EXIT(KVM_EXIT_MMIO);
    memcpy(m.run->mmio.data, "\x01\x02\x03\x04", 4);
    m.run->immediate_exit = 1;
    CHECK_FAILS(m.vcpu, KVM_RUN, 0, EINTR);
    m.run->immediate_exit = 0;
    CHECK_EQ(registers().rip, CODE + 5);
    CHECK_EQ(registers().rax, 0x04030201);
    CHECK_EXIT(KVM_EXIT_HLT);
}

/* The client resets the vcpu while a read waits for its answer: the answer goes nowhere. */
static void reset_during_io(void)
{
    GUEST(0xe4, 0x80, /* in al, 0x80 */
          0xf4);
    check_io(KVM_EXIT_IO_IN, 0x80, 1);
    io_data()[0] = 0x42;
    m.ram[CODE + 0x100] = 0xf4;
    enter_protected_mode(&m, CODE + 0x100);
    CHECK_EXIT(KVM_EXIT_HLT);
    CHECK_EQ(registers().rax, 0);
    CHECK_EQ(registers().rip, CODE + 0x101);
}

static void on_alarm(int signal)
{
    (void)signal;
    m.run->immediate_exit = 1;
}

static void interrupted_by_signal(void)
{
    struct sigaction action = {.sa_handler = on_alarm};
    struct itimerval soon = {.it_value.tv_usec = 50000};

    sigaction(SIGALRM, &action, NULL);
    GUEST(0xeb, 0xfe); /* jmp to itself */
    setitimer(ITIMER_REAL, &soon, NULL);
    CHECK_FAILS(m.vcpu, KVM_RUN, 0, EINTR);
    m.run->immediate_exit = 0;
    CHECK_EQ(registers().rip, CODE);
}

static void read_only_slot(void)
{
    uint8_t *rom = pages(1);

    rom[4] = 0x33;
    CHECK_EQ(set_region(m.vm, 1, KVM_MEM_READONLY, HOLE, PAGE, rom), 0);
    GUEST(0xa0, 0x04, 0x00, 0x10, 0x00,             /* mov al, [HOLE + 4] */
          0xc6, 0x05, 0x04, 0x00, 0x10, 0x00, 0x44, /* mov byte [HOLE + 4], 0x44 */
          0xf4);
    CHECK_EXIT(KVM_EXIT_MMIO);
    CHECK_EQ(m.run->mmio.is_write, 1);
    CHECK_EQ(m.run->mmio.phys_addr, HOLE + 4);
    CHECK_EQ(m.run->mmio.data[0], 0x44);
    CHECK_EXIT(KVM_EXIT_HLT);
    CHECK_EQ(registers().rax, 0x33);
    CHECK_EQ(rom[4], 0x33);
    CHECK_EQ(set_region(m.vm, 1, 0, 0, 0, NULL), 0);
}

/* The slot at an address is replaced: the guest sees the new memory, data and code. */
static void replaced_slot(void)
{
    uint8_t *a = pages(1), *b = pages(1);

    memcpy(a, "\xb0\x0a\xf4", 3); /* mov al, 10; hlt */
    memcpy(b, "\xb0\x0b\xf4", 3); /* mov al, 11; hlt */
    for (unsigned i = 0; i < 4; i++) {
        CHECK_EQ(set_region(m.vm, 1, 0, HOLE, PAGE, i % 2 ? b : a), 0);
        enter_protected_mode(&m, HOLE);
        CHECK_EXIT(KVM_EXIT_HLT);
        CHECK_EQ(registers().rax, i % 2 ? 11 : 10);
        CHECK_EQ(set_region(m.vm, 1, 0, 0, 0, NULL), 0);
    }
}

/* The client changes an instruction behind the end of the page that it begins in. */
static void rewritten_behind_page(void)
{
    uint8_t *end = m.ram + CODE + PAGE;

    for (unsigned i = 0; i < 6; i++) {
        memcpy(end - 1, "\xb8\0\0\0\0\xf4", 6); /* mov eax, i; hlt */
        *end = (uint8_t)i;
        enter_protected_mode(&m, CODE + PAGE - 1);
        CHECK_EXIT(KVM_EXIT_HLT);
        CHECK_EQ(registers().rax, i);
    }
}

static void dirty_log(void)
{
    uint64_t bitmap = 0;
    struct kvm_dirty_log log = {.slot = 1, .dirty_bitmap = &bitmap};

    CHECK_EQ(set_region(m.vm, 1, KVM_MEM_LOG_DIRTY_PAGES, HOLE, 8 * PAGE, pages(8)), 0);
    for (unsigned i = 0; i < 2; i++) {
        GUEST(0xc6, 0x05, 0x00, 0x20, 0x10, 0x00, 1, /* mov byte [HOLE + 0x2000], 1 */
              0xa1, 0x00, 0x40, 0x10, 0x00,          /* mov eax, [HOLE + 0x4000] */
              0xc6, 0x05, 0xff, 0x5f, 0x10, 0x00, 1, /* mov byte [HOLE + 0x5fff], 1 */
              0xf4);
        CHECK_EXIT(KVM_EXIT_HLT);
        CHECK_OK(m.vm, KVM_GET_DIRTY_LOG, &log);
        CHECK_EQ(bitmap, 1 << 2 | 1 << 5);
        CHECK_OK(m.vm, KVM_GET_DIRTY_LOG, &log);
        CHECK_EQ(bitmap, 0);
    }
    CHECK_EQ(set_region(m.vm, 1, 0, 0, 0, NULL), 0);
}

/* Host memory that is not there: the client's mistake is its errno, not its end. */
static void missing_host_memory(void)
{
    uint8_t *gone = pages(1);

    munmap(gone, PAGE);
    CHECK_EQ(set_region(m.vm, 1, 0, HOLE, PAGE, gone), 0);
    GUEST(0xa1, 0x00, 0x00, 0x10, 0x00, /* mov eax, [HOLE] */
          0xf4);
    CHECK_FAILS(m.vcpu, KVM_RUN, 0, EFAULT);
    if (!api_is_kernel) { /* which tells so of confidential memory only */
        CHECK_EQ(m.run->exit_reason, KVM_EXIT_MEMORY_FAULT);
        CHECK_EQ(LODGE_MEMORY_FAULT(m.run)->gpa, HOLE);
        CHECK_EQ(LODGE_MEMORY_FAULT(m.run)->size, PAGE);
    }
    CHECK_EQ(set_region(m.vm, 1, 0, 0, 0, NULL), 0);
}

/* A client with an emulator of its own is asked for what KVM's cannot do. */
static void emulation_failure(void)
{
    struct kvm_enable_cap c = {.cap = KVM_CAP_EXIT_ON_EMULATION_FAILURE, .args = {1}};
    struct kvm_regs r;

    if (!KVM(m.vm, KVM_CHECK_EXTENSION, c.cap) || KVM(m.vm, KVM_ENABLE_CAP, &c))
        return;
    GUEST(0xd9, 0x05, 0x00, 0x00, 0x10, 0x00, /* fld dword [HOLE] */
          0xf4);
    CHECK_EXIT(KVM_EXIT_INTERNAL_ERROR);
    CHECK_EQ(m.run->emulation_failure.suberror, KVM_INTERNAL_ERROR_EMULATION);
    CHECK(m.run->emulation_failure.insn_size >= 6);
    CHECK_EQ(m.run->emulation_failure.insn_bytes[0], 0xd9);
    CHECK_OK(m.vcpu, KVM_GET_REGS, &r);
    CHECK_EQ(r.rip, CODE);
    c.args[0] = 0;
    CHECK_OK(m.vm, KVM_ENABLE_CAP, &c);
}

static void triple_fault(void)
{
    struct kvm_sregs s;

    GUEST(0x0f, 0x0b); /* ud2 */
    CHECK_OK(m.vcpu, KVM_GET_SREGS, &s);
    s.idt.limit = 0;
    CHECK_OK(m.vcpu, KVM_SET_SREGS, &s);
    CHECK_EXIT(KVM_EXIT_SHUTDOWN);
}

static void translate(void)
{
    struct kvm_translation t = {.linear_address = 0x2345};

    enter_protected_mode(&m, CODE);
    CHECK_OK(m.vcpu, KVM_TRANSLATE, &t);
    CHECK_EQ(t.valid, 1);
    CHECK_EQ(t.physical_address, 0x2345);
}

int main(int argc, char **argv)
{
    m = machine_create(api_start(argc, argv), false, RAM_PAGES);
    halt();
    ports();
    memory_mapped();
    immediate_exit();
    immediate_exit_after_mmio();
    interrupted_by_signal();
    read_only_slot();
    replaced_slot();
    rewritten_behind_page();
    dirty_log();
    translate();
    if (!api_is_kernel) { /* KVMs without hardware behind them interpret these otherwise */
        reset_during_io();
        shortened_string();
        missing_host_memory();
        emulation_failure();
        triple_fault();
    }
    return TEST_DONE();
}
