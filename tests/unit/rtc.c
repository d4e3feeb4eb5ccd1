/* rtc.c - test of the clock and its interrupts (MC146818A) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <time.h>

#include "tests/unit/device_fake.h"
#include "tests/unit/test.h"

enum {
    SECONDS,
    SECONDS_ALARM,
    MINUTES,
    MINUTES_ALARM,
    HOURS,
    HOURS_ALARM,
    WEEKDAY,
    DAY,
    MONTH,
    YEAR,
    A,
    B,
    C,
    D
};
enum { CENTURY = 0x32, SET = 0x80, PIE = 0x40, AIE = 0x20, UIE = 0x10, DM = 4, H24 = 2 };

static struct fake_board *b;

static u8 get(u8 index)
{
    out8(b, 0x70, index);
    return in8(b, 0x71);
}

static void put(u8 index, u8 value)
{
    out8(b, 0x70, index);
    out8(b, 0x71, value);
}

static void set_clock(u8 mode, u8 century, u8 year, u8 month, u8 day, u8 hours, u8 minutes, u8 seconds)
{
    put(B, SET | mode);
    put(CENTURY, century);
    put(YEAR, year);
    put(MONTH, month);
    put(DAY, day);
    put(HOURS, hours);
    put(MINUTES, minutes);
    put(SECONDS, seconds);
    put(B, mode);
}

static void begin(void)
{
    b = fake_board(&rtc_mc146818, 0x70);
}

static void end(void)
{
    fake_board_free(b);
}

static int bcd(u8 v)
{
    return (v >> 4) * 10 + (v & 15);
}

static void test_host_time(void)
{
    begin();
    CHECK_EQ(get(B), H24);
    CHECK_EQ(get(D), 0x80);
    time_t now = time(NULL);
    struct tm want, got = {.tm_sec = bcd(get(SECONDS)),
                           .tm_min = bcd(get(MINUTES)),
                           .tm_hour = bcd(get(HOURS)),
                           .tm_mday = bcd(get(DAY)),
                           .tm_mon = bcd(get(MONTH)) - 1,
                           .tm_year = bcd(get(CENTURY)) * 100 + bcd(get(YEAR)) - 1900};
    gmtime_r(&now, &want);
    s64 away = (s64)timegm(&got) - (s64)now;
    CHECK(away >= 0 && away <= 2);
    CHECK_EQ(get(WEEKDAY), want.tm_wday + 1);
    end();
}

static void test_set_time(void)
{
    begin();
    set_clock(H24, 0x19, 0x99, 0x12, 0x31, 0x23, 0x59, 0x30);
    CHECK_EQ(get(CENTURY), 0x19);
    CHECK_EQ(get(YEAR), 0x99);
    CHECK_EQ(get(MONTH), 0x12);
    CHECK_EQ(get(DAY), 0x31);
    CHECK_EQ(get(HOURS), 0x23);
    CHECK_EQ(get(WEEKDAY), 6); /* a Friday */
    end();
}

static void test_formats(void)
{
    begin();
    set_clock(H24, 0x20, 0x26, 0x02, 0x28, 0x13, 0x45, 0x10);
    put(B, 0); /* 12 hours: 1 pm */
    CHECK_EQ(get(HOURS), 0x81);
    put(B, DM);
    CHECK_EQ(get(HOURS), 0x81);
    CHECK_EQ(get(MINUTES), 45);
    put(B, DM | H24);
    CHECK_EQ(get(HOURS), 13);
    set_clock(0, 0x20, 0x26, 0x02, 0x28, 0x12, 0x00, 0x00); /* 12 am is midnight */
    put(B, H24);
    CHECK_EQ(get(HOURS), 0x00);
    end();
}

/* Any garbage is taken, and gives some time. */
static void test_garbage(void)
{
    begin();
    for (unsigned v = 0; v < 256; v++) {
        set_clock(v & (DM | H24), (u8)v, (u8)v, (u8)v, (u8)v, (u8)v, (u8)v, (u8)v);
        CHECK(bcd(get(SECONDS)) <= 60 || get(B) & DM);
    }
    end();
}

static void test_memory(void)
{
    begin();
    put(0x40, 0x5a);
    put(0x7f, 0xa5);
    CHECK_EQ(get(0x40), 0x5a);
    CHECK_EQ(get(0xff), 0xa5); /* bit 7 of the index is the NMI mask */
    put(D, 0);
    CHECK_EQ(get(D), 0x80);
    CHECK_EQ(in8(b, 0x70), 0xff);
    end();
}

static void run_loop_for(u64 ns)
{
    u64 until = loop_now() + ns;
    loop_lock(&b->loop);
    while (loop_now() < until) {
        struct timespec t = {.tv_nsec = 1000000};
        nanosleep(&t, NULL);
        while (b->loop.timers && b->loop.timers->deadline <= loop_now()) {
            struct loop_timer *timer = b->loop.timers;
            loop_cancel(&b->loop, timer);
            timer->expired(timer);
        }
    }
    loop_unlock(&b->loop);
}

static void test_periodic(void)
{
    begin();
    CHECK(!b->loop.timers); /* nothing enabled, nothing runs */
    put(A, 0x29);           /* 128 Hz */
    put(B, PIE | H24);
    run_loop_for(50000000);
    CHECK(b->irq.level);
    CHECK_EQ(get(C) & 0xc0, 0xc0); /* UF may stand there too: a second may have passed */
    CHECK(!b->irq.level);
    CHECK_EQ(get(C) & 0x80, 0);
    run_loop_for(20000000);
    CHECK(b->irq.level);
    put(B, H24);
    CHECK(!b->loop.timers);
    CHECK(!b->irq.level);
    end();
}

static void test_update_and_alarm(void)
{
    begin();
    set_clock(H24, 0x20, 0x26, 0x01, 0x01, 0x10, 0x20, 0x30);
    put(SECONDS_ALARM, 0x31);
    put(MINUTES_ALARM, 0x20);
    put(HOURS_ALARM, 0xff); /* any */
    put(B, UIE | AIE | H24);
    get(C);
    run_loop_for(1100000000);
    CHECK(b->irq.level);
    CHECK_EQ(get(C), 0xb0); /* IRQF, AF, UF */
    CHECK_EQ(get(SECONDS), 0x31);
    end();
}

/* A reset clears interrupts, and neither clock nor memory. */
static void test_reset(void)
{
    begin();
    set_clock(H24, 0x20, 0x30, 0x05, 0x06, 0x07, 0x08, 0x09);
    put(0x50, 0x77);
    put(B, PIE | AIE | UIE | H24);
    rtc_mc146818.reset(b->device);
    CHECK_EQ(get(B), H24);
    CHECK_EQ(get(YEAR), 0x30);
    CHECK_EQ(get(0x50), 0x77);
    CHECK(!b->loop.timers);
    end();
}

int main(void)
{
    test_host_time();
    test_set_time();
    test_formats();
    test_garbage();
    test_memory();
    test_periodic();
    test_update_and_alarm();
    test_reset();
    return TEST_DONE();
}
