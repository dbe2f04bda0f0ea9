# SPDX-License-Identifier: Apache-2.0
# bound.png from bound.dat: `make pictures`, from the root of the tree.
set terminal pngcairo size 1100,430 font 'sans,11' background rgb 'white'
set output 'docs/pictures/bound.png'
dat = 'docs/pictures/bound.dat'
blue = 0x0072b2
grey = 0x8a8a8a
orange = 0xd55e00
colour(p) = p[1:11] eq 'clairvoyant' ? orange : p[1:7] eq 'veltair' ? blue : grey
set style fill solid 0.9 noborder
set boxwidth 0.7
set border 3
set tics nomirror out
set xtics scale 0 rotate by -40 left noenhanced
set xrange [-0.6:6.6]
set yrange [0:*]
set grid y lc rgb '#e0e0e0'
unset key
set multiplot layout 1,3 title 'Goodput on 64 simulated cores: baselines grey, veltair blue, clairvoyant bounds orange'
set ylabel 'requests/s with 95 % in time'
do for [m = 0:2] {
	set title word('light medium heavy', m + 1)
	if (m == 1) { unset ylabel }
	plot dat using 0:(column(2 + 2 * m)):(0.7):(colour(strcol(1))):xtic(1) with boxes lc rgb variable, \
		'' using 0:(column(2 + 2 * m) - column(3 + 2 * m)):(0):(2 * column(3 + 2 * m)) with vectors heads size graph 0.02,90 lc rgb '#222222' lw 1.2
}
unset multiplot
