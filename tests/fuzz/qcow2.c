/* qcow2.c - fuzzing of qcow2 images: any file is opened, read, written, checked, resized, its snapshots used
 * (libFuzzer) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The input is the image; its last bytes are a program of operations as well. Nothing may crash, hang or take
 * memory without bound, whatever the file says. What an error is told is thrown away.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/image/image.h"

enum { OPERATIONS = 24, OPERATION_SIZE = 6, MOST = 192 << 10, FILE_LIMIT = 64 << 20 };

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

static u8 buffer[MOST];

/* Of the first snapshot that there is. */
static void read_state(struct disk_image *i, u64 offset, u64 bytes)
{
    struct image_info n;
    image_get_info(i, &n);
    if (n.snapshots)
        image_vm_state_read(i, i->format->snapshot(i, 0)->name, offset, buffer, bytes);
}

/* An operation: a letter, an offset as a share of the disk, or near a round number, and how much. */
static void operate(struct disk_image *i, const u8 *op)
{
    struct error e;
    u64 offset = i->size / 65536 * (op[1] | (u64)op[2] << 8) + op[3] * 131u;
    u64 bytes = (op[4] | (u64)op[5] << 8) * 7 % sizeof(buffer);
    if (op[0] & 0x80)
        offset = (u64)(op[1] | op[2] << 8) * 512;
    if (offset >= i->size)
        return;
    bytes = min(bytes, i->size - offset);
    const struct iovec iov[] = {{buffer, bytes / 3}, {buffer + bytes / 3, bytes - bytes / 3}};
    switch (op[0] & 15) {
    case 0:
    case 1:
    case 2: image_write(i, offset, iov, 2); break;
    case 3:
    case 4: image_read(i, offset, iov, 2); break;
    case 5: image_zero(i, offset, bytes, op[0] & 16); break;
    case 6: image_discard(i, offset, bytes); break;
    case 7: image_flush(i); break;
    case 8: image_resize(i, i->size + bytes * 512, false, &e); break;
    case 9: image_resize(i, offset, true, &e); break;
    case 10: image_vm_state_write(i, buffer, bytes); break;
    case 11: image_snapshot_create(i, op[0] & 16 ? "a" : "b", &e); break;
    case 12: image_snapshot_apply(i, op[0] & 16 ? "1" : "a", &e); break;
    case 13: image_snapshot_delete(i, op[0] & 16 ? "1" : "b", &e); break;
    case 14: read_state(i, offset, bytes); break;
    case 15: image_vm_state_drop(i); break;
    default: break;
    }
}

static void use(const char *path, const u8 *program, unsigned operations, bool check)
{
    struct error e;
    struct image_options o = {
        .filename = path, .format = "qcow2", .no_flush = true, .backing = "", .check = check};
    struct image_check c = {.fix = check ? IMAGE_FIX_ALL : IMAGE_FIX_NONE};
    struct disk_image *i = image_open(&o, &e);
    if (!i)
        return;
    if (check)
        image_check(i, &c, &e);
    for (unsigned n = 0; n < operations; n++)
        operate(i, program + n * OPERATION_SIZE);
    image_close(i);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
    char path[64];
    if (size < 72 + OPERATIONS * OPERATION_SIZE)
        return 0;
    int fd = memfd_create("image", MFD_CLOEXEC);
    if (write(fd, data, size) != (ssize_t)size)
        abort();
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    const u8 *program = data + size - OPERATIONS * OPERATION_SIZE;
    unsigned operations = data[size - 1] % (OPERATIONS + 1);
    use(path, program, operations, false);
    use(path, program, operations, true); /* repaired before */
    close(fd);
    return 0;
}
