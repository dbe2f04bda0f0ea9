// SPDX-License-Identifier: Apache-2.0
/* sim.c - simulated time: the next event, what it does, one step of the loop. */
#include "sim/sim.h"

#include <stdlib.h>
#include <string.h>

#include "sim/sim_int.h"

#define DEFAULT_WAITING 4096u

/* ---- memory ------------------------------------------------------------------------------- */

static uint32_t most_layers(const struct vt_bank *b)
{
	uint32_t most = 1;

	for (uint32_t i = 0; i < b->n_models; i++)
		if (b->sched[i].n_layers > most)
			most = b->sched[i].n_layers;
	return most;
}

static void sim_fini(struct vt_sim *s)
{
	free(s->waiting);
	free(s->warm);
	free(s->blocks);
	free(s->runs);
	free(s->block_at);
	free(s->free_slots);
	free(s->versions);
	free(s->heap.key);
	free(s->heap.slot);
	free(s->heap.at);
	free(s->done);
	free(s->done_versions);
	free(s->loop_mem);
}

static int sim_alloc(struct vt_sim *s)
{
	uint32_t n = s->max_blocks;

	s->waiting = calloc(s->max_waiting + n, sizeof(*s->waiting));
	s->warm = calloc(s->max_waiting + n, sizeof(*s->warm));
	s->blocks = calloc(n + 1, sizeof(*s->blocks));
	s->runs = calloc(n + 1, sizeof(*s->runs));
	s->block_at = calloc(n, sizeof(*s->block_at));
	s->free_slots = calloc(n, sizeof(*s->free_slots));
	s->versions = calloc(n, s->max_layers);
	s->heap.key = calloc(n, sizeof(*s->heap.key));
	s->heap.slot = calloc(n, sizeof(*s->heap.slot));
	s->heap.at = calloc(n, sizeof(*s->heap.at));
	s->done = calloc(n, sizeof(*s->done));
	s->done_versions = calloc(n, s->max_layers);
	if (!s->waiting || !s->warm || !s->blocks || !s->runs || !s->block_at || !s->free_slots ||
	    !s->versions || !s->heap.key || !s->heap.slot || !s->heap.at || !s->done ||
	    !s->done_versions)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++)
		s->free_slots[s->n_free_slots++] = n - 1 - i;
	return 0;
}

static int make_loop(struct vt_sim *s, struct vt_err *e)
{
	const struct vt_sim_cfg *c = s->cfg;
	struct vt_loop_cfg lc = {
		.policy = c->policy,
		.policy_cfg = {.n_cores = s->bank->machine.cores,
			       .max_requests = 1024,
			       .max_tenants = c->n_tenants,
			       .shed = !c->no_shed},
		.n_domains = s->n_domains,
		.max_layers = s->max_layers,
	};
	size_t len = vt_loop_size(&lc);

	if (!len)
		return vt_fail(e, -EINVAL, "policy %s: cannot run on %u cores with %u tenants",
			       c->policy->name, s->bank->machine.cores, c->n_tenants);
	len = (len + 63) & ~(size_t)63;
	s->loop_mem = aligned_alloc(64, len);
	if (!s->loop_mem)
		return vt_fail(e, -ENOMEM, "out of memory");
	memset(s->loop_mem, 0, len);
	s->loop = vt_loop_init(s->loop_mem, len, &lc);
	if (!s->loop)
		return vt_fail(e, -EINVAL, "policy %s: refuses this machine", c->policy->name);
	return c->started ? c->started(c->recorder, &lc, s->bank->sched, s->bank->n_models) : 0;
}

static void make_machine(struct vt_sim *s)
{
	const struct vt_machine *m = &s->bank->machine;

	s->n_domains = m->llc_domains;
	s->domain_cores = vt_machine_domain_cores(m);
	s->n_nodes = m->memory_nodes;
	s->node_domains = m->llc_domains / m->memory_nodes;
	s->free = vt_coreset_range(0, m->cores);
	for (uint32_t d = 0; d < s->n_domains; d++) {
		s->mask[d] = vt_coreset_range(d * s->domain_cores, s->domain_cores);
		s->domains[d] = (struct vt_domain){.first = (uint16_t)(d * s->domain_cores),
						   .n_cores = (uint16_t)s->domain_cores};
	}
}

static int sim_init(struct vt_sim *s, const struct vt_sim_cfg *cfg, struct vt_sim_result *res,
		    struct vt_err *e)
{
	*s = (struct vt_sim){
		.cfg = cfg,
		.bank = cfg->bank,
		.res = res,
		.err = e,
		.wake_ns = UINT64_MAX,
		.max_waiting = cfg->max_waiting ? cfg->max_waiting : DEFAULT_WAITING,
		.max_blocks = cfg->bank->machine.cores,
		.max_layers = most_layers(cfg->bank),
	};
	make_machine(s);
	if (sim_alloc(s))
		return vt_fail(e, -ENOMEM, "out of memory");
	return make_loop(s, e);
}

/* ---- events ------------------------------------------------------------------------------- */

static void pull(struct vt_sim *s)
{
	s->has_next = s->cfg->next && s->cfg->next(s->cfg->next_self, &s->next);
}

static void arrive(struct vt_sim *s)
{
	const struct vt_sim_tenant *t = &s->cfg->tenants[s->next.tenant];
	uint64_t at = s->next.at_ns, id = s->next_id++;

	s->res->offered += vt_sim_counted(s, id);
	if (s->n_waiting >= s->max_waiting) {
		s->res->refused += vt_sim_counted(s, id);
		if (s->cfg->refused)
			s->cfg->refused(s->cfg->served_self, s->next.tenant, at);
		return;
	}
	s->warm[s->n_waiting] = (struct warm){.until_ns = 0};
	s->waiting[s->n_waiting++] = (struct vt_request){
		.id = id,
		.arrival_ns = at,
		.deadline_ns = at + (s->next.qos_ns ? s->next.qos_ns : t->qos_ns),
		.ready_ns = at,
		.model = t->model,
		.tenant = s->next.tenant,
		.priority = s->next.priority ? s->next.priority : t->priority,
		.home_domain = VT_NO_DOMAIN,
	};
}

/** Put the request of an ended block back among the waiting, which stay in order of id. */
static void wait_again(struct vt_sim *s, const struct vt_block *b)
{
	uint32_t at = s->n_waiting;

	while (at && s->waiting[at - 1].id > b->id)
		at--;
	memmove(&s->waiting[at + 1], &s->waiting[at], (s->n_waiting - at) * sizeof(*s->waiting));
	memmove(&s->warm[at + 1], &s->warm[at], (s->n_waiting - at) * sizeof(*s->warm));
	s->n_waiting++;
	s->warm[at] = (struct warm){.cores = b->cores, .until_ns = s->now_ns};
	s->waiting[at] = (struct vt_request){
		.id = b->id,
		.arrival_ns = b->arrival_ns,
		.deadline_ns = b->deadline_ns,
		.ready_ns = s->now_ns,
		.served_ns = b->served_ns + s->now_ns - b->start_ns,
		.model = b->model,
		.tenant = b->tenant,
		.next_layer = b->layer_end,
		.priority = b->priority,
		.home_domain = (uint8_t)((uint32_t)vt_coreset_next(&b->cores, 0) / s->domain_cores),
	};
}

static void serve(struct vt_sim *s, const struct vt_block *b)
{
	uint64_t latency = s->now_ns - b->arrival_ns;
	bool on_time = s->now_ns <= b->deadline_ns;

	s->res->least_core_ns += s->bank->models[b->model].least_core_ns;
	s->res->served_all++;
	if (!vt_sim_counted(s, b->id))
		return;
	s->res->served++;
	s->res->on_time += on_time;
	s->res->latency_ns += (double)latency;
	if (s->cfg->served)
		s->cfg->served(s->cfg->served_self, b->tenant, latency, on_time);
}

static void tell_done(struct vt_sim *s, const struct vt_block *b, const struct run *r)
{
	uint32_t n = (uint32_t)b->layer_end - b->layer_begin;

	s->done[s->n_done++] = (struct vt_done){
		.id = b->id,
		.start_ns = b->start_ns,
		.end_ns = s->now_ns,
		.cores = b->cores,
		.model = b->model,
		.layer_begin = b->layer_begin,
		.layer_end = b->layer_end,
		.version_at = s->n_done_versions,
		.level = b->level,
		.flags = b->flags,
	};
	memcpy(s->done_versions + s->n_done_versions, s->versions + (size_t)r->slot * s->max_layers,
	       n);
	s->n_done_versions += n;
}

static void end_block(struct vt_sim *s, uint32_t b)
{
	struct vt_block blk;
	double ns;

	vt_sim_catch_up(s, b);
	s->blocks[b].layer_end = s->runs[b].stop;
	blk = s->blocks[b];
	ns = (double)(s->now_ns - blk.start_ns);
	s->res->blocks++;
	s->res->block_ns += ns;
	if (s->runs[b].granted < blk.wanted) {
		s->res->conflicts++;
		s->res->lost_ns += ns * (blk.wanted - s->runs[b].granted) / blk.wanted;
	}
	tell_done(s, &blk, &s->runs[b]);
	vt_sim_leave(s, b);
	if (blk.layer_end == s->bank->sched[blk.model].n_layers)
		serve(s, &blk);
	else
		wait_again(s, &blk);
}

#define MAX_AGAIN 8u

static uint64_t next_event(struct vt_sim *s)
{
	uint64_t t = vt_heap_min_key(&s->heap);

	s->agains = s->again ? s->agains + 1 : 0;
	if (s->again && s->agains <= MAX_AGAIN)
		t = s->now_ns;
	s->again = false;
	if (s->has_next && s->next.at_ns < t)
		t = s->next.at_ns;
	return s->wake_ns < t ? s->wake_ns : t;
}

int vt_sim_turn(struct vt_sim *s, uint64_t t)
{
	int rc;

	s->now_ns = t;
	while (vt_heap_min_key(&s->heap) <= t)
		end_block(s, s->block_at[s->heap.slot[0]]);
	for (; s->has_next && s->next.at_ns <= t; pull(s))
		arrive(s);
	rc = s->cfg->step ? s->cfg->step(s->cfg->step_self, &vt_sim_plant, s)
			  : vt_loop_step(s->loop, &vt_sim_plant, s);
	return rc ? vt_fail(s->err, rc, "policy %s: step failed: %s", s->cfg->policy->name,
			    strerror(-rc))
		  : 0;
}

uint64_t vt_sim_next_ns(struct vt_sim *s)
{
	/* All work done: a wish to be woken is about nothing. */
	return s->has_next || s->n_blocks || s->n_waiting ? next_event(s) : UINT64_MAX;
}

/* The sum of the result stands still between turns: what runs since is added. */
double vt_sim_busy_ns(const struct vt_sim *s, uint64_t t_ns)
{
	double busy = s->res->busy_core_ns;

	for (uint32_t b = 0; b < s->n_blocks; b++)
		busy += vt_sim_more((double)t_ns - s->runs[b].seen_ns, 0) * s->runs[b].n_cores;
	return busy;
}

int vt_sim_push(struct vt_sim *s, const struct vt_sim_arrival *a)
{
	s->next = *a;
	s->has_next = true;
	return vt_sim_turn(s, a->at_ns);
}

int vt_sim_ended(const struct vt_sim *s)
{
	return s->n_waiting
		       ? vt_fail(s->err, -EPROTO, "policy %s: leaves %u requests waiting for ever",
				 s->cfg->policy->name, s->n_waiting)
		       : 0;
}

static int simulate(struct vt_sim *s)
{
	uint64_t t;

	pull(s);
	while ((t = vt_sim_next_ns(s)) != UINT64_MAX) {
		int rc = vt_sim_turn(s, t);

		if (rc)
			return rc;
	}
	return vt_sim_ended(s);
}

int vt_sim_open(struct vt_sim **ret, const struct vt_sim_cfg *cfg, struct vt_sim_result *res,
		struct vt_err *err)
{
	struct vt_sim *s = calloc(1, sizeof(*s));
	int rc;

	if (!s)
		return vt_fail(err, -ENOMEM, "out of memory");
	*res = (struct vt_sim_result){0};
	rc = sim_init(s, cfg, res, err);
	if (rc) {
		vt_sim_close(s);
		return rc;
	}
	*ret = s;
	return 0;
}

void vt_sim_close(struct vt_sim *s)
{
	if (s)
		sim_fini(s);
	free(s);
}

int vt_sim_run(const struct vt_sim_cfg *cfg, struct vt_sim_result *ret, struct vt_err *e)
{
	struct vt_sim_result res = {0};
	struct vt_sim *s = calloc(1, sizeof(*s));
	int rc;

	if (!s)
		return vt_fail(e, -ENOMEM, "out of memory");
	rc = sim_init(s, cfg, &res, e);
	if (!rc)
		rc = simulate(s);
	if (!rc) {
		res.whole_ns = (double)s->now_ns * s->bank->machine.cores;
		res.loop = *vt_loop_stats(s->loop);
		*ret = res;
	}
	sim_fini(s);
	free(s);
	return rc;
}
