/* evex.c - AVX-512 in the translator: opmasks of memory operands, and the prefix written again */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/translate/elements.h"
#include "hypervisor/translate/translate.h"
#include "tests/unit/test.h"

enum { RIP = 0x1000 };

static struct tinsn decode_bytes(const u8 *bytes, u32 mode)
{
    struct tinsn t;
    CHECK_EQ(decode(&t, bytes, 15, RIP, mode), DECODE_OK);
    return t;
}

/* ---- what the masks of memory operands mean ---- */

static const struct {
    u8 bytes[15];
    u8 size, masking, bits, elements;
} operands[] = {
    /* vaddps (%rax), %zmm1, %zmm2 */
    {{0x62, 0xf1, 0x74, 0x48, 0x58, 0x10}, 64, MASKING_NONE, 0, 0},
    /* vaddps (%rax), %zmm1, %zmm2 {%k3} */
    {{0x62, 0xf1, 0x74, 0x4b, 0x58, 0x10}, 64, MASKING_PLAIN, 16, 16},
    /* vaddps (%rax){1to16}, %zmm1, %zmm2 {%k3} */
    {{0x62, 0xf1, 0x74, 0x5b, 0x58, 0x10}, 4, MASKING_PLAIN, 16, 1},
    /* vaddss (%rax), %xmm1, %xmm2 {%k3} */
    {{0x62, 0xf1, 0x76, 0x0b, 0x58, 0x10}, 4, MASKING_PLAIN, 1, 1},
    /* vcvtps2pd (%rax), %zmm2 {%k3} */
    {{0x62, 0xf1, 0x7c, 0x4b, 0x5a, 0x10}, 32, MASKING_PLAIN, 8, 8},
    /* vcvtpd2ps (%rax), %xmm2 {%k3} */
    {{0x62, 0xf1, 0xfd, 0x0b, 0x5a, 0x10}, 16, MASKING_PLAIN, 2, 2},
    /* vmovdqu8 %zmm2, (%rax) {%k3} */
    {{0x62, 0xf1, 0x7f, 0x4b, 0x7f, 0x10}, 64, MASKING_PLAIN, 64, 64},
    /* vpmovqb %zmm2, (%rax) {%k3} */
    {{0x62, 0xf2, 0x7e, 0x4b, 0x32, 0x10}, 8, MASKING_PLAIN, 8, 8},
    /* vpcmpeqd (%rax), %zmm1, %k2 {%k3} */
    {{0x62, 0xf1, 0x75, 0x4b, 0x76, 0x10}, 64, MASKING_PLAIN, 16, 16},
    /* vbroadcastf32x4 (%rax), %zmm2 {%k3}: bit 4 is element 0 again */
    {{0x62, 0xf2, 0x7d, 0x4b, 0x1a, 0x10}, 16, MASKING_PLAIN, 16, 4},
    /* vpcompressd %zmm2, (%rax) {%k3} */
    {{0x62, 0xf2, 0x7d, 0x4b, 0x8b, 0x10}, 64, MASKING_PACKED, 16, 16},
    /* vexpandpd (%rax), %zmm2 {%k3} */
    {{0x62, 0xf2, 0xfd, 0x4b, 0x88, 0x10}, 64, MASKING_PACKED, 8, 8},
    /* vextracti32x4 $1, %zmm2, (%rax) {%k3}: type E6NF */
    {{0x62, 0xf3, 0x7d, 0x4b, 0x39, 0x10, 1}, 16, MASKING_PROBED, 4, 4},
    /* vpshufb (%rax), %zmm1, %zmm2 {%k3}: type E4NF reads all */
    {{0x62, 0xf2, 0x75, 0x4b, 0x00, 0x10}, 64, MASKING_NONE, 0, 0},
};

static void masks(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(operands); i++) {
        struct tinsn t = decode_bytes(operands[i].bytes, MODE_64);
        CHECK_EQ(t.kind, KIND_WRAP);
        CHECK_EQ(t.unit, UNIT_AVX512);
        CHECK_EQ(t.in.mem.size, operands[i].size);
        CHECK_EQ(t.masking, operands[i].masking);
        CHECK_EQ(t.mask_bits, operands[i].bits);
        CHECK_EQ(t.mask_elements, operands[i].elements);
    }
}

/* disp8 counts operands: of the broadcast's size where there is one. */
static void displacements(void)
{
    static const u8 whole[15] = {0x62, 0xf1, 0x74, 0x48, 0x58, 0x50, 0xff},
                    broadcast[15] = {0x62, 0xf1, 0x74, 0x58, 0x58, 0x50, 0xff};
    CHECK_EQ(decode_bytes(whole, MODE_64).in.mem.disp, -64);
    CHECK_EQ(decode_bytes(broadcast, MODE_64).in.mem.disp, -4);
}

static void kinds(void)
{
    /* vpgatherdd (%rax,%zmm18), %zmm21 {%k1}; the same as a scatter; vgatherpf0dps (%rax,%zmm2) {%k1} */
    static const u8 gather[15] = {0x62, 0xe2, 0x7d, 0x41, 0x90, 0x2c, 0x10},
                    scatter[15] = {0x62, 0xe2, 0x7d, 0x41, 0xa0, 0x2c, 0x10},
                    prefetch[15] = {0x62, 0xf2, 0x7d, 0x49, 0xc6, 0x0c, 0x10};
    struct tinsn t = decode_bytes(gather, MODE_64);
    CHECK_EQ(t.kind, KIND_SENSITIVE);
    CHECK_EQ(t.in.reg, 21);
    CHECK_EQ(t.in.mem.index, 18);
    CHECK_EQ(t.in.opsize, 64);
    CHECK_EQ(t.in.imm2, 1);
    CHECK(decode_bytes(scatter, MODE_64).handler != t.handler);
    CHECK_EQ(decode_bytes(prefetch, MODE_64).sensitive_flags, SENSITIVE_ENDS); /* undefined */
}

/* ---- written again ---- */

static struct translator translator;

/* What emit_renamed makes of it, behind the loads of evicted registers. */
static const u8 *reencode(const u8 *bytes, u32 mode, unsigned skip)
{
    static u8 code[256];
    static struct block block;
    struct translator *t = &translator;
    memset(code, 0xcc, sizeof(code));
    memset(t, 0, sizeof(*t));
    block = (struct block){.pc = RIP, .code = code};
    t->block = &block;
    t->mode = mode;
    t->e = (struct emitter){.p = code, .end = code + sizeof(code)};
    t->insn[0] = decode_bytes(bytes, mode);
    t->count = 1;
    t->operand = at(H_ADDRESS, 0);
    emit_renamed(t, &t->insn[0]);
    CHECK(!t->e.overflow);
    return code + skip;
}

#define CHECK_BYTES(got, ...)                                      \
    do {                                                           \
        static const u8 want_[] = {__VA_ARGS__};                   \
        CHECK_EQ(memcmp(got, want_, sizeof(want_)), 0);            \
        CHECK_EQ((size_t)(translator.e.p - (got)), sizeof(want_)); \
    } while (0)

static void registers(void)
{
    /* vaddps {rz-sae}, %zmm31, %zmm17, %zmm22 {%k5} {z}: all as it was */
    static const u8 sum[15] = {0x62, 0x81, 0x74, 0xf5, 0x58, 0xf7};
    CHECK_BYTES(reencode(sum, MODE_64, 0), 0x62, 0x81, 0x74, 0xf5, 0x58, 0xf7);
    /* vaddps 0x40(%rsi,%rdi), %zmm17, %zmm22 {%k5} {z} -> (%r14) */
    static const u8 load[15] = {0x62, 0xe1, 0x74, 0xc5, 0x58, 0x74, 0x3e, 0x01};
    CHECK_BYTES(reencode(load, MODE_64, 0), 0x62, 0xc1, 0x74, 0xc5, 0x58, 0x36);
    /* vaddps (%r8,%r9){1to16}, %zmm1, %zmm2 */
    static const u8 broadcast[15] = {0x62, 0x91, 0x74, 0x58, 0x58, 0x14, 0x08};
    CHECK_BYTES(reencode(broadcast, MODE_64, 0), 0x62, 0xd1, 0x74, 0x58, 0x58, 0x16);
}

/* Evicted registers are in r12 (loaded before: 5 bytes); rsp is in r15. */
static void general_registers(void)
{
    /* vpbroadcastq %r13, %zmm20 -> %r12 */
    static const u8 evicted[15] = {0x62, 0xc2, 0xfd, 0x48, 0x7c, 0xe5};
    const u8 *code = reencode(evicted, MODE_64, 0);
    unsigned load = (unsigned)(translator.e.p - code) - 6;
    CHECK_BYTES(reencode(evicted, MODE_64, load), 0x62, 0xc2, 0xfd, 0x48, 0x7c, 0xe4);
    /* vmovq %rsp, %xmm20 -> %r15 */
    static const u8 stack[15] = {0x62, 0xe1, 0xfd, 0x08, 0x6e, 0xe4};
    CHECK_BYTES(reencode(stack, MODE_64, 0), 0x62, 0xc1, 0xfd, 0x08, 0x6e, 0xe7);
    /* vcvttsd2usi %xmm25, %rax: X and B are the vector register's */
    static const u8 convert[15] = {0x62, 0x91, 0xff, 0x08, 0x78, 0xc1};
    CHECK_BYTES(reencode(convert, MODE_64, 0), 0x62, 0x91, 0xff, 0x08, 0x78, 0xc1);
    /* kmovq %rbx, %k2 */
    static const u8 mask[15] = {0xc4, 0xe1, 0xfb, 0x92, 0xd3};
    CHECK_BYTES(reencode(mask, MODE_64, 0), 0xc4, 0xe1, 0xfb, 0x92, 0xd3);
    CHECK_EQ(decode_bytes(mask, MODE_64).unit, UNIT_AVX512);
}

/* 32-bit code: no more than eight registers, and W widens nothing that is general. */
static void narrow(void)
{
    /* vmovd (%eax), %xmm2 with W */
    static const u8 load[15] = {0x62, 0xf1, 0xfd, 0x08, 0x6e, 0x10};
    CHECK_BYTES(reencode(load, MODE_32, 0), 0x62, 0xd1, 0x7d, 0x08, 0x6e, 0x16);
    static const u8 vex_load[15] = {0xc4, 0xe1, 0xf9, 0x6e, 0x10};
    CHECK_BYTES(reencode(vex_load, MODE_32, 0), 0xc4, 0xc1, 0x79, 0x6e, 0x16);
    /* vpaddd %zmm0, %zmm8, %zmm1, whose vvvv means ZMM0 */
    static const u8 sum[15] = {0x62, 0xf1, 0x3d, 0x48, 0xfe, 0xc8};
    CHECK_BYTES(reencode(sum, MODE_32, 0), 0x62, 0xf1, 0x7d, 0x48, 0xfe, 0xc8);
    /* vaddpd %zmm0, %zmm1, %zmm2: here W tells the type */
    static const u8 wide[15] = {0x62, 0xf1, 0xf5, 0x48, 0x58, 0xd0};
    CHECK_BYTES(reencode(wide, MODE_32, 0), 0x62, 0xf1, 0xf5, 0x48, 0x58, 0xd0);
    /* vblendvps %xmm15, %xmm2, %xmm1, %xmm3 */
    static const u8 blend[15] = {0xc4, 0xe3, 0x71, 0x4a, 0xda, 0xf0};
    CHECK_BYTES(reencode(blend, MODE_32, 0), 0xc4, 0xe3, 0x71, 0x4a, 0xda, 0x70);
}

/* ---- the elements of an access ---- */

static void set_opmask(u64 value)
{
    __asm__ volatile("kmovq %0, %%k4" ::"r"(value));
}

static u32 descriptor(unsigned size, enum masking masking, unsigned bits, unsigned elements)
{
    return size | 4u << ACCESS_OPMASK_SHIFT | (u32)masking << ACCESS_MASKING_SHIFT |
           (u32)__builtin_ctz(bits) << ACCESS_BITS_SHIFT |
           (u32)__builtin_ctz(elements) << ACCESS_ELEMENTS_SHIFT;
}

static void check_elements(u64 opmask, u32 d, u64 accessed, u64 checked, unsigned size)
{
    set_opmask(opmask);
    struct elements e = elements_of(d);
    CHECK_EQ(e.accessed, accessed);
    CHECK_EQ(e.checked, checked);
    CHECK_EQ(e.size, size);
}

static void elements(void)
{
    check_elements(0x12345, descriptor(64, MASKING_PLAIN, 16, 16), 0x2345, 0x2345, 4);
    check_elements(1ull << 63, descriptor(64, MASKING_PLAIN, 64, 64), 1ull << 63, 1ull << 63, 1);
    check_elements(0x10000, descriptor(4, MASKING_PLAIN, 16, 1), 0, 0, 4);
    check_elements(0x100, descriptor(4, MASKING_PLAIN, 16, 1), 1, 1, 4);
    check_elements(0x8010, descriptor(16, MASKING_PLAIN, 16, 4), 9, 9, 4);
    check_elements(0x8111, descriptor(64, MASKING_PACKED, 16, 16), 0xf, 0xf, 4);
    check_elements(~0ull, descriptor(64, MASKING_PACKED, 64, 64), ~0ull, ~0ull, 1);
    check_elements(2, descriptor(16, MASKING_PROBED, 4, 4), 2, 0xf, 4);
    CHECK_EQ(elements_first(0x30, 4), 16);
    CHECK_EQ(elements_last(0x30, 4), 23);
    struct elements whole = elements_of(24 | ACCESS_STORES);
    CHECK_EQ(whole.accessed & whole.checked, 1);
    CHECK_EQ(whole.size, 24);
}

int main(void)
{
    masks();
    displacements();
    kinds();
    registers();
    general_registers();
    narrow();
    if (__builtin_cpu_supports("avx512bw"))
        elements();
    return TEST_DONE();
}
