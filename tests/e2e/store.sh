#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A profile store as a user meets it: inspect, run --profiles, sim --profiles, and what they refuse. The store is
# never changed by any of them.
cd "$(dirname "$0")/../.." || exit 1
veltair=$PWD/${VELTAIR:-build/release/veltair}
writer=$(dirname "$veltair")/tests/e2e/store_write
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
. tests/e2e/lib.sh

[ -x "$writer" ] || {
	echo "1..0 # SKIP $writer is not built"
	exit 0
}
: >"$dir/err"
"$veltair" zoo --out "$dir" mobilenet-v2-tiny bert-large-tiny >"$dir/log" 2>"$dir/err"
m=$dir/bert-large-tiny.onnx db=$dir/p.db
[ -s "$m" ]
ok "two small models"
"$writer" "$db" "$m" 2>"$dir/err"
ok "a store"
sum=$(sha256sum <"$db")

# untouched: the store has the bytes it had, and nothing lies beside it
untouched() {
	[ "$(sha256sum <"$db")" = "$sum" ] && [ ! -e "$db-wal" ] && [ ! -e "$db-shm" ]
}

# refuses WHAT WHY STORE ARGUMENT...: exit 2, one line that names WHY, nothing on stdout, STORE as it was
refuses() {
	local what=$1 why=$2 store=$3 before status
	shift 3
	before=$(sha256sum "$store" 2>&1)
	"$veltair" "$@" >"$dir/out" 2>"$dir/err"
	status=$?
	echo "exit $status, wanted: $why" >"$dir/note"
	[ $status = 2 ] && [ "$(wc -l <"$dir/err")" = 1 ] && grep -qF -- "$why" "$dir/err" && [ ! -s "$dir/out" ] &&
		[ "$(sha256sum "$store" 2>&1)" = "$before" ] && [ ! -e "$store-wal" ] && [ ! -e "$store-shm" ]
	status=$?
	cat "$dir/note" >>"$dir/err"
	(exit $status)
	ok "refuses $what"
}

# ---- looking at it ---------------------------------------------------------------------------------
"$veltair" inspect "$db" >"$dir/out" 2>"$dir/err" && grep -q '<- shown' "$dir/out" && grep -q "^model .*bert-large-tiny.onnx: " "$dir/out" &&
	grep -q 'f32_gemm_nouter_nc64 .* kept, fastest alone$' "$dir/out" && untouched
ok "inspect prints tables"
"$veltair" inspect "$db" --csv >"$dir/t.csv" 2>"$dir/err" &&
	[ "$(head -n 1 "$dir/t.csv")" = layer,variant,cores,level,median_ns,spread_ns,samples,kept,rank,taken_s ] &&
	[ $((($(wc -l <"$dir/t.csv") - 1) % 10)) = 0 ] && ! grep -qv -e '^"[^"]*",[a-z0-9_]*,[0-9,]*$' -e ^layer, "$dir/t.csv"
ok "inspect --csv"
"$veltair" inspect "$db" --json >"$dir/t.json" 2>"$dir/err" &&
	python3 -c 'import json, sys
s = json.load(open(sys.argv[1]))
sys.exit(len(s["times"]) != int(sys.argv[2]) or len(s["models"]) != 1 or len(s["machines"]) != 1
         or not all(t["median_ns"] > 0 and t["samples"] == 9 and t["kept"] for t in s["times"]))' \
		"$dir/t.json" $(($(wc -l <"$dir/t.csv") - 1)) 2>>"$dir/err"
ok "inspect --json: as many times as lines of CSV"
"$veltair" inspect "$db" --layer 'Attention*' --csv >"$dir/out" 2>"$dir/err" && [ "$(grep -c ^ "$dir/out")" -gt 1 ] &&
	! grep -v ^layer, "$dir/out" | grep -qv '^"Attention'
ok "inspect --layer takes a glob"
if command -v gnuplot >/dev/null; then
	"$veltair" inspect "$db" --plot "$dir/p.svg" >"$dir/out" 2>"$dir/err" && grep -q 'nouter_nc64' "$dir/p.svg" &&
		grep -q '</svg>' "$dir/p.svg" && "$veltair" inspect "$db" --plot "$dir/p.png" 2>>"$dir/err" &&
		[ "$(head -c 8 "$dir/p.png" | od -An -tx1 | tr -d ' \n')" = 89504e470d0a1a0a ]
	ok "inspect --plot draws SVG and PNG"
else
	skip "inspect --plot draws SVG and PNG" "gnuplot is not installed"
fi

# ---- running by it ---------------------------------------------------------------------------------
run() { "$veltair" run "$m" --iters 1 --warmup 0 --threads 1 "$@"; }
for level in 0 2 3 4; do
	mkdir -p "$dir/o$level"
	run --profiles "$db" --level $level --profile --json --output-dir "$dir/o$level" >"$dir/l$level" 2>"$dir/err" || break
done
grep -q '"variant": "f32_gemm_nouter_nc64"' "$dir/l0" && ! grep -q '"variant": "f32_gemm_mouter"' "$dir/l0" &&
	! grep -q '"variant": "f32_gemm_mouter"' "$dir/l2" && grep -q '"variant": "f32_gemm_mouter"' "$dir/l3" &&
	! grep -q 'nouter_nc64' "$dir/l4" && grep -q '"layers_without_time": 0' "$dir/l4"
ok "run --profiles takes other versions at level 3 than at level 2"
same=true
for f in "$dir"/o0/*.npy; do
	cmp "$f" "$dir/o4/${f##*/}" >"$dir/err" 2>&1 || { same=false && break; }
done
$same && [ -s "$f" ]
ok "and computes the same bits"
untouched
ok "and leaves the store as it was"
"$veltair" run "$dir/mobilenet-v2-tiny.onnx" --iters 1 --threads 1 >"$dir/out" 2>"$dir/err"
ok "run without a store"

# ---- bad input -------------------------------------------------------------------------------------
cp "$db" "$dir/newer.db"
printf '\0\0\0\143' | dd of="$dir/newer.db" bs=1 seek=60 conv=notrunc 2>/dev/null
cp "$db" "$dir/torn.db" && truncate -s 9000 "$dir/torn.db"
cp "$db" "$dir/hit.db" && head -c 64 /dev/zero | tr '\0' '\377' | dd of="$dir/hit.db" bs=1 seek=4096 conv=notrunc 2>/dev/null
echo "model,layer" >"$dir/text.db"
: >"$dir/empty.db"
"$writer" "$dir/foreign.db" "$m" "AuthenticAMD family 23 model 49" 2>"$dir/err"
"$writer" "$dir/unknown.db" "$m" "" f32_of_tomorrow 2>>"$dir/err"
"$writer" "$dir/other.db" "$dir/mobilenet-v2-tiny.onnx" 2>>"$dir/err"
ok "stores to be refused"
at=(run "$m" --iters 1 --level 4 --profiles)
refuses "a newer schema" "schema 99, this veltair reads up to" "$dir/newer.db" "${at[@]}" "$dir/newer.db"
refuses "a newer schema to look at" "schema 99" "$dir/newer.db" inspect "$dir/newer.db"
refuses "a store that was cut" "is damaged" "$dir/torn.db" "${at[@]}" "$dir/torn.db"
refuses "a store that was hit" "is damaged" "$dir/hit.db" inspect "$dir/hit.db"
refuses "a text" "not a profile store" "$dir/text.db" "${at[@]}" "$dir/text.db"
refuses "an empty file" "not a profile store" "$dir/empty.db" "${at[@]}" "$dir/empty.db"
refuses "no file" "cannot open" "$dir/none.db" "${at[@]}" "$dir/none.db"
refuses "a folder" "$dir" "$dir/none.db" "${at[@]}" "$dir"
refuses "times of another CPU" "only of AuthenticAMD family 23 model 49" "$dir/foreign.db" "${at[@]}" "$dir/foreign.db"
refuses "to list those as ours" "no times of this machine and build" "$dir/foreign.db" inspect "$dir/foreign.db" --csv
refuses "a version nobody knows" "variant 'f32_of_tomorrow'" "$dir/unknown.db" "${at[@]}" "$dir/unknown.db"
refuses "a store without this model" "holds no time of any layer" "$dir/other.db" "${at[@]}" "$dir/other.db"
refuses "a level that is none" "from 0 to 4" "$db" run "$m" --profiles "$db" --level 5
refuses "a variant that is none" "is unknown" "$db" run "$m" --iters 1 --variant f32_gemm_sideways
refuses "--profiles with --variant" "not with --variant" "$db" run "$m" --profiles "$db" --variant f32_gemm_mouter
refuses "--level alone" "--level is for --profiles" "$db" run "$m" --level 1
refuses "a pattern nothing is like" "no layer like 'Nothing'" "$db" inspect "$db" --layer Nothing
refuses "a machine that is not there" "--machine 7" "$db" inspect "$db" --machine 7
refuses "a plot of no known kind" "end its name in .svg or .png" "$db" inspect "$db" --plot "$dir/p.gif"
refuses "options of models" "is a profile store" "$db" inspect "$db" --raw
refuses "options of stores" "is no profile store" "$db" inspect "$m" --csv
"$veltair" inspect "$dir/foreign.db" --machine 1 --csv >"$dir/out" 2>"$dir/err" && [ "$(wc -l <"$dir/out")" -gt 10 ]
ok "another machine's times when asked for by number"
cp "$m" "$dir/kept.onnx"
"$veltair" zoo --out "$dir/other" --seed 2 bert-large-tiny >"$dir/log" 2>&1
cp "$dir/other/bert-large-tiny.onnx" "$m"
refuses "a model that changed under its name" "not the file that was profiled under this name" "$db" "${at[@]}" "$db"
cp "$dir/kept.onnx" "$m"
"$veltair" "${at[@]}" "$db" >"$dir/out" 2>"$dir/err" && grep -q '^profiles: level 4, ' "$dir/out"
ok "and takes it back"

# ---- profiled anew ---------------------------------------------------------------------------------
"$veltair" profile --quick --levels 0 --json --db "$dir/unknown.db" "$m" >"$dir/out" 2>"$dir/err" &&
	python3 -c 'import json, sys; sys.exit(not json.load(open(sys.argv[1]))["models"][0]["measured"])' "$dir/out" 2>>"$dir/err"
ok "versions nobody knows are measured anew"
"$veltair" "${at[@]}" "$dir/unknown.db" >"$dir/out" 2>"$dir/err" && grep -q '^profiles: level 4, ' "$dir/out"
ok "which it runs by then"

# ---- rights and room -------------------------------------------------------------------------------
# profiles WHAT WHY SMALL: `veltair profile` into SMALL/p.db is refused for WHY, and p.db is as it was
profiles() {
	local before status
	before=$(sha256sum "$3/p.db")
	timeout 100 "$veltair" profile --quick --levels 0 --db "$3/p.db" "$dir/mobilenet-v2-tiny.onnx" >"$dir/out" 2>"$dir/err"
	status=$?
	echo "exit $status, wanted: $2" >"$dir/note"
	# Off a terminal, progress is plain lines before it.
	[ $status = 2 ] && tail -n 1 "$dir/err" | grep -q "^veltair profile: .*$2" && [ "$(sha256sum "$3/p.db")" = "$before" ]
	status=$?
	cat "$dir/note" >>"$dir/err"
	(exit $status)
	ok "profile refuses $1"
}
mkdir "$dir/ro" && cp "$db" "$dir/ro/p.db" && chmod 444 "$dir/ro/p.db"
profiles "a read-only file" "read-only" "$dir/ro"
mkdir "$dir/small"
if [ "$(id -u)" = 0 ] && mount -t tmpfs -o size=300k small "$dir/small" 2>/dev/null; then
	trap 'umount "$dir/small"; rm -rf "$dir"' EXIT
	cp "$db" "$dir/small/p.db"
	head -c 1000000 /dev/zero >"$dir/small/rest" 2>/dev/null
	profiles "a full disk" "disk is full" "$dir/small"
	rm -f "$dir/small/rest" && "$veltair" inspect "$dir/small/p.db" --csv >"$dir/out" 2>"$dir/err" && cmp "$dir/out" "$dir/t.csv" >>"$dir/err"
	ok "and holds what it held"
	rm -f "$dir/small/p.db-wal" "$dir/small/p.db-shm"
	mount -o remount,ro "$dir/small"
	profiles "a read-only file system" "read-only" "$dir/small"
	"$veltair" "${at[@]}" "$dir/small/p.db" >"$dir/out" 2>"$dir/err"
	ok "which can be run by all the same"
else
	for t in "profile refuses a full disk" "and holds what it held" "profile refuses a read-only file system" "which can be run by all the same"; do
		skip "$t" "needs root, to mount a small disk"
	done
fi

# ---- simulating by it ------------------------------------------------------------------------------
echo "bert-large-tiny,5,1" >"$dir/mix"
"$veltair" sim --profiles "$db" --mix "$dir/mix" --policy fcfs,veltair-full --rate 100 --requests 200 --json >"$dir/out" 2>"$dir/err" &&
	grep -q '"policy"' "$dir/out" && untouched
ok "sim takes the models of a store"
"$veltair" sim --profiles "$dir/foreign.db" --mix "$dir/mix" --policy fcfs --rate 100 --requests 200 --json >"$dir/out" 2>"$dir/err" &&
	grep -q 'times of AuthenticAMD family 23 model 49' "$dir/err"
ok "and of another machine, saying so"
mkdir "$dir/a" "$dir/b" "$dir/c" && cp "$m" "$dir/a/model.onnx" && cp "$m" "$dir/b/model.onnx" && cp "$dir/mobilenet-v2-tiny.onnx" "$dir/c/model.onnx"
for d in a b; do "$writer" "$dir/two.db" "$dir/$d/model.onnx" 2>>"$dir/err"; done
echo "model,5,1" >"$dir/mix"
"$veltair" sim --profiles "$dir/two.db" --mix "$dir/mix" --policy fcfs --rate 100 --requests 200 --json >"$dir/out" 2>"$dir/err" && [ ! -s "$dir/err" ]
ok "a model that was profiled under two paths is one"
"$writer" "$dir/two.db" "$dir/c/model.onnx" 2>"$dir/err"
echo "model~2,5,1" >>"$dir/mix"
"$veltair" sim --profiles "$dir/two.db" --mix "$dir/mix" --policy fcfs --rate 100 --requests 200 --json >"$dir/out" 2>"$dir/err" &&
	[ "$(cat "$dir/err")" = "veltair sim: $dir/two.db: $dir/c/model.onnx is model~2 here, another model is model" ]
ok "two models of one name: the second has a number, which is said"
python3 - "$dir/two.db" <<'PY' 2>"$dir/err"
import sqlite3, sys
with sqlite3.connect(sys.argv[1]) as c:
    c.execute("INSERT INTO model(key, path, digest) SELECT key, '/long.onnx', 'abc' FROM model LIMIT 1")
    (m,), (layer,) = c.execute("SELECT max(id) FROM model").fetchone(), c.execute("SELECT min(layer) FROM model_layer").fetchone()
    c.executemany("INSERT INTO model_layer VALUES(?, ?, ?)", [(m, i, layer) for i in range(5000)])
PY
"$veltair" sim --profiles "$dir/two.db" --mix "$dir/mix" --policy fcfs --rate 100 --requests 200 --json >"$dir/out" 2>"$dir/err" &&
	grep -q "^veltair sim: $dir/two.db: /long.onnx has more layers than can be scheduled: left out$" "$dir/err"
ok "a model of too many layers is left out, which is said"
refuses "a damaged store to simulate" "is damaged" "$dir/torn.db" sim --profiles "$dir/torn.db" --mix "$dir/mix" --rate 10

echo "1..$count"
exit $((failed > 0))
