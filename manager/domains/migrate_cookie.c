/* migrate_cookie.c - what the two daemons of a migration tell each other through the client */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "manager/daemon/host.h"
#include "manager/daemon/manager.h"
#include "manager/domains/definition.h"
#include "manager/domains/migrate_cookie.h"

enum { NS_PER_MS = 1000000 };

static void own_hostname(char name[256])
{
    *name = 0;
    if (gethostname(name, 255) < 0 || !*name)
        strcpy(name, "localhost");
    name[255] = 0;
}

/* Of this daemon and not of the computer alone: two with folders of their own move machines between them. */
static void own_uuid(const struct manager *m, char text[UUID_TEXT])
{
    u8 uuid[16];
    char host[256];
    u64 hash = 0xcbf29ce484222325; /* FNV-1a */
    own_hostname(host);
    uuid_parse(host_uuid(text), uuid);
    for (const char *at = host; *at; at++)
        hash = (hash ^ (u8)*at) * 0x100000001b3;
    for (const char *at = m->settings.run_dir; *at; at++)
        hash = (hash ^ (u8)*at) * 0x100000001b3;
    for (unsigned i = 0; i < 8; i++)
        uuid[8 + i] ^= (u8)(hash >> 8 * i);
    uuid_format(uuid, text);
}

/* ---- the processor ---- */

/* Instructions that a guest finds on its host, and uses from then on, as /proc/cpuinfo names them. */
static const char *const instructions[] = {
    "pni",       "ssse3",       "sse4_1",     "sse4_2",     "popcnt",      "movbe",      "aes",
    "pclmulqdq", "avx",         "f16c",       "fma",        "avx2",        "bmi1",       "bmi2",
    "abm",       "adx",         "rdrand",     "rdseed",     "sha_ni",      "xsave",      "fsgsbase",
    "invpcid",   "vaes",        "vpclmulqdq", "gfni",       "sse4a",       "fma4",       "avx512f",
    "avx512bw",  "avx512cd",    "avx512dq",   "avx512vl",   "avx512_vnni", "avx512vbmi", "avx_vnni",
    "amx_tile",  "avx512_fp16", "clwb",       "clflushopt", "rdpid",
};

static bool has_word(const char *words, const char *word)
{
    size_t n = strlen(word);
    for (const char *at = words; (at = strstr(at, word)); at += n)
        if ((at == words || at[-1] == ' ') && (at[n] == ' ' || !at[n]))
            return true;
    return false;
}

/* What the guest may have got used to: all that this host has, if it runs on the host's own processor. */
static void add_processor(const struct domain *d, xmlNode *cookie)
{
    char flags[8192];
    bool own = d->live && (definition_is_lodge(d->live) || xml_is(d->live, "@type", "kvm"));
    if (!own || !host_cpu_fact("flags", flags, sizeof(flags)))
        return;
    xmlNode *cpu = xml_add(cookie, "cpu");
    xml_set(cpu, "@mode", "host-passthrough");
    for (size_t i = 0; i < ARRAY_SIZE(instructions); i++)
        if (has_word(flags, instructions[i])) {
            xmlNode *feature = xml_add(cpu, "feature");
            xml_set(feature, "@policy", "require");
            xml_set(feature, "@name", instructions[i]);
        }
}

static int check_processor(xmlNode *cookie, struct vir_error *e)
{
    char flags[8192];
    xmlNode *cpu = xml_node(cookie, "cpu");
    if (!cpu || !xml_is(cpu, "@mode", "host-passthrough") || !host_cpu_fact("flags", flags, sizeof(flags)))
        return 0;
    xml_each(feature, cpu, "feature")
    {
        const char *name = xml_get_or(feature, "@name", "");
        if (!has_word(flags, name))
            return vir_fail(
                e, VIR_ERR_CONFIG_UNSUPPORTED,
                "guest and host CPU are not compatible: Host CPU does not provide required features: %s",
                name);
    }
    return 0;
}

/* ---- the cookie ---- */

/* The names of libvirt's elements, and what they tell. */
static const struct {
    const char *path;
    size_t offset;
} counters[] = {
    {"statistics/memory_total", offsetof(struct job, total)},
    {"statistics/memory_processed", offsetof(struct job, processed)},
    {"statistics/memory_remaining", offsetof(struct job, remaining)},
};

char *cookie_write(const struct domain *d, const char *name, xmlNode *persistent, const struct job *how)
{
    char host[256], uuid[UUID_TEXT];
    xmlNode *cookie = xml_new("qemu-migration");
    own_hostname(host);
    xml_set(cookie, "name", name);
    xml_set(cookie, "uuid", uuid_format(d->uuid, uuid));
    xml_set(cookie, "hostname", host);
    own_uuid(d->manager, uuid);
    xml_set(cookie, "hostuuid", uuid);
    add_processor(d, cookie);
    if (persistent) {
        xml_set(cookie, "feature/@name", "persistent");
        xmlNode *copy = xmlDocCopyNode(persistent, cookie->doc, 1);
        ASSERT(copy);
        xmlAddChild(cookie, copy);
    }
    if (how) {
        xml_setf(cookie, "statistics/time_elapsed", "%lu", how->since / NS_PER_MS);
        for (size_t i = 0; i < ARRAY_SIZE(counters); i++)
            xml_setf(cookie, counters[i].path, "%lu", *(const u64 *)((const char *)how + counters[i].offset));
    }
    char *text = xml_write(cookie);
    xml_free(cookie);
    return text;
}

static int fail(struct vir_error *e, const char *what, const char *how)
{
    return vir_fail(e, VIR_ERR_INTERNAL_ERROR, "%s %s element in migration data", how, what);
}

static int check_features(xmlNode *cookie, struct vir_error *e)
{
    xml_each(feature, cookie, "feature")
    {
        const char *name = xml_get_or(feature, "@name", "");
        if (strcmp(name, "persistent") && strcmp(name, "lockstate"))
            return vir_fail(e, VIR_ERR_INTERNAL_ERROR, "Unknown migration cookie feature %s", name);
    }
    return 0;
}

static int check(struct manager *m, xmlNode *cookie, const char *name, const char *uuid, struct vir_error *e)
{
    u8 parsed[16], ours[16];
    char own[UUID_TEXT];
    const char *its_name = xml_get(cookie, "name"), *its_uuid = xml_get(cookie, "uuid"),
               *host = xml_get(cookie, "hostuuid");
    if (!its_name)
        return fail(e, "name", "missing");
    if (name && strcmp(its_name, name))
        return vir_fail(e, VIR_ERR_INTERNAL_ERROR, "Incoming cookie data had unexpected name %s vs %s",
                        its_name, name);
    if (!its_uuid)
        return fail(e, "uuid", "missing");
    if (strcmp(its_uuid, uuid))
        return vir_fail(e, VIR_ERR_INTERNAL_ERROR, "Incoming cookie data had unexpected UUID %s vs %s",
                        its_uuid, uuid);
    if (!xml_get(cookie, "hostname"))
        return fail(e, "hostname", "missing");
    if (!host || !uuid_parse(host, parsed))
        return fail(e, "hostuuid", host ? "malformed" : "missing");
    own_uuid(m, own);
    uuid_parse(own, ours);
    if (!memcmp(ours, parsed, sizeof(ours)))
        return vir_fail(e, VIR_ERR_INTERNAL_ERROR, "Attempt to migrate guest to the same host %s", own);
    return check_features(cookie, e) < 0 ? -1 : check_processor(cookie, e);
}

xmlNode *cookie_read(struct manager *m, const u8 *bytes, u32 size, const char *name, const char *uuid,
                     struct vir_error *e)
{
    if (!size || bytes[size - 1]) {
        vir_fail(e, VIR_ERR_INTERNAL_ERROR, "Migration cookie was not NULL terminated");
        return NULL;
    }
    xmlNode *cookie = xml_parse((const char *)bytes, "qemu-migration", e);
    if (cookie && check(m, cookie, name, uuid, e) < 0) {
        xml_free(cookie);
        return NULL;
    }
    return cookie;
}

bool cookie_is_from_here(xmlNode *cookie)
{
    char host[256];
    own_hostname(host);
    return xml_is(cookie, "hostname", host);
}

char *cookie_persistent(xmlNode *cookie)
{
    xmlNode *domain = xml_node(cookie, "domain");
    return domain ? xml_write(domain) : NULL;
}

void cookie_progress(xmlNode *cookie, struct job *how)
{
    u64 elapsed;
    if (!number_parse(xml_get_or(cookie, "statistics/time_elapsed", ""), &elapsed))
        return;
    *how = (struct job){.operation = JOB_MIGRATION_IN, .since = elapsed * NS_PER_MS};
    for (size_t i = 0; i < ARRAY_SIZE(counters); i++)
        number_parse(xml_get_or(cookie, counters[i].path, ""), (u64 *)((char *)how + counters[i].offset));
}
