#!/bin/sh
# check-format.sh [--fix] - the C sources are as clang-format writes them (.clang-format)
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Not formatted: the headers whose tables are aligned by hand.
set -eu
cd "$(dirname "$0")/.."

by_hand='base/base.h include/lodge/kvm.h hypervisor/vm.h hypervisor/timer.h hypervisor/irq/irq.h
hypervisor/cpu/insn.h hypervisor/cpu/vcpu.h hypervisor/translate/engine.h'
clang_format=$(command -v clang-format-14 || command -v clang-format) ||
    { echo "check-format.sh: clang-format is missing; run tools/setup.sh check" >&2; exit 1; }
# Versions differ in what they write: the rules are those of Debian 12's.
case $($clang_format --version) in
*'version 14.'*) ;;
*) echo "check-format.sh: not checked: this needs clang-format 14, here is $($clang_format --version)" >&2; exit 0 ;;
esac

files=$(find base hypervisor include machine manager tests bench tools -name '*.[ch]' 2>/dev/null | sort)
for skip in $by_hand; do
    files=$(echo "$files" | grep -vxF "$skip")
done
if [ "${1-}" = --fix ]; then
    $clang_format -i $files
else
    $clang_format --dry-run -Werror $files
fi
