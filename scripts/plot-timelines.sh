#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The same arrivals on 64 simulated cores under three policies, core by core: docs/pictures/timelines.png.
# usage: plot-timelines.sh VELTAIR OUT.png
set -eu
veltair=$1 out=$2
from_ms=110 to_ms=135 # past the start, where queues have formed
policies="edf planaria veltair-full"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

for p in $policies; do
	"$veltair" sim --machine 3990x --mix light --rate 1000 --requests 1000 --policy "$p" --trace "$dir/$p.json" >"$dir/$p.txt" 2>/dev/null
	# A line for each run of neighbouring cores that ran one block: first and last core, from, to, model.
	sed -n 's/^{"name":"\([^"]*\)","cat":"block".*"tid":\([0-9]*\),"ts":\([0-9.]*\),"dur":\([0-9.]*\),"args":{"request":\([0-9]*\),.*/\5 \3 \4 \2 \1/p' "$dir/$p.json" |
		awk -v from=$from_ms -v to=$to_ms '($2 + $3) / 1000 > from && $2 / 1000 < to' | sort -k1,1n -k2,2n -k3,3n -k4,4n |
		awk '$1 == r && $2 == t && $3 == d && $4 == last + 1 { last = $4; next }
			NR > 1 { print first, last, t / 1000, (t + d) / 1000, model }
			{ r = $1; t = $2; d = $3; first = last = $4; model = $5 }
			END { print first, last, t / 1000, (t + d) / 1000, model }' >"$dir/$p.dat"
done

# title POLICY WHAT: what the whole run came to, from the table of `veltair sim`
title() {
	awk -v p="$1" -v what="$2" '/^policy / { next } $1 == p {
		printf "%s (%s): %s %% of 1000 requests in time, mean latency %s ms", what, p, $4, $6 }' "$dir/$1.txt"
}
{
	echo "set terminal pngcairo size 1200,1080 font 'sans,11' background rgb 'white'
set output '$out'
set multiplot layout 3,1
set border 3
set tics nomirror out
set lmargin 9
set rmargin 3
set xrange [$from_ms:$to_ms]
set yrange [0:64]
set ytics 16
set ylabel 'core'
set style fill solid 0.9 border rgb 'white'
set key above right horizontal samplen 1.5"
	for p in $policies; do
		case $p in
		edf) title edf "Whole models" ;;
		planaria) title planaria "Layer by layer" ;;
		*) title "$p" "Blocks of layers" ;;
		esac | sed "s/.*/set title '&' noenhanced font ',12'\n/"
		[ "$p" = edf ] || echo "unset key"
		[ "$p" != veltair-full ] || echo "set xlabel 'ms since the first arrival'"
		echo "plot for [m in 'mobilenet_v2 efficientnet_b0 tiny_yolo_v2'] '$dir/$p.dat' \\
	using (strcol(5) eq m ? (\$3 + \$4) / 2 : NaN):((\$1 + \$2 + 1) / 2.0):3:4:1:(\$2 + 1) with boxxyerror lw 0.25 \\
	fc rgb (m eq 'mobilenet_v2' ? '#0072b2' : m eq 'efficientnet_b0' ? '#e69f00' : '#009e73') title (m eq 'mobilenet_v2' ? 'MobileNet-V2' : m eq 'efficientnet_b0' ? 'EfficientNet-B0' : 'Tiny YOLOv2')"
	done
	echo "unset multiplot"
} >"$dir/plot.gp"
gnuplot "$dir/plot.gp"
