/* sandbox.h - system calls that the program does not need are refused, by what a thread does (seccomp(2)) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MACHINE_SANDBOX_H
#define MACHINE_SANDBOX_H

#include <stdbool.h>

#include "base/error.h"

struct sandbox;

/* ALL holds for all threads that there are and come, beneath what each puts on itself: the main thread, which
 * opens what a monitor asks for, has no more than that. */
enum sandbox_role { SANDBOX_ALL, SANDBOX_VCPU, SANDBOX_IO, SANDBOX_ROLES };

/* false: the program is built with a sanitizer, which wants to look at its threads at the end. */
bool sandbox_is_possible(void);

/* Compiles the filters and puts ALL on; there is no way back. traces: threads of vcpus make processes that
 * run guest code, and trace them (lodge_kvm_direct). NULL with e. */
struct sandbox *sandbox_create(bool traces, struct error *e);

/* For the calling thread, which has nothing left to do but its role. NULL: no sandbox. */
void sandbox_enter(const struct sandbox *s, enum sandbox_role role);

#endif
