/* pit.c - 8254 programmable interval timer (Intel 8254 data sheet), and port 0x61 with its channel 2 */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A channel is not clocked: what it shows is computed from the time since its count was loaded. Channel 0
 * also has a host timer for its interrupt on GSI 0. A tick that the guest was too slow to take is not lost:
 * it is sent again when the guest ends the one before (KVM's default, "reinject"), so that a guest which
 * counts ticks keeps time.
 */
#include "hypervisor/irq/chips.h"

enum { GSI_PIT = 0, MODE_NONE = 0xff /* as KVM shows a channel that was never programmed */ };
/* kvm_pit_channel_state.rw_mode, and read_state and write_state, where a word goes through two states. */
enum { RW_LATCH, RW_LSB, RW_MSB, RW_WORD, RW_WORD_MSB };
enum { READ_BACK = 3, READ_BACK_NO_COUNT = BIT(5), READ_BACK_NO_STATUS = BIT(4) };
enum { STATUS_OUT = BIT(7), STATUS_NULL_COUNT = BIT(6) };
enum { PORT61_GATE = BIT(0), PORT61_SPEAKER = BIT(1) };

static bool pit_is_periodic(const struct pit_channel *ch)
{
    return ch->s.mode == 2 || ch->s.mode == 3;
}

/* Modes 1 and 5 count from a rising gate; the others while the gate is high. */
static bool pit_is_triggered(const struct pit_channel *ch)
{
    return ch->s.mode == 1 || ch->s.mode == 5;
}

static u64 pit_elapsed_ns(const struct pit_channel *ch)
{
    return ch->counting ? host_now_ns() - (u64)ch->s.count_load_time : ch->elapsed;
}

static u64 pit_clocks(const struct pit_channel *ch)
{
    return muldiv(pit_elapsed_ns(ch), PIT_HZ, NS_PER_SECOND);
}

/* When channel 0 will have counted n periods: host ns, rounded up. */
static u64 pit_period_end(const struct pit_channel *ch, u64 n)
{
    return (u64)ch->s.count_load_time + muldiv(n * ch->s.count, NS_PER_SECOND, PIT_HZ) + 1;
}

static bool pit_out(const struct pit_channel *ch)
{
    u64 clocks = pit_clocks(ch), count = ch->s.count;

    if (ch->null_count || (!ch->counting && pit_is_triggered(ch)))
        return ch->s.mode != 0;
    switch (ch->s.mode) {
    case 2: return clocks % count != count - 1;
    case 3: return clocks % count < (count + 1) / 2;
    case 4:
    case 5: return clocks != count;
    default: return clocks >= count;
    }
}

static u16 to_bcd(unsigned value)
{
    return (u16)(value % 10 | value / 10 % 10 << 4 | value / 100 % 10 << 8 | value / 1000 % 10 << 12);
}

static unsigned from_bcd(u16 value)
{
    return (value & 15) + (value >> 4 & 15) * 10 + (value >> 8 & 15) * 100 + (value >> 12) * 1000;
}

/* The counting element as the guest reads it. It wraps in modes 0, 1, 4 and 5, and goes down by two in
 * mode 3. */
static u16 pit_count(const struct pit_channel *ch)
{
    u64 clocks = pit_clocks(ch), count = ch->s.count, modulus = ch->s.bcd ? 10000 : 65536, left;

    if (ch->s.mode == 2)
        left = count - clocks % count;
    else if (ch->s.mode == 3)
        left = count - 2 * clocks % count;
    else
        left = modulus + count - clocks % modulus;
    left %= modulus;
    return ch->s.bcd ? to_bcd((unsigned)left) : (u16)left;
}

static void pit_set_counting(struct pit_channel *ch, bool counting, u64 elapsed)
{
    ch->counting = counting;
    ch->elapsed = elapsed;
    ch->s.count_load_time = (s64)(host_now_ns() - elapsed);
}

static bool pit_too_fast(const struct pit_channel *ch)
{
    return muldiv(ch->s.count, NS_PER_SECOND, PIT_HZ) < MIN_PERIOD_NS;
}

/* Channel 0's next interrupt. A period that is too short for the host is served as often as MIN_PERIOD_NS
 * allows. */
static void pit_arm(struct irqchip *c)
{
    struct pit *p = &c->pit;
    struct pit_channel *ch = &p->channel[0];

    p->deadline = 0;
    if (ch->counting && !(p->flags & KVM_PIT_FLAGS_HPET_LEGACY) && (pit_is_periodic(ch) || p->periods == 0)) {
        p->deadline = pit_period_end(ch, p->periods + 1);
        if (pit_is_periodic(ch) && pit_too_fast(ch))
            p->deadline = max(p->deadline, host_now_ns() + MIN_PERIOD_NS);
    }
    timer_arm(c->vm->timers, &p->timer, p->deadline);
}

/* Starts the channel with a new count: 1 to 65536 clocks. */
static void pit_load(struct irqchip *c, unsigned n, u32 count)
{
    struct pit_channel *ch = &c->pit.channel[n];

    ch->s.count = count;
    ch->null_count = ch->s.mode == MODE_NONE;
    pit_set_counting(ch, ch->s.gate && !pit_is_triggered(ch) && !ch->null_count, 0);
    if (n == 0) {
        c->pit.periods = c->pit.pending = 0;
        c->pit.acked = true;
        pit_arm(c);
    }
}

static void pit_write_count(struct irqchip *c, unsigned n, u16 value)
{
    bool bcd = c->pit.channel[n].s.bcd;
    u32 count = bcd ? from_bcd(value) : value;

    pit_load(c, n, count ? count : bcd ? 10000 : 65536);
}

/* Sends one tick if the guest has taken the last one. With no one to take it, none is owed either. */
static void pit_send(struct irqchip *c)
{
    struct pit *p = &c->pit;
    int result;

    if (!p->acked || !p->pending)
        return;
    result = irqchip_line(c, GSI_PIT, SOURCE_PIT, true);
    irqchip_line(c, GSI_PIT, SOURCE_PIT, false);
    p->acked = p->discard || result <= 0;
    if (p->discard || result < 0)
        p->pending = 0;
}

void pit_acked(struct irqchip *c)
{
    if (c->pit.acked)
        return;
    c->pit.acked = true;
    if (c->pit.pending)
        c->pit.pending--;
    pit_send(c);
}

void pit_unmasked(struct irqchip *c)
{
    c->pit.acked = true;
    c->pit.pending = 0;
}

/* The timer's thread. A timer that was moved meanwhile finds its deadline gone or ahead. */
static void pit_expired(struct timer *t)
{
    struct irqchip *c = container_of(t, struct irqchip, pit.timer);
    struct pit *p = &c->pit;
    struct pit_channel *ch = &p->channel[0];

    pthread_mutex_lock(&c->lock);
    if (p->deadline && host_now_ns() >= p->deadline) {
        u64 periods = pit_is_periodic(ch) ? pit_clocks(ch) / ch->s.count : 1, missed = periods - p->periods;

        p->periods = periods;
        p->pending += pit_too_fast(ch) ? 1 : missed;
        pit_send(c);
        pit_arm(c);
    }
    pthread_mutex_unlock(&c->lock);
}

static void pit_latch_count(struct pit_channel *ch)
{
    if (ch->s.count_latched)
        return;
    ch->s.latched_count = pit_count(ch);
    ch->s.count_latched = ch->s.rw_mode;
}

static void pit_latch_status(struct pit_channel *ch)
{
    if (ch->s.status_latched)
        return;
    ch->s.status = (u8)((pit_out(ch) ? STATUS_OUT : 0) | (ch->null_count ? STATUS_NULL_COUNT : 0) |
                        ch->s.rw_mode << 4 | (ch->s.mode & 7) << 1 | ch->s.bcd);
    ch->s.status_latched = 1;
}

static void pit_read_back(struct irqchip *c, u8 command)
{
    for (unsigned n = 0; n < 3; n++) {
        if (!(command & BIT(n + 1)))
            continue;
        if (!(command & READ_BACK_NO_COUNT))
            pit_latch_count(&c->pit.channel[n]);
        if (!(command & READ_BACK_NO_STATUS))
            pit_latch_status(&c->pit.channel[n]);
    }
}

/* Modes 6 and 7 are 2 and 3. */
static u8 pit_mode(u8 bits)
{
    return bits > 7 ? MODE_NONE : bits > 5 ? bits & 3 : bits;
}

/* A new mode stops the channel until a count comes. */
static void pit_set_mode(struct irqchip *c, unsigned n, u8 command)
{
    struct pit_channel *ch = &c->pit.channel[n];

    ch->s.rw_mode = ch->s.read_state = ch->s.write_state = command >> 4 & 3;
    ch->s.mode = pit_mode(command >> 1 & 7);
    ch->s.bcd = command & 1;
    ch->s.count_latched = ch->s.status_latched = 0;
    ch->null_count = true;
    pit_set_counting(ch, false, 0);
    if (n == 0)
        pit_arm(c);
}

static void pit_control(struct irqchip *c, u8 command)
{
    unsigned n = command >> 6;

    if (n == READ_BACK)
        pit_read_back(c, command);
    else if ((command >> 4 & 3) == RW_LATCH)
        pit_latch_count(&c->pit.channel[n]);
    else
        pit_set_mode(c, n, command);
}

void pit_write(struct irqchip *c, u16 port, u8 value)
{
    unsigned n = port & 3;
    struct pit_channel *ch = &c->pit.channel[n];

    if (n == 3) {
        pit_control(c, value);
        return;
    }
    switch (ch->s.write_state) {
    case RW_MSB: pit_write_count(c, n, (u16)(value << 8)); break;
    case RW_WORD:
        ch->s.write_latch = value;
        ch->s.write_state = RW_WORD_MSB;
        if (ch->s.mode == 0 && ch->counting) /* half a count stops mode 0 */
            pit_set_counting(ch, false, pit_elapsed_ns(ch));
        break;
    case RW_WORD_MSB:
        ch->s.write_state = RW_WORD;
        pit_write_count(c, n, (u16)(ch->s.write_latch | value << 8));
        break;
    default: pit_write_count(c, n, value); break;
    }
}

/* The byte of a count that state asks for; a word's two bytes come one after the other. */
static u8 pit_count_byte(u16 count, u8 *state, u8 after_msb)
{
    if (*state == RW_WORD) {
        *state = RW_WORD_MSB;
        return (u8)count;
    }
    if (*state == RW_WORD_MSB) {
        *state = after_msb;
        return (u8)(count >> 8);
    }
    return (u8)(*state == RW_MSB ? count >> 8 : count);
}

u8 pit_read(struct irqchip *c, u16 port)
{
    struct pit_channel *ch = &c->pit.channel[port & 3];
    u8 state, value;

    if ((port & 3) == 3)
        return 0;
    if (ch->s.status_latched) {
        ch->s.status_latched = 0;
        return ch->s.status;
    }
    if (!ch->s.count_latched)
        return pit_count_byte(pit_count(ch), &ch->s.read_state, RW_WORD);
    state = ch->s.count_latched;
    value = pit_count_byte(ch->s.latched_count, &state, 0);
    ch->s.count_latched = state == RW_WORD_MSB ? RW_WORD_MSB : 0;
    return value;
}

/* The gate: a rising edge starts modes 1, 2, 3 and 5 anew; a low gate holds modes 0, 2, 3 and 4. */
static void pit_set_gate(struct pit_channel *ch, bool gate)
{
    bool was = ch->s.gate;

    ch->s.gate = gate;
    if (was == gate || ch->null_count)
        return;
    if (gate)
        pit_set_counting(ch, true, pit_is_periodic(ch) || pit_is_triggered(ch) ? 0 : ch->elapsed);
    else if (!pit_is_triggered(ch))
        pit_set_counting(ch, false, pit_elapsed_ns(ch));
}

/* Bit 4 toggles with the memory refresh of old, every 15 us: software waits by it. */
u8 pit_speaker_read(struct irqchip *c, u16 port)
{
    const struct pit_channel *ch = &c->pit.channel[2];

    (void)port;
    return (u8)(ch->s.gate | (c->pit.flags & KVM_PIT_FLAGS_SPEAKER_DATA_ON ? PORT61_SPEAKER : 0) |
                (host_now_ns() >> 14 & 1) << 4 | (u8)pit_out(ch) << 5);
}

void pit_speaker_write(struct irqchip *c, u16 port, u8 value)
{
    (void)port;
    c->pit.flags &= ~(u32)KVM_PIT_FLAGS_SPEAKER_DATA_ON;
    if (value & PORT61_SPEAKER)
        c->pit.flags |= KVM_PIT_FLAGS_SPEAKER_DATA_ON;
    pit_set_gate(&c->pit.channel[2], value & PORT61_GATE);
}

void pit_get_state(const struct irqchip *c, struct kvm_pit_state2 *s)
{
    *s = (struct kvm_pit_state2){.flags = c->pit.flags};
    for (unsigned n = 0; n < 3; n++)
        s->channels[n] = c->pit.channel[n].s;
}

/* As KVM: counting starts anew, now. */
void pit_set_state(struct irqchip *c, const struct kvm_pit_state2 *s)
{
    c->pit.flags = s->flags & (KVM_PIT_FLAGS_HPET_LEGACY | KVM_PIT_FLAGS_SPEAKER_DATA_ON);
    for (unsigned n = 0; n < 3; n++) {
        struct pit_channel *ch = &c->pit.channel[n];
        u32 count = s->channels[n].count;

        ch->s = s->channels[n];
        ch->s.mode = pit_mode(ch->s.mode);
        ch->s.rw_mode &= 3;
        ch->s.gate = !!ch->s.gate;
        ch->s.bcd = !!ch->s.bcd;
        pit_load(c, n, count ? min(count, 65536u) : 65536);
    }
}

/* As KVM's at creation: no channel counts yet, channel 2's gate is low. */
void pit_init(struct irqchip *c)
{
    c->pit = (struct pit){.timer.expired = pit_expired, .acked = true};
    for (unsigned n = 0; n < 3; n++) {
        c->pit.channel[n].s = (struct kvm_pit_channel_state){.mode = MODE_NONE, .gate = n != 2};
        pit_load(c, n, 65536);
    }
}
