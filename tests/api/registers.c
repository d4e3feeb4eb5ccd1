/* registers.c - general, debug, FPU and extended control registers through the API */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/api/api.h"

static int vcpu;

static void general(void)
{
    struct kvm_regs in = {.rax = 1,
                          .rbx = 2,
                          .rcx = 3,
                          .rdx = 4,
                          .rsi = 5,
                          .rdi = 6,
                          .rsp = 7,
                          .rbp = 8,
                          .r8 = 9,
                          .r9 = 10,
                          .r10 = 11,
                          .r11 = 12,
                          .r12 = 13,
                          .r13 = 14,
                          .r14 = 15,
                          .r15 = 16,
                          .rip = 0x123456789abc,
                          .rflags = 0};
    struct kvm_regs out;

    CHECK_OK(vcpu, KVM_SET_REGS, &in);
    CHECK_OK(vcpu, KVM_GET_REGS, &out);
    in.rflags = 2; /* bit 1 is always set */
    CHECK(!memcmp(&in, &out, sizeof(in)));
    in.rflags = 0xcd7; /* all the arithmetic flags, DF */
    CHECK_OK(vcpu, KVM_SET_REGS, &in);
    CHECK_OK(vcpu, KVM_GET_REGS, &out);
    CHECK_EQ(out.rflags, 0xcd7);
}

static void debug(void)
{
    struct kvm_debugregs in = {.db = {0x1000, 0x2000, 0x3000, 0x4000}, .dr6 = 0xffff0ff1, .dr7 = 0x402}, out;

    CHECK_OK(vcpu, KVM_GET_DEBUGREGS, &out);
    CHECK_EQ(out.dr6, 0xffff0ff0);
    CHECK_EQ(out.dr7, 0x400);
    CHECK_OK(vcpu, KVM_SET_DEBUGREGS, &in);
    CHECK_OK(vcpu, KVM_GET_DEBUGREGS, &out);
    CHECK(!memcmp(&in, &out, sizeof(in)));
    in.flags = 1;
    CHECK_FAILS(vcpu, KVM_SET_DEBUGREGS, &in, EINVAL);
    in.flags = 0;
    in.dr6 |= 1ull << 32;
    CHECK_FAILS(vcpu, KVM_SET_DEBUGREGS, &in, EINVAL);
    in.dr6 = 0xffff0ff0;
    in.dr7 |= 1ull << 32;
    CHECK_FAILS(vcpu, KVM_SET_DEBUGREGS, &in, EINVAL);
}

static void control(void)
{
    struct kvm_xcrs x = {0};

    CHECK_OK(vcpu, KVM_GET_XCRS, &x);
    CHECK_EQ(x.nr_xcrs, 1);
    CHECK_EQ(x.xcrs[0].xcr, 0);
    CHECK_EQ(x.xcrs[0].value, 1);
    x.xcrs[0].value = 3;
    CHECK_OK(vcpu, KVM_SET_XCRS, &x);
    x.xcrs[0].value = 0; /* x87 cannot be off */
    CHECK_FAILS(vcpu, KVM_SET_XCRS, &x, EINVAL);
    x.xcrs[0].value = 5; /* AVX without SSE */
    CHECK_FAILS(vcpu, KVM_SET_XCRS, &x, EINVAL);
    x.xcrs[0].value = 1ull << 62 | 1;
    CHECK_FAILS(vcpu, KVM_SET_XCRS, &x, EINVAL);
    x.xcrs[0].value = 3;
    x.flags = 1;
    CHECK_FAILS(vcpu, KVM_SET_XCRS, &x, EINVAL);
    x.flags = 0;
    x.nr_xcrs = 17;
    CHECK_FAILS(vcpu, KVM_SET_XCRS, &x, EINVAL);
    CHECK_OK(vcpu, KVM_GET_XCRS, &x);
    CHECK_EQ(x.xcrs[0].value, 3);
}

static void fpu(void)
{
    struct kvm_fpu in, out;

    CHECK_OK(vcpu, KVM_GET_FPU, &in);
    CHECK_EQ(in.fcw, 0x37f);
    in.fcw = 0x27f;
    in.fsw = 0x3800;
    in.ftwx = 0x81;
    in.last_ip = 0x1122334455;
    in.mxcsr = 0x9fc0;
    for (unsigned i = 0; i < 8; i++)
        memset(in.fpr[i], (int)(0x10 + i), 10);
    memset(in.xmm, 0x5a, sizeof(in.xmm));
    CHECK_OK(vcpu, KVM_SET_FPU, &in);
    CHECK_OK(vcpu, KVM_GET_FPU, &out);
    CHECK_EQ(out.fcw, 0x27f);
    CHECK_EQ(out.fsw, 0x3800);
    CHECK_EQ(out.ftwx, 0x81);
    CHECK_EQ(out.last_ip, 0x1122334455);
    CHECK(!memcmp(in.fpr[3], out.fpr[3], 10));
    CHECK(!memcmp(in.xmm, out.xmm, sizeof(in.xmm)));
}

/* Offsets of the XSAVE area (SDM 1 13.4). */
enum { MXCSR = 24 / 4, XMM0 = 160 / 4, XSTATE_BV = 512 / 4, XCOMP_BV = 520 / 4 };

static void xsave(void)
{
    struct kvm_xsave *in = pages(1), *out = pages(1);

    CHECK_OK(vcpu, KVM_GET_XSAVE, in);
    in->region[XSTATE_BV] |= 3;
    in->region[MXCSR] = 0x1fa0;
    in->region[XMM0] = 0x12345678;
    CHECK_OK(vcpu, KVM_SET_XSAVE, in);
    CHECK_OK(vcpu, KVM_GET_XSAVE, out);
    CHECK_EQ(out->region[MXCSR], 0x1fa0);
    CHECK_EQ(out->region[XMM0], 0x12345678);
    CHECK_EQ(out->region[XSTATE_BV] & 3, 3);
    memset(out, 0, PAGE);
    CHECK_OK(vcpu, KVM_GET_XSAVE2, out);
    CHECK_EQ(out->region[XMM0], 0x12345678);
    in->region[XSTATE_BV] |= 4; /* AVX, of which no CPUID has been set that tells: the host has it */
    CHECK_OK(vcpu, KVM_SET_XSAVE, in);
    in->region[MXCSR] = 0x10000; /* reserved bits */
    CHECK_FAILS(vcpu, KVM_SET_XSAVE, in, EINVAL);
    in->region[MXCSR] = 0x1f80;
    in->region[XSTATE_BV + 1] = 1u << 31; /* a component that there is not */
    CHECK_FAILS(vcpu, KVM_SET_XSAVE, in, EINVAL);
}

int main(int argc, char **argv)
{
    int kvm = api_start(argc, argv);
    struct machine m = machine_create(kvm, true, 1);

    vcpu = m.vcpu;
    set_supported_cpuid(kvm, vcpu);
    general();
    debug();
    control();
    fpu();
    xsave();
    return TEST_DONE();
}
