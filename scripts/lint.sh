#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# lint.sh [FILE...] - cppcheck over the whole tree, clang-tidy over FILE... (.clang-tidy says which checks).
# `make check` runs the first, `make lint` both.
set -eu
cd "$(dirname "$0")/.."
gen=build/release/gen
failed=

# LIBBPF_OPTS: what that macro declares, for a parser that does not read its header.
# shellcheck disable=SC2046 # names without spaces
cppcheck --quiet -j"$(nproc)" --std=c11 --enable=warning,performance,portability --inline-suppr --error-exitcode=1 \
	--suppressions-list=scripts/cppcheck.txt -I. -Iuser -I"$gen" -D_GNU_SOURCE '-DVT_VERSION="0"' \
	'-DLIBBPF_OPTS(t,n,...)=struct t n = {0}' \
	$(git ls-files '*.c' | grep -v -e '^bpf/' -e '^tests/pmu/veltair_pmu')

for f; do
	case $f in
	bpf/* | tests/pmu/veltair_pmu.c) continue ;; # for the kernel, with flags of its own
	kernels/gemm_avx512.c) isa="-march=x86-64-v4" ;;
	kernels/gemm_avx2.c) isa="-march=x86-64-v3" ;;
	kernels/vec.c | kernels/dw_rows.c | kernels/gemm_gather.c | kernels/winograd_tiles.c | kernels/strassen_rows.c)
		isa="-march=x86-64-v3 -DVT_TIER=3"
		;;
	*) isa= ;;
	esac
	# shellcheck disable=SC2086 # a few words or none
	clang-tidy --quiet --warnings-as-errors='*' "$f" -- -std=gnu11 -D_GNU_SOURCE '-DVT_VERSION="0"' -I. -Iuser -I"$gen" \
		-Itests/unit $isa || failed="$failed $f"
done
[ -z "$failed" ] || {
	echo "clang-tidy:$failed" >&2
	exit 1
}
