/* x87.c - what x87 keeps of its last instruction: FOP, FIP, FDP (SDM 1 8.1.8 to 8.1.10; APM vol. 2 11.4.4.3)
 */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/guests/lib/guest.h"

struct environment {
    u32 control, status, tag, ip;
    u16 cs, op;
    u32 dp;
    u16 ds, reserved;
};

/* QEMU's TCG has parts of it only. */
#define NO_OPCODE   "has no FOP"
#define NOT_LOADED  "does not load it"
#define NOT_IN_AREA "does not have it in FXSAVE's area"

extern char at[];                 /* the instruction under test */
static double number = 1.5, zero; /* in memory */
static struct environment env, second;
static u8 area[4096] __attribute__((aligned(64)));
static u16 unmasked = 0x37e;

/* What the guest's processor shows while no exception waits (SDM 1 8.1.8, 8.1.9). */
static bool shows_opcode(void)
{
    return cpuid(0, 0).c == 0x444d4163; /* AMD's */
}

static bool shows_operand(void)
{
    return !(cpuid(7, 0).b & BIT(6)); /* FDP_EXCPTN_ONLY */
}

static bool shows_selectors(void)
{
    return !(cpuid(7, 0).b & BIT(13)); /* ZERO_FCS_FDS */
}

/* Runs code, whose instruction at `at` is the last that counts, and gives what is kept. */
#define KEPT(code, ...)                                                                           \
    ({                                                                                            \
        __asm__ volatile("fninit\n\t" code "\n\tfnstenv %0\n\tfninit" : "=m"(env) : __VA_ARGS__); \
        env;                                                                                      \
    })

static void check_kept(const char *name, struct environment e, word ip, unsigned escape, word dp)
{
    print(name);
    print(":\n");
    check_eq("  instruction", e.ip, (u32)ip);
    tcg_differs(NO_OPCODE);
    check_eq("  first byte of the opcode", e.op >> 8, shows_opcode() ? escape : 0);
    check_eq("  operand", e.dp, shows_operand() ? (u32)dp : 0);
}

static word label(void)
{
    word a;
    __asm__ volatile("lea at, %0" : "=r"(a));
    return a;
}

static void instructions(void)
{
    struct environment e;
    check_kept("nothing after FNINIT", KEPT("", "m"(number)), 0, 0, 0);
    e = KEPT("at: fldl %1", "m"(number));
    check_kept("an operand in memory", e, label(), 5, (word)&number);
    check_eq("  its code segment", e.cs, !shows_selectors() ? 0 : sizeof(word) == 8 ? CODE64 : CODE32);
    e = KEPT("fldl %1\n\tfld1", "m"(number));
    tcg_differs(NO_OPCODE);
    check_eq("an instruction without one: opcode", e.op, shows_opcode() ? 0x1e8 : 0);
    check_eq("  and the operand before it", e.dp, shows_operand() ? (u32)(word)&number : 0);
    e = KEPT("fldl %1\n\tfldcw %2\n\tfnstcw %2\n\tfnclex\n\tfnstsw %%ax", "m"(number), "m"(unmasked) : "eax");
    check_eq("control instructions leave it", e.dp, shows_operand() ? (u32)(word)&number : 0);
    tcg_differs(NO_OPCODE);
    check_eq("  opcode", e.op >> 8, shows_opcode() ? 5 : 0);
}

/* The handler of an unmasked exception, taken by the next instruction, sees the one that raised it. */
static void exceptions(void)
{
    struct trap t = TRY("fninit\n\tfldcw %1\n\tfldz\n\tfdivl %2\n\tfnop", ::"m"(env), "m"(unmasked), "m"(zero)
                        : "memory");
    check_eq("#MF", (u64)(s64)t.vector, MF);
    __asm__ volatile("fxsave %1\n\tfnstenv %0\n\tfninit" : "=m"(env), "=m"(area));
    check_eq("  FNSTENV: operand", env.dp, (u32)(word)&zero);
    tcg_differs(NO_OPCODE);
    check_eq("  opcode", env.op >> 8, 4);
    tcg_differs(NOT_IN_AREA);
    check_eq("  FXSAVE: instruction", *(u32 *)(area + 8), env.ip);
    tcg_differs(NOT_IN_AREA);
    check_eq("  operand", *(u32 *)(area + 16), env.dp);
    check_eq("  opcode", *(u16 *)(area + 6), env.op);
}

static void reloaded(void)
{
    __asm__ volatile("fninit\n\tfldl %2\n\tfnstenv %0\n\tfldz\n\tfldenv %0\n\tfnstenv %1\n\tfninit"
                     : "=m"(env), "=m"(second)
                     : "m"(number));
    tcg_differs(NOT_LOADED);
    check("FLDENV loads it", !memcmp(&env, &second, sizeof(env)));
    __asm__ volatile("fninit\n\tfldl %3\n\tfnsave %0\n\tfnstenv %1\n\tfrstor %0\n\tfnstenv %2\n\tfninit"
                     : "=m"(area), "=m"(env), "=m"(second)
                     : "m"(number));
    check_kept("FNSAVE forgets it", env, 0, 0, 0);
    tcg_differs(NOT_LOADED);
    check("FRSTOR loads it", !memcmp(&second, area, sizeof(second)));
    tcg_differs(NOT_IN_AREA);
    __asm__ volatile("fninit\n\tfldl %1\n\tfxsave %0\n\tfninit" : "=m"(area) : "m"(number));
    check_eq("FXSAVE without an exception: AMD's show nothing, others the instruction", !*(u32 *)(area + 8),
             shows_opcode());
}

int main(void)
{
    instructions();
    exceptions();
    reloaded();
    return 0;
}
