/* translate.c - fuzzing of decoder, translator and handlers: arbitrary bytes as code in every mode
 * (libFuzzer) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The machine around the code is a case of tests/lockstep: the input begins with its mode and seed. */
#include <string.h>

#include "tests/lockstep/lockstep.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
    static struct reference *lodge;
    static struct guest g;
    struct result result;
    if (size < 3)
        return 0;
    if (!lodge)
        lodge = kvm_reference(false);
    g.seed = data[1] | (u64)data[2] << 8;
    g.items = 0;
    guest_generate(&g, data[0] % MODES);
    memcpy(g.ram + CODE, data + 3, min(size - 3, (size_t)(HANDLERS - CODE)));
    lodge->run(lodge, &g, &result);
    return 0;
}
