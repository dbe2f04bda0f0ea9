#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Run one test, a cmocka binary or a script that prints TAP itself, for `prove --exec`.
# With VT_TAP_LOG=FILE the results are also appended there.
export CMOCKA_MESSAGE_OUTPUT=TAP
log=${VT_TAP_LOG:-/dev/null}
out=$("$@")
rc=$?
# cmocka 1.1.5 prints a skipped test as "not ok N # SKIP name", which TAP reads as a failure, and knows no
# reasons: they came before, as "# SKIP function: reason", in the same order.
out=$(printf '%s\n' "$out" | awk '
	/^# SKIP / { sub(/^# SKIP [^:]*: /, ""); why[n++] = $0; next }
	/^not ok [0-9]+ # SKIP/ { sub(/^not /, ""); if (k < n) $0 = $0 ": " why[k++] }
	{ print }')
printf '%s\n' "$out"
printf '%s\n' "$out" | flock "$log" tee -a "$log" >/dev/null # others write there, too
printf '%s\n' "$out" | sed -n 's/.*# SKIP /# skipped: /p' >&2
case $rc:$out in
0:* | *"not ok"*) ;;
*) echo "not ok - $1 ended with status $rc" >>"$log" ;;
esac
exit $rc
