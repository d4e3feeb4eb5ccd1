/* vcpu.c - a virtual processor and its thread: the life of an exit (Documentation/virt/kvm/api.rst, KVM_RUN)
 */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "machine/machine.h"
#include "machine/sandbox.h"

enum { KICK_SIGNAL = SIGUSR2 };

/* Ends the machine with a line on why: what happened, the registers, what to do. */
static void died(struct vcpu *v, const char *advice, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void died(struct vcpu *v, const char *advice, const char *fmt, ...)
{
    char what[160], registers[700];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof(what), fmt, ap);
    va_end(ap);
    vcpu_describe(v, registers, sizeof(registers));
    machine_end(v->machine, 1, "guest died: %s; %s; %s", what, registers, advice);
}

static void exit_io(struct vcpu *v)
{
    struct kvm_run *run = v->run;
    struct bus *ports = &v->machine->ports;
    u8 *data = (u8 *)run + run->io.data_offset;
    for (u32 i = 0; i < run->io.count; i++, data += run->io.size) {
        u64 value = 0;
        if (run->io.direction == KVM_EXIT_IO_IN)
            value = bus_read(ports, run->io.port, run->io.size);
        else
            memcpy(&value, data, run->io.size);
        if (run->io.direction == KVM_EXIT_IO_IN)
            memcpy(data, &value, run->io.size);
        else
            bus_write(ports, run->io.port, run->io.size, value);
    }
}

static void exit_mmio(struct vcpu *v)
{
    struct kvm_run *run = v->run;
    struct bus *mmio = &v->machine->mmio;
    u64 value = 0;
    if (run->mmio.is_write) {
        memcpy(&value, run->mmio.data, run->mmio.len);
        bus_write(mmio, run->mmio.phys_addr, run->mmio.len, value);
    } else {
        value = bus_read(mmio, run->mmio.phys_addr, run->mmio.len);
        memcpy(run->mmio.data, &value, run->mmio.len);
    }
}

static void exit_shutdown(struct vcpu *v)
{
    died(v, "the guest's own fault handlers are missing or broken", "triple fault (KVM_EXIT_SHUTDOWN)");
}

static void exit_system_event(struct vcpu *v)
{
    switch (v->run->system_event.type) {
    case KVM_SYSTEM_EVENT_SHUTDOWN: machine_request_power_off(v->machine, "guest-shutdown"); break;
    case KVM_SYSTEM_EVENT_RESET: machine_request_reset(v->machine, "guest-reset"); break;
    default: died(v, "see the guest's last output", "it reported a crash (KVM_EXIT_SYSTEM_EVENT)"); break;
    }
}

static void exit_fail_entry(struct vcpu *v)
{
    died(v, "the state in which it was to run is not valid",
         "entry failed (KVM_EXIT_FAIL_ENTRY, reason 0x%llx)",
         (unsigned long long)v->run->fail_entry.hardware_entry_failure_reason);
}

static void exit_internal_error(struct vcpu *v)
{
    static const char *const suberrors[] = {
        [KVM_INTERNAL_ERROR_EMULATION] = "emulation",
        [KVM_INTERNAL_ERROR_SIMUL_EX] = "simultaneous exceptions",
        [KVM_INTERNAL_ERROR_DELIVERY_EV] = "delivery of an event",
        [KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON] = "unexpected exit",
    };
    u32 sub = v->run->internal.suberror;
    const char *name = sub < ARRAY_SIZE(suberrors) ? suberrors[sub] : NULL;
    died(v, "it jumped into nothing, or ran an instruction that the accelerator does not handle",
         "KVM_EXIT_INTERNAL_ERROR, suberror %u (%s)", sub, name ? name : "unknown");
}

static void exit_debug(struct vcpu *v)
{
    gdbstub_exit(&v->machine->gdb, v);
}

static void exit_nothing(struct vcpu *v)
{
    (void)v;
}

static const struct {
    const char *name;
    void (*handle)(struct vcpu *v); /* with the machine's lock */
} exits[] = {
    [KVM_EXIT_IO] = {"KVM_EXIT_IO", exit_io},
    [KVM_EXIT_MMIO] = {"KVM_EXIT_MMIO", exit_mmio},
    [KVM_EXIT_DEBUG] = {"KVM_EXIT_DEBUG", exit_debug},
    [KVM_EXIT_IRQ_WINDOW_OPEN] = {"KVM_EXIT_IRQ_WINDOW_OPEN", exit_nothing},
    [KVM_EXIT_SHUTDOWN] = {"KVM_EXIT_SHUTDOWN", exit_shutdown},
    [KVM_EXIT_FAIL_ENTRY] = {"KVM_EXIT_FAIL_ENTRY", exit_fail_entry},
    [KVM_EXIT_INTR] = {"KVM_EXIT_INTR", exit_nothing},
    [KVM_EXIT_INTERNAL_ERROR] = {"KVM_EXIT_INTERNAL_ERROR", exit_internal_error},
    [KVM_EXIT_SYSTEM_EVENT] = {"KVM_EXIT_SYSTEM_EVENT", exit_system_event},
};

/* The life of an exit. false: the thread is wanted outside of the guest. It leaves only here, where KVM has
 * nothing of the last exit left to complete. */
static bool run_once(struct vcpu *v)
{
    struct machine *m = v->machine;
    int r = m->kvm->ioctl(v->fd, KVM_RUN, 0), err = errno;
    if (r < 0 && err == EINTR)
        return false;
    loop_lock(&m->loop);
    u32 reason = v->run->exit_reason;
    if (r < 0 && err != EAGAIN)
        died(v, "the accelerator cannot go on", "KVM_RUN failed: %s", strerror(err));
    else if (r == 0 && reason < ARRAY_SIZE(exits) && exits[reason].handle)
        exits[reason].handle(v);
    else if (r == 0)
        died(v, "the machine does not know this exit", "KVM exit reason %u", reason);
    loop_unlock(&m->loop);
    return true;
}

/* Waits while the machine is paused or stopped. false: it has ended. */
static bool may_run(struct vcpu *v)
{
    struct machine *m = v->machine;
    loop_lock(&m->loop);
    while ((m->pause || m->stopped || v->absent) && !m->ended) {
        v->parked = true;
        pthread_cond_broadcast(&m->changed);
        pthread_cond_wait(&m->changed, &m->loop.lock);
    }
    v->parked = false;
    v->run->immediate_exit = 0; /* a kick after this sets it again */
    if (v->nmi && m->kvm->ioctl(v->fd, KVM_NMI, 0) == 0)
        v->nmi = false;
    bool run = !m->ended;
    loop_unlock(&m->loop);
    return run;
}

static void *vcpu_thread(void *arg)
{
    struct vcpu *v = arg;
    loop_lock(&v->machine->loop);
    v->tid = gettid();
    pthread_cond_broadcast(&v->machine->changed);
    loop_unlock(&v->machine->loop);
    sandbox_enter(v->machine->sandbox, SANDBOX_VCPU);
    while (may_run(v))
        while (run_once(v))
            ;
    return NULL;
}

static void on_kick(int sig)
{
    (void)sig; /* that it arrives is enough: KVM_RUN returns */
}

int vcpu_start(struct vcpu *v, struct error *e)
{
    const struct sigaction action = {.sa_handler = on_kick};
    sigaction(KICK_SIGNAL, &action, NULL);
    int r = pthread_create(&v->thread, NULL, vcpu_thread, v);
    if (r == 0 && v->machine->config->debug_threads) {
        char name[16];
        snprintf(name, sizeof(name), "CPU %u/KVM", v->id % 1000);
        pthread_setname_np(v->thread, name);
    }
    return r ? error_set(e, r, "cannot start the thread of processor %u: %s", v->id, strerror(r)) : 0;
}

/* immediate_exit closes the gap between the thread's last look and KVM_RUN. */
void vcpu_kick(struct vcpu *v)
{
    v->run->immediate_exit = 1;
    pthread_kill(v->thread, KICK_SIGNAL);
}

/* KVM takes it from the processor's own thread: for all others it is busy while the guest runs. */
void vcpu_inject_nmi(struct vcpu *v)
{
    v->nmi = true;
    if (v->id < v->machine->running) /* else it has no thread yet, and takes the NMI when it has */
        vcpu_kick(v);
}

bool vcpu_join(struct vcpu *v)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    t.tv_sec++;
    return pthread_timedjoin_np(v->thread, NULL, &t) == 0;
}

int vcpu_create(struct vcpu *v, struct machine *m, unsigned id, struct error *e)
{
    *v = (struct vcpu){.machine = m, .id = id};
    int size = kvm_call(m->kvm, m->sys_fd, KVM_GET_VCPU_MMAP_SIZE, 0, e);
    if (size < 0)
        return size;
    v->fd = kvm_call(m->kvm, m->vm_fd, KVM_CREATE_VCPU, id, e);
    if (v->fd < 0)
        return v->fd;
    v->run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
    if (v->run == MAP_FAILED)
        return error_set(e, errno, "cannot map the state of processor %u: %s", id, strerror(errno));
    int r = cpuid_set(v, m->config->smp.maxcpus, e);
    if (r < 0)
        return r;
    v->power_on = vcpu_state_save(v, e);
    return v->power_on ? 0 : -EIO;
}

int vcpu_reset(struct vcpu *v, const struct boot_entry *entry, struct error *e)
{
    return vcpu_state_load(v, entry, e);
}

/* The bytes at rip, as the accelerator gave them or as they stand in memory; or none. */
static unsigned instruction_bytes(struct vcpu *v, u64 rip, u8 bytes[15])
{
    const struct machine *m = v->machine;
    struct kvm_run *run = v->run;
    struct kvm_translation t = {.linear_address = rip};
    if (run->exit_reason == KVM_EXIT_INTERNAL_ERROR &&
        run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION && run->internal.ndata >= 1 &&
        run->emulation_failure.flags & KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES) {
        unsigned n = min(run->emulation_failure.insn_size, (u8)15);
        memcpy(bytes, run->emulation_failure.insn_bytes, n);
        return n;
    }
    if (m->kvm->ioctl(v->fd, KVM_TRANSLATE, (unsigned long)&t) < 0 || !t.valid)
        return 0;
    unsigned n = (unsigned)min(15ull, 4096 - (t.physical_address & 4095));
    const u8 *at = ram_at(&m->ram, t.physical_address, n);
    if (!at)
        return 0;
    memcpy(bytes, at, n);
    return n;
}

void vcpu_describe(struct vcpu *v, char *text, size_t size)
{
    const struct machine *m = v->machine;
    struct kvm_regs r;
    struct kvm_sregs s;
    u8 bytes[15];
    if (m->kvm->ioctl(v->fd, KVM_GET_REGS, (unsigned long)&r) < 0 ||
        m->kvm->ioctl(v->fd, KVM_GET_SREGS, (unsigned long)&s) < 0) {
        snprintf(text, size, "registers unknown: %s", strerror(errno));
        return;
    }
    const struct {
        const char *name;
        u64 value;
    } values[] = {
        {"cs", s.cs.selector}, {"rip", r.rip}, {"rflags", r.rflags}, {"rax", r.rax},   {"rbx", r.rbx},
        {"rcx", r.rcx},        {"rdx", r.rdx}, {"rsi", r.rsi},       {"rdi", r.rdi},   {"rbp", r.rbp},
        {"rsp", r.rsp},        {"r8", r.r8},   {"r9", r.r9},         {"r10", r.r10},   {"r11", r.r11},
        {"r12", r.r12},        {"r13", r.r13}, {"r14", r.r14},       {"r15", r.r15},   {"cr0", s.cr0},
        {"cr2", s.cr2},        {"cr3", s.cr3}, {"cr4", s.cr4},       {"efer", s.efer},
    };
    size_t len = 0;
    for (size_t i = 0; i < ARRAY_SIZE(values) && len < size; i++)
        len += (size_t)snprintf(text + len, size - len, "%s%s=%llx", i ? " " : "", values[i].name,
                                (unsigned long long)values[i].value);
    unsigned n = instruction_bytes(v, r.rip + s.cs.base, bytes);
    for (unsigned i = 0; i < n && len < size; i++)
        len += (size_t)snprintf(text + len, size - len, "%s%02x", i ? " " : " bytes=", bytes[i]);
}
