/* chardev.c - test of the console's host end: keys, backlogs, files and sockets */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "machine/chardev.h"
#include "tests/unit/test.h"

static struct loop loop;
static struct chardev c;
static struct error e;
static unsigned quits, connects, inputs, breaks, ready;
static char folder[] = "/tmp/lodge-unit-XXXXXX", path[48];

static void on_quit(void *opaque)
{
    (void)opaque;
    quits++;
}

static void on_connect(void *opaque)
{
    (void)opaque;
    connects++;
}

static void on_input(void *opaque)
{
    (void)opaque;
    inputs++;
}

static void on_ready(void *opaque)
{
    (void)opaque;
    ready++;
}

static void on_break(void *opaque)
{
    (void)opaque;
    breaks++;
}

static struct chardev *front; /* what the user has: c itself, or what shares it */

static int open_chardev(const char *text)
{
    static struct properties p;
    struct chardev_config config;
    quits = connects = inputs = breaks = ready = 0;
    properties_free(&p);
    int r = chardev_config_parse(&p, text, "-serial", &e);
    if (r == 0)
        r = chardev_config_read(&config, &p, "-serial", &e);
    if (r < 0)
        return r;
    chardev_init(&c, &config, &loop, NULL);
    r = chardev_open(&c, &e);
    front = config.mux ? mux_front(mux_create(&c)) : &c;
    front->user = (struct chardev_user){NULL, on_input, on_ready, on_break, NULL};
    c.host = (struct chardev_host){NULL, on_quit, on_connect};
    return r;
}

static void stop(struct loop_timer *t)
{
    (void)t;
    loop_stop(&loop);
}

/* Lets the loop run until it has nothing to do. */
static void settle(void)
{
    struct loop_timer t = {.expired = stop};
    loop_lock(&loop);
    loop_arm(&loop, &t, loop_now() + 20000000);
    loop_unlock(&loop);
    loop_run(&loop);
}

static void say(int fd, const char *text)
{
    CHECK(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    settle();
}

/* What the guest would read. */
static const char *heard(void)
{
    static char text[64];
    size_t n = 0;
    while (n < sizeof(text) - 1 && chardev_read(front, (u8 *)text + n))
        n++;
    text[n] = 0;
    return text;
}

static int connect_client(void)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    strcpy(a.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
        abort();
    settle();
    return fd;
}

static void test_null(void)
{
    CHECK_EQ(open_chardev("null"), 0);
    unsigned written = 0;
    while (written < 2 * CHARDEV_BACKLOG && chardev_write(front, 'x'))
        written++;
    CHECK_EQ(written, 2 * CHARDEV_BACKLOG); /* never full */
    CHECK_STR(heard(), "");
}

static void test_file(void)
{
    char text[64];
    snprintf(text, sizeof(text), "file:%s", path);
    CHECK_EQ(open_chardev(text), 0);
    for (const char *p = "hello"; *p; p++)
        CHECK(chardev_write(front, (u8)*p));
    chardev_finish(&c, 100);
    int fd = open(path, O_RDONLY);
    memset(text, 0, sizeof(text));
    CHECK_EQ(read(fd, text, sizeof(text) - 1), 5);
    CHECK_STR(text, "hello");
    close(fd);
    close(c.write_watch.fd);
    unlink(path);
    CHECK_EQ(open_chardev("file:/nonexistent/x"), -ENOENT);
    CHECK(strstr(e.text, "/nonexistent/x"));
}

static void test_log(void)
{
    char text[128], name[80];
    snprintf(name, sizeof(name), "%s.log", path);
    for (int round = 0; round < 3; round++) { /* made, begun anew, added to */
        snprintf(text, sizeof(text), "null,logfile=%s,logappend=%s", name, round == 2 ? "on" : "off");
        CHECK_EQ(open_chardev(text), 0);
        for (unsigned i = 0; i < 3 * CHARDEV_LOG; i++)
            CHECK(chardev_write(front, 'x'));
        settle();
        CHECK(chardev_write(front, 'y'));
        loop_lock(&loop);
        chardev_close(&c);
        loop_unlock(&loop);
    }
    int fd = open(name, O_RDONLY);
    CHECK_EQ(lseek(fd, 0, SEEK_END), 2 * (3 * CHARDEV_LOG + 1));
    CHECK_EQ(pread(fd, text, 2, 3 * CHARDEV_LOG - 1), 2);
    CHECK(!memcmp(text, "xy", 2));
    close(fd);
    unlink(name);
    CHECK_EQ(open_chardev("null,logfile=/nonexistent/x"), -ENOENT);
    CHECK(strstr(e.text, "/nonexistent/x"));
}

static void open_server(const char *form)
{
    char text[128];
    snprintf(text, sizeof(text), form, path);
    CHECK_EQ(open_chardev(text), 0);
    loop_lock(&loop);
    chardev_start(&c);
    loop_unlock(&loop);
}

static void close_server(void)
{
    loop_lock(&loop);
    loop_remove(&loop, &c.listen_watch);
    loop_remove(&loop, &c.read_watch);
    loop_remove(&loop, &c.write_watch);
    loop_unlock(&loop);
    chardev_finish(&c, 0);
    if (c.mux)
        mux_destroy(c.mux);
    close(c.listen_watch.fd);
    if (c.read_watch.fd >= 0)
        close(c.read_watch.fd);
    CHECK(access(path, F_OK) < 0); /* the name is gone */
}

static void test_socket(void)
{
    char text[16] = "";
    open_server("unix:%s,server=on,wait=on");
    CHECK(chardev_waiting(&c));
    CHECK(chardev_write(front, '?')); /* nobody there: lost */
    int fd = connect_client();
    CHECK(!chardev_waiting(&c));
    CHECK_EQ(connects, 1);
    say(fd, "abc\001x");
    CHECK(inputs > 0);
    CHECK_STR(heard(), "abc\001x"); /* without mon:, Ctrl-a is a byte */
    chardev_write(front, '!');
    CHECK_EQ(read(fd, text, sizeof(text)), 1);
    CHECK_STR(text, "!");
    close(fd);
    settle();
    CHECK(chardev_write(front, '?'));
    fd = connect_client(); /* again */
    CHECK_EQ(connects, 2);
    say(fd, "d");
    CHECK_STR(heard(), "d");
    close(fd);
    settle();
    close_server();
}

static void test_keys(void)
{
    open_server("mon:unix:%s,server=on,wait=off");
    CHECK(!chardev_waiting(&c));
    int fd = connect_client();
    say(fd, "a\001\001b");
    CHECK_STR(heard(), "a\001b");
    say(fd, "\001b");
    CHECK_EQ(breaks, 1);
    say(fd, "\001");
    say(fd, "x"); /* in two pieces */
    CHECK_EQ(quits, 1);
    say(fd, "\001qz"); /* an unknown key does nothing */
    CHECK_STR(heard(), "z");
    say(fd, "\001h");
    char help[512] = "";
    CHECK(read(fd, help, sizeof(help) - 1) > 0);
    CHECK(strstr(help, "Ctrl-a x"));
    close(fd);
    settle();
    close_server();
}

/* Neither side has to keep up: what does not fit waits where it is. */
static void test_backlogs(void)
{
    static char block[4096];
    size_t sent = 0, got = 0, written = 0;
    ssize_t n;
    u8 byte;
    open_server("unix:%s,server=on,wait=off");
    int fd = connect_client();
    fcntl(fd, F_SETFL, O_NONBLOCK);
    for (; (n = write(fd, block, sizeof(block))) > 0; settle())
        sent += (size_t)n;
    CHECK(sent > CHARDEV_BACKLOG);
    while (got < sent) {
        for (; chardev_read(front, &byte); got++)
            ;
        settle();
    }
    CHECK_EQ(got, sent);
    while (chardev_write(front, 'x'))
        written++;
    CHECK(written >= CHARDEV_BACKLOG);
    CHECK_EQ(ready, 0);
    for (size_t left = written; left;) {
        n = read(fd, block, sizeof(block));
        left -= n > 0 ? (size_t)n : 0;
        settle();
        if (ready && !left)
            break;
    }
    CHECK_EQ(ready, 1);
    close(fd);
    settle();
    close_server();
}

int main(void)
{
    if (loop_init(&loop) < 0 || !mkdtemp(folder))
        return 1;
    snprintf(path, sizeof(path), "%s/s", folder);
    test_null();
    test_file();
    test_log();
    test_socket();
    test_keys();
    test_backlogs();
    rmdir(folder);
    return TEST_DONE();
}
