/* api.h - what a test of the KVM API needs: the same checks run on the library and on /dev/kvm */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A test is a program that takes `lodge`, `shim` or `kvm`: whose API it checks. With `shim` the library is
 * behind /dev/kvm. With `kvm` the kernel is the oracle: a check that fails there is a wrong check. Where
 * /dev/kvm does not open, it ends with status 77: skipped.
 */
#ifndef TESTS_API_H
#define TESTS_API_H

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lodge/kvm.h"
#include "lodge/kvm_abi.h"
#include "tests/unit/test.h"

enum { SKIPPED = 77, PAGE = 4096 };

static bool api_is_kernel, api_is_device;

static inline int kvm_open(void)
{
    return api_is_device ? open("/dev/kvm", O_RDWR | O_CLOEXEC) : lodge_kvm_open();
}

static inline int kvm_ioctl(int fd, unsigned long request, unsigned long arg)
{
    return api_is_device ? ioctl(fd, request, arg) : lodge_kvm_ioctl(fd, request, arg);
}

static inline int kvm_close(int fd)
{
    return api_is_device ? close(fd) : lodge_kvm_close(fd);
}

/* First thing in main. Returns the system descriptor. */
static inline int api_start(int argc, char **argv)
{
    if (argc != 2 || (strcmp(argv[1], "lodge") && strcmp(argv[1], "shim") && strcmp(argv[1], "kvm"))) {
        fprintf(stderr, "usage: %s lodge|shim|kvm\n", argv[0]);
        exit(2);
    }
    api_is_kernel = !strcmp(argv[1], "kvm");
    api_is_device = strcmp(argv[1], "lodge");
    int fd = kvm_open();
    if (fd < 0) {
        printf("%s: %s\n", api_is_device ? "/dev/kvm" : "lodge_kvm_open", strerror(errno));
        exit(api_is_kernel ? SKIPPED : 1);
    }
    return fd;
}

/* arg: a pointer or an integer. */
#define KVM(fd, request, arg) kvm_ioctl(fd, request, (unsigned long)(arg))
#define CHECK_RETURNS(fd, request, arg, want) \
    test_call(KVM(fd, request, arg), want, __FILE__, __LINE__, #request "(" #arg ")")
#define CHECK_OK(fd, request, arg) \
    test_call(KVM(fd, request, arg), 0, __FILE__, __LINE__, #request "(" #arg ")")
#define CHECK_FAILS(fd, request, arg, error) \
    test_failure(KVM(fd, request, arg), error, __FILE__, __LINE__, #request "(" #arg ")")

static inline void test_call(int got, int want, const char *file, int line, const char *what)
{
    test_checks++;
    if (got == want)
        return;
    test_failures++;
    printf("%s:%d: %s: expected %d, got %d (%s)\n", file, line, what, want, got,
           got < 0 ? strerror(errno) : "");
}

static inline void test_failure(int got, int error, const char *file, int line, const char *what)
{
    int e = errno;

    test_checks++;
    if (got == -1 && e == error)
        return;
    test_failures++;
    printf("%s:%d: %s: expected %s, got %d (%s)\n", file, line, what, strerror(error), got,
           got < 0 ? strerror(e) : "success");
}

/* Zeroed pages. */
static inline void *pages(size_t n)
{
    void *p = mmap(NULL, n * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return p == MAP_FAILED ? NULL : p;
}

/* The structs of variable length, with room. */
union cpuid {
    struct kvm_cpuid2 head;
    uint8_t room[sizeof(struct kvm_cpuid2) + 257 * sizeof(struct kvm_cpuid_entry2)];
};
union msrs {
    struct kvm_msrs head;
    uint8_t room[sizeof(struct kvm_msrs) + 256 * sizeof(struct kvm_msr_entry)];
};

/* What most clients do: CPUID as offered. */
static inline void set_supported_cpuid(int kvm, int vcpu)
{
    union cpuid c = {.head.nent = 256};

    CHECK_OK(kvm, KVM_GET_SUPPORTED_CPUID, &c);
    CHECK_OK(vcpu, KVM_SET_CPUID2, &c);
}

/* A machine with `ram` of `pages` pages at guest-physical 0 and one vcpu. */
struct machine {
    int vm, vcpu;
    struct kvm_run *run;
    uint8_t *ram;
};

static inline int set_region(int vm, uint32_t slot, uint32_t flags, uint64_t gpa, uint64_t size, void *host)
{
    struct kvm_userspace_memory_region r = {slot, flags, gpa, size, (uint64_t)host};

    return KVM(vm, KVM_SET_USER_MEMORY_REGION, &r);
}

static inline struct machine machine_create(int kvm, bool irqchip, size_t ram_pages)
{
    struct machine m = {.ram = pages(ram_pages)};

    m.vm = KVM(kvm, KVM_CREATE_VM, 0);
    if (m.vm < 0 || (irqchip && KVM(m.vm, KVM_CREATE_IRQCHIP, 0)) ||
        set_region(m.vm, 0, 0, 0, ram_pages * PAGE, m.ram)) {
        perror("making a VM");
        exit(1);
    }
    m.vcpu = KVM(m.vm, KVM_CREATE_VCPU, 0);
    m.run = mmap(NULL, (size_t)KVM(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), PROT_READ | PROT_WRITE, MAP_SHARED,
                 m.vcpu, 0);
    if (m.vcpu < 0 || m.run == MAP_FAILED) {
        perror("making a vcpu");
        exit(1);
    }
    return m;
}

/* Flat 32-bit protected mode, CPL 0, at rip, with a stack below 0x8000. */
static inline void enter_protected_mode(const struct machine *m, uint64_t rip)
{
    struct kvm_segment code = {
        .limit = 0xffffffff, .selector = 8, .type = 11, .present = 1, .db = 1, .s = 1, .g = 1};
    struct kvm_segment data = {
        .limit = 0xffffffff, .selector = 16, .type = 3, .present = 1, .db = 1, .s = 1, .g = 1};
    struct kvm_regs regs = {.rip = rip, .rsp = 0x8000, .rflags = 2};
    struct kvm_sregs s;

    CHECK_OK(m->vcpu, KVM_GET_SREGS, &s);
    s.cs = code;
    s.ds = s.es = s.fs = s.gs = s.ss = data;
    s.cr0 = 0x11;
    CHECK_OK(m->vcpu, KVM_SET_SREGS, &s);
    CHECK_OK(m->vcpu, KVM_SET_REGS, &regs);
}

/* Behind the call of enter_protected_mode: an IDT at tables, and a GDT 0x800 behind it, whose selector 8 is
 * the code segment. */
static inline void use_tables(const struct machine *m, uint64_t tables)
{
    struct kvm_sregs s;

    memcpy(m->ram + tables + 0x808, (uint16_t[]){0xffff, 0, 0x9b00, 0xcf}, 8);
    CHECK_OK(m->vcpu, KVM_GET_SREGS, &s);
    s.idt.base = tables;
    s.idt.limit = 0x7ff;
    s.gdt.base = tables + 0x800;
    s.gdt.limit = 15;
    CHECK_OK(m->vcpu, KVM_SET_SREGS, &s);
}

static inline void set_gate(const struct machine *m, uint64_t tables, unsigned vector, uint16_t handler)
{
    memcpy(m->ram + tables + vector * 8, (uint16_t[]){handler, 8, 0x8e00, 0}, 8);
}

#endif
