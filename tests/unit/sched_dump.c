// SPDX-License-Identifier: Apache-2.0
/* Print a checksum of all decisions of a seeded run, per policy: two compilers must print the same.
 */
#include <stdio.h>

#include "loop/trace.h"
#include "toy_plant.h"

#define CORES 16u

static uint64_t mix(uint64_t h, const void *data, size_t len)
{
	const uint8_t *p = data;

	for (size_t i = 0; i < len; i++)
		h = (h ^ p[i]) * 0x100000001b3ull;
	return h;
}

static void dump(const struct vt_policy *p, const struct fx_models *f, struct toy *toy)
{
	struct vt_loop_cfg cfg;
	struct vt_loop *l = toy_loop(p, CORES, 4, &cfg);
	uint64_t h = 0xcbf29ce484222325ull, steps = 0;

	toy_open(toy, f, CORES, 4, 7, 2000, 5000000);
	while (toy_advance(toy) && !vt_loop_step(l, &toy_plant, toy)) {
		const struct vt_decision *d = vt_loop_decision(l);

		h = mix(h, d->actions, d->n_actions * sizeof(*d->actions));
		h = mix(h, d->versions, d->n_versions);
		steps++;
	}
	printf("%-16s %016llx steps %llu on_time %llu\n", p->name, (unsigned long long)h,
	       (unsigned long long)steps, (unsigned long long)toy->on_time);
	free(l);
}

int main(void)
{
	struct vt_rng rng = {.s = 21};
	struct fx_models f = fx_models_new(&rng, 5, CORES, VT_PLAN_ALL);
	struct toy *toy = fx_alloc(sizeof(*toy));

	for (unsigned int i = 0; vt_policy_at(i); i++)
		dump(vt_policy_at(i), &f, toy);
	fx_models_free(&f);
	free(toy);
	return 0;
}
