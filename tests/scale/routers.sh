#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Which way to balance keeps most requests in QoS when nodes are unequal? Node a has the bubble at level 4 on its
# core, node b a core of its own. Four HAProxies stand before them at once, each with its own way; they get the same
# Poisson load in turns, ROUNDS times. Figures, no verdict: docs/scale.md.
# SECS=3.5 of load a turn, RATE=50 requests a second, ROUNDS=5, QOS_MS=30. Below what the nodes can do: overload of
# all is no matter of balance.
# shellcheck source=tests/scale/nodes.sh
cd "$(dirname "$0")/../.." || exit 1
secs=${SECS:-3.5} rate=${RATE:-50} model=${MODEL:-mobilenet-v2} qos=${QOS_MS:-30} rounds=${ROUNDS:-5}
. tests/scale/nodes.sh
names=(a b)
ways=("roundrobin" "leastconn" "roundrobin agent" "leastconn agent")

nodes
for n in "${names[@]}"; do node "$n"; done
up a && up b || exit 1
for i in "${!ways[@]}"; do
	# shellcheck disable=SC2086 # words
	balance ${ways[i]} || exit 1
	pids+=("$proxy")
	fronts[i]=$at
	proxy=
	port=$((port + 1))
done
"$veltair" bubble --level 4 --cores 0 --secs 0 >"$dir/bubble" 2>&1 &
pids+=($!)
at=${fronts[2]}
load warm 3 "$model:$qos" # the nodes have been idle, and know nothing of the bubble
for round in $(seq "$rounds"); do
	seed=$round
	for k in "${!ways[@]}"; do
		i=$(((k + round) % ${#ways[@]})) # another one first in each round
		at=${fronts[i]}
		load turn "$secs" "$model:$qos"
		echo "$round,${ways[i]},$(field turn share),$(field turn failed),$(field turn refused),$(field turn p95_ms)"
	done
done | tee "${OUT:-$dir/turns}" >&2
# Mean and 95 % interval over the rounds, and beside the first way in the same round.
awk -F, -v rate="$rate" -v qos="$qos" '{
	share[$2, $1] = 100 * $3
	ms[$2] += $6
	if (!($2 in n))
		way[++ways] = $2
	n[$2]++
} END {
	split("12.71 4.30 3.18 2.78 2.57 2.45 2.36 2.31 2.26", t, " ")
	printf "%-18s %16s %28s %10s\n", "way, " rate "/s", "in " qos " ms, %", "points above roundrobin", "p95 ms"
	for (w = 1; w <= ways; w++) {
		a = b = aa = bb = 0
		k = n[way[w]]
		for (r = 1; r <= k; r++) {
			x = share[way[w], r]
			y = x - share["roundrobin", r]
			a += x / k
			b += y / k
			aa += x * x / k
			bb += y * y / k
		}
		f = k > 1 ? (k - 1 in t ? t[k - 1] : 2) / sqrt(k - 1) : 0
		printf "%-18s %8.1f +- %4.1f %19.1f +- %4.1f %11.1f\n", way[w], a, f * sqrt(aa > a * a ? aa - a * a : 0), b,
			f * sqrt(bb > b * b ? bb - b * b : 0), ms[way[w]] / k
	}
}' "${OUT:-$dir/turns}"
