#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# `veltair inspect --decisions`: of a live server through its pinned map, and of its recording afterwards:
# both must say the same, and bpftool too.
cd "$(dirname "$0")/../.." || exit 1
veltair=$PWD/${VELTAIR:-build/release/veltair}
PATH=$PATH:/usr/sbin:/sbin
dir=$(mktemp -d)
pins=/sys/fs/bpf/vt-decisions-$$
server=''
# shellcheck disable=SC2317 # called by the trap
cleanup() {
	[ -z "$server" ] || kill "$server" 2>/dev/null
	wait 2>/dev/null
	rm -rf "$dir"
}
trap cleanup EXIT
. tests/e2e/lib.sh

refuses() { # refuses NAME TEXT ARGS...: one line that says TEXT, exit 2
	local name=$1 text=$2
	shift 2
	timeout 20 "$veltair" inspect "$@" >"$dir/out" 2>"$dir/err"
	[ $? = 2 ] && [ ! -s "$dir/out" ] && [ "$(wc -l <"$dir/err")" = 1 ] && grep -q -- "$text" "$dir/err"
	ok "refuses $name" "$dir/err"
}

command -v node >/dev/null || {
	echo "1..0 # SKIP needs node"
	exit 0
}
"$veltair" zoo --out "$dir/zoo" mobilenet-v2-tiny >/dev/null || exit 1
"$veltair" serve "$dir/zoo/mobilenet-v2-tiny.onnx=tiny" --qos-ms 200 --listen 127.0.0.1:0 --pin-dir "$pins" \
	--record "$dir/rec" >"$dir/out" 2>"$dir/log" &
server=$!
port=$(listening $server "$dir/log")
timeout 60 node tests/e2e/serve.js load "$port" tiny 0.5 2 >"$dir/load" 2>&1
ok "a server that has decided" "$dir/log"
# A reload that changes nothing: the loop goes on with what it has learnt, and the recording stays one (see --arrivals below).
kill -HUP $server
for _ in $(seq 100); do grep -q reloaded "$dir/log" && break; sleep 0.05; done
timeout 60 node tests/e2e/serve.js load "$port" tiny 0.2 1 >"$dir/load2" 2>&1
grep -q reloaded "$dir/log"
ok "and is told to reload" "$dir/log"

why=$(monitor_lacks)
if [ -z "$why" ]; then
	"$veltair" inspect --decisions --pin-dir "$pins" >"$dir/table" 2>"$dir/err" && [ "$(wc -l <"$dir/table")" = 22 ] &&
		grep -q "^process $server, last decision" "$dir/table" && grep -Eq ' start +tiny +[0-9]+ +0-[0-9]+ +[0-9]+/[0-9]+ ' "$dir/table"
	ok "of a live server: 20 decisions in a table" "$dir/table"
	"$veltair" inspect --decisions --pin-dir "$pins" --json --last 1024 >"$dir/live.json" 2>"$dir/err"
	ok "of a live server: JSON" "$dir/err"
	if command -v bpftool >/dev/null; then
		bpftool -j map dump pinned "$pins/v3/decisions" >"$dir/bpf.json" 2>"$dir/err"
		# shellcheck disable=SC2016 # JavaScript has dollars of its own
		node -e '
const [a, b] = process.argv.slice(1).map((f) => JSON.parse(require("fs").readFileSync(f, "utf8")));
const ring = new Map(b.map((e) => [e.formatted.value.seq, [e.formatted.key, e.formatted.value]]));
for (const d of a.decisions) {
	const [key, v] = ring.get(d.decision);
	if (key !== d.decision % 1024 || v.action !== d.action || v.model !== d.model || v.request !== d.request ||
		v.slack_ns !== d.slack_ns || v.granted !== d.granted || v.wanted !== d.wanted || v.source !== d.source ||
		v.taken !== d.taken || v.usable !== d.usable || v.usable < 1)
		throw new Error(JSON.stringify([d, v]));
}
if (a.decisions.length < 50) throw new Error("too few: " + a.decisions.length);' "$dir/live.json" "$dir/bpf.json" 2>"$dir/err"
		ok "bpftool shows the same fields by name" "$dir/err"
	else
		skip "bpftool shows the same fields by name" "no bpftool here"
	fi
else
	skip "of a live server" "$why"
fi
kill "$server"
wait "$server"
server=

"$veltair" inspect --decisions "$dir/rec" >"$dir/table" 2>"$dir/err" && [ "$(wc -l <"$dir/table")" = 22 ] &&
	grep -q "policy veltair-full, [0-9]* steps, [0-9]* decisions" "$dir/table"
ok "of a recording: the last 20 in a table" "$dir/table"
"$veltair" inspect --decisions "$dir/rec" --json --last 1024 >"$dir/rec.json" 2>"$dir/err"
ok "of a recording: JSON" "$dir/err"
if [ -z "$why" ]; then
	# What pressure rests on is only known while it runs; all else must be the same.
	# shellcheck disable=SC2016
	node -e '
const [a, b] = process.argv.slice(1).map((f) => JSON.parse(require("fs").readFileSync(f, "utf8")).decisions.map((d) => ({ ...d, source: 0 })));
const n = Math.min(a.length, b.length);
if (n < 50) throw new Error("too few: " + n);
require("assert").deepStrictEqual(b.slice(-n), a.slice(-n));' "$dir/live.json" "$dir/rec.json" 2>"$dir/err"
	ok "the recording explains what the live map explained" "$dir/err"
else
	skip "the recording explains what the live map explained" "$why"
fi

# Each loop begins with a head.
[ "$(grep -a -o 'VTTRACE' "$dir/rec" | wc -l)" = 1 ]
ok "the reload began no loop anew"

# On cores fast enough for whatever clients send on a quiet machine. What came is what is simulated: all requests that were sent, but those that admission refused.
printf 'model,layer,cores,ns\ntiny,0,1,90000\ntiny,0,2,50000\n' >"$dir/times.csv"
timeout 60 "$veltair" sim --machine vm-2 --arrivals "$dir/rec" --profiles "$dir/times.csv" --policy all --json >"$dir/sim.json" 2>"$dir/err" &&
	python3 - "$dir/load" "$dir/load2" "$dir/sim.json" <<'END' 2>>"$dir/err"
import json, sys
*load, sim = (json.load(open(f)) for f in sys.argv[1:])
mix, sent, refused = sim["mixes"][0], *(sum(l[k] for l in load) for k in ("sent", "refused"))
assert sent > 20 and sent - refused <= mix["arrivals"]["tiny"] <= sent, (load, mix["arrivals"])
assert sim["arrivals"]["complete"] and sim["arrivals"]["recorded_policy"] == "veltair-full" and len(mix["policies"]) >= 11, sim
for p in mix["policies"]:  # each within its 200 ms
    assert p["share"]["mean"] == 1 and 0.04 < p["mean_ms"]["mean"] < 10, (p["policy"], p["share"], p["mean_ms"])
END
ok "the recording as arrivals of a simulation, under every policy" "$dir/err"

[ ! -d "$pins" ]
ok "nothing is left pinned"
timeout 20 "$veltair" inspect --decisions --pin-dir "$pins" >"$dir/out" 2>"$dir/err"
[ $? = 1 ] && [ ! -s "$dir/out" ] && [ "$(wc -l <"$dir/err")" = 1 ] && grep -q "no server to look at" "$dir/err"
ok "without a server: exit 1, one line" "$dir/err"
refuses "a file that is no recording" "not a trace" --decisions "$dir/zoo/mobilenet-v2-tiny.onnx"
# Its checksums are right (tests/unit/test_loop.c).
refuses "a recording that names a model that is not there" "step 0: a step names what is not there" --decisions tests/fuzz/corpus/sched/no_such_model
refuses "a file that is not there" "$dir/none" --decisions "$dir/none"
head -c 30001 "$dir/rec" >"$dir/cut" # steps are whole words long: an odd length is never the end of one
"$veltair" inspect --decisions "$dir/cut" >"$dir/out" 2>"$dir/err"
[ $? = 2 ] && [ "$(wc -l <"$dir/err")" = 1 ] && grep -q "$dir/cut: step [0-9]*: last step is cut short" "$dir/err" && grep -q ' start ' "$dir/out"
ok "a recording that was cut: its last decisions, what is wrong and exit 2" "$dir/err"
refuses "nothing to show" "from 1 to 1024" --decisions --last 0
refuses "options of a model" "with --decisions only" --decisions --raw
refuses "a file and a server" "not both" --decisions --pin-dir /x "$dir/rec"
refuses "--last alone" "for --decisions" --last 3 "$dir/rec"
echo "1..$count"
exit $((failed > 0))
