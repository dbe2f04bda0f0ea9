#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Run one test, a cmocka binary or a script that prints TAP itself, for `prove --exec`.
# With VT_TAP_LOG=FILE the results are also appended there. One that takes longer than VT_TEST_TIMEOUT (1800) seconds
# hangs: it is ended, and what it has started too.
export CMOCKA_MESSAGE_OUTPUT=TAP
log=${VT_TAP_LOG:-/dev/null} limit=${VT_TEST_TIMEOUT:-1800}
file=$(mktemp) # no pipe: whatever such a test leaves behind would hold it open
trap 'rm -f "$file"' EXIT
set -m # a process group of its own, SIGINT as it was
timeout -k 10 "$limit" "$@" >"$file" </dev/null &
test=$!
trap 'kill "$test"; wait "$test"; exit 130' INT TERM HUP # timeout hands it on
wait -f "$test" # a test that is stopped goes on later
rc=$?
# 137: it had to be killed.
[ $rc != 124 ] && [ $rc != 137 ] || echo "not ok - $1 was ended with status $rc; it may take $limit s" >>"$file"
# cmocka 1.1.5 prints a skipped test as "not ok N # SKIP name", which TAP reads as a failure, and knows no
# reasons: they came before, as "# SKIP function: reason", in the same order.
out=$(awk '
	/^# SKIP / { sub(/^# SKIP [^:]*: /, ""); why[n++] = $0; next }
	/^not ok [0-9]+ # SKIP/ { sub(/^not /, ""); if (k < n) $0 = $0 ": " why[k++] }
	{ print }' "$file")
printf '%s\n' "$out"
printf '%s\n' "$out" | flock "$log" tee -a "$log" >/dev/null # others write there, too
printf '%s\n' "$out" | sed -n 's/.*# SKIP /# skipped: /p' >&2
case $rc:$out in
0:* | *"not ok"*) ;;
*) echo "not ok - $1 ended with status $rc" >>"$log" ;;
esac
exit $rc
