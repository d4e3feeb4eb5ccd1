/* calls_key.c - pressing keys of a guest's keyboard */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "manager/daemon/manager.h"
#include "manager/domains/job.h"
#include "manager/domains/life.h"

/* virKeycodeSet: those of them that differ from QEMU's own numbers ("qnum": the PC's scan code set 1, with
 * 0x80 for the prefix e0) little or not at all. */
enum { CODES_LINUX = 0, CODES_QNUM = 9 };

/* Linux counts the keys of the first PCs as these did; what came later has numbers of its own. */
static const u8 linux_to_qnum[] = {
    [96] = 0x9c,  [97] = 0x9d,  [98] = 0xb5,  [99] = 0x54,  [100] = 0xb8, [102] = 0xc7, [103] = 0xc8,
    [104] = 0xc9, [105] = 0xcb, [106] = 0xcd, [107] = 0xcf, [108] = 0xd0, [109] = 0xd1, [110] = 0xd2,
    [111] = 0xd3, [113] = 0xa0, [114] = 0xae, [115] = 0xb0, [116] = 0xde, [119] = 0xc6, [125] = 0xdb,
    [126] = 0xdc, [127] = 0xdd, [142] = 0xdf, [143] = 0xe3, [183] = 0x5d, [184] = 0x5e, [185] = 0x5f,
};

/* 0: there is none. */
static u32 to_qnum(u32 set, u32 code)
{
    enum { LINUX_SAME_AS_PC = 88 };
    if (set == CODES_QNUM || (set == CODES_LINUX && code <= LINUX_SAME_AS_PC))
        return code;
    return set == CODES_LINUX && code < ARRAY_SIZE(linux_to_qnum) ? linux_to_qnum[code] : 0;
}

int handle_domain_send_key(struct call *call, const struct remote_domain_send_key_args *args)
{
    struct vir_error *e = &call->error;
    struct domain *d = domain_find_active(call, &args->dom);
    if (!d || vir_check_flags(e, args->flags, 0, "virDomainSendKey") < 0)
        return -1;
    if (args->codeset != CODES_LINUX && args->codeset != CODES_QNUM)
        return vir_fail(e, VIR_ERR_OPERATION_UNSUPPORTED,
                        "key codes of set %u: the sets that there are are linux (0) and qnum (9)",
                        args->codeset);
    json_t *keys = json_array();
    for (u32 i = 0; i < args->keycodes_count; i++) {
        u32 code = to_qnum(args->codeset, args->keycodes[i]);
        if (!code || code > 255) {
            json_decref(keys);
            return vir_fail(e, VIR_ERR_INVALID_ARG, "cannot translate keycode %u of set %u to a key",
                            args->keycodes[i], args->codeset);
        }
        json_array_append_new(keys, json_pack("{s:s,s:i}", "type", "number", "data", (int)code));
    }
    json_t *arguments = json_pack("{s:o}", "keys", keys);
    if (args->holdtime)
        json_object_set_new(arguments, "hold-time", json_integer(args->holdtime));
    if (job_begin_active(d, JOB_MODIFY, e) < 0) {
        json_decref(arguments);
        return -1;
    }
    int r = life_command(d, "send-key", arguments, NULL, e);
    job_end(d);
    return r;
}
