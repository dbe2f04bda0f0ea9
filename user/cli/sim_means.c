// SPDX-License-Identifier: Apache-2.0
/* sim_means.c - what the seeds of a cell have in common: means, gains, the best. */
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "cli/sim_cli.h"

const struct vt_policy sim_bound_ideal = {.name = "clairvoyant"};
const struct vt_policy sim_bound_real = {.name = "clairvoyant-real"};

bool sim_is_baseline(const struct vt_policy *p)
{
	return !sim_is_bound(p) && strncmp(p->name, "veltair-", 8) != 0;
}

struct vt_mean sim_mean(const struct sim_results *r, const struct sim_cell *c, size_t offset)
{
	/* A search that no rate satisfied has the rate 0, and no other figures. */
	const bool all = !c->equal && offset == offsetof(struct sim_run, rate_hz);
	double v[1024];
	uint32_t n = 0;

	for (uint32_t i = 0; i < r->n_seeds && n < 1024; i++) {
		if (!all && !c->runs[i].ran)
			continue;
		memcpy(&v[n], (const char *)&c->runs[i] + offset, sizeof(v[0]));
		n += !isnan(v[n]);
	}
	return vt_mean_of(v, n);
}

struct vt_mean sim_gain(const struct sim_results *r, const struct sim_cell *c,
			const struct sim_cell *over)
{
	double v[1024];
	uint32_t n = 0;

	for (uint32_t i = 0; i < r->n_seeds && n < 1024; i++)
		if (over->runs[i].rate_hz > 0)
			v[n++] = c->runs[i].rate_hz / over->runs[i].rate_hz - 1;
	return vt_mean_of(v, n);
}

int sim_best(const struct sim_setup *s, const struct sim_results *r, uint32_t mix, bool baseline)
{
	double best = 0;
	int at = -1;

	for (uint32_t p = 0; p < s->n_policies; p++) {
		double rate = sim_mean(r, &r->cell[mix][p], offsetof(struct sim_run, rate_hz)).mean;

		if (!sim_is_bound(s->policies[p]) && rate > best &&
		    (!baseline || sim_is_baseline(s->policies[p]))) {
			best = rate;
			at = (int)p;
		}
	}
	return at;
}
