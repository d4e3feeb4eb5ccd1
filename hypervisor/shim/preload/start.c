/* start.c - what the preload library does when the program starts */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdlib.h>

#include "hypervisor/shim/shim.h"
#include "lodge/kvm.h"

/* LODGE_DIRECT=off holds. */
static __attribute__((constructor)) void start_direct(void)
{
    lodge_kvm_direct(LODGE_KVM_DIRECT_ON);
}

/* lodge-kvm has seen to it that the letters are good and the file can be written. */
static __attribute__((constructor)) void start_dump(void)
{
    const char *letters = getenv(SHIM_DUMP);

    if (letters)
        lodge_kvm_dump(letters, getenv(SHIM_DUMP_FILE));
}
