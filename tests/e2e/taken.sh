#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Somebody else runs on one of the server's cores: the core's metric says so, and says when they have gone.
cd "$(dirname "$0")/../.." || exit 1
veltair=$PWD/${VELTAIR:-build/release/veltair}
dir=$(mktemp -d)
server='' load='' busy=''
# shellcheck disable=SC2317 # called by the trap
cleanup() {
	for p in $busy $load $server; do kill "$p" 2>/dev/null; done
	wait 2>/dev/null
	rm -rf "$dir"
}
trap cleanup EXIT
. tests/e2e/lib.sh

mapfile -t cpus < <(taskset -cp $$ | sed 's/.*: //' | tr ',' '\n' | awk -F- '{ for (i = $1; i <= ($2 == "" ? $1 : $2); i++) print i }')
mine=${cpus[0]} theirs=${cpus[1]:-}
why=''
[ -n "$theirs" ] || why='one core here'
"$veltair" doctor | grep -q '^ok *taken-cores ' || why='the kernel does not tell what a thread waited for'
if [ -n "$why" ]; then
	for t in "the server starts" "nothing is taken of an idle machine's cores, or it is said how much" \
		"a core that a busy loop shares is worth less than the others" "it is called taken" "top shows it" \
		"the server goes on" "it is its own again when the loop has gone"; do
		skip "$t" "$why"
	done
	echo "1..$count"
	exit 0
fi

"$veltair" zoo --out "$dir/zoo" resnet-50-tiny >/dev/null || exit 1
"$veltair" serve "$dir/zoo/resnet-50-tiny.onnx=resnet" --qos-ms 1000 --cores "$mine,$theirs" --listen 127.0.0.1:0 \
	--monitor off >"$dir/out" 2>"$dir/err" &
server=$!
port=$(listening $server "$dir/err")
[ -n "$port" ]
ok "the server starts" "$dir/err"
base=http://127.0.0.1:$port
metric() { curl -sf "$base/metrics" | sed -n "s/^veltair_$1{cpu=\"$2\"} //p"; }
within_a_while() { # CMD...: until it holds
	for _ in $(seq 300); do
		"$@" && return 0
		sleep 0.1
	done
	curl -sf "$base/metrics" | grep '^veltair_core_' >"$dir/core"
	return 1
}
# shellcheck disable=SC2317 # called by within_a_while
less() { awk -v a="$(metric core_available_ratio "$1")" -v b="$(metric core_available_ratio "$2")" 'BEGIN { exit !(a != "" && a < b) }'; }
# shellcheck disable=SC2317 # called by within_a_while
is_taken() { [ "$(metric core_taken "$1")" = "$2" ]; }

metric core_available_ratio "$theirs" | grep -qE '^(1|0\.[0-9]+)$'
ok "nothing is taken of an idle machine's cores, or it is said how much"
node tests/e2e/serve.js load "$port" resnet 1000 1 >"$dir/load" 2>&1 &
load=$!
taskset -c "$theirs" sh -c 'while :; do :; done' &
busy=$!
within_a_while less "$theirs" "$mine"
ok "a core that a busy loop shares is worth less than the others" "$dir/core"
within_a_while is_taken "$theirs" 1
ok "it is called taken" "$dir/core"
for _ in $(seq 20); do
	timeout 20 "$veltair" top --url "$base" --batch -n 2 -i 300 >"$dir/top" 2>&1
	grep -q "$theirs:.*taken" "$dir/top" && break
done
grep -q "$theirs:.*taken" "$dir/top"
ok "top shows it" "$dir/top"
curl -sf "$base/v2/health/ready" >/dev/null && kill -0 "$load"
ok "the server goes on" "$dir/load"
kill "$busy"
wait "$busy" 2>/dev/null
busy=''
within_a_while is_taken "$theirs" 0
ok "it is its own again when the loop has gone" "$dir/core"
echo "1..$count"
exit $((failed > 0))
