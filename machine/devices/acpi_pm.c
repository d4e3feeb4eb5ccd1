/* acpi_pm.c - the ACPI fixed hardware: PM1 event and control blocks, PM timer, general-purpose events
 * (ACPI 6.5 section 4.8) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "machine/device.h"
#include "machine/pc.h"

enum {
    TMR_STS = 1,
    PWRBTN_STS = 0x100,
    TMR_EN = 1,
    PM1_EN_WRITABLE = 0x0721 /* also events that never come: global lock, buttons, RTC */
};
enum { SCI_EN = 1, SLP_TYP_SHIFT = 10, SLP_TYP_MASK = 7, SLP_EN = 0x2000 };
enum { PM1_CNT_WRITABLE = 0x1c03 & ~SCI_EN }; /* SLP_TYP, BM_RLD; SLP_EN reads as 0 */

/* That SMIs are set up already tells firmware not to: there is no system management mode. */
enum { SMI_EN_APMC = 0x20 };
enum { GPE_BYTES = PC_GPE0_SIZE / 2 }; /* of status, and of enables */

enum { TIMER_BITS = 24 };
static const u64 timer_hz = 3579545, ns_per_s = 1000000000;

struct pm {
    struct device device;
    struct irq_line sci, power;
    struct loop *loop;
    u16 sts, en, cnt;
    u8 gpe[2 * GPE_BYTES]; /* status, then enables */
    u64 overflow;          /* the tick at which bit 23 changes next, and TMR_STS is set */
    struct loop_timer timer;
    u64 shift; /* the guest's ticks - the host's: another host has others */
    u64 saved; /* the guest's, in a saved state */
};

static u64 host_ticks(void)
{
    return (u64)((unsigned __int128)loop_now() * timer_hz / ns_per_s);
}

static u64 ticks(const struct pm *pm)
{
    return host_ticks() + pm->shift;
}

static void update_sci(struct pm *pm)
{
    bool event = pm->sts & pm->en;
    for (unsigned i = 0; i < GPE_BYTES; i++)
        event |= pm->gpe[i] & pm->gpe[GPE_BYTES + i];
    irq_line_set(&pm->sci, event);
}

/* TMR_STS is set each time the timer's highest bit changes. The host's timer runs only if that interrupts. */
static void update_timer(struct pm *pm)
{
    const u64 half = BIT(TIMER_BITS - 1);
    u64 now = ticks(pm);
    if (now >= pm->overflow) {
        pm->sts |= TMR_STS;
        pm->overflow = ALIGN_DOWN(now, half) + half;
    }
    loop_cancel(pm->loop, &pm->timer);
    if (pm->en & TMR_EN && !(pm->sts & TMR_STS))
        loop_arm(pm->loop, &pm->timer,
                 (u64)((unsigned __int128)(pm->overflow - pm->shift + 1) * ns_per_s / timer_hz));
    update_sci(pm);
}

static void timer_overflowed(struct loop_timer *t)
{
    update_timer(container_of(t, struct pm, timer));
}

static u64 event_read(void *opaque, u64 offset, unsigned size)
{
    struct pm *pm = opaque;
    update_timer(pm);
    return ((u32)pm->en << 16 | pm->sts) >> (8 * offset) & MASK(8 * size - 1, 0);
}

/* Status bits are cleared by writing ones; enables are plain. A byte write touches its byte alone. */
static void event_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    struct pm *pm = opaque;
    u32 mask = (u32)(MASK(8 * size - 1, 0) << (8 * offset)), v = (u32)(value << (8 * offset));
    update_timer(pm);
    pm->sts &= (u16)~v;
    pm->en = (u16)(((pm->en & ~(mask >> 16)) | (v >> 16)) & PM1_EN_WRITABLE);
    update_timer(pm);
}

static u64 control_read(void *opaque, u64 offset, unsigned size)
{
    struct pm *pm = opaque;
    (void)size;
    return (u32)(pm->cnt | SCI_EN) >> (8 * offset); /* there is no mode but ACPI */
}

static void control_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    struct pm *pm = opaque;
    u32 mask = (u32)(MASK(8 * size - 1, 0) << (8 * offset)), v = (u32)(value << (8 * offset));
    pm->cnt = (u16)(((pm->cnt & ~mask) | v) & PM1_CNT_WRITABLE);
    if (v & SLP_EN && (pm->cnt >> SLP_TYP_SHIFT & SLP_TYP_MASK) == PC_SLP_TYP_S5)
        irq_line_set(&pm->power, true);
}

static u64 timer_read(void *opaque, u64 offset, unsigned size)
{
    (void)size;
    return (ticks(opaque) & MASK(TIMER_BITS - 1, 0)) >> (8 * offset);
}

static void timer_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    (void)opaque, (void)offset, (void)size, (void)value; /* read only */
}

static u64 gpe_read(void *opaque, u64 offset, unsigned size)
{
    const struct pm *pm = opaque;
    (void)size;
    return pm->gpe[offset];
}

static void gpe_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    struct pm *pm = opaque;
    (void)size;
    if (offset < GPE_BYTES)
        pm->gpe[offset] &= (u8)~value;
    else
        pm->gpe[offset] = (u8)value;
    update_sci(pm);
}

static u64 smi_read(void *opaque, u64 offset, unsigned size)
{
    (void)opaque, (void)size;
    return SMI_EN_APMC >> (8 * offset);
}

static void smi_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    (void)opaque, (void)offset, (void)size, (void)value;
}

static const struct bus_ops gpe_ops = {gpe_read, gpe_write, 1};
static const struct bus_ops smi_ops = {smi_read, smi_write, 4};
static const struct bus_ops event_ops = {event_read, event_write, 4};
static const struct bus_ops control_ops = {control_read, control_write, 2};
static const struct bus_ops timer_ops = {timer_read, timer_write, 4};

static void pm_reset(struct device *d)
{
    struct pm *pm = container_of(d, struct pm, device);
    pm->sts = pm->en = pm->cnt = 0;
    memset(pm->gpe, 0, sizeof(pm->gpe));
    pm->overflow = ALIGN_DOWN(ticks(pm), BIT(TIMER_BITS - 1)) + BIT(TIMER_BITS - 1);
    irq_line_set(&pm->power, false);
    update_timer(pm);
}

static void pm_power_button(struct device *d)
{
    struct pm *pm = container_of(d, struct pm, device);
    pm->sts |= PWRBTN_STS;
    update_sci(pm);
}

void acpi_pm_event(struct device *d, unsigned gpe)
{
    struct pm *pm = container_of(d, struct pm, device);
    pm->gpe[gpe / 8] |= (u8)(1 << gpe % 8);
    update_sci(pm);
}

static struct device *pm_create(const struct device_place *p)
{
    struct pm *pm = calloc(1, sizeof(*pm));
    if (!pm)
        return NULL;
    pm->device.type = &acpi_pm;
    pm->sci = p->irq;
    pm->power = p->power;
    pm->loop = p->loop;
    pm->timer.expired = timer_overflowed;
    bus_add(p->ports, p->port + PC_PM1_EVT, PC_PM1_EVT_SIZE, &event_ops, pm);
    bus_add(p->ports, p->port + PC_PM1_CNT, PC_PM1_CNT_SIZE, &control_ops, pm);
    bus_add(p->ports, p->port + PC_PM_TMR, PC_PM_TMR_SIZE, &timer_ops, pm);
    bus_add(p->ports, p->port + PC_GPE0, PC_GPE0_SIZE, &gpe_ops, pm);
    bus_add(p->ports, p->port + PC_SMI_EN, PC_SMI_EN_SIZE, &smi_ops, pm);
    return &pm->device;
}

static void pm_saving(void *object)
{
    struct pm *pm = object;
    pm->saved = ticks(pm);
}

/* The timer goes on from where it was. */
static int pm_loaded(void *object, struct error *e)
{
    struct pm *pm = object;
    const u64 limit = BIT(62);
    if (pm->saved > limit || pm->overflow > limit)
        return error_set(e, EINVAL, "the saved state of the power management is damaged");
    pm->shift = pm->saved - host_ticks();
    update_timer(pm);
    return 0;
}

static const struct state_field fields[] = {STATE(struct pm, sts),
                                            STATE(struct pm, en),
                                            STATE(struct pm, cnt),
                                            STATE(struct pm, gpe),
                                            STATE(struct pm, overflow),
                                            STATE(struct pm, saved),
                                            {0}};
static const struct state_table state = {"acpi-pm", 1, fields, pm_saving, pm_loaded};

const struct device_type acpi_pm = {"acpi-pm", pm_create, pm_reset, pm_power_button, &state};
