#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Run each fuzz target for some seconds from its seeds. What it learns stays in build/, findings too.
# usage: fuzz.sh DIRECTORY SECONDS TARGET...
set -eu
bin=$1 seconds=$2
shift 2
for t in "$@"; do
	work=build/fuzz-work/$t
	mkdir -p "$work/corpus" "$work/findings"
	echo "== $t, $seconds s"
	"$bin/$t" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=65536 -print_final_stats=1 \
		-artifact_prefix="$work/findings/" "$work/corpus" "tests/fuzz/corpus/${t#fuzz_}" 2>"$work/log" || {
		tail -n 40 "$work/log" >&2
		echo "$t: a finding, see $work/findings" >&2
		exit 1
	}
	grep -E 'stat::(number_of_executed_units|peak_rss_mb)|cov:' "$work/log" | tail -n 3
done
