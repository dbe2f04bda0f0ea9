// SPDX-License-Identifier: Apache-2.0
#include "sim/fleet.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "sim/heap.h"

#define AGENT_NS     250000000ull /* as share/haproxy/generate.sh has HAProxy ask */
#define NODE_WAITING 512u
#define WEIGHT_ONE   256.0 /* of the fastest node, idle: HAProxy's scale */
#define IDLE_LEAST                                                                                 \
	0.05 /* of a node, as VT_SPARE_FLOOR: who gets nothing never shows that it is well again */

/* ---- names and placement ------------------------------------------------------------------ */

static const char *const names[VT_ROUTERS] = {
	[VT_ROUTE_ROUND_ROBIN] = "round-robin",
	[VT_ROUTE_LEAST_CONN] = "least-conn",
	[VT_ROUTE_WEIGHTED] = "weighted",
};

const char *vt_router_name(enum vt_router r)
{
	return r < VT_ROUTERS ? names[r] : "?";
}

int vt_router_find(const char *name)
{
	for (int i = 0; i < VT_ROUTERS; i++)
		if (!strcmp(names[i], name))
			return i;
	return -ENOENT;
}

/** `30%-60%`: the nodes that lie in that part of the fleet, touched ones too, so never none. */
static const char *add_part(char *text, char *dash, uint32_t n_nodes, uint8_t *mask, uint32_t *n)
{
	char *end[2] = {text, dash};
	double at[2];

	for (int i = 0; i < 2; i++) {
		size_t len = strlen(end[i]);

		if (!len || end[i][len - 1] != '%')
			return "is no part of a fleet like 30%-60%";
		end[i][len - 1] = '\0';
		if (vt_text_f64(end[i], &at[i]) || at[i] < 0 || at[i] > 100)
			return "is no part of a fleet like 30%-60%";
	}
	if (at[0] >= at[1])
		return "is no part of a fleet like 30%-60%";
	for (uint32_t i = (uint32_t)(at[0] / 100 * n_nodes);
	     i < n_nodes && i < at[1] / 100 * n_nodes; i++) {
		*n += !mask[i]; /* two parts may touch the same node */
		mask[i] = 1;
	}
	return NULL;
}

/** One range `first-last` or `node` to the mask; NULL or what is wrong. */
static const char *add_range(char *text, uint32_t n_nodes, uint8_t *mask, uint32_t *n)
{
	char *dash = strchr(text, '-');
	uint64_t first, last;

	if (dash)
		*dash++ = '\0';
	if (dash && strchr(text, '%'))
		return add_part(text, dash, n_nodes, mask, n);
	if (vt_text_u64(text, &first) || vt_text_u64(dash ? dash : text, &last) || last < first)
		return "is no node or range of nodes";
	if (last >= n_nodes)
		return "is past the last node";
	for (uint64_t i = first; i <= last; i++) {
		if (mask[i])
			return "names a node twice";
		mask[i] = 1;
		++*n;
	}
	return NULL;
}

static int parse_ranges(char *copy, const char *text, uint32_t n_nodes, const char *model,
			uint8_t *mask, uint32_t *n, struct vt_err *e)
{
	char *rest = copy, *part;

	while ((part = strsep(&rest, " \t"))) {
		const char *wrong = *part ? add_range(part, n_nodes, mask, n) : NULL;

		if (wrong)
			return vt_fail(e, -EINVAL, "nodes of model '%s': '%.40s' %s (%u nodes)",
				       model, text, wrong, n_nodes);
	}
	return 0;
}

int vt_backend_parse(const char *text, uint32_t n_nodes, const char *model, struct vt_backend *ret,
		     struct vt_err *e)
{
	bool all = !*text || !strcmp(text, "*");
	uint8_t *mask = calloc(n_nodes, 1);
	char *copy = strdup(text);
	uint32_t n = all ? n_nodes : 0, at = 0;
	struct vt_backend b = {.n = 0};
	int rc = mask && copy ? 0 : vt_fail(e, -ENOMEM, "out of memory");

	if (!rc && all)
		memset(mask, 1, n_nodes);
	else if (!rc)
		rc = parse_ranges(copy, text, n_nodes, model, mask, &n, e);
	if (!rc && !n)
		rc = vt_fail(e, -EINVAL, "model '%s' is on no node", model);
	if (!rc && n) {
		b.nodes = calloc(n, sizeof(*b.nodes));
		b.n = n;
		rc = b.nodes ? 0 : vt_fail(e, -ENOMEM, "out of memory");
	}
	for (uint32_t i = 0; !rc && i < n_nodes; i++)
		if (mask[i])
			b.nodes[at++] = i;
	free(mask);
	free(copy);
	if (!rc)
		*ret = b;
	return rc;
}

/* ---- targets ------------------------------------------------------------------------------ */

bool vt_fleet_targets(struct vt_bank *const *banks, uint32_t n_kinds, struct vt_sim_tenant *tenants,
		      uint32_t n_tenants)
{
	bool changed = false;

	for (uint32_t i = 0; i < banks[0]->n_models; i++) {
		uint64_t longest_ns = 0;

		for (uint32_t k = 0; k < n_kinds; k++)
			if (banks[k]->sched[i].qos_ns > longest_ns)
				longest_ns = banks[k]->sched[i].qos_ns;
		for (uint32_t k = 0; k < n_kinds; k++) {
			changed = changed || banks[k]->sched[i].qos_ns != longest_ns;
			banks[k]->sched[i].qos_ns = longest_ns;
		}
	}
	for (uint32_t t = 0; t < n_tenants; t++)
		tenants[t].qos_ns = banks[0]->sched[tenants[t].model].qos_ns;
	return changed;
}

/* ---- state -------------------------------------------------------------------------------- */

struct fleet;

struct node {
	struct fleet *fleet;
	struct vt_sim *sim;
	struct vt_sim_cfg cfg;
	struct vt_sim_result res;
	double weight, seen_busy_ns;
};

/** A model's nodes, the next one to use on top. Slots are places in its list of nodes. */
struct turn_of {
	struct vt_heap heap;
	uint64_t seq;
};

struct fleet {
	const struct vt_fleet_cfg *cfg;
	struct vt_fleet_result *res;
	struct node *nodes;
	struct vt_heap events; /* of all nodes */
	struct turn_of *of;    /* [n_tenants] */
	uint64_t *offered, *on_time, arrived, now_ns, agent_at_ns;
	uint64_t from_ns; /* arrivals before this do not count */
};

static int heap_init(struct vt_heap *h, uint32_t cap)
{
	*h = (struct vt_heap){.key = calloc(cap, sizeof(*h->key)),
			      .slot = calloc(cap, sizeof(*h->slot)),
			      .at = calloc(cap, sizeof(*h->at))};
	return h->key && h->slot && h->at ? 0 : -ENOMEM;
}

static void heap_fini(struct vt_heap *h)
{
	free(h->key);
	free(h->slot);
	free(h->at);
}

/* ---- the router --------------------------------------------------------------------------- */

/** Fewer connections first; of equals the one used longest ago. */
#define CONN (1ull << 40)

static uint32_t route(struct fleet *f, uint32_t tenant)
{
	struct turn_of *o = &f->of[tenant];
	uint32_t slot = o->heap.slot[0], node = f->cfg->backends[tenant].nodes[slot];
	uint64_t key = o->heap.key[slot];

	o->seq++;
	if (f->cfg->router == VT_ROUTE_LEAST_CONN)
		key = (key / CONN + 1) * CONN + o->seq % CONN;
	else if (f->cfg->router == VT_ROUTE_WEIGHTED)
		key += (uint64_t)(1e9 / f->nodes[node].weight);
	else
		key = o->seq;
	vt_heap_move(&o->heap, slot, key);
	return node;
}

/** A request of @tenant left @node. */
static void release(struct node *n, uint32_t tenant)
{
	struct fleet *f = n->fleet;
	const struct vt_backend *b = &f->cfg->backends[tenant];
	uint32_t id = (uint32_t)(n - f->nodes), lo = 0, hi = b->n - 1;

	if (f->cfg->router != VT_ROUTE_LEAST_CONN)
		return;
	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;

		if (b->nodes[mid] < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	vt_heap_move(&f->of[tenant].heap, lo, f->of[tenant].heap.key[lo] - CONN);
}

static void served(void *self, uint32_t tenant, uint64_t latency_ns, bool on_time)
{
	struct node *n = self;

	release(n, tenant);
	if (n->fleet->now_ns - latency_ns < n->fleet->from_ns)
		return;
	n->fleet->res->served++;
	n->fleet->res->on_time += on_time;
	n->fleet->res->latency_ns += (double)latency_ns;
	n->fleet->on_time[tenant] += on_time;
}

static void refused(void *self, uint32_t tenant, uint64_t arrival_ns)
{
	struct node *n = self;

	release(n, tenant);
	n->fleet->res->refused += arrival_ns >= n->fleet->from_ns;
}

/** What each node's agent answers: its capacity times the part of its cores that was idle. */
static void ask_agents(struct fleet *f, uint64_t interval_ns)
{
	const struct vt_fleet_cfg *c = f->cfg;

	for (uint32_t i = 0; i < c->n_nodes; i++) {
		struct node *n = &f->nodes[i];
		double all = (double)interval_ns * c->banks[i % c->n_kinds]->machine.cores;
		double busy = vt_sim_busy_ns(n->sim, f->agent_at_ns);
		double idle = 1 - (busy - n->seen_busy_ns) / all;
		double w = WEIGHT_ONE * c->capacity[i % c->n_kinds] * fmax(idle, IDLE_LEAST);

		n->seen_busy_ns = busy;
		/* Half of the old one, so that the fleet does not swing. */
		n->weight = (n->weight + w) / 2;
	}
}

/* ---- time --------------------------------------------------------------------------------- */

static int turn(struct fleet *f, uint32_t node, const struct vt_sim_arrival *a)
{
	struct node *n = &f->nodes[node];
	int rc = a ? vt_sim_push(n->sim, a) : vt_sim_turn(n->sim, f->events.key[node]);

	f->res->turns++;
	vt_heap_move(&f->events, node, vt_sim_next_ns(n->sim));
	return rc;
}

/** All that happens before @until_ns. */
static int advance(struct fleet *f, uint64_t until_ns)
{
	uint64_t every = f->cfg->agent_ns ? f->cfg->agent_ns : AGENT_NS;

	for (;;) {
		uint64_t t = vt_heap_min_key(&f->events);
		int rc;

		if (f->agent_at_ns <= t && f->agent_at_ns <= until_ns) {
			ask_agents(f, every);
			f->agent_at_ns += every;
			continue;
		}
		if (t == UINT64_MAX || t > until_ns)
			return 0;
		f->now_ns = t;
		rc = turn(f, f->events.slot[0], NULL);
		if (rc)
			return rc;
	}
}

static int run(struct fleet *f)
{
	const struct vt_fleet_cfg *c = f->cfg;
	struct vt_sim_arrival a;
	int rc = 0;

	while (!rc && c->next(c->next_self, &a)) {
		rc = advance(f, a.at_ns);
		f->now_ns = a.at_ns;
		if (f->arrived++ == c->warmup)
			f->from_ns = a.at_ns;
		if (f->arrived > c->warmup) {
			f->res->offered++;
			f->offered[a.tenant]++;
		}
		if (!rc)
			rc = turn(f, route(f, a.tenant), &a);
		if (c->progress)
			c->progress(c->next_self, f->arrived);
	}
	f->agent_at_ns = UINT64_MAX;
	rc = rc ? rc : advance(f, UINT64_MAX - 1);
	for (uint32_t i = 0; i < c->n_nodes && !rc; i++)
		rc = vt_sim_ended(f->nodes[i].sim);
	return rc;
}

/* ---- open, close -------------------------------------------------------------------------- */

static int open_node(struct fleet *f, uint32_t i, struct vt_err *e)
{
	const struct vt_fleet_cfg *c = f->cfg;
	struct node *n = &f->nodes[i];
	int rc;

	n->fleet = f;
	n->weight = WEIGHT_ONE * c->capacity[i % c->n_kinds];
	n->cfg = (struct vt_sim_cfg){
		.bank = c->banks[i % c->n_kinds],
		.tenants = c->tenants,
		.n_tenants = c->n_tenants,
		.max_waiting = NODE_WAITING,
		.policy = c->policy,
		.no_shed = c->no_shed,
		.blind = c->blind,
		.apart = c->apart,
		.served = served,
		.refused = refused,
		.served_self = n,
	};
	rc = vt_sim_open(&n->sim, &n->cfg, &n->res, e);
	vt_heap_add(&f->events, i, UINT64_MAX);
	return rc;
}

static int fleet_open(struct fleet *f, struct vt_err *e)
{
	const struct vt_fleet_cfg *c = f->cfg;
	int rc = heap_init(&f->events, c->n_nodes);

	f->nodes = calloc(c->n_nodes, sizeof(*f->nodes));
	f->of = calloc(c->n_tenants, sizeof(*f->of));
	f->offered = calloc(c->n_tenants, sizeof(*f->offered));
	f->on_time = calloc(c->n_tenants, sizeof(*f->on_time));
	f->from_ns = UINT64_MAX;
	f->agent_at_ns = c->agent_ns ? c->agent_ns : AGENT_NS;
	if (rc || !f->nodes || !f->of || !f->offered || !f->on_time)
		return vt_fail(e, -ENOMEM, "out of memory");
	for (uint32_t t = 0; t < c->n_tenants && !rc; t++) {
		rc = heap_init(&f->of[t].heap, c->backends[t].n);
		/* Each model begins at another node. */
		for (uint32_t i = 0; !rc && i < c->backends[t].n; i++)
			vt_heap_add(&f->of[t].heap, (i + t) % c->backends[t].n, i);
		f->of[t].seq = c->backends[t].n;
	}
	if (rc)
		return vt_fail(e, -ENOMEM, "out of memory");
	for (uint32_t i = 0; i < c->n_nodes && !rc; i++)
		rc = open_node(f, i, e);
	return rc;
}

static void fleet_close(struct fleet *f)
{
	for (uint32_t i = 0; f->nodes && i < f->cfg->n_nodes; i++)
		vt_sim_close(f->nodes[i].sim);
	for (uint32_t t = 0; f->of && t < f->cfg->n_tenants; t++)
		heap_fini(&f->of[t].heap);
	heap_fini(&f->events);
	free(f->nodes);
	free(f->of);
	free(f->offered);
	free(f->on_time);
}

static void sum_up(struct fleet *f)
{
	const struct vt_fleet_cfg *c = f->cfg;
	struct vt_fleet_result *r = f->res;
	double all = 0, busy = 0;

	r->span_ns = f->now_ns;
	r->least_busy = r->worst_share = 1;
	for (uint32_t i = 0; i < c->n_nodes; i++) {
		const struct vt_sim_result *n = &f->nodes[i].res;
		double whole = (double)f->now_ns * c->banks[i % c->n_kinds]->machine.cores;
		double part = whole > 0 ? n->busy_core_ns / whole : 0;

		all += whole;
		busy += n->busy_core_ns;
		r->blocks += n->blocks;
		r->least_busy = fmin(r->least_busy, part);
		r->most_busy = fmax(r->most_busy, part);
	}
	r->busy = all > 0 ? busy / all : 0;
	for (uint32_t t = 0; t < c->n_tenants; t++) {
		double share = f->offered[t] ? (double)f->on_time[t] / (double)f->offered[t] : 1;

		if (share >= r->worst_share)
			continue;
		r->worst_share = share;
		r->worst_tenant = t;
	}
}

int vt_fleet_run(const struct vt_fleet_cfg *cfg, struct vt_fleet_result *ret, struct vt_err *e)
{
	struct vt_fleet_result res = {0};
	struct fleet f = {.cfg = cfg, .res = &res};
	int rc;

	if (!cfg->n_nodes || cfg->n_nodes > VT_FLEET_NODES || !cfg->n_kinds || !cfg->n_tenants)
		return vt_fail(e, -EINVAL, "a fleet has 1 to %u nodes", VT_FLEET_NODES);
	rc = fleet_open(&f, e);
	if (!rc)
		rc = run(&f);
	if (!rc) {
		sum_up(&f);
		*ret = res;
	}
	fleet_close(&f);
	return rc;
}
