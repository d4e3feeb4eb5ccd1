/* shim.h - what lodge-kvm tells the preload library, by the environment */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SHIM_SHIM_H
#define SHIM_SHIM_H

#define SHIM_DUMP      "LODGE_KVM_DUMP"      /* letters, as lodge_kvm_dump takes */
#define SHIM_DUMP_FILE "LODGE_KVM_DUMP_FILE" /* its path */

#endif
