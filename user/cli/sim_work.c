// SPDX-License-Identifier: Apache-2.0
/* sim_work.c - runs and searches over mixes, policies and seeds, on several threads. */
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "cli/sim_cli.h"
#include "sim/bound.h"
#include "sim/bound_set.h"

/* ---- one run ------------------------------------------------------------------------------ */

/** Latencies and shares of a run under way. */
struct tally {
	float *ms;
	size_t n, cap;
	uint32_t *served_on_time, *offered; /* by tenant */
};

struct source {
	const struct sim_mix *mix;
	struct vt_poisson poisson;
	size_t at; /* in the trace */
	struct tally *tally;
	uint64_t n, warmup;
};

static bool next_arrival(void *self, struct vt_sim_arrival *ret)
{
	struct source *s = self;
	struct vt_arrival a;

	if (s->mix->trace.n) {
		if (s->at == s->mix->trace.n)
			return false;
		a = s->mix->trace.at[s->at++];
	} else if (!vt_poisson_next(&s->poisson, &a)) {
		return false;
	}
	if (s->n++ >= s->warmup)
		s->tally->offered[a.tenant]++;
	*ret = (struct vt_sim_arrival){
		.at_ns = a.at_ns, .tenant = a.tenant, .priority = a.priority, .qos_ns = a.qos_ns};
	return true;
}

static void served(void *self, uint32_t tenant, uint64_t latency_ns, bool on_time)
{
	struct tally *t = self;

	t->served_on_time[tenant] += on_time;
	if (t->n < t->cap)
		t->ms[t->n++] = (float)((double)latency_ns * 1e-6);
}

static int by_size(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;

	return (x > y) - (x < y);
}

static double quantile(const struct tally *t, double q)
{
	return t->n ? (double)t->ms[(size_t)(q * (double)(t->n - 1) + 0.5)] : NAN;
}

static int tally_init(struct tally *t, const struct sim_mix *m, uint64_t requests)
{
	t->cap = m->trace.n ? m->trace.n : requests;
	t->n = 0;
	t->ms = calloc(t->cap, sizeof(*t->ms));
	t->served_on_time = calloc(m->mix.n, sizeof(*t->served_on_time));
	t->offered = calloc(m->mix.n, sizeof(*t->offered));
	return t->ms && t->served_on_time && t->offered ? 0 : -ENOMEM;
}

static void tally_fini(struct tally *t)
{
	free(t->ms);
	free(t->served_on_time);
	free(t->offered);
}

static double ratio(double a, double b)
{
	return b > 0 ? a / b : NAN;
}

static void fill_run(const struct sim_mix *m, const struct vt_sim_result *r, struct tally *t,
		     struct sim_run *ret)
{
	ret->share = ratio((double)r->on_time, (double)r->offered);
	ret->mean_ms = ratio(r->latency_ns * 1e-6, (double)r->served);
	qsort(t->ms, t->n, sizeof(*t->ms), by_size);
	ret->p50_ms = quantile(t, 0.5);
	ret->p95_ms = quantile(t, 0.95);
	ret->p99_ms = quantile(t, 0.99);
	ret->worst_share = 1;
	for (uint32_t i = 0; i < m->mix.n; i++)
		if (t->offered[i])
			ret->worst_share = fmin(ret->worst_share,
						(double)t->served_on_time[i] / t->offered[i]);
	ret->conflict_rate = ratio((double)r->conflicts, (double)r->blocks);
	ret->conflict_loss = ratio(r->lost_ns, r->block_ns);
	ret->efficiency = ratio(r->least_core_ns, r->busy_core_ns);
	ret->utilisation = ratio(r->busy_core_ns, r->whole_ns);
	ret->stretched = ratio(r->stretched_ns * m->bank.machine.cores, r->whole_ns);
	/* Both are of the whole run: the requests of the warm-up had their part. */
	ret->core_ms = ratio(r->busy_core_ns * 1e-6, (double)r->served_all);
	ret->blocks = ratio((double)r->blocks, (double)r->served_all);
	ret->decide_us = ratio(r->decide_ns * 1e-3, (double)r->timed);
	ret->decide_max_us = r->timed ? r->decide_max_ns * 1e-3 : NAN;
	ret->late_actions = (double)r->late_actions;
}

/** Poisson arrivals begin with nobody waiting; those of a file are as they were, and all of them count. */
static uint64_t warmup_of(const struct sim_mix *m, const struct sim_opts *o)
{
	return m->trace.n ? 0 : o->requests / 10;
}

static int run_policy(const struct sim_opts *o, const struct sim_mix *m,
		      const struct vt_policy *policy, uint64_t seed,
		      const struct sim_recording *rec, struct sim_run *ret, struct vt_err *e)
{
	struct tally t;
	struct source src = {.mix = m, .tally = &t, .warmup = warmup_of(m, o)};
	struct vt_sim_cfg cfg = {
		.bank = &m->bank,
		.tenants = m->tenants,
		.n_tenants = m->mix.n,
		.warmup = src.warmup,
		.policy = policy,
		.no_shed = o->no_shed,
		.blind = o->blind,
		.apart = o->apart,
		.time_decisions = true,
		.next = next_arrival,
		.next_self = &src,
		.served = served,
		.served_self = &t,
		.started = rec ? rec->started : NULL,
		.stepped = rec ? rec->stepped : NULL,
		.layer = rec ? rec->layer : NULL,
		.recorder = rec ? rec->self : NULL,
	};
	struct vt_sim_result r = {0};
	uint64_t host = vt_now_mono_ns();
	int rc = tally_init(&t, m, o->requests);

	vt_poisson_init(&src.poisson, ret->rate_hz, o->requests, seed, m->upto, m->mix.n);
	if (rc)
		rc = vt_fail(e, rc, "out of memory");
	if (!rc)
		rc = vt_sim_run(&cfg, &r, e);
	if (!rc) {
		fill_run(m, &r, &t, ret);
		ret->busy_core_ns = r.busy_core_ns;
		ret->blocks_per_s = (double)r.blocks * 1e9 / (double)(vt_now_mono_ns() - host);
	}
	tally_fini(&t);
	return rc;
}

int sim_run_recorded(const struct sim_setup *s, struct sim_run *ret,
		     const struct sim_recording *rec, struct vt_err *e)
{
	return run_policy(s->opts, &s->mixes[0], s->policies[0], s->opts->seed, rec, ret, e);
}

/* How far, as a share, the drops of one server may be off where targets differ (bound_set.h), as far as is known. */
#define GUESS_OFF 0.02

/** Of the requests that the bound has served, those that no schedule serves beside the others. */
static int drop_sets(const struct sim_mix *m, const struct vt_bound_job *jobs,
		     const uint32_t *tenant, size_t n, double *latency_ns)
{
	struct vt_bound_request *r = calloc(n, sizeof(*r));
	bool *dropped = calloc(n, sizeof(*dropped));
	const int rc = r && dropped ? 0 : -ENOMEM;

	for (size_t i = 0; !rc && i < n; i++) {
		r[i] = (struct vt_bound_request){.at_ns = jobs[i].at_ns,
						 .deadline_ns = jobs[i].deadline_ns,
						 .work_ns = jobs[i].work_ns,
						 .ways = &m->ways[tenant[i]]};
		dropped[i] = isnan(latency_ns[i]);
	}
	if (!rc)
		vt_bound_thin(r, n, m->bank.machine.cores, dropped);
	for (size_t i = 0; !rc && i < n; i++)
		/* Who was dropped and need not be ends at some time: no sooner than this. */
		if (dropped[i] || isnan(latency_ns[i]))
			latency_ns[i] = dropped[i] ? NAN : m->ways[tenant[i]].fastest_ns;
	free(r);
	free(dropped);
	return rc;
}

/**
 * The same requests as those of a policy, but all of them count: the first, who find nobody waiting, make
 * the bound higher by up to 0.7 % (light, 1000 requests), which its intervals of 4 % hide.
 */
static int run_bound(const struct sim_opts *o, const struct sim_mix *m, const double *work_ns,
		     uint64_t seed, struct sim_run *ret, struct vt_err *e)
{
	size_t n = sim_requests(o, m), i = 0;
	struct vt_bound_job *jobs = calloc(n, sizeof(*jobs));
	double *latency_ns = calloc(n, sizeof(*latency_ns));
	uint32_t *tenant = calloc(n, sizeof(*tenant));
	struct tally t;
	struct source src = {.mix = m, .tally = &t};
	struct vt_sim_result r = {.offered = n};
	struct vt_sim_arrival a;
	long bound = 0;
	int rc = tally_init(&t, m, o->requests);

	vt_poisson_init(&src.poisson, ret->rate_hz, n, seed, m->upto, m->mix.n);
	if (!jobs || !latency_ns || !tenant)
		rc = -ENOMEM;
	for (; !rc && i < n && next_arrival(&src, &a); i++) {
		jobs[i] = (struct vt_bound_job){
			.at_ns = (double)a.at_ns,
			.deadline_ns = (double)(a.at_ns + (a.qos_ns ? a.qos_ns
								    : m->tenants[a.tenant].qos_ns)),
			.work_ns = work_ns[a.tenant],
		};
		tenant[i] = a.tenant;
	}
	if (!rc)
		bound = vt_bound_served(jobs, n, latency_ns);
	if (bound < 0)
		rc = -ENOMEM;
	/* A search that has its answer need not know how many fewer it is. */
	if (!rc && work_ns == m->real_ns &&
	    !(o->search && (double)bound < (o->share - GUESS_OFF) * (double)n))
		rc = drop_sets(m, jobs, tenant, n, latency_ns);
	for (i = 0; !rc && i < n; i++) {
		if (isnan(latency_ns[i]))
			continue;
		served(&t, tenant[i], (uint64_t)latency_ns[i], true);
		r.latency_ns += latency_ns[i];
		r.served++;
	}
	r.on_time = r.served;
	if (!rc)
		fill_run(m, &r, &t, ret);
	/* It has no blocks and decides nothing; only the ideal one works as little as can be, by definition. */
	ret->efficiency = work_ns == m->ideal_ns ? 1 : NAN;
	ret->late_actions = ret->blocks_per_s = NAN;
	tally_fini(&t);
	free(jobs);
	free(latency_ns);
	free(tenant);
	return rc ? vt_fail(e, rc, "out of memory") : 0;
}

/* ---- tasks -------------------------------------------------------------------------------- */

struct task {
	const struct sim_mix *mix;
	const struct vt_policy *policy;
	uint64_t seed;
	bool search;
	double rate_hz;	     /* of a single run */
	struct sim_run *ret; /* one for each task */
};

static int run_one(const struct sim_opts *o, const struct task *t, struct sim_run *ret,
		   struct vt_err *e)
{
	ret->ran = true;
	if (t->policy == &sim_bound_ideal)
		return run_bound(o, t->mix, t->mix->ideal_ns, t->seed, ret, e);
	if (t->policy == &sim_bound_real)
		return run_bound(o, t->mix, t->mix->real_ns, t->seed, ret, e);
	return run_policy(o, t->mix, t->policy, t->seed, NULL, ret, e);
}

struct asked {
	const struct sim_opts *opts;
	const struct task *task;
	struct sim_run good;
	struct vt_err *err;
};

static double ask(void *self, double rate)
{
	struct asked *a = self;
	struct sim_run run = {.rate_hz = rate};

	if (run_one(a->opts, a->task, &run, a->err))
		return -1;
	if (run.share >= a->opts->share)
		a->good = run;
	return run.share;
}

static int do_task(const struct sim_opts *o, const struct task *t, struct vt_err *e)
{
	struct asked a = {.opts = o, .task = t, .err = e};
	struct vt_search_cfg cfg = {
		.low = t->mix->capacity_hz * 0.005,
		.high = t->mix->capacity_hz * 1.3,
		/* A run is short: in its end there may be more work than fits. */
		.most = t->mix->most_hz * 1.3,
		.target = o->share,
		.precision = 0.005};
	bool open;

	if (!t->search) {
		t->ret->rate_hz = t->rate_hz;
		return run_one(o, t, t->ret, e);
	}
	if ((double)o->requests / cfg.low > VT_ARRIVALS_MAX_S)
		return vt_fail(e, -EINVAL,
			       "mix %s: --requests at the lowest rate to try, %.3g/s, take more "
			       "than 1e9 seconds: fewer",
			       t->mix->mix.name, cfg.low);
	if (vt_search_rate(&cfg, ask, &a, &open) < 0)
		return e->code;
	*t->ret = a.good;
	t->ret->open = open;
	return 0;
}

struct pool {
	const struct sim_opts *opts;
	const struct task *tasks;
	uint32_t n;
	_Atomic uint32_t next, done;
	_Atomic int failed;
	pthread_mutex_t lock;
	struct vt_err *err; /* under lock; the first error */
};

static void *worker(void *self)
{
	struct pool *p = self;

	for (;;) {
		uint32_t i = atomic_fetch_add(&p->next, 1);
		struct vt_err e = {0};

		if (i >= p->n || atomic_load(&p->failed))
			return NULL;
		if (do_task(p->opts, &p->tasks[i], &e)) {
			pthread_mutex_lock(&p->lock);
			vt_fail(p->err, e.code ? e.code : -EIO, "%s", e.msg);
			pthread_mutex_unlock(&p->lock);
			atomic_store(&p->failed, 1);
		}
		atomic_fetch_add(&p->done, 1);
	}
}

#define MAX_JOBS 256u

static int run_tasks(const struct sim_opts *o, const struct task *tasks, uint32_t n,
		     const char *what, struct vt_err *e)
{
	struct pool p = {.opts = o, .tasks = tasks, .n = n, .err = e};
	pthread_t threads[MAX_JOBS];
	struct vt_progress progress;
	uint32_t jobs = 0;

	pthread_mutex_init(&p.lock, NULL);
	vt_progress_init(&progress, what, n);
	while (jobs < o->jobs && jobs < MAX_JOBS && jobs < n &&
	       !pthread_create(&threads[jobs], NULL, worker, &p))
		jobs++;
	if (!jobs)
		worker(&p);
	while (jobs && atomic_load(&p.done) < n && !atomic_load(&p.failed)) {
		nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
		if (n > 1)
			if (progress.tty) /* a log has no use for it */
				vt_progress_update(&progress, atomic_load(&p.done), "");
	}
	for (uint32_t i = 0; i < jobs; i++)
		pthread_join(threads[i], NULL);
	vt_progress_fini(&progress);
	pthread_mutex_destroy(&p.lock);
	return e->code;
}

/* ---- the whole table ---------------------------------------------------------------------- */

static double trace_rate(const struct sim_mix *m)
{
	uint64_t span = m->trace.at[m->trace.n - 1].at_ns - m->trace.at[0].at_ns;

	return ratio((double)m->trace.n * 1e9, (double)span);
}

/** Tasks of all cells of @cells; @equal: at the best baseline's rate of the same seed. */
static int work_cells(const struct sim_setup *s, struct sim_results *r, bool equal,
		      struct vt_err *e)
{
	const struct sim_opts *o = s->opts;
	const uint32_t cells = s->n_mixes * s->n_policies;
	uint32_t n = 0, max = cells * r->n_seeds;
	struct task *tasks = calloc(max, sizeof(*tasks));
	int rc;

	if (!tasks || !cells) {
		free(tasks);
		return vt_fail(e, -ENOMEM, "out of memory");
	}
	/* Seeds outermost, so that slow cells spread over the threads. */
	for (uint32_t i = 0; i < max; i++) {
		uint32_t seed = i / cells, cell = i % cells;
		uint32_t mix = cell / s->n_policies, policy = cell % s->n_policies;
		struct sim_cell *c = equal ? &r->equal[mix][policy] : &r->cell[mix][policy];
		const struct sim_mix *m = &s->mixes[mix];
		double rate = o->rate_hz;

		if (equal && r->best_baseline[mix] < 0)
			continue;
		if (equal)
			rate = r->cell[mix][r->best_baseline[mix]].runs[seed].rate_hz;
		else if (m->trace.n)
			rate = trace_rate(m);
		if (equal && rate <= 0)
			continue;
		tasks[n++] = (struct task){.mix = m,
					   .policy = s->policies[policy],
					   .seed = o->seed + seed,
					   .search = o->search && !equal,
					   .rate_hz = rate,
					   .ret = &c->runs[seed]};
	}
	rc = run_tasks(o, tasks, n, equal ? "sim: equal rate" : "sim", e);
	free(tasks);
	return rc;
}

int sim_work(const struct sim_setup *s, struct sim_results *ret, struct vt_err *e)
{
	int rc;

	*ret = (struct sim_results){.n_seeds = (uint32_t)s->opts->seeds};
	for (uint32_t m = 0; m < s->n_mixes; m++) {
		ret->best_baseline[m] = -1;
		for (uint32_t p = 0; p < s->n_policies; p++) {
			ret->cell[m][p].runs = calloc(ret->n_seeds, sizeof(struct sim_run));
			ret->equal[m][p].runs = calloc(ret->n_seeds, sizeof(struct sim_run));
			ret->equal[m][p].equal = true;
			if (!ret->cell[m][p].runs || !ret->equal[m][p].runs)
				return vt_fail(e, -ENOMEM, "out of memory");
		}
	}
	rc = work_cells(s, ret, false, e);
	if (rc || !s->opts->search)
		return rc;
	for (uint32_t m = 0; m < s->n_mixes; m++) {
		ret->best_baseline[m] = sim_best(s, ret, m, true);
		ret->has_equal = ret->has_equal || ret->best_baseline[m] >= 0;
	}
	return ret->has_equal ? work_cells(s, ret, true, e) : 0;
}

void sim_results_fini(struct sim_results *r)
{
	for (uint32_t m = 0; m < VT_SIM_LIST_MAX; m++) {
		for (uint32_t p = 0; p < VT_SIM_LIST_MAX; p++) {
			free(r->cell[m][p].runs);
			free(r->equal[m][p].runs);
		}
	}
}
