/* version.h - the version of all programs of Lodge */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef BASE_VERSION_H
#define BASE_VERSION_H

#define LODGE_VERSION "0.1.0"

#endif
