/* aml.h - writes ACPI Machine Language (ACPI 6.5 chapter 20) and resource descriptors (section 6.4) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MACHINE_ACPI_AML_H
#define MACHINE_ACPI_AML_H

#include "base/base.h"

/* A buffer that is filled from front to back. What does not fit is dropped and `overflow` says so. */
struct aml {
    u8 *data;
    size_t len, size;
    bool overflow;
};

void aml_bytes(struct aml *a, const void *bytes, size_t len);
void aml_u8(struct aml *a, u8 v);
void aml_u16(struct aml *a, u16 v);
void aml_u32(struct aml *a, u32 v);
void aml_u64(struct aml *a, u64 v);

/* A term with a PkgLength: begin writes what stands before the length and returns where the length goes; end
 * puts it there, around all that has been written since. */
size_t aml_begin_scope(struct aml *a, const char *path); /* "\\_SB_" */
size_t aml_begin_device(struct aml *a, const char *name);
size_t aml_begin_package(struct aml *a, u8 elements);
size_t aml_begin_resources(struct aml *a); /* a ResourceTemplate; ended by aml_end_resources */
size_t aml_begin_method(struct aml *a, const char *name, unsigned arguments, bool serialized);
size_t aml_begin_if(struct aml *a); /* the condition follows, then the terms */
size_t aml_begin_field(struct aml *a, const char *region, u8 access); /* aml_field for each field */
void aml_end(struct aml *a, size_t begin);
void aml_end_resources(struct aml *a, size_t begin);

/* Names are four characters each. */
void aml_name(struct aml *a, const char *name); /* Name (name, ...): the value follows */
void aml_integer(struct aml *a, u64 v);
void aml_string(struct aml *a, const char *s);
void aml_buffer(struct aml *a, const void *bytes, u8 len);
void aml_eisa_id(struct aml *a, const char *id); /* "PNP0501" */

void aml_path(struct aml *a, const char *path); /* "\\_SB_.PCI0", "BNUM" */
void aml_region_io(struct aml *a, const char *name, u16 port, u8 len);
void aml_field(struct aml *a, const char *name, u8 bits);
void aml_mutex(struct aml *a, const char *name);

/* Terms and expressions are written as the interpreter reads them: the operator, then its operands, and for
 * those that have a result where that goes (AML_NOWHERE: it is the expression's value). */
enum aml_operator {
    AML_NOWHERE = 0x00,
    AML_LOCAL0 = 0x60,
    AML_ARG0 = 0x68,
    AML_ARG1 = 0x69,
    AML_STORE = 0x70,
    AML_SHIFT_LEFT = 0x79,
    AML_AND = 0x7b,
    AML_NOTIFY = 0x86,
    AML_RETURN = 0xa4,
    AML_ACQUIRE = 0x5b23, /* the mutex, and a timeout as 16 bits without prefix */
    AML_RELEASE = 0x5b27,
};
void aml_op(struct aml *a, enum aml_operator op);

enum { AML_BYTE_ACCESS = 1, AML_DWORD_ACCESS = 3 };

/* Resources. */
void aml_io(struct aml *a, u16 base, u8 len);
void aml_irq(struct aml *a, unsigned irq);
void aml_memory32_fixed(struct aml *a, u32 base, u32 len);
void aml_bus_range(struct aml *a, u16 first, u16 last);
void aml_io_window(struct aml *a, u16 first, u16 last);
void aml_memory_window(struct aml *a, u32 first, u32 last);
void aml_memory64_window(struct aml *a, u64 first, u64 last);

#endif
