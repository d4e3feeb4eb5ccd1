/* rpc.c - fuzzing of lodged's RPC: a client that sends calls with arbitrary arguments (libFuzzer) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The input is a list of steps. A step is a raw message, or a call of the daemon's own table, its arguments
 * made of the input by the table of their fields: strings are most often names, paths and documents that mean
 * something. Each input begins with a new daemon in an empty folder, which has the machine "a"; the program
 * that would run machines is one that ends at once. It runs as nobody, as calls may name any file.
 */
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "manager/daemon/manager.h"
#include "manager/daemon/text.h"
#include "manager/domains/store.h"

enum { NOBODY = 65534, STEPS_MAX = 12, MESSAGE_MAX = 65536, ROUND_NS = 1000000, ROUNDS_MAX = 3000 };

static char root[] = "/dev/shm/lodge-fuzz-XXXXXX";
static const u8 uuid_of_a[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
static const char document[] =
    "<domain type='qemu'><name>a</name><uuid>01020304-0506-0708-090a-0b0c0d0e0f10</uuid><memory>65536</memory><vcpu>2</vcpu>"
    "<os><type>hvm</type><kernel>/k</kernel></os><devices><emulator>/bin/true</emulator><disk type='file'><source file='/d'/>"
    "<target dev='vda'/></disk><interface type='network'><source network='default'/><mac address='52:54:00:00:00:01'/>"
    "</interface><console type='pty'/></devices></domain>";
static const char *const words[] = {
    document,
    "a",
    "",
    "vda",
    "default",
    "52:54:00:00:00:01",
    "p",
    "v",
    "qemu:///system",
    "serial0",
    "/",
    "../x",
    "x86_64",
    "kvm",
    "<disk type='file'><source file='/e'/><target dev='vdb'/></disk>",
    "<interface type='user'/>",
    "<x/>",
    "<rng model='virtio'/>",
    "<pool type='dir'><name>p</name><target><path>/dev/shm/lodge-fuzz-pool</path></target></pool>",
    "<volume><name>v</name><capacity>4096</capacity></volume>",
    "<network><name>n</name><ip address='10.1.1.1' netmask='255.255.255.0'/></network>",
    "{\"execute\":\"query-status\"}",
    "/dev/shm/lodge-fuzz-file",
};

struct input {
    const u8 *data;
    size_t size;
};

static u8 take(struct input *in)
{
    if (!in->size)
        return 0;
    in->size--;
    return *in->data++;
}

static u64 take_number(struct input *in)
{
    static const u64 often[] = {0, 1, 2, 3, 4, 8, 16, 0xff, 0x7fffffff, 0xffffffff, 1ull << 40, UINT64_MAX};
    u8 kind = take(in);
    if (kind < 200)
        return often[kind % ARRAY_SIZE(often)];
    u64 n = 0;
    for (unsigned i = 0; i < 1u + (kind & 7); i++)
        n = n << 8 | take(in);
    return n;
}

static char *take_string(struct input *in, struct arena *a)
{
    u8 kind = take(in);
    if (kind < 220)
        return arena_strdup(a, words[kind % ARRAY_SIZE(words)]);
    size_t n = min((size_t)take(in), in->size);
    char *text = arena_alloc(a, n + 1);
    memcpy(text, in->data, n);
    in->data += n;
    in->size -= n;
    return text;
}

static void fill(struct input *in, const struct xdr_struct *t, void *into, struct arena *a, unsigned depth);

static void fill_one(struct input *in, const struct xdr_field *f, void *at, struct arena *a, unsigned depth)
{
    switch (f->kind) {
    case XDR_I32:
    case XDR_U32: *(u32 *)at = (u32)take_number(in); break;
    case XDR_I64:
    case XDR_U64:
    case XDR_F64: *(u64 *)at = take_number(in); break;
    case XDR_STRING_OR_NULL:
    case XDR_STRING:
        *(char **)at = f->kind == XDR_STRING_OR_NULL && take(in) & 1 ? NULL : take_string(in, a);
        break;
    case XDR_UUID:
        memcpy(at, uuid_of_a, sizeof(uuid_of_a));
        if (take(in) > 230)
            ((u8 *)at)[0] ^= 1;
        break;
    case XDR_STRUCT:
        if (f->type == &xdr_remote_typed_param)
            *(struct remote_typed_param *)at =
                (struct remote_typed_param){take_string(in, a), PARAM_ULLONG, {0}};
        else
            fill(in, f->type, at, a, depth + 1);
        break;
    default: break;
    }
}

static size_t size_of(const struct xdr_field *f)
{
    return f->kind == XDR_STRUCT                                    ? f->type->size
           : f->kind == XDR_STRING || f->kind == XDR_STRING_OR_NULL ? sizeof(char *)
           : f->kind == XDR_I32 || f->kind == XDR_U32               ? 4
                                                                    : 8;
}

static void fill(struct input *in, const struct xdr_struct *t, void *into, struct arena *a, unsigned depth)
{
    for (unsigned i = 0; i < t->count && depth < 4; i++) {
        const struct xdr_field *f = &t->fields[i];
        char *at = (char *)into + f->offset;
        u32 count = f->form == XDR_MANY ? take(in) % 4 : 1;
        if (f->kind == XDR_BYTES) {
            *(u8 **)at = arena_alloc(a, 8);
            *(u32 *)((char *)into + f->count_offset) = take(in) % 8;
        } else if (f->form == XDR_ONE)
            fill_one(in, f, at, a, depth);
        else if (f->form == XDR_MANY || take(in) & 1) {
            char *elements = arena_alloc(a, size_of(f) * (count + 1));
            for (u32 k = 0; k < count; k++)
                fill_one(in, f, elements + k * size_of(f), a, depth);
            *(void **)at = elements;
            if (f->form == XDR_MANY)
                *(u32 *)((char *)into + f->count_offset) = count;
        }
    }
}

/* ---- messages ---- */

static void put_call(struct buffer *b, const struct program *program, s32 number, u32 serial,
                     struct input *in)
{
    const struct procedure *p = program->procedures[number];
    struct wire_header h = {
        .program = program->number, .version = 1, .procedure = number, .type = WIRE_CALL, .serial = serial};
    struct arena a = {0};
    size_t start = wire_begin(b, &h);
    if (p->args) {
        void *args = arena_alloc(&a, p->args->size);
        fill(in, p->args, args, &a, 0);
        xdr_encode(b, p->args, args);
    }
    wire_end(b, start);
    arena_free(&a);
}

static void put_raw(struct buffer *b, u32 serial, struct input *in)
{
    static const u32 often[] = {0x20008086, 0x20008087, 0x6b656570, 0};
    struct wire_header h = {.program = often[take(in) % 4],
                            .version = 1,
                            .procedure = take(in) | take(in) << 8,
                            .type = take(in) % 8,
                            .serial = serial - take(in) % 4,
                            .status = take(in) % 4};
    size_t n = min((size_t)take(in), in->size), start = wire_begin(b, &h);
    buffer_append(b, in->data, n);
    in->data += n;
    in->size -= n;
    wire_end(b, start);
}

static void put_step(struct buffer *b, u32 serial, struct input *in)
{
    u8 kind = take(in);
    if (kind > 230) {
        put_raw(b, serial, in);
        return;
    }
    const struct program *program = &programs[kind > 220];
    s32 number = (s32)((take(in) | take(in) << 8) % program->count);
    while (!program->procedures[number])
        number = (s32)((size_t)(number + 1) % program->count);
    if (number != PROC_CONNECT_CLOSE || program->number != PROGRAM_REMOTE)
        put_call(b, program, number, serial, in);
}

/* ---- the daemon ---- */

/* What lodged would learn by asking the program. */
static void know_emulator(struct manager *m)
{
    struct stat st;
    struct emulator *em = calloc(1, sizeof(*em));
    ASSERT(em && stat("/bin/true", &st) == 0);
    *em = (struct emulator){
        .path = text_copy("/bin/true"),
        .changed = st.st_mtim,
        .version = 7002000,
        .cpu_max = 255,
        .machines = calloc(1, sizeof(*em->machines)),
        .machine_count = 1,
        .devices = text_copy(" virtio-blk-pci virtio-net-pci virtio-balloon-pci virtio-rng-pci isa-serial "),
        .objects = text_copy(" rng-random ")};
    em->machines[0] = (struct emulator_machine){.name = text_copy("pc"), .is_default = true};
    m->emulators = em;
    m->kvm_known = m->kvm_hardware = true;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

struct round {
    struct loop_timer timer;
    struct manager *manager;
    unsigned count;
};

/* Until nobody is connected and nothing is under way; what hangs is given up. */
static void next_round(struct loop_timer *t)
{
    struct round *r = container_of(t, struct round, timer);
    struct manager *m = r->manager;
    if ((!m->server.client_count && !m->tasks.active) || ++r->count == ROUNDS_MAX)
        loop_stop(&m->loop);
    else
        loop_arm(&m->loop, t, loop_now() + ROUND_NS);
}

static void load(void *m)
{
    manager_load(m);
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    ASSERT(mkdtemp(root) &&
           (getuid() || (chown(root, NOBODY, NOBODY) == 0 && setgid(NOBODY) == 0 && setuid(NOBODY) == 0)));
    signal(SIGPIPE, SIG_IGN);
    signal(SIGCHLD, SIG_DFL);
    int null = open("/dev/null", O_WRONLY);
    dup2(null, STDOUT_FILENO);
    return 0;
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);
int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
    struct manager m = {0};
    struct error e;
    struct input in = {data, size};
    struct buffer b = {0};
    int ends[2];
    settings_init(&m.settings, root);
    free(m.settings.emulator);
    m.settings.emulator = text_copy("/bin/true");
    m.settings.monitor_timeout = 1;
    ASSERT(manager_init(&m, &e) == 0 &&
           socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
    know_emulator(&m);
    char *path = text_printf("%s/domains/a.xml", m.settings.config_dir);
    struct vir_error ve;
    file_write_atomic(path, document, strlen(document), &ve);
    free(path);
    task_start(&m.tasks, load, &m);
    u32 serial = 1;
    struct input none = {0};
    put_call(&b, &programs[0], PROC_CONNECT_OPEN, 0, &none);
    while (in.size && serial < STEPS_MAX)
        put_step(&b, serial++, &in);
    m.server.client_count++;
    client_new(&m.server, ends[0], false);
    if (write(ends[1], b.data, min(b.size, (size_t)MESSAGE_MAX)) >= 0)
        shutdown(ends[1], SHUT_WR);
    struct round r = {.timer = {.expired = next_round}, .manager = &m};
    loop_arm(&m.loop, &r.timer, loop_now());
    loop_run(&m.loop);
    close(ends[1]);
    buffer_free(&b);
    manager_free(&m);
    settings_free(&m.settings);
    nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    mkdir(root, 0700);
    return 0;
}
