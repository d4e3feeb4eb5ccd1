/* backing.h - the VM's RAM as a file that other processes can map */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DIRECT_BACKING_H
#define DIRECT_BACKING_H

#include "hypervisor/vm.h"

struct backing;

/* At KVM_CREATE_VM; NULL with errno. */
struct backing *backing_create(struct vm *vm);
/* Before the VM's vcpus end: nobody finds it any more. */
void backing_retire(struct backing *b);
void backing_destroy(struct backing *b);
int backing_fd(const struct backing *b);
/* Where the byte at host is in the file; false: not there. Vcpus' threads; ranges are added, with vm->lock,
 * while vcpus are held. */
bool backing_find(const struct backing *b, const u8 *host, u64 *offset);
/* The guest uses the page at host: memory that was to be in large pages is made in pieces of that size. Any
 * vcpu's thread. */
void backing_touch(struct backing *b, u8 *host);
/* With vm->lock: a slot with this memory is about to be added. Puts the file in the place of the memory, with
 * its contents, if nobody can notice; quiet: others may be writing to it already, so only if it is still
 * untouched. Otherwise all stays as it is. */
void backing_adopt(struct backing *b, u8 *host, u64 size, bool in_use);

/* What the program asks of its memory, any thread: it advises (madvise(2)): true if the memory, or some of
 * it, is in a file, and the advice has been followed there. */
bool backing_advised(const u8 *host, u64 size, int advice);
/* It is to hear of each access (userfaultfd(2)): shadows have the memory no more. While no vcpu is held by
 * the caller. */
void backing_watch(const u8 *host, u64 size);

#endif
