#!/bin/sh
# check-includes.sh - includes run downward only: manager, machine -> include, base; hypervisor -> include, base
# SPDX-License-Identifier: GPL-2.0-or-later
set -eu
cd "$(dirname "$0")/.."

# folder, and the folders (as they are spelled in an include) whose headers its files may name
rules() {
    cat <<'END'
base        base/
include     lodge/
hypervisor  base/ lodge/ hypervisor/
machine     base/ lodge/ machine/
manager     base/ lodge/ manager/
END
}

bad=$(rules | while read -r folder allowed; do
    [ -d "$folder" ] || continue
    # A line of grep is FILE:NUMBER:#include "HEADER". A header without a folder is one beside the file.
    find "$folder" -name '*.[chS]' -exec grep -Hn '^ *# *include *["<]' {} + |
        sed -n 's/^\([^:]*\):\([0-9]*\):[^"<]*\(["<]\)\([^">]*\)[">].*/\1 \2 \3 \4/p' |
        while read -r file line kind header; do
            # <...> is the system's, unless it names one of our own folders.
            if [ "$kind" = '<' ]; then
                case $header in base/* | lodge/* | hypervisor/* | machine/* | manager/* | include/*) ;; *) continue ;; esac
            fi
            ok=
            for prefix in $allowed; do
                case $header in "$prefix"*) ok=1 ;; esac
            done
            case $header in */*) ;; *) [ -e "$(dirname "$file")/$header" ] && ok=1 ;; esac
            [ -n "$ok" ] || echo "$file:$line: $folder/ must not include $header (it may include: $allowed)"
        done
done)
[ -z "$bad" ] || { echo "$bad"; exit 1; }
