// SPDX-License-Identifier: Apache-2.0
/* bench_sim - simulated block completions per second of host time, on one core.
 *
 * The first lines are the engine's own speed: a policy that only hands each request's next block
 * to the first free group of cores, so that next to nothing but events, contention and the loop is
 * timed. The others run real policies. `make bench-sim`.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/rng.h"
#include "sched/plan.h"
#include "sim/machine.h"
#include "sim/net.h"
#include "sim/sim.h"

#define GROUP 8u

struct greedy {
	uint32_t n_cores;
};

static size_t greedy_size(const struct vt_policy_cfg *cfg)
{
	return 64;
}

static int greedy_init(const struct vt_policy *p, void *state, const struct vt_policy_cfg *cfg)
{
	((struct greedy *)state)->n_cores = cfg->n_cores;
	return 0;
}

/** Start four layers of whoever waits first on each free group of cores. */
static void greedy_decide(void *state, const struct vt_view *v, struct vt_decision *ret)
{
	const struct greedy *g = state;
	uint32_t at = 0;

	ret->n_actions = ret->n_versions = 0;
	ret->wake_ns = 0;
	for (uint32_t core = 0; core + GROUP <= g->n_cores && at < v->n_requests; core += GROUP) {
		const struct vt_request *q = &v->requests[at];
		const struct vt_model *m = &v->models[q->model];
		struct vt_action *a = &ret->actions[ret->n_actions];

		if (!vt_coreset_has(&v->free, core))
			continue;
		memset(a, 0, sizeof(*a));
		a->kind = VT_START;
		a->id = q->id;
		a->index = at++;
		a->cores = vt_coreset_range(core, GROUP);
		a->wanted = GROUP;
		a->layer_begin = q->next_layer;
		a->layer_end = (uint16_t)(q->next_layer + 4 < m->n_layers ? q->next_layer + 4
									  : m->n_layers);
		a->version_at = ret->n_versions;
		memset(ret->versions + ret->n_versions, 0, (size_t)(a->layer_end - a->layer_begin));
		ret->n_versions += (uint32_t)a->layer_end - a->layer_begin;
		ret->n_actions++;
	}
}

static const struct vt_policy greedy = {
	.name = "engine", .state_size = greedy_size, .init = greedy_init, .decide = greedy_decide};

/** A turn without a loop: no pressure, nothing learned. */
struct bare {
	struct greedy greedy;
	struct vt_sample sample;
	struct vt_decision decision;
	struct vt_action actions[VT_SCHED_MAX_CORES];
	uint8_t versions[VT_SCHED_MAX_CORES * 4];
};

static int bare_step(void *self, const struct vt_plant *plant, void *plant_self)
{
	struct bare *b = self;
	int rc = plant->sample(plant_self, &b->sample);

	if (rc)
		return rc;
	greedy_decide(&b->greedy, &b->sample.view, &b->decision);
	return plant->apply(plant_self, &b->sample, &b->decision);
}

struct stream {
	struct vt_rng r;
	double at_ns, gap_ns;
	uint64_t left;
};

static bool next(void *self, struct vt_sim_arrival *ret)
{
	struct stream *s = self;

	if (!s->left)
		return false;
	s->left--;
	s->at_ns -= log(1 - vt_rng_unit(&s->r)) * s->gap_ns;
	*ret = (struct vt_sim_arrival){.at_ns = (uint64_t)s->at_ns,
				       .tenant = (uint32_t)vt_rng_below(&s->r, 2)};
	return true;
}

static int bench(const struct vt_bank *b, const struct vt_policy *p, uint64_t requests,
		 const char *what, struct bare *bare)
{
	struct vt_sim_tenant tenants[2] = {{0, b->sched[0].qos_ns, 1}, {1, b->sched[1].qos_ns, 1}};
	struct stream s = {{1}, 0, 2.5e6, requests};
	struct vt_sim_cfg cfg = {.bank = b,
				 .tenants = tenants,
				 .n_tenants = 2,
				 .policy = p,
				 .blind = bare != NULL,
				 .step = bare ? bare_step : NULL,
				 .step_self = bare,
				 .next = next,
				 .next_self = &s};
	struct vt_sim_result r;
	struct vt_err e = {0};
	uint64_t t = vt_now_mono_ns();

	if (vt_sim_run(&cfg, &r, &e)) {
		fprintf(stderr, "bench_sim: %s\n", e.msg);
		return 1;
	}
	t = vt_now_mono_ns() - t;
	printf("%-16s %-14s %9.0f blocks/s, %6.0f ns per block, %5.1f %% busy\n", p->name, what,
	       (double)r.blocks * 1e9 / (double)t, (double)t / (double)r.blocks,
	       r.busy_core_ns / r.whole_ns * 100);
	return 0;
}

int main(int argc, char **argv)
{
	static const char *const names[] = {"resnet50", "googlenet"};
	const char *path = argc > 1 ? argv[1] : "share/machines/3990x.machine";
	struct vt_err e = {0};
	struct vt_machine m;
	struct vt_bank b;
	static struct bare bare;
	int bad = 0;

	if (vt_machine_load(path, &m, &e) || vt_bank_init(&b, &m))
		goto fail;
	for (size_t i = 0; i < 2; i++) {
		struct vt_net n;

		if (vt_net_make(names[i], &n, &e))
			goto fail;
		if (vt_bank_add_net(&b, &n, n.qos_ns, &e) < 0)
			goto fail;
		vt_net_fini(&n);
	}
	if (vt_bank_plan(&b, VT_PLAN_ALL, &e))
		goto fail;
	bare.greedy.n_cores = m.cores;
	bare.decision.actions = bare.actions;
	bare.decision.versions = bare.versions;
	bad |= bench(&b, &greedy, 60000, "engine alone", &bare);
	bad |= bench(&b, &greedy, 60000, "with the loop", NULL);
	for (unsigned int p = 0; vt_policy_at(p); p++)
		bad |= bench(&b, vt_policy_at(p), 4000, "", NULL);
	vt_bank_fini(&b);
	return bad;
fail:
	fprintf(stderr, "bench_sim: %s\n", e.msg);
	return 1;
}
