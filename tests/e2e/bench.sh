#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# `veltair bench` as a user meets it: tiny models, what it prints, what it leaves, what it refuses and how.
cd "$(dirname "$0")/../.." || exit 1
veltair=$PWD/${VELTAIR:-build/release/veltair}
dir=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null; rm -rf "$dir"' EXIT
. tests/e2e/lib.sh

bench() {
	"$veltair" bench "$@" >"$dir/out" 2>"$dir/err"
}

# refuses TEXT ARGUMENT...: exit status 2, one line on stderr with TEXT, nothing on stdout
refuses() {
	local text=$1 status
	shift
	bench "$@"
	status=$?
	[ $status = 2 ] && [ "$(grep -c . "$dir/err")" = 1 ] && grep -qF -- "$text" "$dir/err" && [ ! -s "$dir/out" ]
	ok "refuses: $text"
}

json() { # json EXPRESSION: true of the JSON on stdout, named d
	python3 -c "import json, sys; d = json.load(sys.stdin); sys.exit(not ($1))" <"$dir/out" 2>>"$dir/err"
}

"$veltair" zoo --tiny --out "$dir" mobilenet-v2 googlenet bert-large >/dev/null 2>"$dir/err"
ok "tiny models are written"
a=$dir/mobilenet-v2-tiny.onnx b=$dir/googlenet-tiny.onnx

# ---- in this process ----

bench --model "$a:1000" --model "$b=second:1000:2" --rate 50 --secs 0.5 --rounds 2 --json &&
	json 'd["search"] is False and [m["name"] for m in d["models"]] == ["mobilenet-v2-tiny", "second"] and len(d["rows"]) == 1' &&
	json 'all(s["offered"] == 25 and s["in_time"] + s["late"] + s["refused"] == 25 and s["failed"] == 0 for s in d["rows"][0]["slices"])' &&
	json '(max(s["core_trip_ns"] for s in d["rows"][0]["slices"]) > 0) == (len(__import__("os").sched_getaffinity(0)) > 1)' &&
	json 'd["rows"][0]["p50_ms"] > 0 and 0 < d["rows"][0]["decide_p99_us"] <= d["rows"][0]["turn_p99_us"] and sum(d["rows"][0]["layer_runs_by_version"]) > 0'
ok "a fixed rate: every request is accounted for"

bench --model "$a:1000" --policy all --rate 40 --secs 0.3 --rounds 1 &&
	[ "$(grep -cE '^(fcfs|edf|planaria|prema|veltair|layer|model)' "$dir/out")" -ge 8 ] && grep -q 'limit of veltair' "$dir/out" &&
	grep -q 'round 1 of 1' "$dir/err"
ok "--policy all: a row each, the limit beside them, progress meanwhile"

bench --model "$a" --model "$dir/bert-large-tiny.onnx" --secs 0.4 --rounds 4 --csv --seed 7 &&
	[ "$(wc -l <"$dir/out")" = 5 ] && head -n 1 "$dir/out" | grep -q '^row,engine,round,rate_hz,offered,in_time'
ok "a search, as CSV: a line a slice"

bench --model "$a" --secs 0.3 --rounds 3 --html "$dir/report.html" --plot "$dir/plots" --policy fcfs,veltair-full --fixed &&
	grep -q 'fixed-4' "$dir/out" && grep -q '</html>' "$dir/report.html" && grep -q "<svg" "$dir/report.html" &&
	! grep -qE '(src|href)=|https?://|@import|url\(' "$dir/report.html"
ok "--html: one page, nothing in it is fetched; --fixed: hindsight's choices"
if command -v gnuplot >/dev/null; then
	[ -s "$dir/plots/rate.svg" ] && [ -s "$dir/plots/latency.svg" ] && [ -s "$dir/plots/pressure.svg" ]
	ok "--plot draws"
else
	skip "--plot draws" "gnuplot is not installed"
fi

bench --model "$a:1000" --rate 20 --secs 1 --rounds 1 --json --aggressor "while : $dir; do :; done" --aggressor-period 0.2 &&
	json 'd["rows"][0]["slices"][0]["offered"] == 20 and d["rows"][0]["pressure_follows"]["switches"] >= 2' && ! pgrep -f "while : $dir" >>"$dir/err"
ok "an aggressor beside it, and gone afterwards"

# What stops and continues begins anew with each slice: it is on in the first sample of every row's turn.
bench --model "$a:1000" --rate 20 --secs 0.45 --rounds 4 --policy fcfs,veltair-full --aggressor 'while :; do :; done' --aggressor-period 0.3 --plot "$dir/phases"
awk '/^#/ || !NF { fresh = 1; next } fresh { turns++; off += !$4; fresh = 0 } END { exit !(turns == 5 && !off) }' "$dir/phases/pressure.dat"
ok "each slice sees the same phases of the aggressor"

bench --model "$a:1000" --rate 20 --secs 0.5 --rounds 4 --aggressor 'sleep 0.7'
[ $? = 1 ] && grep -q -- '--aggressor: it ended by itself' "$dir/err"
ok "an aggressor that ends by itself is an error"

beside() { # beside: is the aggressor there?
	pgrep -f "^sleep 9$$\$" >/dev/null
}
for signal in KILL TERM; do
	"$veltair" bench --model "$a:1000" --rate 20 --secs 60 --rounds 1 --aggressor "exec sleep 9$$" >"$dir/out" 2>"$dir/err" &
	for _ in $(seq 100); do beside || sleep 0.05; done
	# In the half second that an aggressor is given to fail: nothing is measured yet, so once is enough.
	kill -$signal $!
	wait $! 2>/dev/null
	for _ in $(seq 40); do ! beside || sleep 0.05; done
	! beside
	ok "SIG$signal leaves no aggressor behind"
done

# ---- peers ----

# shellcheck disable=SC2016 # for the shell of the peer
peer='sh -c "echo ready; while read id due; do [ \$due = 0 ] && echo \$id || echo \$id drop; done"'
bench --model "$a:1000" --model "$b:1000" --peer "echo=$peer" --peer-deadlines --rate 100 --secs 0.3 --rounds 2 --json &&
	json '[r["name"] for r in d["rows"]] == ["echo", "echo+drop"] and d["rows"][0]["share"] == 1 and d["rows"][1]["share"] == 0'
ok "a peer answers lines, with and without deadlines"

# Slow enough alone for rates that a shell can follow.
# shellcheck disable=SC2016 # for the shell of the peer
peer='sh -c "echo ready; while read id due; do [ \$id = 0 ] && sleep 0.01; [ \$due = 0 ] && echo \$id || echo \$id drop; done"'
bench --model "$a:1000" --peer "echo=$peer" --peer-deadlines --secs 0.2 --rounds 2 &&
	grep -qE '^echo +>' "$dir/out" && grep -qE '^echo\+drop +<' "$dir/out" && grep -qE '^echo serves more than [0-9.]+ times what echo\+drop serves$' "$dir/out"
ok "a search that only met, or only missed, its target says so"
bench --model "$a:1000" --peer "echo=$peer" --peer-deadlines --secs 0.2 --rounds 2 --json --html "$dir/bounds.html" &&
	json '[(r["open"], r["at_most"]) for r in d["rows"]] == [(True, False), (False, True)] and d["rows"][1]["rate_hz"] == min(s["rate_hz"] for s in d["rows"][1]["slices"]) and d["ratios"] == []' &&
	grep -q '<td>&lt;[0-9]' "$dir/bounds.html" && grep -q 'served the most: more than' "$dir/bounds.html"
ok "so do JSON and the page"

# Drops as a server with a limit of 400/s would, counted from the deadlines; in its fourth slice as one of 240/s.
cat >"$dir/limited.py" <<'EOS'
import sys, time
print("ready", flush=True)
slices, late = 0, 0
for line in sys.stdin:
    id, due = map(int, line.split())
    if id == 0:
        first, late = due, 0
        time.sleep(0.002)
    slices += id == 1 and due > 0
    if due and id > 9:
        late += min(0.5, 0.05 * (id / ((due - first) / 1e9) / (240 if slices == 4 else 400)) ** 5)
    drop = late >= 1
    late -= drop
    print(id, "drop" if drop else "", sep=" " if drop else "", flush=True)
EOS
bench --model "$a:1000" --peer "p=python3 $dir/limited.py" --peer "q=python3 $dir/limited.py" --peer-deadlines --secs 0.5 --rounds 6 --json --html "$dir/aside.html" &&
	json 'all(r["set_aside"]["round"] == 3 and 300 < r["rate_hz"] < 500 for r in d["rows"][1::2]) and "set_aside" not in d["rows"][0]' &&
	json 'sorted((x["row"], x["over"]) for x in d["ratios"]) == [("p+drop", "q+drop"), ("q+drop", "p+drop")] and all(x["low_95"] <= x["ratio"] <= x["high_95"] and x["low_95"] < 1.05 and x["high_95"] > 0.95 for x in d["ratios"])' &&
	grep -qE 'p\+drop: round 4 set aside: [0-9]+ % in time at [0-9.]+/s' "$dir/aside.html" && grep -q ', set aside</title>' "$dir/aside.html"
ok "one slow slice is set aside, and said to be"

# shellcheck disable=SC2016
peer='sh -c "echo ready; n=0; while read id due; do [ \$id != 1 ] || n=\$((n + 1)); [ \$n != 3 ] || exit; echo \$id; done"'
for rounds in 6 3; do # it dies in the third
	bench --model "$a:1000" --peer "mortal=$peer" --rate 50 --secs 0.2 --rounds $rounds --json
	[ $? = 1 ] && json 'd["rounds_done"] == 2 and [s["failed"] for s in d["rows"][0]["slices"]] == [0, 0]' &&
		grep -q 'round 3, mortal at 50.00 requests/s: the process of 1 of its 1 tenants has ended' "$dir/err"
	ok "a peer that dies in round 3 of $rounds leaves the rounds before, and exit status 1"
done

# shellcheck disable=SC2016
peer='sh -c "echo ready; while read id due; do sleep 0.002; [ \$due = 0 ] && echo \$id || echo \$id drop; done"'
timeout 60 "$veltair" bench --model "$a:1000" --peer "none=$peer" --peer-deadlines --secs 0.2 --rounds 30 >"$dir/out" 2>"$dir/err" &&
	grep -qE '^none\+drop +<' "$dir/out"
ok "a row that never meets its target ends all the same"
bench --model "$a:1000" --peer "echo=$peer" --peer-deadlines --rate 100 --secs 0.3 --rounds 1 --html "$dir/fixed.html" --plot "$dir/fixed" &&
	grep -q 'Of 100 requests per second, a fixed rate' "$dir/fixed.html" && grep -q '<title>0.00 requests/s</title>' "$dir/fixed.html" &&
	grep -qE '^"echo\+drop" 0 0 0 ' "$dir/fixed/rate.dat" && grep -qF "title 'In time, of 100 offered'" "$dir/fixed/rate.gp"
ok "at a fixed rate what was in time is drawn, not what was offered"

for seed in 1 2; do
	bench --model "$a:1000" --model "$b:1000" --peer "echo=sh -c 'echo ready; while read id due; do echo \$id; done'" --rate 400 --secs 0.2 --rounds 3 --seed $seed --json
	cp "$dir/out" "$dir/seed$seed"
done
python3 -c 'import json, sys
a, b = ([s["models"] for s in json.load(open(f))["rows"][0]["slices"]] for f in sys.argv[1:])
sys.exit(a[1:] == b[:2] or a[0] == a[1])' "$dir/seed1" "$dir/seed2"
ok "the rounds of two seeds have no course in common"
refuses "--peer dead: 'false' ended before it said 'ready'" --model "$a" --peer "dead=false" --rate 1
refuses "--peer 'x': say NAME=COMMAND" --model "$a" --peer x
refuses "a name has 1 to 40 letters, digits" --model "$a" --peer "a,b=true"
refuses "another row is called 'p'" --model "$a" --peer "p=true" --peer "p=false"
refuses "another row is called 'fcfs'" --model "$a" --peer "fcfs=true"
refuses "two rows would be called 'fcfs'" --model "$a" --policy fcfs,edf,fcfs

# ---- a server ----

cat >"$dir/server.py" <<'EOS'
import http.server, json, os, socketserver, sys
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def answer(self, status, body):
        self.send_response(status); self.send_header("Content-Length", str(len(body))); self.end_headers(); self.wfile.write(body)
    names = ["tiny", "tiny", "<b>"]
    posts, manner = 0, "".join(sys.argv[1:])
    def do_GET(self):
        if self.path == "/v2" and H.names:
            return self.answer(200, json.dumps({"name": H.names.pop(0)}).encode())
        known = self.path == "/v2/models/m"
        self.answer(200 if known else 404, json.dumps({"name": "m", "inputs": [
            {"name": "x", "datatype": "FP32", "shape": [-1, 3, 4]}, {"name": "i", "datatype": "INT64", "shape": [5]}]}).encode())
    def do_POST(self):
        n = int(self.headers["Inference-Header-Content-Length"]); body = self.rfile.read(int(self.headers["Content-Length"]))
        head = json.loads(body[:n])
        sizes = [i["parameters"]["binary_data_size"] for i in head["inputs"]]
        H.posts += 1
        if H.manner == "flaky" and H.posts > 60 and H.posts % 2:
            return self.answer(500, b"{}")
        if H.manner == "dies" and H.posts > 150:
            os._exit(0)
        good = sizes == [48, 40] and len(body) == n + 88 and head["inputs"][0]["shape"] == [1, 3, 4] and head["parameters"]["binary_data_output"] is True
        self.answer(200 if good else 400, b"{}")
    def log_message(self, *a): pass
class S(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True; request_queue_size = 128
s = S(("127.0.0.1", 0), H)
print(s.server_address[1], flush=True)
s.serve_forever()
EOS
python3 "$dir/server.py" >"$dir/port" 2>/dev/null &
server=$!
for _ in $(seq 50); do [ -s "$dir/port" ] || sleep 0.1; done
url=http://127.0.0.1:$(cat "$dir/port")
bench --url "$url" --model m:1000 --rate 50 --secs 0.5 --rounds 2 --json &&
	json 'd["rows"][0]["name"] == "tiny (http)" and all(s["offered"] == 25 and s["failed"] == 0 for s in d["rows"][0]["slices"])'
ok "over HTTP: binary tensors of the shapes that the metadata says"
bench --url "$url" --model m:1000 --rate 50 --secs 0.1 --rounds 1 --plot "$dir/named"
grep -qE '^"tiny \(http\)" [0-9.]+ [0-9.]+ [0-9.]+ [0-9.]+$' "$dir/named/rate.dat"
ok "--plot writes a name as one field"
for _ in "odd name" "no name"; do
	bench --url "$url" --model m:1000 --rate 50 --secs 0.1 --rounds 1 --json && json 'd["rows"][0]["name"] == "http"'
	ok "a row is called as its server calls itself, if that is a plain word"
done
refuses "the server has no model 'none'" --url "$url" --model none --rate 1
kill "$server"
wait "$server" 2>/dev/null
server=
for nobody in "$url" "unix:$dir/none" http://nowhere.invalid:1; do
	bench --url "$nobody" --model m --rate 1
	[ $? = 1 ] && [ "$(grep -c . "$dir/err")" = 1 ] && grep -qE 'is the server running|nowhere.invalid: ' "$dir/err"
	ok "no server at ${nobody%%:*}: one line and status 1"
done
refuses "say http://HOST:PORT or unix:PATH" --url ftp://x --model m --rate 1

# Its manners begin when times alone have been taken: of 42 requests.
serve_as() { # serve_as MANNER: its address in $url
	python3 "$dir/server.py" "$1" >"$dir/port" 2>/dev/null &
	server=$!
	for _ in $(seq 50); do [ -s "$dir/port" ] || sleep 0.1; done
	url=http://127.0.0.1:$(cat "$dir/port")
}
serve_as flaky
bench --url "$url" --model m:1000 --rate 100 --secs 1 --rounds 1 --html "$dir/flaky.html" &&
	grep -qE '^[1-9][0-9]* requests failed$' "$dir/out" && grep -qE '^<p>[1-9][0-9]* requests failed\.</p>$' "$dir/flaky.html" &&
	grep -qF '<p>tiny (http): the server answered with status 500.</p>' "$dir/flaky.html"
ok "requests that failed are in the table and on the page, with the reason"
kill "$server"
wait "$server" 2>/dev/null
serve_as dies
bench --url "$url" --model m:1000 --rate 100 --secs 1 --rounds 2 --json
[ $? = 1 ] && json 'd["rounds_done"] == 1' && grep -qF 'round 2, tiny (http) at 100.00 requests/s: the server takes no connection any more: ' "$dir/err"
ok "a server that dies in the last round is an error, and leaves the rounds before"
wait "$server" 2>/dev/null
server=

# ---- inputs in shared memory ----

if [ "$(stat -f -c %T /dev/shm 2>/dev/null)" = tmpfs ]; then
	"$veltair" serve --monitor off --qos-ms 20000 --shared-memory unix --listen 127.0.0.1:0 --listen "unix:$dir/sock" "$a=m" >"$dir/out" 2>"$dir/served" &
	server=$!
	port=$(listening $server "$dir/served")
	objects() { find /dev/shm -name 'veltair-bench-*'; }
	regions() { curl -sS --max-time 20 --unix-socket "$dir/sock" http://x/v2/systemsharedmemory/status 2>>"$dir/err"; }
	bench --url "unix:$dir/sock" --shared-memory --model m:1000 --rate 50 --secs 0.5 --rounds 2 --json &&
		json 'd["rows"][0]["name"] == "veltair (shm)" and all(s["offered"] == 25 and s["in_time"] == 25 for s in d["rows"][0]["slices"])' &&
		[ "$(regions)" = "[]" ] && [ -z "$(objects)" ]
	ok "--shared-memory: every request is answered, no region and no object is left"
	received() { curl -sS --max-time 20 --unix-socket "$dir/sock" http://x/metrics 2>>"$dir/err" | sed -n 's/^veltair_http_received_bytes_total //p'; }
	before=$(received)
	bench --url "unix:$dir/sock" --shared-memory --model m:1000 --rate 50 --secs 0.5 --rounds 1 --json
	by_name=$(($(received) - before)) before=$(received)
	bench --url "unix:$dir/sock" --model m:1000 --rate 50 --secs 0.5 --rounds 1 --json
	[ "$by_name" -gt 0 ] && [ $(($(received) - before)) -gt $((10 * by_name)) ]
	ok "--shared-memory: inputs do not come over the connection ($by_name bytes)"
	"$veltair" bench --url "unix:$dir/sock" --shared-memory --model m:1000 --rate 5 --secs 60 --rounds 1 >"$dir/out" 2>"$dir/err" &
	killed=$!
	for _ in $(seq 100); do if regions | grep -q "veltair-bench-$killed-0"; then break; else sleep 0.1; fi; done
	kill -9 $killed
	wait $killed 2>/dev/null
	regions | grep -q "veltair-bench-$killed-0" && [ -z "$(objects)" ] &&
		bench --url "unix:$dir/sock" --shared-memory --model m:1000 --rate 50 --secs 0.2 --rounds 1 --json && [ "$(regions)" = "[]" ]
	ok "--shared-memory: the next one unregisters what a killed one left"
	# During set-up, while it waits for a peer that is never ready; which ends with its input.
	for signal in INT TERM; do
		"$veltair" bench --url "unix:$dir/sock" --shared-memory --model m:1000 --peer 'late=sh -c "read line"' --rate 5 >"$dir/out" 2>"$dir/err" &
		early=$!
		for _ in $(seq 100); do if regions | grep -q "veltair-bench-$early-0"; then break; else sleep 0.1; fi; done
		regions | grep -q "veltair-bench-$early-0" && kill -$signal $early
		sent=$?
		timeout 20 tail --pid=$early -f /dev/null || kill -9 $early
		wait $early 2>/dev/null
		[ $? = $((128 + $(kill -l $signal))) ] && [ $sent = 0 ] && [ "$(regions)" = "[]" ] && [ -z "$(objects)" ]
		ok "--shared-memory: SIG$signal during set-up leaves no region and no object"
	done
	bench --url "http://127.0.0.1:$port" --shared-memory --model m --rate 1
	[ $? = 3 ] && [ "$(grep -c . "$dir/err")" = 1 ] && grep -q 'the server takes no shared memory (status 403: .*Unix socket' "$dir/err" && [ -z "$(objects)" ]
	ok "--shared-memory: a server that takes none is named with its reason"
	kill "$server"
	wait "$server" 2>/dev/null
	server=
else
	skip "--shared-memory" "/dev/shm is no tmpfs"
fi
refuses "say --url too" --model "$a" --shared-memory

# ---- the limit ----

bench --limit --model a:134 --model b:53 --alone 40,18 --json && json '24 < d["limit_hz"] < 26 and d["limit_run_to_end_hz"] < d["limit_hz"] < d["capacity_hz"]'
ok "--limit computes what a queue allows"
bench --limit --model a:20:30 --model b:1001:1 --alone 1,1000 --json && json 'd["limit_hz"] > 900 and d["capacity_hz"] < 31'
ok "--limit is above the capacity where the long ones may be dropped"
refuses "--alone: 1 times for 2 models" --limit --model a:134 --model b:53 --alone 40
refuses "--limit needs --alone" --limit --model a:134
for more in "--html $dir/x" "--plot $dir/x" --csv "--rate 5" "--url unix:x" "--peer p=true" "--cores 0" "--rounds 8"; do
	# shellcheck disable=SC2086 # an option and its argument
	refuses "--limit runs nothing" --limit --model a:134 --alone 40 $more
done

# ---- bad input ----

refuses "which models?" --rate 10
refuses "no policy is called 'best'" --model "$a" --policy best --rate 10
refuses "--rate must be a number" --model "$a" --rate 0
refuses "--rate must be a number" --model "$a" --rate fast
refuses "--qos must be auto" --model "$a" --qos 0
refuses "a factor must be in 1x..1000x" --model "$a" --qos 0.5x
refuses "the target must be auto or" --model "$a:0"
refuses "the weight must be in" --model "$a:5:0"
refuses "is given twice" --model "$a" --model "$a"
refuses "--qos-share must be a number" --model "$a" --qos-share 1
refuses "--rounds must be a whole number" --model "$a" --rounds 0
refuses "--secs must be a number" --model "$a" --secs 0
refuses "--instances must be a whole number" --model "$a" --instances 0
refuses "--bubble must be a whole number" --model "$a" --bubble 5
refuses "--aggressor-period without" --model "$a" --aggressor-period 5
refuses "--cores 'x'" --model "$a" --cores x
refuses "unexpected argument" --model "$a" mobilenet
for option in --monitor "--cores 0" "--instances 2"; do
	# shellcheck disable=SC2086
	refuses "of the runtime in this process" --model m --url http://127.0.0.1:1 $option
done
refuses "of the runtime in this process" --model "$a" --peer "p=true" --cores 0
name=$(printf 'caf\351')
refuses "its name is not UTF-8" --model "$a=$name" --rate 1 --secs 86400
refuses "JSON cannot hold a path that is not UTF-8" --model "$dir/$name.onnx=m" --rate 1 --json --secs 86400
for form in --csv --json ""; do
	# shellcheck disable=SC2086
	"$veltair" bench --model "$a:1000" --rate 20 --secs 0.1 --rounds 1 --html "$dir/kept.html" $form >/dev/full 2>"$dir/err"
	[ $? = 1 ] && [ "$(grep -c 'veltair bench: standard output: No space left' "$dir/err")" = 1 ] && grep -q '</html>' "$dir/kept.html"
	ok "a full disk loses no result silently: ${form:-table}"
	rm -f "$dir/kept.html"
done
refuses "none.onnx" --model "$dir/none.onnx" --rate 1
# Before the slices, not after them: these would take a day.
for option in --html --plot; do
	refuses "none/x" --model "$a" $option "$dir/none/x" --rate 1 --secs 86400
done
refuses "no-such.db" --model "$a" --profiles "$dir/no-such.db" --rate 1
bench --model "$a:0.001" --rate 20 --secs 0.3 --rounds 1 --json && json 'd["rows"][0]["share"] == 0 and d["rows"][0]["slices"][0]["failed"] == 0'
ok "a target that nothing can meet is measured, not an error"

echo "1..$count"
[ $failed = 0 ]
