# SPDX-License-Identifier: Apache-2.0
# ratio.png from ratio.dat: `make pictures`, from the root of the tree.
set terminal pngcairo size 1200,480 font 'sans,11' background rgb 'white'
set output 'docs/pictures/ratio.png'
set title 'ONNX Runtime''s time / veltair''s, one model alone, 1 and 2 threads'
set style data histogram
set style histogram clustered gap 1
set style fill solid 0.9 noborder
set border 3
set tics nomirror out
set xtics scale 0 font ',9' noenhanced
set xrange [-0.6:9.6]
set yrange [0:3]
set ytics 0.5
set ylabel 'ratio; above 1 veltair is faster'
set grid y lc rgb '#e0e0e0'
set bmargin 3.5
set key top right horizontal width -5
set arrow from graph 0,first 1 to graph 1,first 1 nohead lc rgb '#444444' dt 2 lw 1.5 front
plot 'docs/pictures/ratio.dat' \
	using 3:xtic(sprintf("%s\n%s", strcol(1), strcol(2) eq '1' ? '1 thread' : '2 threads')) lc rgb '#0072b2' title 'Sapphire Rapids', \
	'' using 4 lc rgb '#e69f00' title 'Zen 5', \
	'' using 5 lc rgb '#009e73' title 'Zen 3', \
	'' using 6 lc rgb '#cc79a7' title 'Zen 4'
