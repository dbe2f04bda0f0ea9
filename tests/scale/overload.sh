#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Far more requests than a server can take, for minutes: it stays up, its memory stays flat, what it admits is in time, what
# it refuses is refused at once. SECS=300 seconds at FACTOR=5 times the rate at which 95 % are in time.
cd "$(dirname "$0")/../.." || exit 1
veltair=$PWD/${VELTAIR:-build/release/veltair}
model=${MODEL:-mobilenet-v2} secs=${SECS:-300} factor=${FACTOR:-5} slice=10
dir=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill -9 "$pid" 2>/dev/null; [ -z "${KEEP:-}" ] || cp "$dir"/*.json "$dir/serve" "$KEEP"; rm -rf "$dir"' EXIT
. tests/e2e/lib.sh

field() { # field FILE KEY: the first number of that key in the only row
	sed -n '/"rows"/,$p' "$1" | sed -n "s/.*\"$2\": *\([0-9.e+-]*\).*/\1/p" | head -n 1
}

bench() { # bench FILE ARGUMENT...
	local file=$1
	shift
	"$veltair" bench --url "unix:$dir/socket" --model "$model" --json "$@" >"$file" 2>"$dir/err"
}

"$veltair" zoo --out "$dir" "$model" >/dev/null 2>"$dir/err"
"$veltair" serve "$dir/$model.onnx=$model" --listen "unix:$dir/socket" --monitor off 2>"$dir/serve" &
pid=$!
for _ in $(seq 600); do
	grep -q ready: "$dir/serve" && break
	sleep 0.1
done
bench "$dir/alone.json" --rounds 6 --secs 3
rate=$(field "$dir/alone.json" rate_hz)
awk -v r="$rate" 'BEGIN { exit !(r > 0) }'
ok "a server, and what it can take: ${rate:-?} requests/s with 95 % in time"

# watch: the resident memory once a second
while sleep 1; do awk '/^VmRSS/ { print $2 }' "/proc/$pid/status"; done >"$dir/rss" 2>/dev/null &
watcher=$!
bench "$dir/over.json" --rate "$(awk -v r="$rate" -v f="$factor" 'BEGIN { printf "%.0f", r * f }')" \
	--secs $slice --rounds $(((secs + slice - 1) / slice))
status=$?
kill $watcher
[ $status = 0 ] && kill -0 $pid
ok "$secs s at $factor times that: the server is still there"
read -r offered in_time late refused errors p50 p99 most trouble < <(node -e '
	const row = JSON.parse(require("fs").readFileSync(process.argv[1])).rows[0], r = row.refused || {};
	const sum = (k) => row.slices.reduce((n, s) => n + s[k], 0);
	console.log(...["offered", "in_time", "late", "refused", "failed"].map(sum), r.p50_ms, r.p99_ms, r.most_ms,
		row.trouble || "");' "$dir/over.json")
echo "# $offered offered, $in_time in time, $late late, $refused refused, $errors failed${trouble:+: $trouble}"
[ "$in_time" -gt 0 ] && [ "$errors" = 0 ]
ok "no request fails"
awk -v a="$in_time" -v b="$late" 'BEGIN { printf "# of those admitted %.1f %% are in time\n", 100 * a / (a + b); exit !(a >= 0.9 * (a + b)) }'
ok "of those admitted 90 % or more are in time"
echo "# refused within $p50 ms in the median, $p99 for 99 of 100, $most at most"
awk -v ms="$p99" 'BEGIN { exit !(ms > 0 && ms < 5) }'
ok "99 of 100 refusals come within 5 ms"
awk '{ v[NR] = $1 } END {
	third = int(NR / 3)
	for (i = 1; i <= third; i++) { a += v[third + i]; b += v[NR - third + i] }
	printf "# resident %.1f MiB in the second third, %.1f in the last\n", a / third / 1024, b / third / 1024
	exit !(third && b <= 1.02 * a)
}' "$dir/rss"
ok "memory stays flat"
kill -TERM $pid && wait $pid
ok "SIGTERM: exit 0"
pid=
echo "1..$count"
[ $failed = 0 ]
