/* loop.c - test of the event loop */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <poll.h>
#include <unistd.h>

#include "base/loop.h"
#include "tests/unit/test.h"

enum { MS = 1000000 };

static struct loop loop;

struct named_timer {
    struct loop_timer timer;
    char name;
};

static char order[8];

static void note(struct loop_timer *t)
{
    order[strlen(order)] = container_of(t, struct named_timer, timer)->name;
    if (!loop.timers)
        loop_stop(&loop);
}

static void test_timers(void)
{
    struct named_timer a = {{.expired = note}, 'a'}, b = {{.expired = note}, 'b'},
                       c = {{.expired = note}, 'c'};
    u64 now = loop_now();
    loop_lock(&loop);
    loop_arm(&loop, &a.timer, now + 30 * MS);
    loop_arm(&loop, &b.timer, now + 10 * MS);
    loop_arm(&loop, &c.timer, now + 20 * MS);
    loop_arm(&loop, &a.timer, now + 5 * MS); /* moved */
    loop_cancel(&loop, &c.timer);
    loop_cancel(&loop, &c.timer); /* twice is fine */
    loop_unlock(&loop);
    loop_run(&loop);
    CHECK_STR(order, "ab");
    CHECK(loop_now() >= now + 10 * MS);
    CHECK(!a.timer.armed && !b.timer.armed);
}

static unsigned calls;
static struct loop_watch first, second;

/* Whichever comes first takes the other one away: it must not be called any more. */
static void remove_both(struct loop_watch *w, short revents)
{
    (void)w, (void)revents;
    calls++;
    loop_remove(&loop, &first);
    loop_remove(&loop, &second);
    loop_stop(&loop);
}

static void test_removal(void)
{
    int fd[2];
    CHECK(pipe(fd) == 0 && write(fd[1], "x", 1) == 1);
    first = second = (struct loop_watch){fd[0], POLLIN, remove_both};
    loop_lock(&loop);
    loop_add(&loop, &first);
    loop_add(&loop, &second);
    loop_unlock(&loop);
    loop_run(&loop);
    CHECK_EQ(calls, 1);
    CHECK_EQ(loop.watch_count, 0);
    close(fd[0]);
    close(fd[1]);
}

static void stop_at(struct loop_timer *t)
{
    (void)t;
    loop_stop(&loop);
}

static struct loop_timer late = {.expired = stop_at}, early = {.expired = stop_at};

static void *arm_early(void *arg)
{
    (void)arg;
    usleep(20000); /* the loop sleeps by now */
    loop_lock(&loop);
    loop_arm(&loop, &early, loop_now() + 5 * MS);
    loop_unlock(&loop);
    return NULL;
}

/* A timer that another thread arms ends the sleep for a later one. */
static void test_other_thread(void)
{
    pthread_t thread;
    u64 start = loop_now();
    loop_lock(&loop);
    loop_arm(&loop, &late, start + 5000ull * MS);
    loop_unlock(&loop);
    CHECK(pthread_create(&thread, NULL, arm_early, NULL) == 0);
    loop_run(&loop);
    pthread_join(thread, NULL);
    CHECK(loop_now() - start < 3000ull * MS);
    loop_lock(&loop);
    loop_cancel(&loop, &late);
    loop_unlock(&loop);
}

static void test_stop_before_run(void)
{
    loop_lock(&loop);
    loop_stop(&loop);
    loop_unlock(&loop);
    loop_run(&loop); /* returns */
    CHECK(!loop.stopped);
}

int main(void)
{
    if (loop_init(&loop) < 0)
        return 1;
    test_timers();
    test_removal();
    test_other_thread();
    test_stop_before_run();
    return TEST_DONE();
}
