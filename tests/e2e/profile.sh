#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# `veltair profile` and `veltair bubble` as a user meets them: what they measure, how they go on after
# an interruption, and how they refuse what is wrong.
cd "$(dirname "$0")/../.." || exit 1
veltair=$PWD/${VELTAIR:-build/release/veltair}
writer=$(dirname "$veltair")/tests/e2e/onnx_write
dir=$(mktemp -d)
group=''
trap 'rm -rf "$dir"; [ -z "$group" ] || rmdir "$group"' EXIT
. tests/e2e/lib.sh
kills=${VT_KILL_RUNS:-8}

[ -x "$writer" ] || {
	echo "1..0 # SKIP $writer is not built"
	exit 0
}

# refuses WHAT COMMAND WHY ARGUMENT...: exit 2, one line on stderr that names WHY, nothing on stdout
refuses() {
	local what=$1 cmd=$2 why=$3 status
	shift 3
	timeout 60 "$veltair" "$cmd" "$@" >"$dir/out" 2>"$dir/err" </dev/null
	status=$?
	printf 'exit %d, wanted: %s\n' $status "$why" >"$dir/note"
	[ $status = 2 ] && [ "$(wc -l <"$dir/err")" = 1 ] && [[ $(cat "$dir/err") == "veltair $cmd: "* ]] &&
		grep -qF -- "$why" "$dir/err" && [ ! -s "$dir/out" ]
	status=$?
	cat "$dir/note" >>"$dir/err"
	(exit $status)
	ok "$cmd refuses $what"
}

# profile DB MODEL...: quick, silent, result as JSON in $dir/json
profile() {
	local db=$1
	shift
	timeout 300 "$veltair" profile --quick --levels "${levels:-0}" --json --db "$db" "$@" >"$dir/json" 2>"$dir/err" </dev/null
}

# says EXPRESSION: of the JSON result j; m is its first model, n its last
says() {
	python3 - "$dir/json" "$1" <<'PY' 2>>"$dir/err"
import json, sys
j = json.load(open(sys.argv[1]))
m, n = j["models"][0], j["models"][-1]
assert eval(sys.argv[2]), j
PY
}

"$veltair" zoo --out "$dir/zoo" mobilenet-v2-tiny resnet-50-tiny googlenet-tiny >"$dir/out" 2>"$dir/err"
ok "(three tiny models)"
mobile=$dir/zoo/mobilenet-v2-tiny.onnx resnet=$dir/zoo/resnet-50-tiny.onnx google=$dir/zoo/googlenet-tiny.onnx
"$writer" 13 "in x f32 1,3,8,8; const w f32 4,3,3,3; h = Conv(x,w); y = Relu(h); out y" >"$dir/one.onnx"
"$writer" 13 "in x f32 1,3,8,8; const w f32 4,3,3,3; const v f32 2,4,1,1; h = Conv(x,w); r = Relu(h); y = Conv(r,v); out y" >"$dir/two.onnx"
ok "(two models that share a layer)"

# ---- what it measures --------------------------------------------------------------------------
db=$dir/a.db
profile "$db" "$mobile" "$resnet" &&
	says 'set(j) == {"db", "models", "levels"} and set(m) == {"model", "layers", "known", "measured", "again", "samples", "seconds"}' &&
	says 'm["layers"] == m["known"] + m["measured"] and m["again"] <= m["measured"] > 10 and m["samples"] > 3 * m["measured"] and len(j["models"]) == 2'
ok "a profile: every distinct layer, several samples each"
profile "$db" "$mobile" "$resnet" && says 'all(x["measured"] == 0 and x["samples"] == 0 and x["known"] > 10 for x in j["models"]) and j["levels"] == []'
ok "a second call measures nothing"
profile "$db" "$dir/one.onnx" && says 'm["measured"] == m["layers"]' && profile "$db" "$dir/two.onnx" &&
	says 'm["known"] >= 1 and m["measured"] >= 1 and m["known"] + m["measured"] == m["layers"]'
ok "a model that shares layers measures only the new ones"
cp "$dir/two.onnx" "$dir/one.onnx"
profile "$db" "$dir/one.onnx" && says 'm["measured"] == 0 and m["known"] == m["layers"]'
ok "a file that changed under its name is read again"
"$writer" 13 "in x f32 N,3,8,8; const w f32 4,3,3,3; h = Conv(x,w); y = Relu(h); out y" >"$dir/any.onnx"
profile "$dir/any.db" --dim N=2 "$dir/any.onnx" && says 'm["measured"] > 0' && profile "$dir/any.db" "$dir/any.onnx" && says 'm["measured"] > 0' &&
	profile "$dir/any.db" --dim N=3 "$dir/any.onnx" && says 'm["measured"] > 0' && profile "$dir/any.db" --dim N=2 "$dir/any.onnx" && says 'm["measured"] == 0'
ok "the same file with other dimensions is another model"
head -c 36864 /dev/zero >"$dir/pixels.w"
"$writer" 13 "in x f32 1,32,32,32; extern w f32 32,32,3,3 = pixels.w,0,36864; y = Conv(x,w); out y" >"$dir/pixels.onnx"
profile "$dir/first.db" "$dir/pixels.onnx" && says 'm["measured"] > 0' &&
	profile "$dir/first.db" --direct "$dir/pixels.onnx" && says 'm["measured"] > 0' &&
	profile "$dir/first.db" --direct "$dir/pixels.onnx" && says 'm["measured"] == 0'
ok "direct kernels are measured after the usual ones"
profile "$dir/then.db" --direct "$dir/pixels.onnx" && says 'm["measured"] > 0' &&
	profile "$dir/then.db" "$dir/pixels.onnx" && says 'm["measured"] > 0' &&
	profile "$dir/then.db" "$dir/pixels.onnx" && says 'm["measured"] == 0'
ok "and the usual ones after direct kernels"
if [ "$(nproc)" -ge 2 ]; then
	levels=0,4 profile "$db" "$resnet" && says 'm["measured"] > 5 and len(j["levels"]) == 5' && levels=0,4 profile "$db" "$resnet" && says 'm["measured"] == 0'
	ok "more levels are measured when asked for, once"
else
	skip "more levels are measured when asked for, once" "one core: nothing can press"
fi
timeout 300 "$veltair" profile --quick --levels 0 --db "$dir/text.db" "$google" >"$dir/out" 2>"$dir/err" &&
	grep -q "googlenet-tiny.onnx: [0-9]* distinct layers, 0 known, [0-9]* measured.* in" "$dir/out" && grep -q "left layer" "$dir/err"
ok "a line per model on stdout, progress with the time left on stderr"

# ---- interruptions -----------------------------------------------------------------------------
db=$dir/k.db
good=0 killed=0
for ((i = 0; i < kills; i++)); do
	"$veltair" profile --quick --levels 0 --db "$db" "$mobile" "$resnet" "$google" >"$dir/out" 2>"$dir/err" &
	pid=$!
	sleep "0.$((RANDOM % 10))$((RANDOM % 10))"
	kill -9 $pid 2>>"$dir/err"
	wait $pid 2>>"$dir/err"
	[ $? != 137 ] || killed=$((killed + 1))
	[ ! -e "$db" ] || python3 - "$db" <<'PY' 2>>"$dir/err" || good=1
import sqlite3, sys
with sqlite3.connect("file:%s?mode=ro" % sys.argv[1], uri=True) as c:
    assert c.execute("PRAGMA integrity_check").fetchone() == ("ok",)
PY
done
[ $good = 0 ] && [ $killed -gt 0 ] && ! pgrep -f -- "--db $db" >>"$dir/err"
ok "$kills kill -9s at random moments: the store is consistent after each"
profile "$db" "$mobile" "$resnet" "$google" && says 'all(x["known"] + x["measured"] == x["layers"] for x in j["models"])' &&
	profile "$db" "$mobile" "$resnet" "$google" && says 'all(x["measured"] == 0 for x in j["models"])'
ok "the next call goes on to the end"
# In the middle of it: as soon as there is a store. On a fast machine all may be measured by then: again.
for _ in 1 2 3 4 5 6 7 8; do
	rm -f "$dir/i.db"*
	"$veltair" profile --db "$dir/i.db" "$mobile" "$resnet" "$google" >"$dir/out" 2>"$dir/log" &
	pid=$!
	for _ in $(seq 500); do
		[ ! -s "$dir/i.db-wal" ] || break
		sleep 0.01
	done
	kill -INT $pid 2>/dev/null
	wait $pid
	status=$?
	[ $status = 0 ] || break
done
grep -v '%, ' "$dir/log" >"$dir/err"
[ "$status" = 1 ] && [ "$(wc -l <"$dir/err")" = 1 ] && grep -qF "stopped; what was measured is in $dir/i.db" "$dir/err"
ok "SIGINT: exit 1, and a line that says how to go on"

# ---- bad input ---------------------------------------------------------------------------------
refuses "no model" profile "which models"
refuses "a model that is not there" profile "No such file" --db "$dir/b.db" "$dir/none.onnx"
refuses "a level out of range" profile "levels from 0 to 4" --levels 0,5 "$mobile"
refuses "levels that are no list" profile "--levels" --levels high "$mobile"
refuses "an unknown core" profile "core 1000" --cores 1000 --db "$dir/b.db" "$mobile"
refuses "cores that are no list" profile "--cores" --cores 3-1 "$mobile"
refuses "a store in a folder that is not there" profile "$dir/none/x.db" --db "$dir/none/x.db" "$mobile"
refuses "a folder as store" profile "$dir/zoo" --db "$dir/zoo" "$mobile"
echo "this is no store, and longer than a header would be; $(seq 1 200)" >"$dir/text"
cp "$dir/text" "$dir/text.copy"
refuses "a file that is no store" profile "$dir/text" --db "$dir/text" "$mobile"
cmp "$dir/text" "$dir/text.copy" 2>>"$dir/err"
ok "  and leaves it as it was"
refuses "a level out of range" bubble "from 0 to 4" --level 5 --secs 1
refuses "a level that is no number" bubble "--level" --level high
refuses "an unknown core" bubble "core 1000" --level 1 --cores 1000 --secs 1
refuses "a stray argument" bubble "nothing is expected" 3

# ---- the bubble --------------------------------------------------------------------------------
"$veltair" bubble --level 2 --cores 0 --secs 1 --json >"$dir/json" 2>"$dir/err" && python3 - "$dir/json" <<'PY' 2>>"$dir/err"
import json, sys
j = json.load(open(sys.argv[1]))
assert set(j) == {"level", "footprint_bytes", "duty", "gb_per_s", "probe_slowdown", "secs"}, j
assert j["level"] == 2 and j["secs"] >= 1 and j["gb_per_s"] > 0 and 0 < j["duty"] <= 1
PY
ok "bubble presses for as long as it should"
"$veltair" bubble --json >"$dir/json" 2>"$dir/err" && python3 - "$dir/json" <<'PY' 2>>"$dir/err"
import json, sys
j = json.load(open(sys.argv[1]))
l = j["levels"]
assert [x["level"] for x in l] == [0, 1, 2, 3, 4] and l[0]["footprint_bytes"] == 0
assert l[4]["duty"] == 1 and all(a["duty"] <= b["duty"] for a, b in zip(l, l[1:]))
PY
ok "without a level: five of them, ever heavier"
"$veltair" bubble --level 1 --cores 0 --secs 0 >"$dir/out" 2>"$dir/err" &
pid=$!
for _ in $(seq 600); do # finding the levels takes as long as it takes
	! grep -q "^level 1:" "$dir/out" || break
	sleep 0.05
done
kill -TERM $pid
wait $pid && grep -q "^level 1: .* GB/s" "$dir/out" && grep -qE '^[0-9.]+ s, [0-9.]+ GB/s' "$dir/out"
ok "SIGTERM ends it in good order"

# within_group COMMAND...
within_group() {
	(echo $BASHPID >"$group/cgroup.procs" && exec "$@")
}
if memory_group 104857600; then
	within_group "$veltair" bubble --secs 1 >"$dir/out" 2>"$dir/err"
	[ $? = 1 ] && [ "$(wc -l <"$dir/err")" = 1 ] && [ ! -s "$dir/out" ] &&
		grep -q "^veltair bubble: the bubble and its probe need 1[0-9]* MiB and as much again, and there are [0-9]* MiB" "$dir/err"
	ok "in a container of 100 MiB: refuses, before it is killed"
else
	skip "in a container of 100 MiB: refuses" "no memory cgroup can be made here"
fi

echo "1..$count"
[ $failed = 0 ]
