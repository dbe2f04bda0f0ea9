# SPDX-License-Identifier: Apache-2.0
# goodput.png from goodput.dat: `make pictures`, from the root of the tree.
set terminal pngcairo size 800,380 font 'sans,11' background rgb 'white'
set output 'docs/pictures/goodput.png'
dat = 'docs/pictures/goodput.dat'
array titles[2] = ['MobileNet-V2 + EfficientNet-B0', 'ResNet-50 + GoogLeNet']
array colours[3] = [0x8a8a8a, 0xe69f00, 0x0072b2]
set style fill solid 0.9 noborder
set boxwidth 0.7
set border 3
set tics nomirror out
set xtics scale 0 font ',10' noenhanced
set bmargin 3.5
set xrange [-0.6:2.6]
set yrange [0:*]
set grid y lc rgb '#e0e0e0'
unset key
set multiplot layout 1,2 title 'Two models on two Zen 4 cores: requests a second answered within their targets'
set ylabel 'requests/s, 95 % in time'
do for [m = 0:1] {
	set title titles[m + 1]
	if (m == 1) { unset ylabel }
	plot dat index m using 0:2:(0.7):(colours[int($0) + 1]):xtic(1) with boxes lc rgb variable, \
		'' index m using 0:3:(0):($4 - $3) with vectors heads size graph 0.02,90 lc rgb '#222222' lw 1.2, \
		'' index m using 0:(0):(sprintf('%.3g', $2)) with labels offset 0,0.8 tc rgb 'white' font ',13'
}
unset multiplot
