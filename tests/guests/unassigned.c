/* unassigned.c - a guest that hammers ports and addresses where nobody is, and lives */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/guests/lib/guest.h"

/* Ports that end or change the machine when they are written. */
static bool dangerous(u32 port)
{
    return port == 0x64 || port == 0x92 || port == 0xcf9 || (port >= 0x600 && port < 0x700) ||
           (port >= 0x3f8 && port < 0x400) || (port >= 0xb000 && port < 0xb100) || port == 0xb2 ||
           (port >= 0xcf8 && port < 0xd00) || (port >= 0x40 && port < 0x44);
}

static void ports(void)
{
    u32 seen = 0;
    for (u32 port = 0; port < 0x10000; port++) {
        if (dangerous(port))
            continue;
        seen += inb((u16)port);
        if (port % 16 == 0)
            outb((u16)port, 0);
    }
    check("64k ports were read and written", seen != 0);
    u16 w;
    u32 d;
    __asm__ volatile("inw %%dx, %0" : "=a"(w) : "d"(0x5000));
    __asm__ volatile("inl %%dx, %0" : "=a"(d) : "d"(0x5000));
    check_eq("16 bits of nobody", w, 0xffff);
    check_eq("32 bits of nobody", d, 0xffffffff);
    NO_FAULT("32 bits at the end of the ports", "inl %%dx, %%eax", ::"d"(0xffff) : "rax", "memory");
    static u8 buffer[4096];
    void *to = buffer;
    u64 count = sizeof(buffer);
    __asm__ volatile("rep insb" : "+D"(to), "+c"(count) : "d"(0x5000) : "memory");
    check("rep insb from nobody",
          to == buffer + sizeof(buffer) && !count && buffer[0] == 0xff && buffer[4095] == 0xff);
    const void *from = buffer;
    count = sizeof(buffer) / 4;
    __asm__ volatile("rep outsl" : "+S"(from), "+c"(count) : "d"(0x5000) : "memory");
    check("rep outsl to nobody", from == buffer + sizeof(buffer) && !count);
}

static void addresses(void)
{
    unsigned reads = 0, ones = 0;
    for (u64 a = 0xc0000000; a < 0xfe000000; a += 0x10000 + 0x18) {
        volatile u32 *p = (u32 *)(a & ~3ull);
        reads++;
        ones += *p == 0xffffffff;
        if (a > 0xf1000000) /* above any configuration window */
            *p = 0;
    }
    tcg_differs("reads zeroes");
    check("most addresses between the memory and the chips read as ones", ones > reads / 2);
    /* Physical addresses beyond everything. */
    u64 *pte = page_map(TEST_VA, 0x7ffffff000, PTE_P | PTE_W, 1);
    for (unsigned bit = 33; bit < 39; bit++) {
        *pte = BIT(bit) | PTE_P | PTE_W;
        invlpg(TEST_VA);
        *(volatile u64 *)TEST_VA = bit;
        tcg_differs("reads zeroes");
        check_eq("an address far above the memory", *(volatile u64 *)TEST_VA, ~0ull);
    }
    NO_FAULT("a locked add there", "lock incl (%0)", ::"r"(TEST_VA) : "memory", "cc");
}

int main(void)
{
    ports();
    addresses();
    return 0;
}
