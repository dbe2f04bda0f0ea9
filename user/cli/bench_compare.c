// SPDX-License-Identifier: Apache-2.0
/* bench_compare.c - what rows say beside each other: who serves most, how many times as much; what was set aside. */
#include <stdio.h>

#include "cli/bench_cli.h"

const struct bench_row *bench_best(const struct bench *b)
{
	const struct bench_row *best = &b->row[0];

	for (uint32_t i = 1; i < b->n_rows; i++) {
		const struct bench_row *r = &b->row[i];

		if (r->at.at_most != best->at.at_most ? best->at.at_most
						      : r->at.rate_hz > best->at.rate_hz)
			best = r;
	}
	return best;
}

bool bench_times(const struct bench_row *a, const struct bench_row *b, char *text, size_t len)
{
	struct vt_ratio r;

	/* Below one number, or above the other: nothing is known. */
	if (!a->n_slices || !b->n_slices || a->at.at_most || b->at.open)
		return false;
	if (!vt_crossing_ratio(&a->at, &b->at, &r))
		snprintf(text, len, "%.2f times what %s serves (95 %%: %.2f .. %.2f)", r.ratio,
			 b->name, r.low, r.high);
	else
		snprintf(text, len, "%s%.2f times what %s serves",
			 a->at.open || b->at.at_most ? "more than " : "",
			 a->at.rate_hz / b->at.rate_hz, b->name);
	return true;
}

bool bench_aside(const struct bench_row *r, char *text, size_t len)
{
	const struct bench_slice *s;

	if (!r->at.aside)
		return false;
	s = &r->slices[r->at.aside - 1];
	snprintf(text, len,
		 "round %u set aside: %.0f %% in time at %.1f/s, which the others contradict",
		 s->round + 1, 100 * vt_tally_share(&s->all), s->rate_hz);
	return true;
}

double bench_in_time_hz(const struct bench *b, const struct bench_row *r)
{
	return r->at.rate_hz * (b->o->rate_hz > 0 ? vt_tally_share(&r->all) : 1);
}

const char *bench_trouble(const struct bench_row *r)
{
	return r->engine->trouble ? r->engine->trouble(r->engine->self) : "";
}

const char *bench_bound(const struct bench_row *r)
{
	return r->at.open ? ">" : r->at.at_most ? "<" : "";
}
