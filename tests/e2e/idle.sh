#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# `veltair serve --profiles` while nothing runs: who else has the store, and a container's memory, are no request's matter.
cd "$(dirname "$0")/../.." || exit 1
veltair=$PWD/${VELTAIR:-build/release/veltair}
writer=$(dirname "$veltair")/tests/e2e/onnx_write
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

# times DB LEVELS: has the store times, of those levels?
times() {
	python3 - "$1" "$2" <<'PY' 2>>"$dir/py"
import sqlite3, sys
n, = sqlite3.connect("file:%s?mode=ro" % sys.argv[1], uri=True, timeout=10).execute(
    "SELECT count(*) FROM time WHERE level IN (%s)" % sys.argv[2]).fetchone()
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

# ---- memory ----------------------------------------------------------------------------------------
for at in "memory/vt-idle-$$ memory.limit_in_bytes" "vt-idle-$$ memory.max"; do
	read -r name limit <<<"$at"
	mkdir "/sys/fs/cgroup/$name" 2>/dev/null || continue
	group=/sys/fs/cgroup/$name
	echo 200000000 2>/dev/null >"$group/$limit" && break
	rmdir "$group"
	group=''
done
if [ -n "$group" ]; then
	start "$dir/b.db" && within 120 said "profiled mobilenet-v2-tiny" && said "levels 1 to 4 are left out"
	ok "in a container of 200 MB: levels that would not fit are left out, which is said"
	times "$dir/b.db" 0 && ! times "$dir/b.db" 1,2,3,4 && ends
	ok "and the server lives"
else
	skip "a limit of memory" "no memory cgroup can be made here"
fi

echo "1..$count"
[ $failed = 0 ]
