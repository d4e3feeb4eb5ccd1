/* main.c - lodge-vm: one process, one virtual machine */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/config/options.h"
#include "lodge/kvm.h"
#include "machine/machine.h"
#include "machine/plug.h"
#include "machine/process.h"
#include "machine/sandbox.h"

/* For signal handlers, which get no argument. */
static struct terminal terminal;

static struct machine machine;

/* A bug of our own must not leave the user's terminal raw. */
static void on_fatal_signal(int sig)
{
    terminal_restore(&terminal);
    signal(sig, SIG_DFL);
    raise(sig);
}

static void catch_fatal_signals(void)
{
    static const int fatal[] = {SIGABRT, SIGSEGV, SIGBUS, SIGILL, SIGFPE};
    const struct sigaction action = {.sa_handler = on_fatal_signal, .sa_flags = SA_NODEFER};
    for (size_t i = 0; i < ARRAY_SIZE(fatal); i++)
        sigaction(fatal[i], &action, NULL);
}

/* Signals that ask the program to end, or (SIGUSR1) to tell what it has done: read in the event loop, once it
 * runs. */
struct end_signals {
    struct loop_watch watch;
    struct machine *machine;
};

static void tell_statistics(const struct machine *m)
{
    char text[16384], *rest = text;
    if (lodge_kvm_statistics(m->vm_fd, text, sizeof(text)) < 0) {
        report("SIGUSR1: statistics are of -accel lodge alone; for the kernel's KVM see perf kvm stat");
        return;
    }
    for (char *line; (line = strsep(&rest, "\n")) && *line;)
        report("%s", line);
}

static void end_signal_arrived(struct loop_watch *w, short revents)
{
    struct end_signals *s = container_of(w, struct end_signals, watch);
    struct signalfd_siginfo info;
    (void)revents;
    if (read(w->fd, &info, sizeof(info)) != sizeof(info))
        return;
    if (info.ssi_signo == SIGUSR1)
        tell_statistics(s->machine);
    else
        machine_end(s->machine, 128 + (int)info.ssi_signo, "ended by signal %u (%s)", info.ssi_signo,
                    strsignal((int)info.ssi_signo));
}

/* Blocks them for this thread and those that it starts. */
static void watch_end_signals(struct end_signals *s, struct machine *m)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGQUIT);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    *s =
        (struct end_signals){{signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC), POLLIN, end_signal_arrived}, m};
    loop_lock(&m->loop);
    loop_add(&m->loop, &s->watch);
    loop_unlock(&m->loop);
}

/* A standard descriptor that is closed must not become one of our own. Its stand-in can be read (nothing) and
 * not written. */
static void fill_standard_descriptors(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    while (fd >= 0 && fd <= STDERR_FILENO);
    close(fd);
}

/* What options with "help" for a value print. */
static bool print_help(const struct vm_config *c)
{
    const struct objects *const lists[] = {[PLUG_OBJECT] = &c->objects,
                                           [PLUG_BLOCKDEV] = &c->blockdevs,
                                           [PLUG_DRIVE] = &c->drives,
                                           [PLUG_NETDEV] = &c->netdevs,
                                           [PLUG_DEVICE] = &c->devices};
    bool letters = c->dump_letters && !strcmp(c->dump_letters, "help");
    if (c->cpu && !strcmp(c->cpu, "help")) {
        cpu_model_help();
        return true;
    }
    if (letters)
        fputs(lodge_kvm_dump_help(), stdout);
    for (unsigned k = 0; k < PLUG_KINDS; k++)
        for (unsigned i = 0; i < lists[k]->count; i++) {
            const struct properties *p = &lists[k]->at[i];
            bool all = p->count && !strcmp(p->at[0].value, "help");
            if (!all && !properties_get(p, "help"))
                continue;
            plug_help(k, all ? NULL : p->at[0].value);
            return true;
        }
    return letters;
}

static int start_dump(const struct vm_config *c, struct error *e)
{
    if (c->dump_letters && c->accel != ACCEL_LODGE)
        return error_set(e, EINVAL, "-d: -accel %s has no dumps: use -accel lodge", kvm_api(c->accel)->name);
    if (!c->dump_letters || lodge_kvm_dump(c->dump_letters, c->dump_path) == 0)
        return 0;
    if (errno == EINVAL)
        return error_set(e, EINVAL, "-d '%s' has an unknown letter: -d help lists them", c->dump_letters);
    return error_set(e, errno, "-D: cannot write '%s'%s: %s: name a file in a directory you may write to",
                     c->dump_path ? c->dump_path : "standard error",
                     strchr(c->dump_letters, 'p') ? ", or -d p its map in /tmp" : "", strerror(errno));
}

static int write_pidfile(const struct vm_config *c, struct error *e)
{
    if (!c->pidfile)
        return 0;
    FILE *f = fopen(c->pidfile, "we");
    bool good = f && fprintf(f, "%d\n", getpid()) > 0;
    if (f)
        good &= fclose(f) == 0;
    return good ? 0
                : error_set(e, EIO,
                            "-pidfile: cannot write '%s': %s: name a file in a directory you may write to",
                            c->pidfile, strerror(errno));
}

/* All that needs more than the guest's life does. From here on the process has no more than that. */
static int settle(const struct vm_config *c, int parent, struct error *e)
{
    int r = write_pidfile(c, e);
    if (r < 0 || (r = process_drop(c, e)) < 0)
        return r;
    process_ready(parent);
    if (c->sandbox && sandbox_is_possible() &&
        !(machine.sandbox = sandbox_create(c->accel == ACCEL_LODGE && c->accel_direct, e)))
        return -EPERM;
    return 0;
}

int main(int argc, char **argv)
{
    struct vm_config config;
    struct error e;
    struct end_signals signals;
    int parent = -1, r = options_parse(&config, argc, argv, &e);
    if (r > 0 || (r == 0 && print_help(&config))) {
        vm_config_free(&config);
        return EXIT_SUCCESS;
    }
    fill_standard_descriptors();
    report_times(config.timestamps);
    if (r == 0)
        kvm_choose(&config);
    lodge_kvm_direct(config.accel_direct ? LODGE_KVM_DIRECT_FILTERED : LODGE_KVM_DIRECT_OFF);
    signal(SIGPIPE, SIG_IGN);
    catch_fatal_signals();
    if (r == 0 && (parent = process_daemonize(&config, &e)) < -1)
        r = parent;
    if (r < 0 || start_dump(&config, &e) < 0 || machine_create(&machine, &config, &terminal, &e) < 0) {
        report("%s", e.text);
        return EXIT_FAILURE;
    }
    process_name(&config);
    watch_end_signals(&signals, &machine);
    if (settle(&config, parent, &e) < 0) {
        report("%s", e.text);
        return EXIT_FAILURE;
    }
    bool stopped = machine_run(&machine);
    terminal_restore(&terminal);
    if (config.pidfile)
        unlink(config.pidfile);
    report("%s%s%s", config.name ? config.name : "", config.name ? ": " : "", machine.end.text);
    if (!stopped)
        _exit(machine.status);
    return machine.status;
}
