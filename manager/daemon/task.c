/* task.c - functions that may wait in the middle, on stacks of their own (makecontext(3)) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "manager/daemon/fiber.h"
#include "manager/daemon/task.h"

enum { STACK_SIZE = 512 << 10, GUARD_SIZE = 4096, SPARE_MAX = 16 };

struct task {
    struct task *next; /* in the list of ready or of spare ones */
    struct tasks *owner;
    ucontext_t context;
    u8 *stack; /* the lowest page is not accessible; the others exist once they are touched */
    void (*run)(void *arg);
    void *arg;
    bool finished;
    void *fake_stack; /* the sanitizer's */
};

struct loop_context {
    ucontext_t context;
    void *fake_stack;
    const void *bottom;
    size_t size;
};

static void run_ready(struct loop_timer *timer);

void tasks_init(struct tasks *t, struct loop *loop)
{
    *t = (struct tasks){.loop = loop, .resume = {.expired = run_ready}};
    t->ready_end = &t->ready;
    t->loop_context = calloc(1, sizeof(struct loop_context));
    ASSERT(t->loop_context);
}

static void task_free(struct task *task)
{
    munmap(task->stack, STACK_SIZE);
    free(task);
}

void tasks_free(struct tasks *t)
{
    while (t->spare) {
        struct task *task = t->spare;
        t->spare = task->next;
        task_free(task);
    }
    free(t->loop_context);
}

static struct task *task_new(struct tasks *t)
{
    if (t->spare) {
        struct task *task = t->spare;
        t->spare = task->next;
        t->spare_count--;
        return task;
    }
    struct task *task = calloc(1, sizeof(*task));
    ASSERT(task);
    task->owner = t;
    task->stack = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);
    ASSERT(task->stack != MAP_FAILED);
    ASSERT(mprotect(task->stack, GUARD_SIZE, PROT_NONE) == 0);
    return task;
}

static void leave_task(struct task *task)
{
    struct loop_context *lc = task->owner->loop_context;
    fiber_leave(task->finished ? NULL : &task->fake_stack, lc->bottom, lc->size);
    swapcontext(&task->context, &lc->context);
    fiber_enter(task->fake_stack, NULL, NULL);
}

/* makecontext passes only ints. */
static void task_main(unsigned high, unsigned low)
{
    struct task *task = (struct task *)(uintptr_t)((u64)high << 32 | low);
    struct loop_context *lc = task->owner->loop_context;
    fiber_enter(NULL, &lc->bottom, &lc->size);
    task->run(task->arg);
    task->finished = true;
    leave_task(task);
}

static void enter_task(struct tasks *t, struct task *task)
{
    struct loop_context *lc = t->loop_context;
    t->current = task;
    fiber_leave(&lc->fake_stack, task->stack + GUARD_SIZE, STACK_SIZE - GUARD_SIZE);
    swapcontext(&lc->context, &task->context);
    fiber_enter(lc->fake_stack, NULL, NULL);
    t->current = NULL;
    if (!task->finished)
        return;
    t->active--;
    if (t->spare_count == SPARE_MAX) {
        task_free(task);
        return;
    }
    task->next = t->spare;
    t->spare = task;
    t->spare_count++;
}

static void make_ready(struct tasks *t, struct task *task)
{
    task->next = NULL;
    *t->ready_end = task;
    t->ready_end = &task->next;
    if (!t->resume.armed)
        loop_arm(t->loop, &t->resume, 0);
}

static void run_ready(struct loop_timer *timer)
{
    struct tasks *t = container_of(timer, struct tasks, resume);
    while (t->ready) {
        struct task *task = t->ready;
        t->ready = task->next;
        if (!t->ready)
            t->ready_end = &t->ready;
        enter_task(t, task);
    }
}

static __attribute__((noinline)) void prepare_context(struct task *task)
{
    getcontext(&task->context);
    task->context.uc_stack = (stack_t){.ss_sp = task->stack + GUARD_SIZE, .ss_size = STACK_SIZE - GUARD_SIZE};
    task->context.uc_link = NULL;
    makecontext(&task->context, (void (*)(void))task_main, 2, (unsigned)((uintptr_t)task >> 32),
                (unsigned)(uintptr_t)task);
}

void task_start(struct tasks *t, void (*run)(void *arg), void *arg)
{
    struct task *const task = task_new(t);
    task->run = run;
    task->arg = arg;
    task->finished = false;
    task->fake_stack = NULL;
    prepare_context(task);
    t->active++;
    if (t->current)
        make_ready(t, task);
    else
        enter_task(t, task);
}

struct alarm {
    struct loop_timer timer;
    struct tasks *tasks;
    struct wait *wait;
};

static void alarm_expired(struct loop_timer *timer)
{
    struct alarm *a = container_of(timer, struct alarm, timer);
    struct task *task = a->wait->task;
    a->wait->task = NULL;
    make_ready(a->tasks, task);
}

bool task_wait(struct tasks *t, struct wait *w, u64 deadline)
{
    ASSERT(t->current && !w->task);
    if (w->woken)
        return true;
    struct alarm a = {.timer = {.expired = alarm_expired}, .tasks = t, .wait = w};
    w->task = t->current;
    if (deadline)
        loop_arm(t->loop, &a.timer, deadline);
    leave_task(t->current);
    loop_cancel(t->loop, &a.timer);
    return w->woken;
}

void task_wake(struct tasks *t, struct wait *w)
{
    w->woken = true;
    if (!w->task)
        return;
    make_ready(t, w->task);
    w->task = NULL;
}

void task_sleep(struct tasks *t, u64 nanoseconds)
{
    struct wait w = {0};
    task_wait(t, &w, loop_now() + nanoseconds);
}

struct fd_wait {
    struct loop_watch watch;
    struct tasks *tasks;
    struct wait wait;
};

static void fd_ready(struct loop_watch *watch, short revents)
{
    (void)revents;
    struct fd_wait *f = container_of(watch, struct fd_wait, watch);
    loop_remove(f->tasks->loop, watch);
    task_wake(f->tasks, &f->wait);
}

bool task_wait_fd(struct tasks *t, int fd, short events, u64 deadline)
{
    struct fd_wait f = {.watch = {.fd = fd, .events = events, .ready = fd_ready}, .tasks = t};
    loop_add(t->loop, &f.watch);
    bool ready = task_wait(t, &f.wait, deadline);
    loop_remove(t->loop, &f.watch);
    return ready;
}
