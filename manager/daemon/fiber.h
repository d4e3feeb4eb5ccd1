/* fiber.h - tells the address sanitizer, where there is one, that the stack is about to change */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DAEMON_FIBER_H
#define DAEMON_FIBER_H

#include <stddef.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#define fiber_leave(save, bottom, size)  __sanitizer_start_switch_fiber(save, bottom, size)
#define fiber_enter(saved, bottom, size) __sanitizer_finish_switch_fiber(saved, bottom, size)
#else
#define fiber_leave(save, bottom, size)  ((void)(save), (void)(bottom), (void)(size))
#define fiber_enter(saved, bottom, size) ((void)(saved), (void)(bottom), (void)(size))
#endif

#endif
