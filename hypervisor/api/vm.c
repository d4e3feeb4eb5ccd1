/* vm.c - ioctls of a VM: its vcpus, chips, clock (api.rst ch. 4); its making and end */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "hypervisor/api/api.h"
#include "hypervisor/api/dirty_ring.h"
#include "hypervisor/api/io_bus.h"
#include "hypervisor/api/object.h"
#include "hypervisor/api/user.h"
#include "hypervisor/direct/backing.h"
#include "hypervisor/irq/irq.h"
#include "hypervisor/timer.h"
#include "hypervisor/translate/engine.h"

#define DEFAULT_IDENTITY_MAP 0xfffbc000ull /* api.rst 4.38: what address 0 asks for */

/* ---- making and end ---- */

static void vm_destroy(void *target)
{
    struct vm *vm = target;

    if (vm->backing)
        backing_retire(vm->backing);
    for (unsigned i = 0; i < vm->vcpu_count; i++)
        if (vm->vcpu[i]->lapic)
            lapic_destroy(vm->vcpu[i]);
    if (vm->irqchip)
        irqchip_destroy(vm);
    if (vm->timers)
        timers_destroy(vm->timers);
    for (unsigned i = 0; i < vm->vcpu_count; i++) {
        dirty_ring_destroy(vm->vcpu[i]);
        if (vm->vcpu[i]->stats_file)
            close(vm->vcpu[i]->stats_file);
        paravirt_destroy(vm->vcpu[i]);
        engine_destroy_vcpu(vm->vcpu[i]);
    }
    if (vm->stats_file)
        close(vm->stats_file);
    if (vm->engine)
        engine_destroy(vm);
    if (vm->io_bus)
        io_bus_destroy(vm->io_bus);
    memory_destroy(vm);
    msr_filter_destroy(vm->msr_filter);
    gate_destroy(&vm->gate);
    pthread_rwlock_destroy(&vm->slots_lock);
    pthread_mutex_destroy(&vm->lock);
    free(vm);
}

/* Everything that needs threads, descriptors or large mappings is made here: later the client may have
 * confined the threads that call us (seccomp). */
static struct vm *vm_create(int fd)
{
    struct vm *vm = calloc(1, sizeof(*vm));

    if (!vm)
        return NULL;
    pthread_mutex_init(&vm->lock, NULL);
    pthread_rwlock_init(&vm->slots_lock, NULL);
    gate_init(&vm->gate);
    vm->fd = fd;
    vm->identity_map_addr = DEFAULT_IDENTITY_MAP;
    vm->tsc_khz = host_tsc_khz();
    vm->apic_bus_ns = APIC_BUS_NS;
    kvmclock_set(vm, 0);
    vm->io_bus = io_bus_create();
    int r = vm->io_bus ? engine_create(vm) : -ENOMEM;
    if (!r) {
        vm->timers = timers_create();
        r = vm->timers ? 0 : -errno;
    }
    if (r) {
        vm_destroy(vm);
        errno = -r;
        return NULL;
    }
    return vm;
}

int system_create_vm(union ioctl_arg arg)
{
    int fd;

    if (arg.value) /* machine types are of other architectures, or confidential VMs */
        return -EINVAL;
    struct object *o = object_create(OBJECT_VM, 0, &fd);
    if (!o)
        return -errno;
    struct vm *vm = vm_create(o->fd);
    if (!vm) {
        int e = errno;
        object_discard(o, fd);
        return -e;
    }
    object_publish(o, vm, vm_destroy, NULL);
    return fd;
}

static bool vcpu_id_taken(const struct vm *vm, u32 id)
{
    for (unsigned i = 0; i < vm->vcpu_count; i++)
        if (vm->vcpu[i]->id == id)
            return true;
    return false;
}

static struct vcpu *vcpu_create(struct vm *vm, u32 id, int fd)
{
    struct vcpu *v = engine_create_vcpu(vm, id, fd);

    if (!v)
        return NULL;
    pthread_mutex_init(&v->lock, NULL);
    v->mcg_cap = MAX_MCE_BANKS;
    tsc_set_khz(v, vm->tsc_khz);
    int r = dirty_ring_create(v);
    if (!r && vm->irqchip)
        r = lapic_create(v);
    if (r) {
        dirty_ring_destroy(v);
        engine_destroy_vcpu(v);
        errno = -r;
        return NULL;
    }
    paravirt_created(v);
    vcpu_reset(v, false);
    return v;
}

static off_t vcpu_file_size(const struct vm *vm)
{
    return vm->dirty_ring_bytes ? DIRTY_RING_OFFSET + (off_t)vm->dirty_ring_bytes : VCPU_MMAP_SIZE;
}

int vm_create_vcpu(struct vm *vm, union ioctl_arg arg)
{
    int fd;

    if (arg.value >= (vm->max_vcpu_ids ? vm->max_vcpu_ids : MAX_VCPU_ID) || vm->vcpu_count >= VM_MAX_VCPUS)
        return -EINVAL;
    if (vcpu_id_taken(vm, (u32)arg.value))
        return -EEXIST;
    struct object *o = object_create(OBJECT_VCPU, vcpu_file_size(vm), &fd);
    if (!o)
        return -errno;
    struct vcpu *v = vcpu_create(vm, (u32)arg.value, o->fd);
    if (!v) {
        int e = errno;
        object_discard(o, fd);
        return -e;
    }
    vm->vcpu[vm->vcpu_count] = v;
    vm->vcpu_count++;
    /* The vcpu itself lives as long as its VM: other vcpus may send it interrupts. */
    object_publish(o, v, NULL, object_get(vm->fd));
    return fd;
}

/* ---- what a VM is told ---- */

/* Three pages that VT-x needs for real mode without unrestricted guest; they are only remembered. */
int vm_set_tss_addr(struct vm *vm, union ioctl_arg arg)
{
    if (arg.value > UINT32_MAX - 3 * 4096 + 1)
        return -EINVAL;
    vm->tss_addr = arg.value;
    return 0;
}

int vm_set_identity_map_addr(struct vm *vm, union ioctl_arg arg)
{
    u64 address = *(u64 *)arg.data;

    if (vm->vcpu_count)
        return -EINVAL;
    vm->identity_map_addr = address ? address : DEFAULT_IDENTITY_MAP;
    return 0;
}

int vm_set_boot_cpu_id(struct vm *vm, union ioctl_arg arg)
{
    if (vm->vcpu_count)
        return -EBUSY;
    if (arg.value > (vm->max_vcpu_ids ? vm->max_vcpu_ids : MAX_VCPU_ID))
        return -EINVAL;
    vm->boot_cpu_id = (u32)arg.value;
    return 0;
}

/* There are no shadow page tables whose number it could limit. */
int vm_set_nr_mmu_pages(struct vm *vm, union ioctl_arg arg)
{
    enum { LEAST = 64 }; /* KVM_MIN_ALLOC_MMU_PAGES */

    (void)vm;
    return (u32)arg.value < LEAST ? -EINVAL : 0;
}

/* api.rst 4.79. The devices of x86 are VFIO's, and there are none. */
int vm_create_device(struct vm *vm, union ioctl_arg arg)
{
    (void)vm, (void)arg;
    return -ENODEV;
}

/* ---- interrupt chips ---- */

int vm_create_irqchip(struct vm *vm, union ioctl_arg arg)
{
    (void)arg;
    if (vm->irqchip)
        return -EEXIST;
    if (vm->vcpu_count) /* these have no local APIC */
        return -EINVAL;
    return irqchip_create(vm);
}

int vm_get_irqchip(struct vm *vm, union ioctl_arg arg)
{
    return irqchip_has_pic(vm) ? irqchip_get(vm, arg.data) : -ENXIO;
}

int vm_set_irqchip(struct vm *vm, union ioctl_arg arg)
{
    return irqchip_has_pic(vm) ? irqchip_set(vm, arg.data) : -ENXIO;
}

int vm_create_pit2(struct vm *vm, union ioctl_arg arg)
{
    return irqchip_has_pic(vm) ? irqchip_create_pit(vm, arg.data) : -ENOENT;
}

/* The older forms of the next two, and of KVM_CREATE_PIT2, which know no flags. */
int vm_create_pit(struct vm *vm, union ioctl_arg arg)
{
    struct kvm_pit_config config = {0};

    (void)arg;
    return vm_create_pit2(vm, (union ioctl_arg){.data = &config});
}

int vm_get_pit(struct vm *vm, union ioctl_arg arg)
{
    struct kvm_pit_state2 s = {0};
    int r = vm_get_pit2(vm, (union ioctl_arg){.data = &s});

    memcpy(arg.data, s.channels, sizeof(s.channels));
    return r;
}

int vm_set_pit(struct vm *vm, union ioctl_arg arg)
{
    struct kvm_pit_state2 s = {0};

    memcpy(s.channels, arg.data, sizeof(s.channels));
    return vm_set_pit2(vm, (union ioctl_arg){.data = &s});
}

int vm_get_pit2(struct vm *vm, union ioctl_arg arg)
{
    return irqchip_has_pic(vm) ? irqchip_get_pit2(vm, arg.data) : -ENXIO;
}

/* api.rst 4.72. Its number does not tell the size of its struct. */
int vm_reinject_control(struct vm *vm, union ioctl_arg arg)
{
    struct kvm_reinject_control k;

    if (user_read(&k, arg.value, sizeof(k)))
        return -EFAULT;
    return irqchip_has_pic(vm) ? irqchip_pit_reinject(vm, k.pit_reinject) : -ENXIO;
}

int vm_set_pit2(struct vm *vm, union ioctl_arg arg)
{
    return irqchip_has_pic(vm) ? irqchip_set_pit2(vm, arg.data) : -ENXIO;
}

/* KVM_IRQ_LINE and KVM_IRQ_LINE_STATUS: both return 0, and the latter hands the status out in the struct. A
 * device model raises a line after it wrote guest memory, so translations of that memory are in question. */
int vm_irq_line(struct vm *vm, union ioctl_arg arg)
{
    struct kvm_irq_level *line = arg.data;

    if (!vm->irqchip)
        return -ENXIO;
    if (line->level)
        engine_new_generation(vm);
    line->status = (u32)irqchip_set_line(vm, line->irq, line->level);
    return 0;
}

int vm_signal_msi(struct vm *vm, union ioctl_arg arg)
{
    const struct kvm_msi *msi = arg.data;

    if (!vm->irqchip || (msi->flags & ~(u32)KVM_MSI_VALID_DEVID))
        return -EINVAL;
    engine_new_generation(vm);
    return irqchip_signal_msi(vm, (u64)msi->address_hi << 32 | msi->address_lo, msi->data);
}

int vm_irqfd(struct vm *vm, union ioctl_arg arg)
{
    return irqchip_irqfd(vm, arg.data);
}

int vm_set_gsi_routing(struct vm *vm, union ioctl_arg arg)
{
    struct kvm_irq_routing head;

    if (user_read(&head, arg.value, sizeof(head)))
        return -EFAULT;
    if (!vm->irqchip || head.nr > MAX_IRQ_ROUTES || head.flags)
        return -EINVAL;
    size_t bytes = head.nr * sizeof(struct kvm_irq_routing_entry);
    struct kvm_irq_routing_entry *entries = malloc(bytes + 1); /* + 1: an empty table is no failure */
    if (!entries)
        return -ENOMEM;
    int r = user_read(entries, arg.value + sizeof(head), bytes);
    if (!r)
        r = irqchip_set_routing(vm, entries, head.nr);
    free(entries);
    return r;
}

/* ---- time ---- */

static u64 realtime_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (u64)t.tv_sec * 1000000000 + (u64)t.tv_nsec;
}

/* api.rst 4.29 */
int vm_get_clock(struct vm *vm, union ioctl_arg arg)
{
    struct kvm_clock_data *c = arg.data;

    c->clock = kvmclock_now(vm);
    c->realtime = realtime_ns();
    c->host_tsc = host_tsc();
    c->flags = KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC;
    return 0;
}

/* api.rst 4.30: with KVM_CLOCK_REALTIME the clock goes on by the time that passed since, and never back. */
int vm_set_clock(struct vm *vm, union ioctl_arg arg)
{
    const struct kvm_clock_data *c = arg.data;
    u64 now = realtime_ns(), elapsed = 0;

    if (c->flags & ~(u32)(KVM_CLOCK_TSC_STABLE | KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC))
        return -EINVAL;
    if ((c->flags & KVM_CLOCK_REALTIME) && now > c->realtime)
        elapsed = now - c->realtime;
    kvmclock_set(vm, c->clock + elapsed);
    return 0;
}

/* Of vcpus that are still to be made (KVM_CAP_VM_TSC_CONTROL). */
int vm_set_tsc_khz(struct vm *vm, union ioctl_arg arg)
{
    u64 host = host_tsc_khz(), wanted = (u32)arg.value;

    if (vm->vcpu_count || wanted > host * TSC_RATIO_MAX)
        return -EINVAL;
    vm->tsc_khz = wanted ? (u32)wanted : (u32)host;
    return 0;
}

int vm_get_tsc_khz(struct vm *vm, union ioctl_arg arg)
{
    (void)arg;
    return (int)vm->tsc_khz;
}
