#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A real HAProxy before three nodes in network namespaces, under Poisson load (docs/scale.md):
#   a) the bubble at level 4 on one node's core: its weight falls within a second, requests in QoS stay
#   b) kill -9 of a node: no client sees an error
#   c) rolling SIGTERM restart of all: no failed request
#   d) unequal nodes: weighted beside round-robin and least-conn
# SECS=6 seconds of load a phase; RATE=60 requests a second.
cd "$(dirname "$0")/../.." || exit 1
veltair=$PWD/${VELTAIR:-build/release/veltair}
generate=$PWD/share/haproxy/generate.sh
secs=${SECS:-6} rate=${RATE:-60} model=${MODEL:-mobilenet-v2} qos=${QOS_MS:-60}
haproxy=$(command -v haproxy || ls /usr/sbin/haproxy 2>/dev/null)
id=vts$$
dir=$(mktemp -d)
count=0 failed=0
pids=()
declare -A pid_of core_of=([a]=0 [b]=1 [c]=1)

none() {
	echo "1..0 # SKIP $1"
	exit 0
}

# Also after a failure: what this run made, by name and by id.
clean() {
	for p in "${pids[@]}" "${pid_of[@]}"; do kill -9 "$p" 2>/dev/null; done
	wait 2>/dev/null
	for n in a b c; do ip netns del "$id-$n" 2>/dev/null; done
	ip link del "$id" 2>/dev/null
	rm -rf "$dir"
}

ok() {
	local status=$?
	count=$((count + 1))
	[ $status = 0 ] && echo "ok $count - $1" && return
	failed=$((failed + 1))
	echo "not ok $count - $1"
	tail -n 5 "$dir"/err.* "$dir"/load.err 2>/dev/null | sed 's/^/# /'
}

[ -n "$haproxy" ] || none "haproxy is not installed"
[ "$(id -u)" = 0 ] || none "network namespaces need root"
[ "$(nproc)" -ge 2 ] || none "two cores are needed"
trap clean EXIT
ip netns add "$id-a" 2>"$dir/why" || none "no network namespaces here: $(head -n 1 "$dir/why")"

# ---- three nodes on a bridge of their own ----------------------------------------------------------

net=10.$((64 + $$ / 256 % 64)).$(($$ % 256))
ip link add "$id" type bridge 2>"$dir/why" || none "no bridge here: $(head -n 1 "$dir/why")"
ip addr add "$net.254/24" dev "$id" && ip link set "$id" up
i=0
for n in a b c; do
	i=$((i + 1))
	[ $n = a ] || ip netns add "$id-$n"
	ip link add "$id$n" type veth peer name eth0 netns "$id-$n"
	ip link set "$id$n" master "$id" up
	ip -n "$id-$n" addr add "$net.$i/24" dev eth0
	ip -n "$id-$n" link set eth0 up
	ip -n "$id-$n" link set lo up
	declare "addr_$n=$net.$i"
done
"$veltair" zoo --out "$dir" "$model" >/dev/null 2>"$dir/err.zoo" || none "cannot write $model"
"$veltair" zoo --tiny --out "$dir/tiny" mobilenet-v2 >/dev/null 2>"$dir/err.zoo" || none "cannot write the tiny model"

# node NAME: start it, without waiting
node() {
	local a=addr_$1
	ip netns exec "$id-$1" "$veltair" serve "$dir/$model.onnx=$model" "$dir/tiny/mobilenet-v2-tiny.onnx=tiny" --listen "${!a}:8000" --agent "${!a}:8001" \
		--cores "${core_of[$1]}" --qos-ms "$qos" --monitor off >>"$dir/err.$1" 2>&1 &
	pid_of[$1]=$!
}

told() { # told NAME: the line its agent says
	local a=addr_$1
	timeout 2 bash -c "cat </dev/tcp/${!a}/8001" 2>/dev/null
}

weight() {
	told "$1" | sed -n 's/.*ready \([0-9]*\)%.*/\1/p'
}

up() { # up NAME: until it is ready
	for _ in $(seq 400); do
		[ -n "$(weight "$1")" ] && return 0
		sleep 0.1
	done
	return 1
}

# balance HOW AGENT: HAProxy with this fleet, anew
balance() {
	local n a
	[ -z "${proxy:-}" ] || { kill "$proxy" && wait "$proxy" 2>/dev/null; }
	{
		echo "listen $net.254:8000"
		echo "stats 127.0.0.1:$((20000 + $$ % 20000))"
		echo "balance $1"
		for n in a b c; do
			a=addr_$n
			echo "node $n ${!a}:8000 weight=100 ${2:+agent=8001}"
		done
		echo "model $model on all"
		echo "model tiny on all"
	} >"$dir/fleet"
	"$generate" -o "$dir/haproxy.cfg" "$dir/fleet" || return 1
	"$haproxy" -f "$dir/haproxy.cfg" >"$dir/err.haproxy" 2>&1 &
	proxy=$!
	pids+=("$proxy")
	sleep 2
}

load() { # load NAME SECS MODEL: Poisson requests through the balancer, result in NAME.json
	"$veltair" bench --url "http://$net.254:8000" --model "$3:$qos" --rate "$rate" --secs "$2" --rounds 1 --seed 7 \
		--json >"$dir/$1.json" 2>"$dir/load.err"
}

field() { # field NAME KEY: the first number of that key
	tr -d '\n' <"$dir/$1.json" | sed -n "s/.*\"rows\"[^]]*\"$2\": *\([0-9.e+-]*\).*/\1/p"
}

for n in a b c; do node $n; done
up a && up b && up c
ok "three nodes in namespaces are ready, and say so to whoever asks"
balance leastconn agent
ok "HAProxy takes the fleet"

# ---- a) one node is pressed ------------------------------------------------------------------------

load calm "$secs" "$model"
ok "a load without disturbance"
echo "# undisturbed: share in QoS $(field calm share) at $rate/s"
load pressed "$((secs + 4))" "$model" &
loader=$!
sleep 2
before=$(weight a)
"$veltair" bubble --level 4 --cores 0 --secs "$secs" >"$dir/bubble" 2>&1 &
pids+=($!)
fell=
for t in $(seq 1 $((secs * 10))); do
	now=$(weight a)
	[ -n "$now" ] && [ "$now" -lt "$before" ] && fell=$t && break
	sleep 0.1
done
wait $loader
echo "# weight of node a: $before, then ${now:-unknown}, ${fell:-never} tenths of a second after the bubble was started"
[ -n "$fell" ] && [ "$fell" -le 10 ]
ok "the bubble at level 4 on the core of node a: its weight falls within a second"
awk -v calm="$(field calm share)" -v pressed="$(field pressed share)" 'BEGIN { exit !(pressed >= 0.95 * calm) }'
ok "and requests in QoS stay at 95 % of the undisturbed share or more"
echo "# pressed: share in QoS $(field pressed share) at $rate/s"

# ---- b) one node is killed, c) all are restarted in turn ---------------------------------------------

no_errors() { # no_errors NAME: nothing failed
	echo "# $1: failed requests $(field "$1" failed), share in QoS $(field "$1" share)"
	[ "$(field "$1" failed)" = 0 ]
}

load killed "$secs" tiny &
loader=$!
sleep 2
kill -9 "${pid_of[b]}"
wait $loader
[ -z "${KEEP:-}" ] || cp "$dir"/*.json "$dir"/err.* "$dir"/load.err "$KEEP"
no_errors killed
ok "kill -9 of node b under load: no client sees an error"
node b
up b
ok "node b is back"

load rolling "$((secs * 2))" tiny &
loader=$!
sleep 1
for n in a b c; do
	kill -TERM "${pid_of[$n]}"
	wait "${pid_of[$n]}"
	status=$?
	[ $status = 0 ] || echo "# node $n ended with $status"
	node $n
	up $n
	sleep 1
done
wait $loader
[ -z "${KEEP:-}" ] || cp "$dir"/*.json "$dir"/err.* "$dir"/load.err "$KEEP"
no_errors rolling
ok "rolling SIGTERM restart of all under load: no failed request"

# ---- d) unequal nodes ------------------------------------------------------------------------------

"$veltair" bubble --level 4 --cores 0 --secs 0 >"$dir/bubble" 2>&1 &
pids+=($!)
sleep 3
for how in "roundrobin" "leastconn" "roundrobin agent" "leastconn agent"; do
	# shellcheck disable=SC2086 # words
	balance $how
	load unequal "$secs" "$model"
	echo "# unequal nodes, $how: share in QoS $(field unequal share), failed $(field unequal failed) at $rate/s; weights $(weight a) $(weight b) $(weight c)"
done

echo "1..$count"
[ $failed = 0 ]
