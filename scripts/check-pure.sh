#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The pure archive may call nothing but itself and memory/string functions, and may hold no variables:
# no I/O, clock, malloc, globals or threads (docs/architecture.md). clang calls memcmp() bcmp. Usage: check-pure.sh ARCHIVE...
set -u
bad=0
for ar in "$@"; do
	[ -f "$ar" ] || {
		echo "check-pure: $ar: not built; run 'make' first" >&2
		exit 1
	}
	syms=$(nm -A "$ar") || exit 1
	own=$(printf '%s\n' "$syms" | awk '$(NF-1) ~ /^[TR]$/ { print $NF }')
	leaks=$(printf '%s\n' "$syms" | awk -v own="$own" '
		BEGIN {
			split(own, o, "\n"); for (i in o) ok[o[i]] = 1
			split("memcpy memset memmove memcmp bcmp strcmp strncmp strlen _GLOBAL_OFFSET_TABLE_", f, " ")
			for (i in f) ok[f[i]] = 1
		}
		$(NF-1) ~ /^[UwWvV]$/ && !($NF in ok) { print $0 }')
	vars=$(printf '%s\n' "$syms" | awk '$(NF-1) ~ /^[BbDdCGgSs]$/ { print $0 }' | grep -v '\.rel\.ro')
	[ -z "$leaks" ] || { printf 'check-pure: calls out of the pure archive:\n%s\n' "$leaks" >&2; bad=1; }
	# Constant tables with addresses in them are d (.data.rel.ro): told apart by their section.
	[ -z "$vars" ] || for v in $(printf '%s\n' "$vars" | awk '{ print $NF }'); do
		objdump -t "$ar" 2>/dev/null | awk -v v="$v" '$NF == v { print $0 }' | grep -q '\.data\.rel\.ro' ||
			{ echo "check-pure: $ar: variable $v" >&2; bad=1; }
	done
done
exit $bad
