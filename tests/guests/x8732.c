/* x8732.c - the same in 32-bit code */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/guests/x87.c"
