/* state_offsets.h - struct state (case.h) as assembly sees it; replay.c asserts the numbers */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef FUZZ_CPU_STATE_OFFSETS_H
#define FUZZ_CPU_STATE_OFFSETS_H

#define STATE_VECTORS 0
#define STATE_FCW     0
#define STATE_FSW     2
#define STATE_FTW     4
#define STATE_MXCSR   24
#define STATE_ST(n)   (32 + 16 * (n))
#define STATE_XMM(n)  (160 + 16 * (n))
#define STATE_YMMH(n) (576 + 16 * (n))
#define STATE_GPR(n)  (832 + 8 * (n))
#define STATE_RIP     960
#define STATE_RFLAGS  968
#define STATE_FS      976
#define STATE_GS      984
#define STATE_K(n)    (992 + 8 * (n))
#define STATE_ZMMH(n) (1056 + 32 * (n))
#define STATE_ZMM(n)  (1568 + 64 * ((n)-16))

#endif
