#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Run each fuzz target for some seconds from its seeds, one on each core. What it learns stays in build/, findings too.
# usage: fuzz.sh DIRECTORY SECONDS TARGET[:SECONDS]...
set -eu
bin=$1 seconds=$2
shift 2

if [ $# != 1 ]; then
	printf '%s\n' "$@" | xargs -n 1 -P "$(nproc)" "$0" "$bin" "$seconds"
	exit
fi

target=${1%%:*}
case $1 in
*:*) seconds=${1#*:} ;;
esac
work=build/fuzz-work/$target
mkdir -p "$work/corpus" "$work/findings"
"$bin/$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=65536 -print_final_stats=1 \
	-artifact_prefix="$work/findings/" "$work/corpus" "tests/fuzz/corpus/${target#fuzz_}" 2>"$work/log" || {
	tail -n 40 "$work/log" >&2
	echo "$target: a finding, see $work/findings" >&2
	exit 1
}
# One write, as another may end at the same time.
printf '== %s, %s s\n%s\n' "$target" "$seconds" \
	"$(grep -E 'stat::(number_of_executed_units|peak_rss_mb)|cov:' "$work/log" | tail -n 3)"
