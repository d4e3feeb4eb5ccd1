/* lodge/kvm.h - liblodge-kvm: the KVM API (<linux/kvm.h>) served in user space */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef LODGE_KVM_H
#define LODGE_KVM_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Like open("/dev/kvm", O_RDWR | O_CLOEXEC): a descriptor for the system ioctls, or -1 with errno. */
int lodge_kvm_open(void);

/* Like ioctl(2) on a KVM descriptor: requests, structs, results and errno as <linux/kvm.h> and the kernel's
 * Documentation/virt/kvm/api.rst define them. fd: from lodge_kvm_open, or returned by KVM_CREATE_VM,
 * KVM_CREATE_VCPU and so on. arg: a pointer or an integer, as the request says. A descriptor that is no KVM
 * object is EBADF; an unknown request is ENOTTY on a VM and EINVAL elsewhere, as in the kernel. */
int lodge_kvm_ioctl(int fd, unsigned long request, unsigned long arg);

/* Like close(2) on a KVM descriptor; the object lives until its last descriptor is closed and, for a VM,
 * until its vcpus are closed too. A vcpu's struct kvm_run is mapped with plain mmap(2) on its descriptor, at
 * offset 0, with KVM_GET_VCPU_MMAP_SIZE bytes. */
int lodge_kvm_close(int fd);

/* Which object of the API a descriptor is, LODGE_KVM_NONE for any other. errno is not kept. */
enum lodge_kvm_kind { LODGE_KVM_NONE, LODGE_KVM_SYSTEM, LODGE_KVM_VM, LODGE_KVM_VCPU, LODGE_KVM_OTHER };
enum lodge_kvm_kind lodge_kvm_kind(int fd);

/* Like sigaction(2), which a program may use as well; but a handler that this installs while VMs run ends the
 * KVM_RUN that it interrupts with EINTR, as in the kernel, and one for SIGSEGV, SIGBUS, SIGFPE or SIGILL does
 * not take the place of the library's, which runs guests by them. */
struct sigaction;
int lodge_kvm_sigaction(int number, const struct sigaction *action, struct sigaction *old);

/* For handlers that a program installs by other means (rt_sigaction(2)): ends the KVM_RUN that the calling thread is
 * in, if it is in one, with EINTR. Safe in a handler. */
void lodge_kvm_interrupt(void);

/* Prints what the engine does. letters: any of those of lodge_kvm_dump_help. path: the file to write, or NULL
 * for standard error. Applies to VMs created later. 0, or -1 with errno (EINVAL: an unknown letter). */
int lodge_kvm_dump(const char *letters, const char *path);

/* One line for each letter of lodge_kvm_dump, for a program's -d help. */
const char *lodge_kvm_dump_help(void);

/* Whether 64-bit programs of guests that compute may run on the host's CPU as they are, in processes that the
 * vcpus' threads make and trace (docs/engine.md). Applies to VMs created later. Without a call they do not,
 * unless LODGE_DIRECT=on is in the environment; LODGE_DIRECT=off holds whatever is called. FILTERED: as ON,
 * and filters of system calls that the program gets let the calls of docs/engine.md through; without that word a
 * vcpu's thread does not try them once it has got a filter beyond those that the program started with. */
enum lodge_kvm_direct { LODGE_KVM_DIRECT_OFF, LODGE_KVM_DIRECT_ON, LODGE_KVM_DIRECT_FILTERED };
void lodge_kvm_direct(enum lodge_kvm_direct how);

/* For a program that does that, and asks of the VM's memory what only private memory has: like madvise(2), which
 * would not discard it; and before UFFDIO_REGISTER of a range, which then is not used directly any more. */
int lodge_kvm_madvise(void *address, size_t size, int advice);
void lodge_kvm_userfault(void *address, size_t size);

/* A program that writes to a VM's memory while its vcpus run (devices do) may tell of it: what lodge_kvm_writes gives
 * for the VM (fd: from KVM_CREATE_VM), which lives as long as the VM, or NULL with errno, is for lodge_kvm_wrote, to be
 * called after each write and before the guest hears of it. Without that the library looks for changed code at each
 * interrupt and ioeventfd, which costs more than most devices do; what was written while no vcpu was in KVM_RUN, or
 * before the one that is to see it enters KVM_RUN, needs no word. */
struct lodge_kvm_writes;
struct lodge_kvm_writes *lodge_kvm_writes(int fd);
void lodge_kvm_wrote(struct lodge_kvm_writes *w, const void *memory, size_t size);

/* What the engine of a VM (fd: from KVM_CREATE_VM) has done so far, as lines for a person: for each vcpu the
 * exits by cause, exceptions, translations, TLB misses, stores to code; the use of the code cache. Like
 * snprintf: writes at most size bytes, and returns the whole text's length. -1 with errno (EBADF: fd is no VM
 * of this process). */
int lodge_kvm_statistics(int fd, char *text, size_t size);

#ifdef __cplusplus
}
#endif
#endif
