// SPDX-License-Identifier: Apache-2.0
/* The table of policies. docs/policies.md says what each does and where it comes from. */
#include <errno.h>
#include <string.h>

#include "sched/state.h"

#define SOLO(grain)	VT_PLAN(VT_PLAN_SOLO, VT_GRAIN_##grain)
#define ADAPTIVE(grain) VT_PLAN(VT_PLAN_ADAPTIVE, VT_GRAIN_##grain)

static const struct vt_traits fcfs = {.whole_machine = 1};
static const struct vt_traits fcfs_efficient = {0};
static const struct vt_traits edf = {.by_deadline = 1};
static const struct vt_traits prema = {0};
static const struct vt_traits planaria = {0};
static const struct vt_traits ac = {
	.needs = ADAPTIVE(LAYER),
	.code = VT_PLAN_ADAPTIVE,
	.use_level = 1,
};
static const struct vt_traits as = {
	.needs = SOLO(FINE) | SOLO(COARSE),
	.code = VT_PLAN_SOLO,
	.use_level = 1,
	.grain = VT_GRAIN_FINE,
	.coarse_grain = VT_GRAIN_COARSE,
};
static const struct vt_traits full = {
	.needs = ADAPTIVE(FINE) | ADAPTIVE(COARSE),
	.code = VT_PLAN_ADAPTIVE,
	.use_level = 1,
	.grain = VT_GRAIN_FINE,
	.coarse_grain = VT_GRAIN_COARSE,
};
static const struct vt_traits pivot = {
	.needs = ADAPTIVE(PIVOT_FINE) | ADAPTIVE(PIVOT_COARSE),
	.code = VT_PLAN_ADAPTIVE,
	.use_level = 1,
	.grain = VT_GRAIN_PIVOT_FINE,
	.coarse_grain = VT_GRAIN_PIVOT_COARSE,
};
static const struct vt_traits by_layer = {
	.needs = ADAPTIVE(LAYER),
	.code = VT_PLAN_ADAPTIVE,
	.use_level = 1,
	.grain = VT_GRAIN_LAYER,
	.coarse_grain = VT_GRAIN_LAYER,
};
static const struct vt_traits by_model = {
	.needs = ADAPTIVE(MODEL),
	.code = VT_PLAN_ADAPTIVE,
	.use_level = 1,
	.grain = VT_GRAIN_MODEL,
	.coarse_grain = VT_GRAIN_MODEL,
};

/* By the function that decides. No comparison of addresses: that is no constant under sanitizers. */
enum {
	vt_fcfs_decide_sheds = 0,
	vt_prema_decide_sheds = 0,
	vt_planaria_decide_sheds = 0,
	vt_blocks_decide_sheds = 1,
};

#define POLICY(name_, traits_, needs_, decide_, summary_)                                          \
	{                                                                                          \
		.name = name_, .summary = summary_, .plan_needs = needs_,                          \
		.state_size = vt_policy_state_size, .init = vt_policy_state_init,                  \
		.heeds_taken = (needs_) != 0, .sheds = decide_##_sheds, .decide = decide_,         \
		.traits = traits_                                                                  \
	}

static const struct vt_policy policies[] = {
	POLICY("fcfs", &fcfs, 0, vt_fcfs_decide,
	       "one model at a time on all cores, first come first served"),
	POLICY("fcfs-efficient", &fcfs_efficient, 0, vt_fcfs_decide,
	       "first come first served, each model on the fewest cores that meet its target"),
	POLICY("edf", &edf, 0, vt_fcfs_decide,
	       "earliest deadline first, each model on the fewest cores that meet its target"),
	POLICY("prema", &prema, 0, vt_prema_decide,
	       "temporal: tokens by priority and slowdown, shortest of the richest runs"),
	POLICY("planaria", &planaria, 0, vt_planaria_decide,
	       "spatial, layer by layer: fewest cores for the slack, spare ones by score"),
	POLICY("veltair-as", &as, SOLO(FINE) | SOLO(COARSE), vt_blocks_decide,
	       "adaptive scheduling only: layer blocks, one version of the code"),
	POLICY("veltair-ac", &ac, ADAPTIVE(LAYER), vt_planaria_decide,
	       "adaptive compilation only: layer by layer, versions by pressure"),
	POLICY("veltair-full", &full, ADAPTIVE(FINE) | ADAPTIVE(COARSE), vt_blocks_decide,
	       "layer blocks and versions by pressure"),
	POLICY("veltair-pivot", &pivot, ADAPTIVE(PIVOT_FINE) | ADAPTIVE(PIVOT_COARSE),
	       vt_blocks_decide, "veltair-full with the paper's rule for cutting blocks"),
	POLICY("veltair-layer", &by_layer, ADAPTIVE(LAYER), vt_blocks_decide,
	       "veltair-full with single layers for blocks"),
	POLICY("veltair-model", &by_model, ADAPTIVE(MODEL), vt_blocks_decide,
	       "veltair-full with whole models for blocks"),
};

#define N_POLICIES (sizeof(policies) / sizeof(policies[0]))

const struct vt_policy *vt_policy_at(unsigned int i)
{
	return i < N_POLICIES ? &policies[i] : NULL;
}

const struct vt_policy *vt_policy_find(const char *name)
{
	for (unsigned int i = 0; i < N_POLICIES; i++)
		if (!strcmp(policies[i].name, name))
			return &policies[i];
	return NULL;
}

size_t vt_policy_state_size(const struct vt_policy_cfg *cfg)
{
	if (!cfg->n_cores || cfg->n_cores > VT_SCHED_MAX_CORES || cfg->margin_ppm >= VT_PPM)
		return 0;
	return (sizeof(struct vt_policy_state) + 63) & ~(size_t)63;
}

int vt_policy_state_init(const struct vt_policy *p, void *state, const struct vt_policy_cfg *cfg)
{
	struct vt_policy_state *s = state;

	if (!vt_policy_state_size(cfg))
		return -EINVAL;
	memset(s, 0, sizeof(*s));
	s->cfg = *cfg;
	s->traits = p->traits;
	return 0;
}
