/* rtc.c - real-time clock and CMOS memory (Motorola MC146818A) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "machine/device.h"

enum {
    RTC_SECONDS,
    RTC_SECONDS_ALARM,
    RTC_MINUTES,
    RTC_MINUTES_ALARM,
    RTC_HOURS,
    RTC_HOURS_ALARM,
    RTC_DAY_OF_WEEK,
    RTC_DAY_OF_MONTH,
    RTC_MONTH,
    RTC_YEAR,
    RTC_REG_A,
    RTC_REG_B,
    RTC_REG_C,
    RTC_REG_D,
    RTC_CENTURY = 0x32, /* named in the FADT */
    CMOS_SIZE = 128,
};

enum { REG_A_UIP = 0x80, REG_A_DIVIDER = 0x70, REG_A_DIVIDER_RUN = 0x20, REG_A_RATE = 0x0f };
enum { REG_B_SET = 0x80, REG_B_PIE = 0x40, REG_B_AIE = 0x20, REG_B_UIE = 0x10, REG_B_DM = 4, REG_B_24H = 2 };
enum { REG_C_IRQF = 0x80, REG_C_PF = 0x40, REG_C_AF = 0x20, REG_C_UF = 0x10 };
enum { REG_D_VRT = 0x80 };
enum { ALARM_ANY = 0xc0, HOURS_PM = 0x80 };

enum { YEAR_MIN = 1971, YEAR_MAX = 2199 };
enum { NS_PER_S = 1000000000, UPDATE_NS = 244000 /* UIP comes before the update */ };

struct rtc {
    struct device device;
    struct irq_line irq;
    struct loop *loop;
    u8 index;
    u8 cmos[CMOS_SIZE];
    s64 offset_ns;   /* guest's clock - host's UTC */
    u64 last_second; /* of the guest's clock, up to which update and alarm have been looked at */
    struct loop_timer periodic, second;
};

/* The guest's clock: nanoseconds of its own UTC. */
static u64 rtc_now(const struct rtc *r)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (u64)((s64)t.tv_sec * NS_PER_S + t.tv_nsec + r->offset_ns);
}

static u8 encode(const struct rtc *r, int v)
{
    return (u8)(r->cmos[RTC_REG_B] & REG_B_DM ? v : v / 10 * 16 + v % 10);
}

static int decode(const struct rtc *r, u8 v)
{
    return r->cmos[RTC_REG_B] & REG_B_DM ? v : (v >> 4) * 10 + (v & 15);
}

static u8 encode_hours(const struct rtc *r, int h)
{
    if (r->cmos[RTC_REG_B] & REG_B_24H)
        return encode(r, h);
    return encode(r, h % 12 ? h % 12 : 12) | (h >= 12 ? HOURS_PM : 0);
}

static int decode_hours(const struct rtc *r, u8 v)
{
    if (r->cmos[RTC_REG_B] & REG_B_24H)
        return decode(r, v);
    return decode(r, v & ~HOURS_PM) % 12 + (v & HOURS_PM ? 12 : 0);
}

/* Clock to registers. */
static void load_time(struct rtc *r, u64 second)
{
    time_t t = (time_t)second;
    struct tm tm;
    gmtime_r(&t, &tm);
    r->cmos[RTC_SECONDS] = encode(r, tm.tm_sec);
    r->cmos[RTC_MINUTES] = encode(r, tm.tm_min);
    r->cmos[RTC_HOURS] = encode_hours(r, tm.tm_hour);
    r->cmos[RTC_DAY_OF_WEEK] = encode(r, tm.tm_wday + 1);
    r->cmos[RTC_DAY_OF_MONTH] = encode(r, tm.tm_mday);
    r->cmos[RTC_MONTH] = encode(r, tm.tm_mon + 1);
    r->cmos[RTC_YEAR] = encode(r, tm.tm_year % 100);
    r->cmos[RTC_CENTURY] = encode(r, (tm.tm_year + 1900) / 100);
}

/* Registers to clock. Values out of range are normalized, so that any will do, in a year that has
 * nanoseconds. */
static void store_time(struct rtc *r)
{
    int year = decode(r, r->cmos[RTC_CENTURY]) * 100 + decode(r, r->cmos[RTC_YEAR]);
    struct tm tm = {
        .tm_sec = decode(r, r->cmos[RTC_SECONDS]),
        .tm_min = decode(r, r->cmos[RTC_MINUTES]),
        .tm_hour = decode_hours(r, r->cmos[RTC_HOURS]),
        .tm_mday = decode(r, r->cmos[RTC_DAY_OF_MONTH]),
        .tm_mon = decode(r, r->cmos[RTC_MONTH]) - 1,
        .tm_year = min(max(year, YEAR_MIN), YEAR_MAX) - 1900,
    };
    s64 wanted = (s64)timegm(&tm) * NS_PER_S;
    r->offset_ns += wanted - (s64)rtc_now(r);
    r->last_second = (u64)wanted / NS_PER_S;
}

static bool running(const struct rtc *r)
{
    return !(r->cmos[RTC_REG_B] & REG_B_SET) && (r->cmos[RTC_REG_A] & REG_A_DIVIDER) == REG_A_DIVIDER_RUN;
}

static void update_irq(struct rtc *r)
{
    u8 *c = &r->cmos[RTC_REG_C];
    bool on = *c & r->cmos[RTC_REG_B] & (REG_C_PF | REG_C_AF | REG_C_UF);
    *c = (*c & ~REG_C_IRQF) | (on ? REG_C_IRQF : 0);
    irq_line_set(&r->irq, on);
}

static bool alarm_matches(const struct rtc *r, unsigned reg)
{
    u8 alarm = r->cmos[reg + 1];
    return (alarm & ALARM_ANY) == ALARM_ANY || alarm == r->cmos[reg];
}

/* Does what each second since the last look has brought. A day repeats, so no more than one is walked. */
static void catch_up(struct rtc *r)
{
    if (!running(r))
        return;
    u64 now = rtc_now(r) / NS_PER_S;
    if (now == r->last_second)
        return;
    r->cmos[RTC_REG_C] |= REG_C_UF;
    u64 at = now > r->last_second && now - r->last_second < 86400 ? r->last_second : now - 1;
    for (at++; at <= now; at++) {
        load_time(r, at);
        if (alarm_matches(r, RTC_SECONDS) && alarm_matches(r, RTC_MINUTES) && alarm_matches(r, RTC_HOURS))
            r->cmos[RTC_REG_C] |= REG_C_AF;
    }
    r->last_second = now;
    update_irq(r);
}

static void second_passed(struct loop_timer *t)
{
    struct rtc *r = container_of(t, struct rtc, second);
    catch_up(r);
    loop_arm(r->loop, t, loop_now() + NS_PER_S - rtc_now(r) % NS_PER_S);
}

/* The period of PF in nanoseconds, from rate select: 32768 Hz >> (rate - 1); 1 and 2 mean 8 and 9. */
static u64 period(const struct rtc *r)
{
    unsigned rate = r->cmos[RTC_REG_A] & REG_A_RATE;
    if (rate == 1 || rate == 2)
        rate += 7;
    return rate ? (1ull << (rate - 1)) * NS_PER_S / 32768 : 0;
}

static void period_passed(struct loop_timer *t)
{
    struct rtc *r = container_of(t, struct rtc, periodic);
    u64 now = loop_now(), next = t->deadline + period(r);
    r->cmos[RTC_REG_C] |= REG_C_PF;
    update_irq(r);
    loop_arm(r->loop, t, next > now ? next : now + period(r)); /* what was missed stays missed */
}

/* Timers run only for interrupts that are enabled: an idle guest with a silent clock costs nothing. */
static void update_timers(struct rtc *r)
{
    bool want_periodic = r->cmos[RTC_REG_B] & REG_B_PIE && period(r);
    bool want_second = r->cmos[RTC_REG_B] & (REG_B_AIE | REG_B_UIE) && running(r);
    loop_cancel(r->loop, &r->periodic);
    loop_cancel(r->loop, &r->second);
    if (want_periodic)
        loop_arm(r->loop, &r->periodic, loop_now() + period(r));
    if (want_second)
        loop_arm(r->loop, &r->second, loop_now() + NS_PER_S - rtc_now(r) % NS_PER_S);
}

static u8 read_reg_a(const struct rtc *r)
{
    bool updating = running(r) && rtc_now(r) % NS_PER_S >= NS_PER_S - UPDATE_NS;
    return r->cmos[RTC_REG_A] | (updating ? REG_A_UIP : 0);
}

static u8 read_reg_c(struct rtc *r)
{
    u8 flags = r->cmos[RTC_REG_C];
    r->cmos[RTC_REG_C] = 0;
    update_irq(r);
    return flags;
}

static u8 read_cmos(struct rtc *r, u8 index)
{
    catch_up(r);
    switch (index) {
    case RTC_REG_A: return read_reg_a(r);
    case RTC_REG_C: return read_reg_c(r);
    case RTC_REG_D: return REG_D_VRT;
    default: return r->cmos[index];
    }
}

static bool is_time(u8 index)
{
    bool alarm = index == RTC_SECONDS_ALARM || index == RTC_MINUTES_ALARM || index == RTC_HOURS_ALARM;
    return (index <= RTC_YEAR && !alarm) || index == RTC_CENTURY;
}

/* After a change of mode: a stopped clock goes on from what was set, and the registers have the new format.
 */
static void restart(struct rtc *r, bool was_running)
{
    if (!running(r))
        return;
    if (!was_running)
        store_time(r);
    load_time(r, r->last_second);
}

static void write_reg_b(struct rtc *r, u8 value)
{
    bool was_running = running(r);
    r->cmos[RTC_REG_B] = value;
    restart(r, was_running);
    update_irq(r);
    update_timers(r);
}

static void write_reg_a(struct rtc *r, u8 value)
{
    bool was_running = running(r);
    r->cmos[RTC_REG_A] = value & ~REG_A_UIP;
    restart(r, was_running);
    update_timers(r);
}

static void write_cmos(struct rtc *r, u8 index, u8 value)
{
    catch_up(r);
    switch (index) {
    case RTC_REG_A: write_reg_a(r, value); break;
    case RTC_REG_B: write_reg_b(r, value); break;
    case RTC_REG_C:
    case RTC_REG_D: break; /* read only */
    default:
        r->cmos[index] = value;
        if (is_time(index) && running(r))
            store_time(r);
    }
}

static u64 rtc_read(void *opaque, u64 offset, unsigned size)
{
    struct rtc *r = opaque;
    (void)size;
    return offset ? read_cmos(r, r->index) : 0xff; /* the index port is write only */
}

static void rtc_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    struct rtc *r = opaque;
    (void)size;
    if (offset)
        write_cmos(r, r->index, (u8)value);
    else
        r->index = value & (CMOS_SIZE - 1); /* bit 7 masks NMI, of which there is none */
}

static const struct bus_ops rtc_ops = {rtc_read, rtc_write, 1};

/* RESET# clears the interrupt enables and flags; clock and memory have a battery. */
static void rtc_reset(struct device *d)
{
    struct rtc *r = container_of(d, struct rtc, device);
    r->index = 0;
    r->cmos[RTC_REG_B] &= ~(REG_B_PIE | REG_B_AIE | REG_B_UIE);
    r->cmos[RTC_REG_C] = 0;
    update_irq(r);
    update_timers(r);
}

void rtc_set_cmos(struct device *d, u8 index, u8 value)
{
    container_of(d, struct rtc, device)->cmos[index] = value;
}

static struct device *rtc_create(const struct device_place *p)
{
    struct rtc *r = calloc(1, sizeof(*r));
    if (!r)
        return NULL;
    r->device.type = &rtc_mc146818;
    r->irq = p->irq;
    r->loop = p->loop;
    r->periodic.expired = period_passed;
    r->second.expired = second_passed;
    r->cmos[RTC_REG_A] = REG_A_DIVIDER_RUN | 6;
    r->cmos[RTC_REG_B] = REG_B_24H;
    r->last_second = rtc_now(r) / NS_PER_S;
    load_time(r, r->last_second);
    bus_add(p->ports, p->port, 2, &rtc_ops, r);
    return &r->device;
}

static int rtc_loaded(void *object, struct error *e)
{
    struct rtc *r = object;
    const s64 limit = (s64)1 << 61; /* of nanoseconds: a clock that is centuries off */
    if (r->index >= CMOS_SIZE || r->offset_ns < -(limit >> 1) || r->offset_ns > limit) {
        r->index = 0;
        r->offset_ns = 0;
        return error_set(e, EINVAL, "the saved state of the clock is damaged");
    }
    update_irq(r);
    update_timers(r);
    return 0;
}

static const struct state_field fields[] = {STATE(struct rtc, index),
                                            STATE(struct rtc, cmos),
                                            STATE(struct rtc, offset_ns),
                                            STATE(struct rtc, last_second),
                                            {0}};
static const struct state_table state = {"rtc", 1, fields, .loaded = rtc_loaded};

const struct device_type rtc_mc146818 = {"rtc", rtc_create, rtc_reset, .state = &state};
