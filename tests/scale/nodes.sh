#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What scale.sh and routers.sh share: three nodes in network namespaces on a bridge, HAProxy before them, load.
# Sourced in the top of the tree. All of it has this run's id in its name and is gone afterwards.
veltair=$PWD/${VELTAIR:-build/release/veltair}
generate=$PWD/share/haproxy/generate.sh
haproxy=$(command -v haproxy || ls /usr/sbin/haproxy 2>/dev/null)
id=vts$$
dir=$(mktemp -d)
names=(a b c)  # of the nodes that are used
port=8000      # of the next HAProxy; its stats are found at $stats
pids=()
proxy=
declare -A pid_of addr core_of=([a]=0 [b]=1 [c]=1)

none() {
	echo "1..0 # SKIP $1"
	exit 0
}

# Also after a failure: what this run made, by name and by id.
clean() {
	for p in "${pids[@]}" "${pid_of[@]}" $proxy; do kill -9 "$p" 2>/dev/null; done
	wait 2>/dev/null
	for n in "${names[@]}"; do ip netns del "$id-$n" 2>/dev/null; done
	ip link del "$id" 2>/dev/null
	rm -rf "$dir"
}

# What a run left behind that was killed: namespaces and bridges of ids that no process has any more.
clean_the_dead() {
	local left
	for left in $(ip netns list | sed -n 's/^\(vts[0-9]*\)-[abc].*/\1/p' | sort -u); do
		[ ! -d "/proc/${left#vts}" ] || continue
		for n in a b c; do ip netns del "$left-$n" 2>/dev/null; done
		ip link del "$left" 2>/dev/null
	done
}

# nodes: the network and the models, or the reason why not
nodes() {
	local net i=0 n
	[ -n "$haproxy" ] || none "haproxy is not installed"
	[ "$(id -u)" = 0 ] || none "network namespaces need root"
	[ "$(nproc)" -ge 2 ] || none "two cores are needed"
	trap clean EXIT
	trap 'exit 1' INT TERM
	clean_the_dead
	ip netns add "$id-a" 2>"$dir/why" || none "no network namespaces here: $(head -n 1 "$dir/why")"
	net=10.$((64 + $$ / 256 % 64)).$(($$ % 256))
	ip link add "$id" type bridge 2>"$dir/why" || none "no bridge here: $(head -n 1 "$dir/why")"
	ip addr add "$net.254/24" dev "$id" && ip link set "$id" up
	front=$net.254
	for n in "${names[@]}"; do
		i=$((i + 1))
		[ "$n" = a ] || ip netns add "$id-$n"
		ip link add "$id$n" type veth peer name eth0 netns "$id-$n"
		ip link set "$id$n" master "$id" up
		ip -n "$id-$n" addr add "$net.$i/24" dev eth0
		ip -n "$id-$n" link set eth0 up
		ip -n "$id-$n" link set lo up
		addr[$n]=$net.$i
	done
	"$veltair" zoo --out "$dir" "${model:?}" >/dev/null 2>"$dir/err.zoo" || none "cannot write $model"
	"$veltair" zoo --tiny --out "$dir/tiny" mobilenet-v2 >/dev/null 2>"$dir/err.zoo" || none "cannot write the tiny model"
}

# node NAME: start it, without waiting
node() {
	ip netns exec "$id-$1" "$veltair" serve "$dir/$model.onnx=$model" "$dir/tiny/mobilenet-v2-tiny.onnx=tiny" \
		--listen "${addr[$1]}:8000" --agent "${addr[$1]}:8001" --cores "${core_of[$1]}" --qos-ms "${qos:?}" --monitor off \
		>>"$dir/err.$1" 2>&1 &
	pid_of[$1]=$!
}

weight() { # weight NAME: what its agent says; nothing unless it is ready
	timeout 2 bash -c "cat </dev/tcp/${addr[$1]}/8001" 2>/dev/null | sed -n 's/.*ready \([0-9]*\)%.*/\1/p'
}

up() { # up NAME: until it is ready
	for _ in $(seq 400); do
		[ -n "$(weight "$1")" ] && return 0
		sleep 0.1
	done
	return 1
}

# balance HOW [agent]: HAProxy with this fleet, in place of the one before, once it has found all nodes; into $at
# where it listens
balance() {
	local n
	[ -z "$proxy" ] || { kill "$proxy" && wait "$proxy" 2>/dev/null; }
	at=$front:$port stats=127.0.0.1:$((20000 + $$ % 20000 + port - 8000))
	{
		echo "listen $at"
		echo "stats $stats"
		echo "balance $1"
		[ -z "${body_kib:-}" ] || echo "body_kib $body_kib"
		for n in "${names[@]}"; do echo "node $n ${addr[$n]}:8000 weight=100 ${2:+agent=8001}"; done
		echo "model $model on all"
		echo "model tiny on all"
	} >"$dir/fleet"
	"$generate" -o "$dir/haproxy.cfg" "$dir/fleet" || return 1
	"$haproxy" -dMglobal,no-poison -f "$dir/haproxy.cfg" >"$dir/err.haproxy" 2>&1 &
	proxy=$!
	for _ in $(seq 100); do
		shares && [ "$(wc -w <<<"$shares")" = ${#names[@]} ] && return 0
		sleep 0.1
	done
	return 1
}

# shares: into $shares, the weights by which HAProxy divides the model's requests, of the nodes that are up:
# "a=100 b=95 c=5 ". It starts no process, and so hardly disturbs what it watches.
shares() {
	local text n
	shares=
	{ exec 9<>"/dev/tcp/${stats%:*}/${stats#*:}"; } 2>/dev/null || return 1
	printf 'GET /;csv HTTP/1.0\r\n\r\n' >&9
	read -r -N 65536 -t 2 text <&9
	exec 9>&-
	for n in "${names[@]}"; do
		[[ $text =~ "model.$model,$n,"([^,]*,){15}(UP[^,]*|no check),([0-9]+) ]] && shares+="$n=${BASH_REMATCH[3]} "
	done
}

now() { # into $now: ms
	now=$((${EPOCHREALTIME/./} / 1000))
}

# watch FILE: the shares ten times a second, each line with its time in ms, until killed
watch() {
	exec 8<> <(:)
	while :; do
		now
		shares
		echo "$now $shares"
		read -r -t 0.1 <&8
	done >"$1"
}

# load NAME SECS MODEL:QOS_MS...: Poisson requests through the balancer, result in NAME.json
load() {
	local name=$1 secs=$2
	shift 2
	"$veltair" bench --url "http://$at" "${@/#/--model=}" --rate "${rate:?}" --secs "$secs" --rounds 1 \
		--seed "${seed:-7}" --json >"$dir/$name.json" 2>"$dir/err.load"
}

field() { # field NAME KEY: the first number of that key in the only row
	sed -n '/"rows"/,$p' "$dir/$1.json" | sed -n "s/.*\"$2\": *\([0-9.e+-]*\).*/\1/p" | head -n 1
}
