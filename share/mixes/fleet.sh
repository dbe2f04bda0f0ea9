#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A mix for a fleet of any size, to stdout: many models, few of which get most requests (Zipf), each on twice as
# large a part of the nodes as its share of the requests, 2 % at least, from a place drawn at random.
#
#   fleet.sh [MODELS] [SEED]
#
# 200 models and seed 1 unless said otherwise. For `veltair sim --nodes LIST --mix FILE`; docs/simulator.md.
set -eu
bad() {
	echo "fleet.sh: $1; fleet.sh [MODELS] [SEED]" >&2
	exit 2
}
[ $# -le 2 ] || bad "two numbers at most were expected"
for n in "$@"; do
	case $n in
	'' | *[!0-9]* | ??????*) bad "'$n' is no number" ;;
	esac
done
models=${1:-200} seed=${2:-1}
if [ "$models" -lt 1 ] || [ "$models" -gt 1024 ]; then bad "1 to 1024 models"; fi
awk -v models="$models" -v seed="$seed" '
# The same everywhere: awk programs differ in rand(). Park and Miller.
function uniform() {
	state = state * 16807 % 2147483647
	return state / 2147483647
}

# Of the ends as they are written: with two digits a part may be empty, as that from 99.996 to 100 %.
function range(from, to) {
	return from + 0 < to + 0 ? from "%-" to "%" : ""
}

BEGIN {
	state = seed * 7919 + 1
	for (i = 0; i < 10; i++)
		uniform()
	kinds = split("mobilenet_v2 efficientnet_b0 googlenet tiny_yolo_v2 resnet50", kind, " ")
	print "# share/mixes/fleet.sh " models " " seed
	for (m = 1; m <= models; m++)
		sum += 1 / m
	for (m = 1; m <= models; m++) {
		part = 200 / m / sum
		part = part < 2 ? 2 : part
		first = uniform() * 100
		if (part >= 100)
			place = "*"
		else if (first + part <= 100)
			place = sprintf("%.2f%%-%.2f%%", first, first + part)
		else
			place = range(sprintf("%.2f", first), 100) " " range(0, sprintf("%.2f", first + part - 100))
		sub(/^ | $/, "", place)
		printf "%s,-,%.6f,1,%s\n", kind[m % kinds + 1], 100 / m / sum, place
	}
}'
