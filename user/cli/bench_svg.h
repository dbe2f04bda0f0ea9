/* SPDX-License-Identifier: Apache-2.0 */
/* bench_svg.h - the charts of `veltair bench --html`, as inline SVG whose colours the page's style decides. */
#ifndef VT_CLI_BENCH_SVG_H
#define VT_CLI_BENCH_SVG_H

#include "cli/bench_cli.h"

/** bench_escape - text into HTML */
void bench_escape(FILE *f, const char *text);

void bench_svg_rates(FILE *f, const struct bench *b);	 /* bars, intervals, limits */
void bench_svg_slices(FILE *f, const struct bench *b);	 /* share over rate, every slice */
void bench_svg_latency(FILE *f, struct bench *b);	 /* cumulative distribution */
void bench_svg_pressure(FILE *f, const struct bench *b); /* over time; nothing if not known */

#endif
