// SPDX-License-Identifier: Apache-2.0
#include "sched/turn.h"

#include <string.h>

/* Of a taken core, what is kept for its next time slice to come: it may be gone for as long. */
#define SLOW_GAP_NS 4000000u

static unsigned int count_domain(const struct vt_turn *t, const struct vt_coreset *set, uint32_t d)
{
	return vt_coreset_count_range(set, t->view->domains[d].first, t->view->domains[d].n_cores);
}

/*
 * Cores that lie in no domain cannot be placed, so they are not free. Domains ascend; of two that
 * overlap (a broken plant) the later one is ignored, so that no core counts twice.
 */
static void keep_placeable(struct vt_turn *t)
{
	struct vt_coreset all = vt_coreset_range(0, t->n_cores);
	unsigned int next = 0;

	for (unsigned int i = 0; i < VT_CORESET_WORDS; i++)
		t->free.w[i] &= all.w[i];
	t->n_free = 0;
	for (uint32_t d = 0; d < t->n_domains; d++) {
		const struct vt_domain *dom = &t->view->domains[d];

		t->dom_free[d] = 0;
		if (dom->first < next)
			continue;
		t->dom_free[d] = (uint16_t)count_domain(t, &t->free, d);
		t->n_free += t->dom_free[d];
		next = dom->first + dom->n_cores;
	}
}

void vt_turn_begin(struct vt_turn *t, const struct vt_view *view, struct vt_decision *ret,
		   uint32_t needs)
{
	t->view = view;
	t->ret = ret;
	t->needs = needs;
	t->n_cores = view->n_cores < VT_SCHED_MAX_CORES ? view->n_cores : VT_SCHED_MAX_CORES;
	t->n_domains = view->n_domains < VT_MAX_DOMAINS ? view->n_domains : VT_MAX_DOMAINS;
	t->n_blocks = view->n_blocks < VT_SCHED_MAX_CORES ? view->n_blocks : VT_SCHED_MAX_CORES;
	t->free = view->free;
	t->out = t->slow = (struct vt_coreset){{0}};
	t->n_usable = t->n_cores;
	ret->n_actions = 0;
	ret->n_versions = 0;
	ret->wake_ns = 0;
	for (uint32_t b = 0; b < view->n_blocks; b++)
		vt_coreset_sub(&t->free, &view->blocks[b].cores);
	keep_placeable(t);
}

bool vt_turn_leave_out(struct vt_turn *t)
{
	struct vt_coreset all = vt_coreset_range(0, t->n_cores);
	unsigned int n;

	if (vt_coreset_empty(&t->view->taken))
		return false;
	for (unsigned int i = 0; i < VT_CORESET_WORDS; i++)
		t->out.w[i] = t->view->taken.w[i] & all.w[i];
	n = vt_coreset_count(&t->out);
	if (!n || n >= t->n_cores) {
		t->out = (struct vt_coreset){{0}};
		return false;
	}
	t->n_usable = t->n_cores - n;
	for (unsigned int i = 0; i < VT_CORESET_WORDS; i++)
		t->slow.w[i] = t->free.w[i] & t->out.w[i];
	vt_coreset_sub(&t->free, &t->out);
	keep_placeable(t);
	return true;
}

/* Time on a taken core, of which there is only so much. */
static uint64_t slowly(const struct vt_turn *t, uint64_t ns)
{
	uint32_t left = t->view->taken_ppm;

	left = left < VT_PPM / 100 ? VT_PPM / 100 : left > VT_PPM ? VT_PPM : left;
	return ns / left * VT_PPM + ns % left * VT_PPM / left;
}

uint64_t vt_turn_slow_ns(const struct vt_turn *t, const struct vt_plan *p, uint8_t code,
			 uint8_t level, unsigned int layer)
{
	return slowly(t, vt_plan_rest(p, code, level, layer)[0] * p->points[0]) + SLOW_GAP_NS;
}

/* Move @n free cores of domain @d to @set; the lowest first. */
static void take_from(struct vt_turn *t, uint32_t d, unsigned int n, struct vt_coreset *set)
{
	unsigned int end = t->view->domains[d].first + t->view->domains[d].n_cores;
	int core = vt_coreset_next(&t->free, t->view->domains[d].first);

	t->dom_free[d] = (uint16_t)(t->dom_free[d] - n);
	t->n_free -= n;
	t->pressure_sum += (uint64_t)n * t->view->domains[d].pressure_ppm;
	for (; n && core >= 0 && (unsigned int)core < end; n--) {
		vt_coreset_add(set, (unsigned int)core);
		vt_coreset_del(&t->free, (unsigned int)core);
		core = vt_coreset_next(&t->free, (unsigned int)core + 1);
	}
}

/* As best_fit(), of the domains [@from, @to): the one in @best if none is better. */
static int better_fit(const struct vt_turn *t, unsigned int n, uint32_t from, uint32_t to, int best,
		      uint64_t *least)
{
	for (uint32_t d = from; d < to; d++) {
		uint64_t left = (uint64_t)t->dom_free[d] << 32 | t->view->domains[d].pressure_ppm;
		bool better = (t->dom_free[d] >= n) & (left < *least);

		best = better ? (int)d : best;
		*least = better ? left : *least;
	}
	return best;
}

/*
 * The domain that fits @n best: with fewest cores left over, so that whole domains stay whole; of
 * equals the one under least pressure, then the next from @home on. -1 if no domain holds @n.
 */
static int best_fit(const struct vt_turn *t, unsigned int n, uint32_t home)
{
	uint64_t least = UINT64_MAX;
	int best = better_fit(t, n, home, t->n_domains, -1, &least);

	return better_fit(t, n, 0, home, best, &least);
}

/* Of equals the next from @home on. */
static uint32_t most_free(const struct vt_turn *t, uint32_t home)
{
	uint32_t best = home, most = 0;

	for (uint32_t d = home; d < t->n_domains; d++) {
		best = t->dom_free[d] > most ? d : best;
		most = t->dom_free[d] > most ? t->dom_free[d] : most;
	}
	for (uint32_t d = 0; d < home; d++) {
		best = t->dom_free[d] > most ? d : best;
		most = t->dom_free[d] > most ? t->dom_free[d] : most;
	}
	return best;
}

/*
 * Take @n cores (<= n_free): the home domain if it holds all, else one domain, else what is free at
 * home and then, from there on, few domains. Who goes on thus mostly gets the cores that it just had.
 */
static struct vt_coreset place(struct vt_turn *t, unsigned int n, unsigned int home)
{
	struct vt_coreset set = {{0}};

	t->pressure_sum = 0;
	if (home >= t->n_domains) {
		home = 0;
	} else if (t->dom_free[home] >= n) {
		take_from(t, home, n, &set);
		return set;
	} else if (t->dom_free[home] && best_fit(t, n, home) < 0) {
		unsigned int k = t->dom_free[home];

		take_from(t, home, k, &set);
		n -= k;
	}
	while (n) {
		int d = best_fit(t, n, home);
		unsigned int k = n;

		if (d < 0) {
			d = (int)most_free(t, home);
			k = t->dom_free[d];
		}
		take_from(t, (uint32_t)d, k, &set);
		n -= k;
	}
	return set;
}

/* The first of the taken cores that run nothing. */
static struct vt_coreset place_slow(struct vt_turn *t)
{
	unsigned int core = (unsigned int)vt_coreset_next(&t->slow, 0);
	struct vt_coreset set = {{0}};

	vt_coreset_add(&set, core);
	vt_coreset_del(&t->slow, core);
	t->pressure_sum = 0;
	for (uint32_t d = 0; d < t->n_domains; d++)
		if (core - t->view->domains[d].first < t->view->domains[d].n_cores)
			t->pressure_sum = t->view->domains[d].pressure_ppm;
	return set;
}

/* Up to @n of the taken cores that run nothing and share a cache with @set. */
static struct vt_coreset helpers(struct vt_turn *t, const struct vt_coreset *set, unsigned int n)
{
	struct vt_coreset ret = {{0}};

	for (uint32_t d = 0; d < t->n_domains && n; d++) {
		const unsigned int first = t->view->domains[d].first,
				   end = first + t->view->domains[d].n_cores;
		int c = vt_coreset_next(&t->slow, first);

		if (!vt_coreset_count_range(set, first, end - first))
			continue;
		for (; n && c >= 0 && (unsigned int)c < end; n--) {
			vt_coreset_add(&ret, (unsigned int)c);
			vt_coreset_del(&t->slow, (unsigned int)c);
			c = vt_coreset_next(&t->slow, (unsigned int)c + 1);
		}
	}
	return ret;
}

uint8_t vt_turn_level(const struct vt_turn *t)
{
	uint64_t sum = 0, n = 0;

	for (uint32_t d = 0; d < t->n_domains; d++) {
		const struct vt_domain *dom = &t->view->domains[d];
		const unsigned int cores = t->n_free ? t->dom_free[d] : dom->n_cores;

		sum += (uint64_t)cores * dom->pressure_ppm;
		n += cores;
	}
	return n ? vt_level_of((uint32_t)(sum / n)) : 0;
}

static struct vt_action *new_action(struct vt_turn *t, enum vt_action_kind kind, uint64_t id,
				    uint32_t index)
{
	struct vt_action *a;

	if (t->ret->n_actions >= t->ret->cap_actions)
		return NULL;
	a = &t->ret->actions[t->ret->n_actions++];
	memset(a, 0, sizeof(*a));
	a->kind = (uint8_t)kind;
	a->id = id;
	a->index = index;
	return a;
}

static void put_versions(struct vt_turn *t, struct vt_action *a, const struct vt_plan *plan,
			 unsigned int point, uint8_t code)
{
	uint8_t *to = &t->ret->versions[t->ret->n_versions];
	size_t n = (size_t)(a->layer_end - a->layer_begin);

	if (code == VT_PLAN_ADAPTIVE)
		memcpy(to, vt_plan_versions(plan, a->level, point) + a->layer_begin, n);
	else
		memset(to, 0, n);
	a->version_at = t->ret->n_versions;
	t->ret->n_versions += (uint32_t)n;
}

bool vt_turn_start(struct vt_turn *t, const struct vt_start *s)
{
	const struct vt_request *r = &t->view->requests[s->request];
	const struct vt_plan *plan = t->view->models[r->model].plan;
	uint32_t layers = (uint32_t)s->end - r->next_layer;
	unsigned int point;
	struct vt_action *a;

	if (!s->cores || s->cores > (s->slow ? !vt_coreset_empty(&t->slow) : t->n_free) ||
	    s->end <= r->next_layer || layers > t->ret->cap_versions - t->ret->n_versions)
		return false;
	a = new_action(t, VT_START, r->id, s->request);
	if (!a)
		return false;
	a->cores = s->slow ? place_slow(t) : place(t, s->cores, r->home_domain);
	a->level = s->use_level ? vt_level_of((uint32_t)(t->pressure_sum / s->cores)) : 0;
	a->layer_begin = r->next_layer;
	a->layer_end = s->end;
	a->wanted = s->wanted;
	point = vt_plan_point(plan, s->cores);
	put_versions(t, a, plan, point, s->code);
	a->expect_ns = vt_plan_ns(plan, s->code, a->level, point, r->next_layer, s->end);
	if (s->cores < plan->points[0])
		a->expect_ns = a->expect_ns * plan->points[0] / s->cores;
	if (s->slow) {
		a->expect_ns = slowly(t, a->expect_ns);
	} else if (s->helpers && !vt_coreset_empty(&t->slow)) {
		const struct vt_coreset more = helpers(t, &a->cores, s->helpers);

		vt_coreset_or(&a->cores, &more);
	}
	return true;
}

/* The domain that holds most of a block: cores that join it should be near. */
static unsigned int domain_of(const struct vt_turn *t, const struct vt_coreset *set)
{
	unsigned int best = VT_NO_DOMAIN, most = 0;

	for (uint32_t d = 0; d < t->n_domains; d++) {
		unsigned int k = count_domain(t, set, d);

		if (k > most) {
			most = k;
			best = d;
		}
	}
	return best;
}

/* Code for the grant that the block has from now on, for its layers that have not begun. */
static void put_rest(struct vt_turn *t, struct vt_action *a, const struct vt_block *b,
		     const struct vt_regrant *g, unsigned int cores)
{
	const struct vt_model *m = vt_turn_model(t, b->model);
	uint32_t from = b->layer_now + 1u;

	if (g->code != VT_PLAN_ADAPTIVE || !m || b->layer_end <= from ||
	    b->layer_end > m->n_layers ||
	    (uint32_t)b->layer_end - from > t->ret->cap_versions - t->ret->n_versions)
		return;
	a->level = g->level;
	a->layer_begin = (uint16_t)from;
	a->layer_end = b->layer_end;
	put_versions(t, a, m->plan, vt_plan_point(m->plan, cores), g->code);
}

bool vt_turn_grow(struct vt_turn *t, const struct vt_regrant *g)
{
	const struct vt_block *b = &t->view->blocks[g->block];
	const struct vt_coreset has = vt_turn_keeps(t, b);
	struct vt_coreset more = {{0}};
	struct vt_action *a;

	if (!g->cores || (!g->slow && g->cores > t->n_free))
		return false;
	if (g->slow) {
		more = helpers(t, &b->cores, g->cores);
		if (vt_coreset_empty(&more))
			return false;
	}
	a = new_action(t, VT_GROW, b->id, g->block);
	if (!a)
		return false;
	if (g->slow) {
		a->cores = more;
		a->wanted = g->wanted;
		return true;
	}
	a->cores = place(t, g->cores, domain_of(t, &has));
	a->wanted = g->wanted;
	put_rest(t, a, b, g, vt_coreset_count(&has) + g->cores);
	return true;
}

bool vt_turn_shrink(struct vt_turn *t, const struct vt_regrant *g)
{
	const struct vt_block *b = &t->view->blocks[g->block];
	const struct vt_coreset has = vt_turn_keeps(t, b);
	const unsigned int held = vt_coreset_count(&has);
	const int stays = (int)vt_turn_leads(b); /* the leader cannot leave */
	struct vt_action *a;
	int core = -1;

	if (!g->cores || g->cores >= held)
		return false;
	a = new_action(t, VT_SHRINK, b->id, g->block);
	if (!a)
		return false;
	for (unsigned int n = g->cores; n;) {
		core = vt_coreset_next(&has, (unsigned int)(core + 1));
		if (core < 0)
			break;
		if (core == stays)
			continue;
		vt_coreset_add(&a->cores, (unsigned int)core);
		n--;
	}
	put_rest(t, a, b, g, held - g->cores);
	return true;
}

void vt_turn_leave_taken(struct vt_turn *t)
{
	for (uint32_t i = 0; i < t->n_blocks; i++) {
		const struct vt_block *b = &t->view->blocks[i];

		if (vt_coreset_meets(&b->cores, &t->out) &&
		    vt_coreset_has(&t->out, vt_turn_leads(b)) && vt_coreset_count(&b->cores) > 1)
			vt_turn_preempt(t, i);
	}
}

bool vt_turn_preempt(struct vt_turn *t, uint32_t block)
{
	if (t->view->blocks[block].flags & VT_BLOCK_STOPPING)
		return false;
	return new_action(t, VT_PREEMPT, t->view->blocks[block].id, block) != NULL;
}

bool vt_turn_shed(struct vt_turn *t, uint32_t request, unsigned int level)
{
	struct vt_action *a = new_action(t, VT_SHED, t->view->requests[request].id, request);

	if (a)
		a->level = (uint8_t)level;
	return a != NULL;
}
