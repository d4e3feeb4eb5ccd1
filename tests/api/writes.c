/* writes.c - code that the program writes while the guest runs, and tells of (lodge_kvm_writes); without a
 * word */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <pthread.h>

#include "tests/api/api.h"

enum { CODE = 0x1000, CALLED = 0x2000, HEARD = 0x3000, ROUNDS = 200, LAST = 0xee, RAM_PAGES = 16 };

/* Calls what gives a number in al, over and over, and stores it at HEARD; ends after LAST. */
static const uint8_t loop[] = {
    0xe8, 0xfb, 0x0f, 0x00, 0x00, /* 1: call CALLED */
    0xa2, 0x00, 0x30, 0x00, 0x00, /* mov %al, HEARD */
    0x3c, LAST,                   /* cmp $LAST, %al */
    0x75, 0xf2,                   /* jne 1b */
    0xf4,                         /* hlt */
};
static const uint8_t called[] = {0xb0, 0x00, 0xc3}; /* mov $0, %al; ret */

static struct machine m;
static struct lodge_kvm_writes *writes;
static bool heard_all = true;

static bool guest_hears(uint8_t number)
{
    for (unsigned i = 0; i < 20000; i++) {
        if (__atomic_load_n(&m.ram[HEARD], __ATOMIC_ACQUIRE) == number)
            return true;
        usleep(500);
    }
    return false;
}

static void *write_code(void *arg)
{
    (void)arg;
    for (unsigned i = 1; i <= ROUNDS && heard_all; i++) {
        uint8_t number = i < ROUNDS ? (uint8_t)(i % LAST) : LAST;
        __atomic_store_n(&m.ram[CALLED + 1], number, __ATOMIC_RELEASE);
        lodge_kvm_wrote(writes, m.ram + CALLED + 1, 1);
        heard_all = guest_hears(number);
    }
    return NULL;
}

static void refused(int kvm)
{
    errno = 0;
    CHECK(lodge_kvm_writes(kvm) == NULL);
    CHECK_EQ(errno, EBADF);
    CHECK(lodge_kvm_writes(m.vcpu) == NULL);
    CHECK(lodge_kvm_writes(-1) == NULL);
}

/* At the end of memory, and where there is none. */
static void far_away(void)
{
    lodge_kvm_wrote(writes, m.ram, RAM_PAGES * PAGE);
    lodge_kvm_wrote(writes, m.ram + RAM_PAGES * PAGE - 1, 1);
    lodge_kvm_wrote(writes, m.ram + PAGE - 1, 2);
    lodge_kvm_wrote(writes, m.ram, 0);
    lodge_kvm_wrote(writes, NULL, 1);
}

int main(int argc, char **argv)
{
    int kvm = api_start(argc, argv);
    pthread_t writer;

    if (api_is_kernel) {
        printf("the kernel sees what is written\n");
        return SKIPPED;
    }
    m = machine_create(kvm, false, RAM_PAGES);
    refused(kvm);
    writes = lodge_kvm_writes(m.vm);
    CHECK(writes != NULL);
    memcpy(m.ram + CODE, loop, sizeof(loop));
    memcpy(m.ram + CALLED, called, sizeof(called));
    enter_protected_mode(&m, CODE);
    pthread_create(&writer, NULL, write_code, NULL);
    CHECK_OK(m.vcpu, KVM_RUN, 0);
    CHECK_EQ(m.run->exit_reason, KVM_EXIT_HLT);
    pthread_join(writer, NULL);
    CHECK(heard_all);
    far_away();
    return TEST_DONE();
}
