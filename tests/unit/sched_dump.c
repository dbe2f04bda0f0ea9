// SPDX-License-Identifier: Apache-2.0
/*
 * Print a checksum of all decisions of seeded courses, per policy: two compilers must print the same. Light and crowded,
 * with cores that others take and without, where the hopeless may be refused and where not. Ends with 1 where a course did not
 * come to its end, or a decision breaks what policy.h promises.
 */
#include <stdio.h>

#include "loop/trace.h"
#include "toy_plant.h"

#define CORES	 16u
#define ARRIVALS 1000u

static uint64_t mix(uint64_t h, const void *data, size_t len)
{
	const uint8_t *p = data;

	for (size_t i = 0; i < len; i++)
		h = (h ^ p[i]) * 0x100000001b3ull;
	return h;
}

struct course {
	bool shed, takes;
	uint64_t gap_ns; /* mean, between arrivals */
};

static bool dump(const struct vt_policy *p, const struct course *c, const struct fx_models *f,
		 struct toy *toy)
{
	struct vt_loop_cfg cfg;
	struct vt_loop *l = toy_loop_shed(p, CORES, 4, c->shed, &cfg);
	uint64_t h = 0xcbf29ce484222325ull, steps = 0;
	int err = 0;

	toy_open(toy, f, CORES, 4, 7, ARRIVALS, c->gap_ns);
	toy->takes = c->takes;
	toy->takes_rng.s = 8;
	toy->may_shed = c->shed && p->sheds;
	while (!err && toy_advance(toy)) {
		const struct vt_decision *d;

		err = vt_loop_step(l, &toy_plant, toy);
		d = vt_loop_decision(l);
		h = mix(h, d->actions, d->n_actions * sizeof(*d->actions));
		h = mix(h, d->versions, d->n_versions);
		h = mix(h, &d->wake_ns, sizeof(d->wake_ns));
		steps++;
	}
	printf("%-16s %s %s %4llu us: %016llx steps %llu on time %llu shed %llu\n", p->name,
	       c->shed ? "shed" : "keep", c->takes ? "taken" : "alone",
	       (unsigned long long)c->gap_ns / 1000, (unsigned long long)h,
	       (unsigned long long)steps, (unsigned long long)toy->on_time,
	       (unsigned long long)toy->shed);
	free(l);
	return !err && !toy->errors && steps >= ARRIVALS;
}

int main(void)
{
	struct vt_rng rng = {.s = 21};
	struct fx_models f = fx_models_new(&rng, 5, CORES, VT_PLAN_ALL);
	struct toy *toy = fx_alloc(sizeof(*toy));
	int status = 0;

	for (unsigned int i = 0; vt_policy_at(i); i++)
		for (unsigned int k = 0; k < 8; k++) {
			const struct course c = {k & 1, k & 2, k & 4 ? 200000 : 5000000};

			if (!dump(vt_policy_at(i), &c, &f, toy)) {
				fprintf(stderr, "sched_dump: %s, course %u: not as it must be\n",
					vt_policy_at(i)->name, k);
				status = 1;
			}
		}
	fx_models_free(&f);
	free(toy);
	return status;
}
