#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# `veltair serve --profiles` while nothing runs: who else has the store, and a container's memory, are no request's matter.
cd "$(dirname "$0")/../.." || exit 1
veltair=$PWD/${VELTAIR:-build/release/veltair}
writer=$(dirname "$veltair")/tests/e2e/onnx_write store=$(dirname "$veltair")/tests/e2e/store_write
dir=$(mktemp -d)
pid='' group=''
trap '[ -z "$pid" ] || kill -9 "$pid" 2>/dev/null; [ -z "$group" ] || { sleep 0.2; rmdir "$group"; }; rm -rf "$dir"' EXIT
. tests/e2e/lib.sh

[ -x "$writer" ] || {
	echo "1..0 # SKIP $writer is not built"
	exit 0
}

# start DB: in the background, in $group if there is one; sets pid and port
start() {
	: >"$dir/err"
	(
		[ -z "$group" ] || echo $BASHPID >"$group/cgroup.procs" || exit 1
		exec "$veltair" serve "$model" --profiles "$1" --listen 127.0.0.1:0 --qos-ms 20000 --monitor off
	) >"$dir/out" 2>"$dir/err" &
	pid=$!
	port=$(listening $pid "$dir/err")
}

ends() {
	local status
	kill -TERM $pid
	wait $pid
	status=$?
	pid=''
	[ $status = 0 ]
}

# within SECONDS COMMAND...
within() {
	local n=$(($1 * 10))
	shift
	while ! "$@" && kill -0 "$pid" 2>/dev/null && [ $((n -= 1)) -gt 0 ]; do sleep 0.1; done
	"$@"
}

said() { grep -qF -- "$1" "$dir/err"; }

# times DB LEVELS [CORES]: has the store times, of those levels, on so many cores?
times() {
	python3 - "$@" <<'PY' 2>>"$dir/py"
import sqlite3, sys
n, = sqlite3.connect("file:%s?mode=ro" % sys.argv[1], uri=True, timeout=10).execute(
    "SELECT count(*) FROM time WHERE level IN (%s) AND cores IN (%s)" % (sys.argv[2], (sys.argv[3:] or ["cores"])[0])).fetchone()
sys.exit(not n)
PY
}

"$veltair" zoo --out "$dir" mobilenet-v2-tiny >"$dir/out" 2>"$dir/err"
ok "(a tiny model)"
model=$dir/mobilenet-v2-tiny.onnx

# ---- the store of another process ------------------------------------------------------------------
start "$dir/a.db" && within 60 times "$dir/a.db" 0
ok "a model is profiled while nothing runs"
# Requests come so that they meet the profiler now and then; what one waits for must not be the lock.
python3 - "$dir/a.db" "$port" <<'PY' >"$dir/longest" 2>"$dir/py"
import json, sqlite3, sys, time, urllib.request
other = sqlite3.connect(sys.argv[1], timeout=30, isolation_level=None)
other.execute("BEGIN IMMEDIATE")
begin, url = time.monotonic(), "http://127.0.0.1:%s/v2/models/mobilenet-v2-tiny" % sys.argv[2]
x = json.load(urllib.request.urlopen(url))["inputs"][0]
n = 1
for k in x["shape"]:
    n *= k
body = json.dumps({"inputs": [{"name": x["name"], "shape": x["shape"], "datatype": "FP32", "data": [0] * n}]}).encode()
longest = 0
while time.monotonic() - begin < 8:
    t = time.monotonic()
    urllib.request.urlopen(url + "/infer", body).read()
    longest = max(longest, time.monotonic() - t)
    time.sleep(1.3)
print(int(longest * 1000))
other.execute("ROLLBACK")
PY
echo "# the longest of them: $(cat "$dir/longest") ms"
[ "$(cat "$dir/longest")" -lt 2000 ]
ok "another process has the store for eight seconds: no request waits for it" "$dir/py"
[ "$(grep -c "profiling while idle waits: .*another process is writing to it" "$dir/err")" = 1 ]
ok "which is said once"
within 120 said "profiled mobilenet-v2-tiny" && ends
ok "and then goes on"

# ---- beside requests -------------------------------------------------------------------------------
slow="in x f32 512,512; t0 = MatMul(x,x);"
for i in $(seq 12); do slow+=" t$i = MatMul(t$((i - 1)),x);"; done
"$writer" 13 "$slow y = Neg(t12); out y" >"$dir/slow.onnx"
model=$dir/slow.onnx
start "$dir/c.db"
# A third of the time is theirs, so every few looks meet one.
python3 - "$port" "$dir/err" <<'PY' >"$dir/took" 2>"$dir/py"
import json, sys, time, urllib.request
url, n = "http://127.0.0.1:%s/v2/models/slow" % sys.argv[1], 4 * 512 * 512
x = json.load(urllib.request.urlopen(url))["inputs"][0]
head = json.dumps({"inputs": [{"name": x["name"], "shape": [512, 512], "datatype": "FP32", "parameters": {"binary_data_size": n}}]}).encode()
request = urllib.request.Request(url + "/infer", head + bytes(n), {"Inference-Header-Content-Length": str(len(head))})
begin = time.monotonic()
while time.monotonic() - begin < 120 and "profiled slow" not in open(sys.argv[2]).read():
    t = time.monotonic()
    urllib.request.urlopen(request).read()
    time.sleep(2 * (time.monotonic() - t))
print(round(time.monotonic() - begin, 1))
PY
echo "# profiled after $(cat "$dir/took") s"
said "profiled slow" && ends
ok "a model whose requests take a third of the time is profiled between them" "$dir/py"
model=$dir/mobilenet-v2-tiny.onnx

# ---- stores that have not all of it ------------------------------------------------------------------
lacks="lacks its times on some of these cores or at some levels; they are measured while idle"
if [ "$(nproc)" -ge 2 ]; then
	first=$(taskset -cp $$ | sed 's/.*: *\([0-9]*\).*/\1/')
	"$veltair" profile --quick --cores "$first" --levels 0 --db "$dir/d.db" "$model" >"$dir/out" 2>"$dir/err" &&
		times "$dir/d.db" 0 1 && ! times "$dir/d.db" 0 2
	ok "(a store of one core and level 0)"
	start "$dir/d.db" && within 20 said "mobilenet-v2-tiny version 1: $dir/d.db $lacks" && said "alone (profiled)"
	ok "a model that the store has on fewer cores than there are: served by it, which is said"
	within 120 said "profiled mobilenet-v2-tiny" && times "$dir/d.db" 0 2 && times "$dir/d.db" 4 1 && ends
	ok "and completed while nothing runs"
	start "$dir/d.db" && within 20 said "alone (profiled)" && ends && ! said "$lacks"
	ok "so that the next start lacks nothing"
else
	skip "a store of fewer cores" "one core"
fi
"$store" "$dir/e.db" "$model" "" f32_of_tomorrow 2>"$dir/err" && start "$dir/e.db" && within 20 said "alone (a few runs)" &&
	within 120 said "profiled mobilenet-v2-tiny" && ends
ok "versions that nobody knows are no times: served, and profiled anew"
"$store" "$dir/f.db" "$model" 2>"$dir/err" && python3 - "$dir/f.db" <<'PY' 2>>"$dir/err"
import sqlite3, sys
with sqlite3.connect(sys.argv[1]) as c:
    c.execute("UPDATE time SET median_ns = 0")
PY
ok "(a store with times that make no sense)"
"$veltair" serve "$model" --profiles "$dir/f.db" --listen 127.0.0.1:0 --monitor off >"$dir/out" 2>"$dir/err" &
pid=$!
within 20 said "cannot take its times from $dir/f.db: " && said "is damaged (a time that makes no sense)"
ok "a store that is damaged: said why"
kill $pid 2>/dev/null
wait $pid
pid=''

# ---- memory ----------------------------------------------------------------------------------------
if memory_group 200000000; then
	start "$dir/b.db" && within 120 said "profiled mobilenet-v2-tiny" && said "levels 1 to 4 are left out"
	ok "in a container of 200 MB: levels that would not fit are left out, which is said"
	times "$dir/b.db" 0 && ! times "$dir/b.db" 1,2,3,4 && ends
	ok "and the server lives"
	sleep 0.2
	rmdir "$group"
	group=''
	start "$dir/b.db" && within 20 said "$lacks" && within 120 times "$dir/b.db" 4 && ends
	ok "they are measured by a later one that has the memory"
else
	skip "a limit of memory" "no memory cgroup can be made here"
fi

echo "1..$count"
[ $failed = 0 ]
