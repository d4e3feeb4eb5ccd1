/* network.c - a network: what stands behind the interfaces that name it */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "manager/daemon/manager.h"
#include "manager/daemon/text.h"
#include "manager/domains/rules.h"
#include "manager/networks/network.h"

static const struct rule rules[] = {
    {"network", "connections ipv6", "name uuid metadata title description forward bridge domain ip mac"},
    {"metadata", "*", "*"},
    {"forward", "mode dev", "nat"},
    {"nat", "", "port"},
    {"port", "start end", ""},
    {"bridge", "name stp delay", ""},
    {"mac", "address", ""},
    {"domain", "name localOnly", ""},
    {"ip", "address netmask prefix family", "dhcp"},
    {"dhcp", "", "range"},
    {"range", "start end", ""},
    {0},
};

static const char default_network[] =
    "<network><name>default</name><forward mode='nat'/>"
    "<ip address='10.0.2.2' netmask='255.255.255.0'><dhcp><range start='10.0.2.15' end='10.0.2.30'/></dhcp></ip></network>";

static bool is_address(const char *text)
{
    struct in_addr a;
    return text && inet_pton(AF_INET, text, &a) == 1;
}

/* Bits of the netmask; -1: it is none. */
static int prefix_of(xmlNode *ip)
{
    const char *mask = xml_get(ip, "@netmask");
    struct in_addr a;
    u64 prefix = 24;
    if (mask && inet_pton(AF_INET, mask, &a) != 1)
        return -1;
    u32 bits = mask ? ntohl(a.s_addr) : 0;
    if (mask)
        return bits & (~bits >> 1) ? -1 : __builtin_popcount(bits);
    struct vir_error ignored;
    return xml_get_number(ip, "@prefix", &prefix, &ignored) < 0 || prefix > 30 ? -1 : (int)prefix;
}

static int check_ip(xmlNode *ip, struct vir_error *e)
{
    if (xml_is(ip, "@family", "ipv6"))
        return vir_fail(e, VIR_ERR_CONFIG_UNSUPPORTED, "networks have IPv4 addresses");
    if (!is_address(xml_get(ip, "@address")))
        return vir_fail(e, VIR_ERR_XML_ERROR, "Invalid address '%s' in network definition",
                        xml_get_or(ip, "@address", ""));
    int prefix = prefix_of(ip);
    if (prefix < 8 || prefix > 28)
        return vir_fail(e, VIR_ERR_XML_ERROR, "the netmask of a network leaves 4 to 24 bits for its hosts");
    xmlNode *range = xml_node(ip, "dhcp/range");
    if (range && (!is_address(xml_get(range, "@start")) || !is_address(xml_get(range, "@end"))))
        return vir_fail(e, VIR_ERR_XML_ERROR, "a DHCP range has a start and an end address");
    return 0;
}

static int check(struct manager *m, xmlNode *config, struct vir_error *e)
{
    const char *mode = xml_get(config, "forward/@mode");
    (void)m;
    if (rules_check(rules, config, e) < 0)
        return -1;
    if (xml_node(config, "forward") && !mode)
        xml_set(config, "forward/@mode", mode = "nat");
    if (mode && strcmp(mode, "nat") && strcmp(mode, "bridge"))
        return vir_fail(e, VIR_ERR_CONFIG_UNSUPPORTED,
                        "<forward mode='%s'>: there are nat and bridge, or none", mode);
    if (mode && !strcmp(mode, "bridge"))
        return xml_get(config, "bridge/@name") && !xml_node(config, "ip")
                   ? 0
                   : vir_fail(e, VIR_ERR_XML_ERROR,
                              "bridge forward mode wants a <bridge name=...>, and no <ip>");
    xmlNode *ip = xml_next(config, NULL, "ip");
    if (ip && xml_next(config, ip, "ip"))
        return vir_fail(e, VIR_ERR_CONFIG_UNSUPPORTED, "a network has one <ip>");
    return ip ? check_ip(ip, e) : 0;
}

static int start(struct resource *network, struct vir_error *e)
{
    (void)network, (void)e;
    return 0;
}

const struct resource_kind network_kind = {
    .element = "network",
    .folder = "/networks",
    .word = "network",
    .not_found = VIR_ERR_NO_NETWORK,
    .event = EVENT_NETWORK,
    .lifecycle = PROC_NETWORK_EVENT_LIFECYCLE,
    .message = &xdr_remote_network_event_lifecycle_msg,
    .check = check,
    .start = start,
};

const char *network_bridge(const struct resource *network)
{
    xmlNode *xml = resource_xml(network);
    return xml_is(xml, "forward/@mode", "bridge") ? xml_get(xml, "bridge/@name") : NULL;
}

struct setter {
    void (*set)(void *opaque, const char *name, const char *value);
    void *opaque;
};

/* What is so anyway is not said. */
static void tell(const struct setter *s, const char *name, const char *value, const char *otherwise)
{
    if (strcmp(value, otherwise))
        s->set(s->opaque, name, value);
}

void network_user_properties(const struct resource *network,
                             void (*set)(void *opaque, const char *name, const char *value), void *opaque)
{
    const struct setter s = {set, opaque};
    xmlNode *xml = resource_xml(network), *ip = xml_node(xml, "ip");
    if (!xml_node(xml, "forward"))
        set(opaque, "restrict", "on");
    if (!ip)
        return;
    struct in_addr a = {0};
    char text[INET_ADDRSTRLEN], net[INET_ADDRSTRLEN + 4];
    int prefix = prefix_of(ip);
    inet_pton(AF_INET, xml_get(ip, "@address"), &a);
    a.s_addr &= htonl(~0u << (32 - prefix));
    inet_ntop(AF_INET, &a, text, sizeof(text));
    snprintf(net, sizeof(net), "%s/%d", text, prefix);
    tell(&s, "net", net, "10.0.2.0/24");
    tell(&s, "host", xml_get(ip, "@address"), "10.0.2.2");
    if (xml_get(ip, "dhcp/range/@start"))
        tell(&s, "dhcpstart", xml_get(ip, "dhcp/range/@start"), "10.0.2.15");
}

void network_make_default(struct resources *networks)
{
    struct vir_error e;
    struct resource *r = resource_define(networks, default_network, &e);
    if (!r || resource_set_autostart(r, true, &e) < 0 || resource_start(r, &e) < 0)
        report("the network 'default': %s", e.text);
}
