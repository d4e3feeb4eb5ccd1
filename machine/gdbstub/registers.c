/* registers.c - the processor's registers as GDB knows them: one table makes its description and the packets
 * (GDB manual, G.5.4: org.gnu.gdb.i386 features) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "machine/gdbstub/gdbstub.h"
#include "machine/machine.h"

struct image {
    struct kvm_regs regs;
    struct kvm_sregs sregs;
    struct kvm_fpu fpu;
    u32 ftag; /* the x87 tag word in full, of fpu.ftwx */
    u32 zero;
};

struct reg {
    const char *name, *type;
    u8 size;    /* bytes, for GDB */
    u8 present; /* bytes of it in struct image */
    bool fixed; /* a write changes nothing */
    u16 offset;
};

#define AT(field) offsetof(struct image, field)
#define GPR(name)                                  \
    {                                              \
#name, "int64", 8, 8, false, AT(regs.name) \
    }
#define POINTER(name, type)                     \
    {                                           \
#name, type, 8, 8, false, AT(regs.name) \
    }
#define SELECTOR(name)                                      \
    {                                                       \
#name, "int32", 4, 2, true, AT(sregs.name.selector) \
    } /* what it loads stays */
#define ST(n)                                              \
    {                                                      \
        "st" #n, "i387_ext", 10, 10, false, AT(fpu.fpr[n]) \
    }
#define XMM(n)                                            \
    {                                                     \
        "xmm" #n, "vec128", 16, 16, false, AT(fpu.xmm[n]) \
    }
#define CR(name)                                    \
    {                                               \
#name, "int64", 8, 8, false, AT(sregs.name) \
    }

/* clang-format off */
static const struct reg core[] = {
    GPR(rax), GPR(rbx), GPR(rcx), GPR(rdx), GPR(rsi), GPR(rdi), POINTER(rbp, "data_ptr"),
    POINTER(rsp, "data_ptr"), GPR(r8), GPR(r9), GPR(r10), GPR(r11), GPR(r12), GPR(r13), GPR(r14), GPR(r15),
    POINTER(rip, "code_ptr"), {"eflags", "i386_eflags", 4, 4, false, AT(regs.rflags)},
    SELECTOR(cs), SELECTOR(ss), SELECTOR(ds), SELECTOR(es), SELECTOR(fs), SELECTOR(gs),
    ST(0), ST(1), ST(2), ST(3), ST(4), ST(5), ST(6), ST(7),
    {"fctrl", "int", 4, 2, false, AT(fpu.fcw)},
    {"fstat", "int", 4, 2, false, AT(fpu.fsw)},
    {"ftag", "int", 4, 4, false, AT(ftag)},
    {"fiseg", "int", 4, 4, true, AT(zero)},
    {"fioff", "int", 4, 4, false, AT(fpu.last_ip)},
    {"foseg", "int", 4, 4, true, AT(zero)},
    {"fooff", "int", 4, 4, false, AT(fpu.last_dp)},
    {"fop", "int", 4, 2, false, AT(fpu.last_opcode)},
};
static const struct reg sse[] = {
    XMM(0), XMM(1), XMM(2), XMM(3), XMM(4), XMM(5), XMM(6), XMM(7),
    XMM(8), XMM(9), XMM(10), XMM(11), XMM(12), XMM(13), XMM(14), XMM(15),
    {"mxcsr", "i386_mxcsr", 4, 4, false, AT(fpu.mxcsr)},
};
/* clang-format on */
static const struct reg segments[] = {
    {"fs_base", "int64", 8, 8, false, AT(sregs.fs.base)},
    {"gs_base", "int64", 8, 8, false, AT(sregs.gs.base)},
};
static const struct reg system_registers[] = {CR(cr0), CR(cr2), CR(cr3), CR(cr4), CR(cr8), CR(efer)};

static const char core_types[] =
    "<flags id=\"i386_eflags\" size=\"4\"><field name=\"CF\" start=\"0\" end=\"0\"/>"
    "<field name=\"PF\" start=\"2\" end=\"2\"/><field name=\"AF\" start=\"4\" end=\"4\"/>"
    "<field name=\"ZF\" start=\"6\" end=\"6\"/><field name=\"SF\" start=\"7\" end=\"7\"/>"
    "<field name=\"TF\" start=\"8\" end=\"8\"/><field name=\"IF\" start=\"9\" end=\"9\"/>"
    "<field name=\"DF\" start=\"10\" end=\"10\"/><field name=\"OF\" start=\"11\" end=\"11\"/>"
    "<field name=\"NT\" start=\"14\" end=\"14\"/><field name=\"RF\" start=\"16\" end=\"16\"/>"
    "<field name=\"VM\" start=\"17\" end=\"17\"/><field name=\"AC\" start=\"18\" end=\"18\"/>"
    "<field name=\"ID\" start=\"21\" end=\"21\"/></flags>";
static const char sse_types[] =
    "<vector id=\"v4f\" type=\"ieee_single\" count=\"4\"/><vector id=\"v2d\" type=\"ieee_double\" count=\"2\"/>"
    "<vector id=\"v16i8\" type=\"int8\" count=\"16\"/><vector id=\"v8i16\" type=\"int16\" count=\"8\"/>"
    "<vector id=\"v4i32\" type=\"int32\" count=\"4\"/><vector id=\"v2i64\" type=\"int64\" count=\"2\"/>"
    "<union id=\"vec128\"><field name=\"v4_float\" type=\"v4f\"/><field name=\"v2_double\" type=\"v2d\"/>"
    "<field name=\"v16_int8\" type=\"v16i8\"/><field name=\"v8_int16\" type=\"v8i16\"/>"
    "<field name=\"v4_int32\" type=\"v4i32\"/><field name=\"v2_int64\" type=\"v2i64\"/>"
    "<field name=\"uint128\" type=\"uint128\"/></union>"
    "<flags id=\"i386_mxcsr\" size=\"4\"><field name=\"IE\" start=\"0\" end=\"0\"/>"
    "<field name=\"DE\" start=\"1\" end=\"1\"/><field name=\"ZE\" start=\"2\" end=\"2\"/>"
    "<field name=\"OE\" start=\"3\" end=\"3\"/><field name=\"UE\" start=\"4\" end=\"4\"/>"
    "<field name=\"PE\" start=\"5\" end=\"5\"/><field name=\"DAZ\" start=\"6\" end=\"6\"/></flags>";

static const struct feature {
    const char *name, *types;
    const struct reg *reg;
    unsigned count;
} features[] = {
    {"org.gnu.gdb.i386.core", core_types, core, ARRAY_SIZE(core)},
    {"org.gnu.gdb.i386.sse", sse_types, sse, ARRAY_SIZE(sse)},
    {"org.gnu.gdb.i386.segments", "", segments, ARRAY_SIZE(segments)},
    {"lodge.x86.system", "", system_registers, ARRAY_SIZE(system_registers)},
};

/* Appends as snprintf does, and goes on counting where there is no room. */
static void append(char *text, size_t size, size_t *len, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
static void append(char *text, size_t size, size_t *len, const char *fmt, ...)
{
    va_list ap;
    size_t at = min(*len, size);
    va_start(ap, fmt);
    *len += (size_t)vsnprintf(text + at, size - at, fmt, ap);
    va_end(ap);
}

int gdb_target_xml(char *text, size_t size)
{
    size_t len = 0;
    append(text, size, &len,
           "<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\"><target>"
           "<architecture>i386:x86-64</architecture>");
    for (size_t f = 0; f < ARRAY_SIZE(features); f++) {
        append(text, size, &len, "<feature name=\"%s\">%s", features[f].name, features[f].types);
        for (unsigned i = 0; i < features[f].count; i++)
            append(text, size, &len, "<reg name=\"%s\" bitsize=\"%u\" type=\"%s\"/>", features[f].reg[i].name,
                   features[f].reg[i].size * 8u, features[f].reg[i].type);
        append(text, size, &len, "</feature>");
    }
    append(text, size, &len, "</target>");
    return len < size ? (int)len : -ENOSPC;
}

/* Walks the table: register n, and where it stands in the g packet. */
static const struct reg *find(unsigned n, unsigned *offset)
{
    *offset = 0;
    for (size_t f = 0; f < ARRAY_SIZE(features); f++)
        for (unsigned i = 0; i < features[f].count; i++) {
            if (!n--)
                return &features[f].reg[i];
            *offset += features[f].reg[i].size;
        }
    return NULL;
}

bool gdb_register_place(unsigned n, unsigned *offset, unsigned *size)
{
    const struct reg *r = find(n, offset);
    *size = r ? r->size : 0;
    return r != NULL;
}

/* The tag word has 2 bits a register, 3 where it is empty; struct kvm_fpu one bit, set where it is not. */
static u32 tags_expand(u8 ftwx)
{
    u32 tags = 0;
    for (unsigned i = 0; i < 8; i++)
        tags |= (ftwx >> i & 1 ? 0u : 3u) << i * 2;
    return tags;
}

static u8 tags_abridge(u32 tags)
{
    u8 ftwx = 0;
    for (unsigned i = 0; i < 8; i++)
        ftwx |= (u8)(((tags >> i * 2 & 3) != 3) << i);
    return ftwx;
}

static int image_load(struct vcpu *v, struct image *m)
{
    int (*call)(int, unsigned long, unsigned long) = v->machine->kvm->ioctl;
    memset(m, 0, sizeof(*m));
    if (call(v->fd, KVM_GET_REGS, (unsigned long)&m->regs) < 0 ||
        call(v->fd, KVM_GET_SREGS, (unsigned long)&m->sregs) < 0 ||
        call(v->fd, KVM_GET_FPU, (unsigned long)&m->fpu) < 0)
        return -errno;
    m->ftag = tags_expand(m->fpu.ftwx);
    return 0;
}

/* Only what has changed: each of these has effects of its own in KVM. */
static int image_store(struct vcpu *v, const struct image *before, struct image *m)
{
    int (*call)(int, unsigned long, unsigned long) = v->machine->kvm->ioctl;
    m->fpu.ftwx = tags_abridge(m->ftag);
    if (memcmp(&before->sregs, &m->sregs, sizeof(m->sregs)) &&
        call(v->fd, KVM_SET_SREGS, (unsigned long)&m->sregs) < 0)
        return -errno;
    if (memcmp(&before->fpu, &m->fpu, sizeof(m->fpu)) && call(v->fd, KVM_SET_FPU, (unsigned long)&m->fpu) < 0)
        return -errno;
    if (memcmp(&before->regs, &m->regs, sizeof(m->regs)) &&
        call(v->fd, KVM_SET_REGS, (unsigned long)&m->regs) < 0)
        return -errno;
    return 0;
}

int gdb_registers_read(struct vcpu *v, u8 *bytes, size_t max)
{
    struct image m;
    unsigned offset;
    const struct reg *r;
    int error = image_load(v, &m);
    if (error)
        return error;
    for (unsigned n = 0; (r = find(n, &offset)) != NULL; n++) {
        if (offset + r->size > max)
            return -ENOSPC;
        memset(bytes + offset, 0, r->size);
        memcpy(bytes + offset, (const u8 *)&m + r->offset, r->present);
    }
    return (int)offset;
}

int gdb_registers_write(struct vcpu *v, const u8 *bytes, size_t n)
{
    struct image before, m;
    unsigned offset;
    const struct reg *r;
    int error = image_load(v, &before);
    if (error)
        return error;
    m = before;
    for (unsigned i = 0; (r = find(i, &offset)) != NULL; i++) {
        if (offset + r->size > n)
            return -EINVAL;
        if (!r->fixed)
            memcpy((u8 *)&m + r->offset, bytes + offset, r->present);
    }
    return image_store(v, &before, &m);
}
