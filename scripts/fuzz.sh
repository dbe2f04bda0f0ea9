#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Run each fuzz target for some seconds from its seeds, one on each core. What it learns stays in build/, findings too.
# usage: fuzz.sh DIRECTORY SECONDS TARGET...
set -eu
bin=$1 seconds=$2
shift 2

fuzz() {
	work=build/fuzz-work/$1
	mkdir -p "$work/corpus" "$work/findings"
	"$bin/$1" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=65536 -print_final_stats=1 \
		-artifact_prefix="$work/findings/" "$work/corpus" "tests/fuzz/corpus/${1#fuzz_}" 2>"$work/log" || {
		tail -n 40 "$work/log" >&2
		echo "$1: a finding, see $work/findings" >&2
		exit 1
	}
	# One write, as another may end at the same time.
	printf '== %s, %s s\n%s\n' "$1" "$seconds" \
		"$(grep -E 'stat::(number_of_executed_units|peak_rss_mb)|cov:' "$work/log" | tail -n 3)"
}

while [ $# -gt 0 ]; do
	started=
	for _ in $(seq "$(nproc)"); do
		[ $# -gt 0 ] || break
		fuzz "$1" &
		started="$started $!"
		shift
	done
	for pid in $started; do
		wait "$pid" || failed=1
	done
	[ -z "${failed-}" ] || exit 1
done
