#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Build the scripted test PMU for an unpacked kernel: vm-module.sh VERSION HEADERS OUT.ko
# Works in a copy, so the source tree stays clean. Does nothing when OUT.ko is up to date.
set -eu
v=$1 headers=$2 out=$3
cd "$(dirname "$0")/.."

sources="Kbuild tests/pmu/veltair_pmu.c"
# shellcheck disable=SC2086 # a list of words is meant
sum=$(cat $sources "$0" | sha256sum)
[ ! -f "$out" ] || [ "$(cat "$out.sum" 2>/dev/null)" != "$sum" ] || exit 0

work=$out.work
rm -rf "$work"
mkdir -p "$work"
# shellcheck disable=SC2086
cp --parents $sources "$work"

# What the kernel was built with and this machine lacks: pahole, and on 7.x its own newer gcc.
set -- CONFIG_DEBUG_INFO_BTF_MODULES=
case $v in
6.*) ;;
*) set -- "$@" CC=gcc CONFIG_CC_HAS_MIN_FUNCTION_ALIGNMENT= KCFLAGS=-Wno-attributes ;;
esac
if ! make -C "$headers" M="$(cd "$work" && pwd)" "$@" modules >"$work/log" 2>&1; then
	tail -n 20 "$work/log" >&2
	exit 1
fi
mv "$work/tests/pmu/veltair_pmu.ko" "$out"
echo "$sum" >"$out.sum"
