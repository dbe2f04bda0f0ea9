// SPDX-License-Identifier: Apache-2.0
/*
 * runtime_admit.c - can a newcomer be in time, behind what is here already?
 *
 * The machine is taken for one server that works earliest deadline first: what is due sooner than
 * the newcomer comes before it, and it comes before what is due later, which has been promised its
 * deadline too. Times are the plan's, stretched by what blocks have taken of late.
 */
#include "base/clock.h"
#include "exec/runtime_int.h"
#include "sched/plan.h"

#define STRETCH_KEEP	15u /* of 16: about the last sixteen blocks count */
#define STRETCH_MIN	500u
#define STRETCH_MAX	8000u
#define STRETCH_HALF_NS (500 * VT_NS_PER_MS)
#define MOST_OTHERS	32u /* waiting requests that are looked at one by one */

/*
 * The excess halves while no block ends: otherwise who was so slow that all are refused would never
 * see a block again, and refuse for ever.
 */
static uint32_t stretch_now(const struct vt_runtime *rt)
{
	uint64_t halves = rt->now_ns > rt->stretched_ns
				  ? (rt->now_ns - rt->stretched_ns) / STRETCH_HALF_NS
				  : 0;

	if (rt->stretch <= 1000)
		return rt->stretch;
	return 1000 + (halves < 16 ? (rt->stretch - 1000) >> halves : 0);
}

void rt_stretch(struct vt_runtime *rt, uint64_t took_ns, uint64_t expected_ns)
{
	uint32_t now = stretch_now(rt);
	uint64_t permille;

	RT_ADD(rt->n.took_ns, took_ns);
	RT_ADD(rt->n.planned_ns, expected_ns);
	if (now < rt->stretch) /* what was forgotten stays so */
		rt->took_ns = rt->expected_ns / 1000 * now;
	rt->took_ns = rt->took_ns * STRETCH_KEEP / (STRETCH_KEEP + 1) + took_ns;
	rt->expected_ns = rt->expected_ns * STRETCH_KEEP / (STRETCH_KEEP + 1) + expected_ns;
	permille = rt->took_ns * 1000 / (rt->expected_ns ? rt->expected_ns : 1);
	rt->stretch = permille < STRETCH_MIN   ? STRETCH_MIN
		      : permille > STRETCH_MAX ? STRETCH_MAX
					       : (uint32_t)permille;
	rt->stretched_ns = rt->now_ns;
}

static uint64_t stretched(const struct vt_runtime *rt, uint64_t ns)
{
	uint64_t permille = stretch_now(rt);

	return ns / 1000 * permille + ns % 1000 * permille / 1000;
}

/* Cores that others have taken are not there; if they have all, all are. */
static unsigned int usable(const struct vt_runtime *rt)
{
	unsigned int taken = vt_coreset_count(&rt->taken);

	return taken < rt->topo.n_cores ? rt->topo.n_cores - taken : rt->topo.n_cores;
}

static unsigned int best_point(const struct vt_runtime *rt, const struct vt_plan *p,
			       unsigned int layer)
{
	unsigned int most = vt_plan_point(p, usable(rt));

	return p->fastest[layer] < most ? p->fastest[layer] : most;
}

/* Wall time of the rest on its best cores, and the part of the machine that takes. */
static uint64_t rest_of(const struct vt_runtime *rt, const struct rt_model *m, unsigned int layer)
{
	const struct vt_plan *p = m->planned.plan;

	return layer < p->n_layers
		       ? vt_plan_rest(p, VT_PLAN_SOLO, 0, layer)[best_point(rt, p, layer)]
		       : 0;
}

static uint64_t part_of(const struct vt_runtime *rt, const struct rt_model *m, unsigned int layer)
{
	const struct vt_plan *p = m->planned.plan;
	uint64_t cores = layer < p->n_layers ? p->points[best_point(rt, p, layer)] : 0;

	return rest_of(rt, m, layer) * cores / usable(rt);
}

/* Work of the machine that is due at @deadline or before. */
static uint64_t before(const struct vt_runtime *rt, uint64_t deadline_ns)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < rt->n_blocks; i++) {
		const struct vt_block *v = &rt->blocks[i];
		uint64_t left = v->end_ns > rt->now_ns ? v->end_ns - rt->now_ns : 0;

		/* What runs is not put off, whenever it is due; its rest is. */
		sum += left * vt_coreset_count(&v->cores) / usable(rt);
		if (v->deadline_ns <= deadline_ns)
			sum += part_of(rt, rt->block_of[i]->m, v->layer_end);
	}
	for (uint32_t i = 0; i < rt->n_waiting; i++)
		if (rt->waiting[i].deadline_ns <= deadline_ns)
			sum += part_of(rt, rt->wait[i].m, rt->waiting[i].next_layer);
	return sum;
}

/* Would one that waits, and can be in time now, not be any more? */
static bool harms(const struct vt_runtime *rt, uint64_t deadline_ns, uint64_t work_ns)
{
	for (uint32_t i = 0; i < rt->n_waiting; i++) {
		const struct vt_request *r = &rt->waiting[i];
		uint64_t mine;

		if (r->deadline_ns <= deadline_ns || r->deadline_ns < rt->now_ns)
			continue;
		mine = stretched(rt, before(rt, r->deadline_ns));
		if (rt->now_ns + mine <= r->deadline_ns &&
		    rt->now_ns + mine + work_ns > r->deadline_ns)
			return true;
	}
	return false;
}

bool rt_admit(const struct vt_runtime *rt, const struct rt_model *m, const struct vt_infer *q)
{
	uint64_t ahead, own;

	if (!rt->o.admit || rt->o.no_shed)
		return true;
	ahead = stretched(rt, before(rt, q->deadline_ns));
	own = stretched(rt, rest_of(rt, m, 0));
	if (rt->now_ns + ahead + own > q->deadline_ns)
		return false;
	return rt->n_waiting > MOST_OTHERS ||
	       !harms(rt, q->deadline_ns, stretched(rt, part_of(rt, m, 0)));
}
