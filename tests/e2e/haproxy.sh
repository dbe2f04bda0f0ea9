#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# share/haproxy: what the generator makes is what HAProxy takes; what is wrong with a fleet is said in one
# line with its place.
cd "$(dirname "$0")/../.." || exit 1
generate=share/haproxy/generate.sh
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
. tests/e2e/lib.sh
haproxy=$(command -v haproxy || ls /usr/sbin/haproxy 2>/dev/null)

# sound WHAT FILE
sound() {
	if [ -z "$haproxy" ]; then
		count=$((count + 1))
		echo "ok $count - haproxy takes $1 # SKIP haproxy is not installed"
		return
	fi
	"$haproxy" -c -f "$2" >"$dir/err" 2>&1 && ! grep -q WARNING "$dir/err"
	ok "haproxy takes $1 without a warning"
}

# refuses WHAT TEXT: the fleet on stdin; exit 2, one line that holds TEXT, nothing written
refuses() {
	cat >"$dir/fleet"
	"$generate" -o "$dir/out.cfg" "$dir/fleet" >"$dir/out" 2>"$dir/err"
	[ $? = 2 ] && [ "$(wc -l <"$dir/err")" = 1 ] && grep -qF -- "$2" "$dir/err" && [ ! -e "$dir/out.cfg" ] &&
		[ ! -s "$dir/out" ]
	ok "refuses $1"
}

"$generate" -o "$dir/example.cfg" share/haproxy/fleet.example 2>"$dir/err"
ok "the example"
sound "the example" "$dir/example.cfg"
cmp -s "$dir/example.cfg" share/haproxy/haproxy.cfg
ok "share/haproxy/haproxy.cfg is what the example makes"

for i in $(seq 50); do echo "node n$i [fd00::$i]:8000 agent=8001"; done >"$dir/large"
for i in $(seq 20); do echo "model m-$i on all"; done >>"$dir/large"
"$generate" -o "$dir/large.cfg" "$dir/large" 2>"$dir/err" && [ "$(grep -c 'server n' "$dir/large.cfg")" = 1050 ]
ok "fifty nodes, twenty models"
sound "fifty nodes, twenty models" "$dir/large.cfg"

printf 'model m on b\nnode b h:1\n' >"$dir/fleet"
"$generate" "$dir/fleet" >"$dir/out" 2>"$dir/err" && grep -q '^backend model.m$' "$dir/out"
ok "a node below its model, to stdout"

n='node a h:8000'
refuses "a node twice" ":2: node 'a' is there twice, first in line 1" <<<"$n
node a h:8001
model m on a"
refuses "an address twice" ":2: node 'b' has the address of node 'a'" <<<"$n
node b h:8000"
refuses "a model twice" ":3: model 'm' is there twice, first in line 2" <<<"$n
model m on a
model m on all"
refuses "a model on no node" ":2: model 'm' is on no node" <<<"$n
model m on queue_ms=5"
refuses "a model without on" "on no node" <<<"$n
model m"
refuses "a model on an unknown node" ":2: model 'm' is on node 'x', which is not there" <<<"$n
model m on a x
model k on a"
refuses "a model on a node twice" "on node 'a' twice" <<<"$n
model m on a a"
refuses "all and a node" "all, or nodes by name" <<<"$n
model m on all a"
refuses "no node" "no node" <<<"model m on all"
refuses "no model" "no model" <<<"$n"
refuses "an empty fleet" "no node" <<<""
refuses "an unknown statement" ":2: 'nodes' is not one of" <<<"$n
nodes b h:1"
refuses "an unknown option" "'agnt=1' is not one of" <<<"node a h:8000 agnt=1"
refuses "a weight of 0" "weight=0: 1 to 256" <<<"node a h:8000 weight=0"
refuses "a weight of 257" "weight=257: 1 to 256" <<<"node a h:8000 weight=257"
refuses "a port of 0" "port from 1 to 65535" <<<"node a h:0"
refuses "a port of 65536" "port from 1 to 65535" <<<"node a h:65536"
refuses "no port" "is no address" <<<"node a h"
refuses "a bare IPv6 address" "is no address" <<<"node a fd00::1:8000"
refuses "a name that could end a line of haproxy.cfg" "1 to 63 letters" <<<'node a{} h:8000'
refuses "a model's name with a slash" "1 to 63 letters" <<<"$n
model a/b on a"
refuses "two addresses to listen on" "'listen' is there twice" <<<"listen h:1
listen h:2"
refuses "stats on everything" "is no address" <<<"stats *:8404"
refuses "a balance that knows no weights" "leastconn, roundrobin or random" <<<"balance static-rr"

"$generate" "$dir/none" 2>"$dir/err"
[ $? = 2 ] && grep -q 'cannot be read' "$dir/err"
ok "refuses a file that is not there"
"$generate" 2>"$dir/err"
[ $? = 2 ]
ok "refuses no file"
echo "1..$count"
[ $failed = 0 ]
