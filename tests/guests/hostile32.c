/* hostile32.c - the same in 32-bit code */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/guests/hostile.c"
