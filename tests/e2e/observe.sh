#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What people look at while `veltair serve` is under load: metrics in a real Prometheus, the page in a real
# browser, `veltair top` in a terminal, the trace. VT_SCREENSHOTS=DIR keeps the page's pictures.
cd "$(dirname "$0")/../.." || exit 1
veltair=$PWD/${VELTAIR:-build/release/veltair}
PATH=$PATH:/usr/sbin:/sbin
dir=$(mktemp -d)
pins=/sys/fs/bpf/vt-observe-$$
prom_port=$((20000 + ($$ + 7) % 12000)) # below the ports that the kernel gives away
server='' load='' prom=''
# shellcheck disable=SC2317 # called by the trap
cleanup() {
	for p in $load $prom $server; do kill "$p" 2>/dev/null; done
	tmux -L "vt$$" kill-server 2>/dev/null
	wait 2>/dev/null
	rm -rf "$dir" "$pins"
}
trap cleanup EXIT
. tests/e2e/lib.sh

# ---- a server under load; one name is hostile ----------------------------------------------------
"$veltair" zoo --out "$dir/zoo" mobilenet-v2-tiny resnet-50-tiny >/dev/null || exit 1
"$veltair" serve "$dir/zoo/mobilenet-v2-tiny.onnx=mobilenet" "$dir/zoo/resnet-50-tiny.onnx=resnet" --qos-ms 200 \
	--listen 127.0.0.1:0 --pin-dir "$pins" --trace "$dir/trace.json" >"$dir/out" 2>"$dir/err" &
server=$!
port=$(listening $server "$dir/err")
[ -n "$port" ]
ok "the server starts" "$dir/err"
base=http://127.0.0.1:$port

# A tenant of its own for the monitor, with a name that is markup and steers terminals.
evil=$'<b>"x\e[31m'
printf '#!/bin/sh\nwhile :; do sleep 0.05; done\n' >"$dir/$evil" && chmod +x "$dir/$evil"
"$dir/$evil" &
load="$load $!"
node tests/e2e/serve.js load "$port" mobilenet 1000 2 >/dev/null 2>&1 &
load="$load $!"
node tests/e2e/serve.js load "$port" resnet 1000 1 >/dev/null 2>&1 &
load="$load $!"

# ---- metrics ----------------------------------------------------------------------------------------
if command -v promtool >/dev/null && command -v prometheus >/dev/null; then
	curl -sf "$base/metrics" >"$dir/now" && promtool check metrics <"$dir/now" >"$dir/lint" 2>&1
	ok "promtool finds no fault in /metrics" "$dir/lint"
	promtool check rules share/monitoring/veltair.rules.yml >"$dir/lint" 2>&1
	ok "promtool finds no fault in the rules" "$dir/lint"
	sed "s#RULES#$PWD/share/monitoring/veltair.rules.yml#" tests/e2e/rules.test.yml >"$dir/rules.test.yml"
	promtool test rules "$dir/rules.test.yml" >"$dir/lint" 2>&1
	ok "alerts fire when they should, and only then" "$dir/lint"
	sed "s#127.0.0.1:8000#127.0.0.1:$port#; s#interval: 5s#interval: 1s#" share/monitoring/prometheus.yml >"$dir/prometheus.yml"
	cp share/monitoring/veltair.rules.yml "$dir"
	prometheus --config.file="$dir/prometheus.yml" --storage.tsdb.path="$dir/tsdb" \
		--web.listen-address="127.0.0.1:$prom_port" --log.level=error >"$dir/prom" 2>&1 &
	prom=$!
else
	skip "promtool finds no fault in /metrics" "no prometheus here"
fi
curl -sf -H 'Accept: application/openmetrics-text' "$base/metrics" | tail -n 1 | grep -qx '# EOF'
ok "OpenMetrics if the scraper asks for it"
curl -sf "$base/metrics" | grep -q '^veltair_event_absent_info{role="instructions",reason="..*"} 1$' ||
	curl -sf "$base/metrics" | grep -q '^veltair_tenant_instructions_total'
ok "instructions are counted, or said not to be, with the reason"
curl -sf "$base/metrics" >"$dir/now" && ! grep '^veltair_event_absent_info' "$dir/now" | grep -E 'pid|does not count it|nothing counts it here' >"$dir/absent"
ok "the reason is the server's own, and the same after a restart" "$dir/absent"

curl -sf "$base/metrics" | grep -qxF 'veltair_model_queue_limit{model="mobilenet",version="1"} 64'
ok "how many requests may wait for a model is told"

# What there was no memory for is refused, and counted: a body that fits, and a tensor that does not fit beside it.
"$veltair" zoo --out "$dir/zoo" mobilenet-v2 >/dev/null
printf 'listen: ["127.0.0.1:0"]\nmonitor: off\nlimits: {max_body: 1MiB, max_memory: 1MiB}\nmodels:\n  - {name: m, path: %s, qos_ms: 1000}\n' \
	"$dir/zoo/mobilenet-v2.onnx" >"$dir/small.yaml"
"$veltair" serve --config "$dir/small.yaml" >"$dir/out" 2>"$dir/small" &
small=$!
load="$load $small"
small_port=$(listening $small "$dir/small")
# shellcheck disable=SC2016 # JavaScript has dollars of its own
node -e '
(async () => {
	const url = process.argv[1], m = await (await fetch(`${url}/v2/models/m`)).json();
	const shape = m.inputs[0].shape.map((d) => Math.max(1, d)), data = Array(shape.reduce((a, b) => a * b)).fill(100);
	const r = await fetch(`${url}/v2/models/m/infer`, { method: "POST", body: JSON.stringify({ inputs: [{ name: m.inputs[0].name, datatype: "FP32", shape, data }] }) });
	if (r.status !== 503 || !r.headers.get("retry-after")) throw new Error(`${r.status} ${await r.text()}`);
	const of = (text, name) => text.split("\n").filter((l) => l.startsWith(`veltair_requests_${name}{`)).reduce((n, l) => n + Number(l.split(" ").pop()), 0);
	const text = await (await fetch(`${url}/metrics`)).text();
	if (!text.includes("veltair_requests_refused_total{model=\"m\",version=\"1\",reason=\"memory\"} 1\n")) throw new Error(text);
	const parts = ["in_time_total", "late_total", "refused_total", "waiting", "running"].map((name) => of(text, name));
	if (of(text, "total") !== 1 || parts.reduce((a, b) => a + b) !== 1) throw new Error(`${of(text, "total")} of ${parts}`);
})().catch((e) => { console.error(e.message); process.exit(1); });' "http://127.0.0.1:$small_port" >"$dir/memory" 2>&1
ok "a request without memory is refused, and counted once" "$dir/memory"
kill "$small"
curl -sf "$base/metrics" >"$dir/now"
for l in requests_refused_total:reason http_requests_total:code actions_total:action monitor_losses_total:kind; do
	help=$(sed -n "s/^# HELP veltair_${l%:*} //p" "$dir/now")
	sed -n "s/^veltair_${l%:*}{.*${l#*:}=\"\([^\"]*\)\".*/\1/p" "$dir/now" | sort -u | while read -r v; do
		[[ $help =~ (^|[^a-z_])$v([^a-z_]|$) ]] || echo "the help of ${l%:*} does not say $v"
	done
done >"$dir/values"
[ ! -s "$dir/values" ]
ok "help texts name every value of reason, code, action and kind" "$dir/values"

# ---- the page ---------------------------------------------------------------------------------------
if command -v chromedriver >/dev/null && [ -x /usr/bin/chromium ]; then
	[ -z "${VT_SCREENSHOTS:-}" ] || sleep 60 # so that there is something to see
	timeout 200 node tests/e2e/dashboard.js "$base" "${VT_SCREENSHOTS:-}" >"$dir/page" 2>&1
	ok "the page: $(grep -c '^ok' "$dir/page") of its checks pass" "$dir/page"
	! grep '^not ok' "$dir/page" | sed 's/^/# /' | grep .
	ok "none of its checks fails"
else
	skip "the page" "no chromium and chromedriver here"
fi

# ---- top --------------------------------------------------------------------------------------------
screen() { tmux -L "vt$$" capture-pane -p -t top; }
until_screen() { # until_screen PATTERN: within a while
	for _ in $(seq 100); do
		screen | grep -qE -- "$1" && return 0
		sleep 0.1
	done
	screen >"$dir/screen"
	return 1
}
if command -v tmux >/dev/null; then
	tmux -L "vt$$" -f /dev/null new-session -d -s top -x 120 -y 34 "stty -g >$dir/before; '$veltair' top --url $base -i 300; s=\$?; stty -g >$dir/after; echo status=\$s; sleep 100"
	until_screen 'req/s .* in time'
	ok "top shows requests and their share in time" "$dir/screen"
	until_screen '^mobilenet' && until_screen '^resnet'
	ok "top shows the models" "$dir/screen"
	tmux -L "vt$$" send-keys -t top '>' && until_screen 'IPCv'
	ok "'>' sorts tenants by the next column" "$dir/screen"
	tmux -L "vt$$" send-keys -t top r && until_screen 'IPC\^'
	ok "'r' turns the order round" "$dir/screen"
	tmux -L "vt$$" send-keys -t top h && until_screen 'scroll tenants'
	ok "'h' explains" "$dir/screen"
	tmux -L "vt$$" send-keys -t top h
	for s in 80x24 40x12; do
		tmux -L "vt$$" resize-window -t top -x "${s%x*}" -y "${s#*x}"
		sleep 1
		screen >"$dir/screen"
		[ "$(wc -l <"$dir/screen")" -le "${s#*x}" ] && grep -q '^mobilenet' "$dir/screen" && grep -q '^TENANT' "$dir/screen"
		ok "fits $s" "$dir/screen"
	done
	tmux -L "vt$$" send-keys -t top q && until_screen 'status=0' && cmp -s "$dir/before" "$dir/after"
	ok "'q' ends it with status 0 and the terminal as it was" "$dir/screen"
	tmux -L "vt$$" kill-server
	sleep 1
	tmux -L "vt$$" -f /dev/null new-session -d -s top -x 100 -y 30 "stty -g >$dir/before; '$veltair' top --url $base & p=\$!; sleep 2; kill \$p; wait \$p; stty -g >$dir/after; echo killed; sleep 100"
	until_screen 'killed' && cmp -s "$dir/before" "$dir/after"
	ok "SIGTERM leaves the terminal as it was"
	tmux -L "vt$$" kill-server
	sleep 1
	tmux -L "vt$$" -f /dev/null new-session -d -s top -x 100 -y 30 "echo \$\$ >$dir/pid; exec '$veltair' top --url $base -i 1000 </dev/null"
	until_screen '^mobilenet'
	sleep 2
	ticks=$(awk '{ print $14 + $15 }' "/proc/$(cat "$dir/pid")/stat" 2>"$dir/screen")
	[ "${ticks:-100}" -lt 50 ]
	ok "with nobody to type it shows all the same, and does not spin" "$dir/screen"
else
	skip "top in a terminal" "no tmux here"
fi
# A monitor of its own.
why=$(monitor_lacks)
if [ -n "$why" ]; then
	skip "a hostile name does not steer the terminal" "$why"
elif command -v tmux >/dev/null; then
	tmux -L "vt$$" kill-server
	sleep 1
	tmux -L "vt$$" -f /dev/null new-session -d -s top -x 120 -y 300 "'$veltair' top --url local -i 300; sleep 100"
	until_screen '<b>"x\?\[31m'
	ok "a hostile name does not steer the terminal" "$dir/screen"
	tmux -L "vt$$" kill-server
else
	skip "a hostile name does not steer the terminal" "no tmux here"
fi
timeout 20 "$veltair" top --url "$base" --batch -n 2 -i 300 >"$dir/batch" 2>&1 && [ "$(grep -c '^veltair top' "$dir/batch")" = 2 ] && ! grep -q $'\e' "$dir/batch"
ok "top --batch prints plain text" "$dir/batch"
# More processes than it has rows (1024): who comes after them still gets a name.
if [ -n "$why" ]; then
	skip "top --url local gives away the rows of the dead" "$why"
else
	timeout 90 "$veltair" top --url local --batch -n 80 -i 1000 >"$dir/batch" 2>&1 &
	top=$!
	sleep 1
	for _ in $(seq 1300); do /bin/true; done
	sleep 4
	sh -c 'while :; do :; done' &
	late=$!
	load="$load $late"
	for _ in $(seq 30); do
		sleep 1
		grep -q "^sh\[$late\]" "$dir/batch" && break
	done
	kill $top $late
	wait $top $late 2>/dev/null
	grep -q 'no runtime' "$dir/batch" && grep -q "^sh\[$late\]" "$dir/batch"
	ok "top --url local gives away the rows of the dead" "$dir/batch"
fi
timeout 20 "$veltair" top --url http://127.0.0.1:1 --batch >"$dir/batch" 2>&1
[ $? = 1 ] && [ "$(wc -l <"$dir/batch")" = 1 ]
ok "top says in one line that nobody answers"
timeout 20 "$veltair" top --url gopher://x >/dev/null 2>"$dir/batch"
[ $? = 2 ]
ok "top refuses a URL of another kind"

# ---- a stuck scraper does not delay serving ---------------------------------------------------------
# Answers to some hundred requests, of which none is read, are more than sockets hold: the server cannot send on.
unsent() { # bytes of the server's, in the busiest of its connections
	local most
	most=$(awk -v port="$(printf ':%04X' "$port")" 'substr($2, 9) == port { print substr($5, 1, 8) }' /proc/net/tcp | sort | tail -n 1)
	echo $((16#${most:-0}))
}
exec 5<>"/dev/tcp/127.0.0.1/$port" && for _ in $(seq 500); do printf 'GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n'; done >&5
for _ in $(seq 100); do
	before=$(unsent)
	sleep 0.2
	if [ "$before" -gt 65536 ] && [ "$before" = "$(unsent)" ]; then break; fi
done
[ "$before" -gt 65536 ] && curl -sf --max-time 5 "$base/v2/models/mobilenet" >/dev/null && curl -sf --max-time 5 "$base/metrics" >/dev/null
ok "others are answered while a scraper is stuck"
exec 5>&-

# ---- every expression of dashboard and rules --------------------------------------------------------
if [ -n "$prom" ]; then
	for _ in $(seq 40); do
		node tests/e2e/prometheus.js "http://127.0.0.1:$prom_port" share/monitoring/veltair.dashboard.json \
			share/monitoring/veltair.rules.yml >"$dir/exprs" 2>&1 && break
		sleep 1
	done
	grep -q ' 0 without data' "$dir/exprs"
	ok "every expression of the dashboard and the rules returns data: $(tail -n 1 "$dir/exprs")"
	grep '^bad' "$dir/exprs" | sed 's/^/# /'
else
	skip "every expression returns data" "no prometheus here"
fi

# ---- the trace --------------------------------------------------------------------------------------
kill "$server"
wait "$server"
ok "the server ends with status 0" "$dir/err"
server=
# shellcheck disable=SC2016 # JavaScript has dollars of its own
node -e '
const t = JSON.parse(require("fs").readFileSync(process.argv[1], "utf8"));
const spans = t.traceEvents.filter((e) => e.ph === "X" && e.cat === "block"), free = {};
for (const e of spans) {
	if (e.ts < (free[e.tid] ?? 0) - 0.0015) throw new Error(`core ${e.tid}: spans overlap at ${e.ts}`);
	free[e.tid] = e.ts + e.dur;
}
for (const e of t.traceEvents) if (!e.name || !["X", "C", "M"].includes(e.ph) || !e.args) throw new Error(JSON.stringify(e));
if (!spans.some((e) => e.name === "mobilenet") || !t.traceEvents.some((e) => e.name === "pressure")) throw new Error("no spans, or no pressure");
console.log(`${spans.length} blocks, ${t.traceEvents.length} events`);' "$dir/trace.json" >"$dir/check" 2>&1
ok "the trace: $(tail -n 1 "$dir/check")" "$dir/check"
[ ! -e "$pins" ]
ok "nothing is left pinned"

# A model that is unloaded and loaded has another number each time, and the same name.
"$veltair" serve "$dir/zoo/resnet-50-tiny.onnx=again" --qos-ms 200 --listen 127.0.0.1:0 --monitor off --trace "$dir/again.json" >"$dir/out" 2>"$dir/err" &
server=$!
port=$(listening $server "$dir/err")
for _ in 1 2 3 4 5 6; do
	node tests/e2e/serve.js load "$port" again 0.3 1 >"$dir/load" 2>&1
	for what in unload load; do curl -sf -o "$dir/out" -X POST "http://127.0.0.1:$port/v2/repository/models/again/$what"; done
done
kill "$server"
wait "$server"
server=
# shellcheck disable=SC2016 # JavaScript has dollars of its own
node -e '
const spans = JSON.parse(require("fs").readFileSync(process.argv[1], "utf8")).traceEvents.filter((e) => e.ph === "X" && e.cat === "block");
const names = [...new Set(spans.map((e) => e.name))], seconds = (spans[spans.length - 1].ts - spans[0].ts) / 1e6;
if (names.join() !== "again" || seconds < 1.5) throw new Error(`${names}, ${seconds} s`);' "$dir/again.json" >"$dir/check" 2>&1
ok "the trace of a model that is loaded again and again has its name" "$dir/check"
echo "1..$count"
exit $((failed > 0))
