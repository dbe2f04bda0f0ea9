// SPDX-License-Identifier: Apache-2.0
/* bench_setup.c - from options to engines and rows; times alone; targets; limits. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "cli/bench_cli.h"
#include "cli/cli.h"
#include "load/limit.h"
#include "load/peer.h"

#define ALONE_NS   (1500 * VT_NS_PER_MS) /* of runs alone, by model */
#define ALONE_MIN  5u
#define ALONE_MAX  40u
#define SECS_MIN   3.0
#define SLICE_RUNS 150.0 /* a slice lasts as long as this many requests alone */

void bench_weights(const struct bench_opts *o, double *upto)
{
	double sum = 0;

	for (uint32_t m = 0; m < o->n_models; m++)
		upto[m] = sum += o->model[m].weight;
}

/* ---- limits ------------------------------------------------------------------------------- */

static int limits_of(const struct bench_opts *o, const uint64_t *qos_ns, const double *alone_ms,
		     double *preempt, double *plain, double *capacity, struct vt_err *e)
{
	struct vt_limit_class classes[BENCH_MODELS];
	struct vt_limit_cfg cfg = {.classes = classes,
				   .n_classes = o->n_models,
				   .preempt = true,
				   .seed = o->seed,
				   .target = o->share};

	for (uint32_t m = 0; m < o->n_models; m++)
		classes[m] = (struct vt_limit_class){alone_ms[m] * 1e6, (double)qos_ns[m],
						     o->model[m].weight};
	*capacity = vt_limit_capacity(&cfg);
	*preempt = vt_limit_rate(&cfg);
	cfg.preempt = false;
	*plain = *preempt < 0 ? -1 : vt_limit_rate(&cfg);
	return *plain < 0 ? vt_fail(e, -ENOMEM, "no memory to simulate the queueing limit") : 0;
}

int bench_limits(const struct bench *b, struct bench_engine *g, struct vt_err *e)
{
	double plain, capacity;
	int rc = limits_of(b->o, b->qos_ns, g->alone_ms, &g->limit_hz, &g->limit_plain_hz,
			   &g->capacity_hz, e);

	if (!rc && g->ideal_ms[0] > 0)
		rc = limits_of(b->o, b->qos_ns, g->ideal_ms, &g->ideal_limit_hz, &plain, &capacity,
			       e);
	return rc;
}

static int parse_alone(const struct bench_opts *o, double *ms, struct vt_err *e)
{
	char *copy = strdup(o->alone), *field[BENCH_MODELS + 1];
	size_t n = copy ? vt_text_split(copy, field, BENCH_MODELS) : 0;
	int rc = n == o->n_models
			 ? 0
			 : vt_fail(e, -EINVAL, "--alone: %zu times for %u models", n, o->n_models);

	for (uint32_t m = 0; m < o->n_models && !rc; m++)
		if (vt_parse_f64(field[m], 0.0001, 3.6e6, &ms[m]))
			rc = vt_fail(e, -EINVAL, "--alone: '%.20s' is no time in ms", field[m]);
	free(copy);
	return rc;
}

int bench_limit_only(const struct bench_opts *o, struct vt_err *e)
{
	double ms[BENCH_MODELS] = {0}, preempt, plain, capacity;
	uint64_t qos_ns[BENCH_MODELS];
	int rc = parse_alone(o, ms, e);

	for (uint32_t m = 0; m < o->n_models && !rc; m++) {
		double q = o->model[m].qos_ms > 0 ? o->model[m].qos_ms
			   : o->qos_ms > 0	  ? o->qos_ms
						  : o->qos_factor * ms[m];

		qos_ns[m] = (uint64_t)(q * 1e6);
	}
	if (!rc)
		rc = limits_of(o, qos_ns, ms, &preempt, &plain, &capacity, e);
	if (rc)
		return rc;
	if (o->json)
		printf("{\"limit_hz\": %.4f, \"limit_run_to_end_hz\": %.4f, \"capacity_hz\": "
		       "%.4f, \"qos_share\": %.4f}\n",
		       preempt, plain, capacity, o->share);
	else
		printf("limit %.2f requests/s with %.0f %% in time (one server, earliest deadline "
		       "first, hopeless ones dropped)\n%.2f if a request that has begun runs to "
		       "its end; %.2f with no deadline at all\n",
		       preempt, 100 * o->share, plain, capacity);
	return 0;
}

/* ---- peers -------------------------------------------------------------------------------- */

static int check_peer(void *self, struct vt_err *e)
{
	return vt_peer_check(self, e);
}

static void close_peer(void *self)
{
	vt_peer_close(self);
}

static int peer_prepare(struct bench_row *r, struct vt_err *e)
{
	vt_peer_deadlines(r->engine->self, r->deadlines ? r->engine->qos_ns : NULL);
	return 0;
}

static int open_peer(struct bench *b, struct bench_engine *g, const struct bench_peer *peer,
		     struct vt_err *e)
{
	const char *models[BENCH_MODELS];
	struct vt_peer_opts po = {.command = peer->command, .models = models, .n = b->o->n_models};
	struct vt_peer *p;
	int rc;

	for (uint32_t m = 0; m < b->o->n_models; m++)
		models[m] = b->o->model[m].path;
	rc = vt_peer_open(&p, &po, e);
	if (rc)
		return vt_fail_at(e, "--peer %s", peer->name);
	*g = (struct bench_engine){.name = peer->name,
				   .what = "a process per model",
				   .target = vt_peer_target(p),
				   .check = check_peer,
				   .close = close_peer,
				   .self = p,
				   .qos_ns = b->qos_ns};
	return 0;
}

/* ---- rows --------------------------------------------------------------------------------- */

static struct bench_row *add_row(struct bench *b, struct bench_engine *g, const char *name,
				 const char *suffix, struct vt_err *e)
{
	struct bench_row *r = &b->row[b->n_rows];

	if (b->n_rows == BENCH_ROWS) {
		vt_fail(e, -EINVAL, "at most %u rows", BENCH_ROWS);
		return NULL;
	}
	*r = (struct bench_row){.engine = g, .fixed_level = -1};
	snprintf(r->name, sizeof(r->name), "%.40s%s", name, suffix);
	for (uint32_t i = 0; i < b->n_rows; i++) {
		if (!strcmp(b->row[i].name, r->name)) {
			vt_fail(e, -EINVAL, "two rows would be called '%s'", r->name);
			return NULL;
		}
	}
	r->slices = calloc(b->o->rounds, sizeof(*r->slices));
	r->points = calloc(b->o->rounds, sizeof(*r->points));
	if (!r->slices || !r->points) {
		free(r->slices);
		free(r->points);
		vt_fail(e, -ENOMEM, "no memory for %llu rounds", (unsigned long long)b->o->rounds);
		return NULL;
	}
	b->n_rows++;
	return r;
}

static int add_policy(struct bench *b, struct bench_engine *g, const struct vt_policy *p,
		      struct vt_err *e)
{
	struct bench_row *r = add_row(b, g, p->name, "", e);

	if (!r)
		return e->code;
	r->policy = p;
	r->prepare = bench_live_prepare;
	return 0;
}

static int add_fixed(struct bench *b, struct bench_engine *g, struct vt_err *e)
{
	for (int level = 0; level < (int)VT_LEVELS; level++) {
		char suffix[16];
		struct bench_row *r;

		snprintf(suffix, sizeof(suffix), "%d", level);
		r = add_row(b, g, "fixed-", suffix, e);
		if (!r)
			return e->code;
		r->policy = vt_policy_find(VT_POLICY_DEFAULT);
		r->fixed_level = level;
		r->prepare = bench_live_prepare;
	}
	return 0;
}

static int add_policies(struct bench *b, struct bench_engine *g, struct vt_err *e)
{
	const char *list = b->o->policies ? b->o->policies : VT_POLICY_DEFAULT;
	char *copy = strdup(list), *field[BENCH_ROWS + 1];
	size_t n = copy ? vt_text_split(copy, field, BENCH_ROWS) : 0;
	int rc = n && n <= BENCH_ROWS
			 ? 0
			 : vt_fail(e, -EINVAL, "--policy: give 1 to %u names", BENCH_ROWS);

	if (!rc && !strcmp(list, "all")) {
		for (unsigned int i = 0; vt_policy_at(i) && !rc; i++)
			rc = add_policy(b, g, vt_policy_at(i), e);
		n = 0;
	}
	for (size_t i = 0; i < n && !rc; i++) {
		const struct vt_policy *p = vt_policy_find(field[i]);

		rc = p ? add_policy(b, g, p, e)
		       : vt_fail(e, -EINVAL,
				 "no policy is called '%.40s'; `veltair bench --help` lists them",
				 field[i]);
	}
	free(copy);
	return rc ? rc : b->o->fixed ? add_fixed(b, g, e) : 0;
}

/* ---- times alone -------------------------------------------------------------------------- */

static int measure_alone(struct bench *b, struct bench_engine *g, struct vt_err *e)
{
	for (uint32_t m = 0; m < b->o->n_models; m++) {
		uint64_t ns[ALONE_MAX];
		unsigned int runs;
		int rc = vt_drive_alone(&g->target, m, 2, ns, e);

		runs = rc ? 0 : (unsigned int)(ALONE_NS / (ns[0] + 1));
		runs = runs < ALONE_MIN ? ALONE_MIN : runs > ALONE_MAX ? ALONE_MAX : runs;
		if (!rc)
			rc = vt_drive_alone(&g->target, m, runs, ns, e);
		if (rc) {
			const char *why = g->trouble ? g->trouble(g->self) : "";

			return vt_fail_at(e, "%s, model '%s'%s%s", g->name, b->o->model[m].name,
					  *why ? ": " : "", why);
		}
		g->alone_ms[m] = (double)ns[runs / 2] / 1e6;
		g->best_ms[m] = (double)ns[0] / 1e6;
	}
	return 0;
}

static void choose_targets(struct bench *b)
{
	const struct bench_opts *o = b->o;
	double alone_s = 0;

	for (uint32_t m = 0; m < o->n_models; m++) {
		double slowest = 0, ms;

		for (uint32_t g = 0; g < b->n_engines; g++)
			slowest = fmax(slowest, b->engine[g].alone_ms[m]);
		ms = o->model[m].qos_ms > 0 ? o->model[m].qos_ms
		     : o->qos_ms > 0	    ? o->qos_ms
					    : o->qos_factor * slowest;
		b->qos_ns[m] = (uint64_t)(ms * 1e6);
		alone_s += slowest / 1e3 * o->model[m].weight / b->upto[o->n_models - 1];
	}
	b->secs = o->secs > 0 ? o->secs : fmax(SECS_MIN, SLICE_RUNS * alone_s);
}

/* ---- all of it ---------------------------------------------------------------------------- */

static int open_engines(struct bench *b, struct vt_err *e)
{
	const struct bench_opts *o = b->o;
	struct bench_engine *g = b->engine;
	int rc = 0;

	if (o->policies || (!o->url && !o->n_peers)) {
		/* Names first: a typo should not wait for models to load. */
		rc = add_policies(b, g, e);
		if (!rc)
			rc = bench_live_open(b, g, e);
		b->n_engines += !rc;
	}
	if (!rc && o->url) {
		char row[64];

		g = &b->engine[b->n_engines];
		rc = bench_url_open(b, g, row, sizeof(row), e);
		b->n_engines += !rc;
		if (!rc && !add_row(b, g, row, "", e))
			rc = e->code;
		if (!rc)
			rc = measure_alone(b, g, e);
	}
	for (uint32_t i = 0; i < o->n_peers && !rc; i++) {
		struct bench_row *r = NULL;

		g = &b->engine[b->n_engines];
		rc = open_peer(b, g, &o->peer[i], e);
		b->n_engines += !rc;
		for (int drops = 0; drops <= (int)o->peer_deadlines && !rc; drops++) {
			r = add_row(b, g, g->name, drops ? "+drop" : "", e);
			if (!r)
				return e->code;
			r->deadlines = drops;
			r->prepare = peer_prepare;
		}
		if (!rc)
			rc = measure_alone(b, g, e);
	}
	return rc;
}

static void choose_cores(struct bench *b)
{
	struct vt_cpuset cores = b->o->cores;

	if (!vt_cpuset_count(&cores))
		vt_cpuset_allowed(&cores);
	b->cpu[0] = vt_cpuset_next(&cores, 0);
	b->cpu[1] = b->cpu[0] < 0 ? -1 : vt_cpuset_next(&cores, (unsigned int)b->cpu[0] + 1);
}

int bench_setup(struct bench *b, const struct bench_opts *o, struct vt_err *e)
{
	int rc;

	b->o = o;
	b->sample_every = 1;
	b->sample = calloc(BENCH_SAMPLES, sizeof(*b->sample));
	if (!b->sample)
		return vt_fail(e, -ENOMEM, "no memory");
	bench_weights(o, b->upto);
	choose_cores(b);
	/* Before the generator takes its priority, which workers must not inherit. */
	rc = bench_noise_open(b, e);
	if (!rc)
		rc = open_engines(b, e);
	if (rc)
		return rc;
	choose_targets(b);
	for (uint32_t g = 0; g < b->n_engines && !rc; g++) {
		rc = b->engine[g].ready ? b->engine[g].ready(b, &b->engine[g], e) : 0;
		if (!rc)
			rc = bench_limits(b, &b->engine[g], e);
	}
	b->realtime = !rc && vt_drive_prepare();
	return rc;
}

static void free_row(struct bench_row *r)
{
	for (uint32_t i = 0; i < r->n_slices; i++)
		vt_tally_fini(&r->slices[i].all);
	vt_tally_fini(&r->all);
	free(r->slices);
	free(r->points);
}

void bench_fini(struct bench *b)
{
	bench_noise_close(b->noise);
	b->beside = 0;
	for (uint32_t i = 0; i < b->n_rows; i++)
		free_row(&b->row[i]);
	for (uint32_t g = 0; g < b->n_engines; g++)
		if (b->engine[g].close)
			b->engine[g].close(b->engine[g].self);
	free(b->sample);
}
