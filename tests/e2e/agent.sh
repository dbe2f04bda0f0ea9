#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# `veltair serve --agent` as a balancer meets it: what is said in each state, rude peers beside requests that are
# served, addresses that cannot be had, and an address that changes at SIGHUP.
cd "$(dirname "$0")/../.." || exit 1
veltair=$PWD/${VELTAIR:-build/release/veltair}
dir=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill -9 "$pid" 2>/dev/null; rm -rf "$dir"' EXIT
. tests/e2e/lib.sh
port=$((12000 + $$ % 9000)) other=$((22000 + $$ % 9000)) # below the ports that the kernel gives away

"$veltair" zoo --tiny --out "$dir" mobilenet-v2 >/dev/null 2>"$dir/err" || {
	echo "1..0 # SKIP cannot write a model"
	exit 0
}
tiny=$dir/mobilenet-v2-tiny.onnx

told() { # told [PORT]: into $line, what the agent says; nothing if nobody is there
	line=
	{ exec 9<>"/dev/tcp/127.0.0.1/${1:-$port}"; } 2>/dev/null || return 1
	read -r -t 20 line <&9
	exec 9>&-
}

# tells PATTERN [PORT]: within a while
tells() {
	for _ in $(seq 600); do
		told "${2:-}"
		# shellcheck disable=SC2254 # a pattern
		case $line in $1) return 0 ;; esac
		sleep 0.05
	done
	return 1
}

said() {
	for _ in $(seq 600); do
		grep -qF -- "$1" "$dir/err" && return 0
		sleep 0.05
	done
	return 1
}

# start ARGUMENT...: in the background; sets pid and http
start() {
	: >"$dir/err"
	"$veltair" serve --monitor off --listen 127.0.0.1:0 "$@" 2>"$dir/err" &
	pid=$!
}

ready() {
	said 'ready: ' && http=$(sed -n 's/.*ready: .*127\.0\.0\.1:\([0-9]*\).*/\1/p' "$dir/err") && [ -n "$http" ]
}

ends() { # ends STATUS: after a SIGTERM
	local status
	kill -TERM $pid
	wait $pid
	status=$?
	pid=
	[ $status = "$1" ]
}

# refuses WHAT TEXT ADDRESS
refuses() {
	timeout 60 "$veltair" serve --monitor off --listen 127.0.0.1:0 "$tiny" --agent "$3" >"$dir/out" 2>"$dir/err"
	[ $? = 2 ] && [ "$(wc -l <"$dir/err")" = 1 ] && grep -qF -- "$2" "$dir/err"
	ok "refuses $1: exit 2, one line"
}

refuses "an address without a port" "is no address" 127.0.0.1
refuses "a port that is none" "is no address" 127.0.0.1:80x
refuses "a port past the last" "is no address" 127.0.0.1:99999
refuses "no address at all" "is no address" ""
refuses "a Unix socket" "HAProxy asks over TCP" "unix:$dir/s"
refuses "a host that nobody knows" "no-such-host.invalid" no-such-host.invalid:8001

# ---- while models load ---------------------------------------------------------------------------
# The times of two hundred models take a while.
models=()
for i in $(seq 200); do models+=("$tiny=m$i"); done
start "${models[@]}" --agent 127.0.0.1:$port
tells 'down*' && [ "$line" = "down #loading models" ] && ! grep -q 'ready: ' "$dir/err"
ok "while models load: down"
kill -9 $pid && wait $pid 2>/dev/null
pid=

# ---- ready, and what is sent to it ----------------------------------------------------------------
start "$tiny=tiny" --agent 127.0.0.1:$port
ready && tells 'up ready *' && [[ $line =~ ^up\ ready\ ([0-9]+)%$ ]] && [ "${BASH_REMATCH[1]}" -ge 5 ] && [ "${BASH_REMATCH[1]}" -le 100 ]
ok "ready: up, with a weight from 5 to 100 %"

infer() { # one request; its status
	curl -s -o "$dir/body" -w '%{http_code}' --max-time 20 "http://127.0.0.1:$http/v2/models/tiny/infer" -d "@$dir/request.json"
}
shape=$(curl -s --max-time 20 "http://127.0.0.1:$http/v2/models/tiny" | sed -n 's/.*"inputs":\[{"name":"\([^"]*\)"[^[]*"shape":\(\[[^]]*\]\).*/\1 \2/p')
read -r input dims <<<"$shape"
dims=${dims/-1/1}
awk -v name="$input" -v dims="$dims" 'BEGIN {
	n = split(substr(dims, 2, length(dims) - 2), d, ",")
	all = 1
	for (i = 1; i <= n; i++)
		all *= d[i]
	printf "{\"inputs\":[{\"name\":\"%s\",\"datatype\":\"FP32\",\"shape\":%s,\"data\":[0", name, dims
	for (i = 1; i < all; i++)
		printf ",0"
	printf "]}],\"parameters\":{\"deadline_ms\":20000}}"
}' >"$dir/request.json"
[ "$(infer)" = 200 ]
ok "(a request)"

for text in $'GET / HTTP/1.1\r\nHost: x\r\n\r\n' $'\x16\x03\x01\x02' $'up 100%\ndrain\n'; do
	exec 9<>"/dev/tcp/127.0.0.1/$port"
	printf '%s' "$text" >&9
	read -r -t 20 line <&9
	exec 9>&-
	[[ $line = "up ready "* ]] || break
done
[[ $line = "up ready "* ]]
ok "garbage: answered as anybody"

# Three hundred that never close, two thousand that come and go, and one that sends on and on.
(
	for i in $(seq 10 309); do eval "exec $i<>/dev/tcp/127.0.0.1/$port" || exit 1; done
	sleep 60
) 2>"$dir/slow" &
slow=$!
(for _ in $(seq 2000); do told && echo "$line"; done >"$dir/calls") &
many=$!
(cat /dev/zero >"/dev/tcp/127.0.0.1/$port") 2>/dev/null &
sends=$!
good=0
for _ in $(seq 30); do [ "$(infer)" = 200 ] && good=$((good + 1)); done
wait $many
kill $slow $sends 2>/dev/null
wait $slow $sends 2>/dev/null
[ $good = 30 ] && ! grep -q . "$dir/slow"
ok "300 slow peers, 2000 calls and one that never stops: 30 of 30 requests are answered"
[ "$(grep -cE '^up ready [0-9]+%$' "$dir/calls")" = 2000 ] || {
	sort "$dir/calls" | uniq -c >"$dir/err.calls"
	false
}
ok "and so are those who ask how it feels" "$dir/err.calls"

# ---- SIGTERM ---------------------------------------------------------------------------------------
# One client has sent half of a request: the server waits for the rest, and says drain meanwhile.
exec 7<>"/dev/tcp/127.0.0.1/$http"
len=$(wc -c <"$dir/request.json")
printf 'POST /v2/models/tiny/infer HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %s\r\n\r\n' "$len" >&7
head -c 100 "$dir/request.json" >&7
sleep 0.5
kill -TERM $pid
tells drain
ok "SIGTERM with a request under way: drain"
tail -c +101 "$dir/request.json" >&7
read -r -t 20 status <&7
exec 7>&-
wait $pid && [[ $status = *" 200 "* || $status = *" 503 "* ]]
ok "what was under way is answered (${status%$'\r'}), exit 0"
pid=

# ---- SIGHUP ----------------------------------------------------------------------------------------
config() { # config AGENT-LINE
	printf 'models:\n  - {path: %s, name: tiny}\nmonitor: off\n%s\n' "$tiny" "$1" >"$dir/c.yaml"
}
config "agent: 127.0.0.1:$port"
start --config "$dir/c.yaml"
ready && tells 'up ready *'
ok "the agent of a file"
(while [ ! -e "$dir/enough" ]; do for p in $port $other; do told "$p" && echo "$line"; done; done >"$dir/asked" 2>/dev/null) & # an old socket that is closed resets who waits there
asks=$!
# It has moved, or there is none any more.
for at in "agent: 127.0.0.1:$other" "agent: :$other" "" "agent: 127.0.0.1:$port"; do
	: >"$dir/err"
	config "$at"
	kill -HUP $pid
	said "${at:+ now}" && sleep 0.2
done
touch "$dir/enough"
wait $asks
sort "$dir/asked" | uniq -c >"$dir/err.asked"
tells 'up ready *' && grep -q '^up ready' "$dir/asked" && ! grep -q '^down' "$dir/asked"
ok "asked all the time while it moves, goes and comes back: never down" "$dir/err.asked"
: >"$dir/err"
config "agent: 127.0.0.1:$other"
kill -HUP $pid && said "the agent is on 127.0.0.1:$other now" && tells 'up ready *' $other && ! told $port
ok "SIGHUP with another address: it is there, and not where it was"
config "agent: 203.0.113.77:$port" # of a range that nobody has
kill -HUP $pid && said "reload: agent: cannot listen on 203.0.113.77:$port" && grep -q "it stays on 127.0.0.1:$other" "$dir/err" &&
	tells 'up ready *' $other
ok "SIGHUP with an address that cannot be had: said, and it stays"
config "agent: :$other"
kill -HUP $pid && said "the agent is on 0.0.0.0:$other now" && tells 'up ready *' $other
ok "SIGHUP with every address of the machine, of which its present one is one: it is there"
: >"$dir/err"
config "agent: 127.0.0.1:$other"
kill -HUP $pid && said "the agent is on 127.0.0.1:$other now" && tells 'up ready *' $other
ok "and with the one again"
"$veltair" serve --monitor off --listen 127.0.0.2:$other "$tiny=beside" 2>"$dir/err2" &
beside=$!
for _ in $(seq 600); do ! grep -q 'ready: ' "$dir/err2" || break; sleep 0.05; done
config "agent: :$other"
kill -HUP $pid && said "reload: agent: cannot listen on 0.0.0.0:$other: Address already in use; another process has it; it stays on 127.0.0.1:$other" &&
	tells 'up ready *' $other
ok "SIGHUP with every address while another process has the port of one: said, and it stays"
kill -TERM $beside
wait $beside
config ""
kill -HUP $pid && said "there is no agent any more" && ! told $other
ok "SIGHUP without it: none"
config "agent: 127.0.0.1:$port"
kill -HUP $pid && said "the agent is on 127.0.0.1:$port now" && tells 'up ready *'
ok "SIGHUP with one again"

# ---- models that come with a reload ------------------------------------------------------------------
code() { # code PATH [CURL-ARGUMENT...]: status
	local path=$1
	shift
	curl -s -o "$dir/body" -w '%{http_code}' --max-time 20 "$@" "http://127.0.0.1:$http$path"
}
told_up() { # and a tick later still: the word is written ten times a second
	sleep 0.3
	told && [[ $line = "up ready "* ]] && [ "$(code /v2/health/ready)" = 200 ]
}
echo "no model" >"$dir/bad.onnx"
config "agent: 127.0.0.1:$port"
sed "s|^monitor|  - {path: $dir/bad.onnx, name: bad}\n  - {path: $dir/none.onnx, name: none}\nmonitor|" "$dir/c.yaml" >"$dir/more.yaml"
cp "$dir/more.yaml" "$dir/c.yaml"
kill -HUP $pid && said "none.onnx: cannot open: No such file or directory; it is not served" && grep -q "reload: $dir/bad.onnx.*; it is not served" "$dir/err" &&
	! grep -q "what it replaces" "$dir/err" && told_up
ok "SIGHUP with new models that cannot be loaded: each is said, and the node stays up"
[ "$(code /v2/models/bad/ready)$(code /v2/models/none/ready)$(code /v2/models/tiny/ready)" = 503503200 ] &&
	[ "$(code /v2/models/bad/infer -d "@$dir/request.json")" = 503 ] && [ "$(infer)" = 200 ]
ok "they are 503, which HAProxy takes to another node; the others are served"
curl -s "http://127.0.0.1:$http/metrics" >"$dir/metrics"
grep -qx 'veltair_model_ready{model="bad",version="1"} 0' "$dir/metrics" && grep -qx 'veltair_model_ready{model="tiny",version="1"} 1' "$dir/metrics"
ok "and the metrics tell them apart"
[ "$(code /v2/repository/models/bad/load -X POST)" = 400 ] && told_up
ok "a load that fails: the node stays up"
[ "$(code /v2/repository/models/bad/unload -X POST)" = 200 ] && [ "$(code /v2/models/bad/ready)" = 404 ] &&
	curl -s "http://127.0.0.1:$http/metrics" >"$dir/metrics" && grep -q 'model_ready{model="tiny"' "$dir/metrics" &&
	! grep -q 'model_ready{model="bad"' "$dir/metrics"
ok "unloaded, it is not missed"
sed "s|$tiny|$dir/bad.onnx|" "$dir/more.yaml" >"$dir/c.yaml"
: >"$dir/err"
kill -HUP $pid && said "reload: $dir/bad.onnx" && said "what it replaces goes on" && told_up && [ "$(infer)" = 200 ]
ok "SIGHUP with a bad file for one that is served: it goes on"
config "agent: 127.0.0.1:$port"
for i in $(seq 200); do echo "  - {path: $tiny, name: m$i}"; done | sed -i '/name: tiny/r /dev/stdin' "$dir/c.yaml"
: >"$dir/err"
kill -HUP $pid && said "serving m3 " && told_up && ! grep -q "serving m200 " "$dir/err"
ok "while a reload loads: up"
ends 0
ok "SIGTERM: exit 0"

start "$tiny=tiny" --agent 127.0.0.1:$port
ready
first=$pid
"$veltair" serve --monitor off --listen 127.0.0.1:0 "$tiny" --agent "127.0.0.1:$port" >"$dir/out" 2>"$dir/err2"
[ $? = 2 ] && [ "$(wc -l <"$dir/err2")" = 1 ] && grep -q "another process has it" "$dir/err2"
ok "an address that another process has: exit 2, one line"
kill -TERM $first
wait $first
pid=
echo "1..$count"
[ $failed = 0 ]
