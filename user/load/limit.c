// SPDX-License-Identifier: Apache-2.0
#include "load/limit.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "load/arrivals.h"
#include "load/search.h"

/** Who waits, as a heap: earliest deadline on top, the earlier arrival first among equals. */
struct queue {
	const struct vt_limit_job *jobs;
	size_t *at;
	size_t n;
};

static bool sooner(const struct queue *q, size_t a, size_t b)
{
	uint64_t x = q->jobs[a].deadline_ns, y = q->jobs[b].deadline_ns;

	return x != y ? x < y : a < b;
}

static void push(struct queue *q, size_t job)
{
	size_t i = q->n++;

	for (; i && sooner(q, job, q->at[(i - 1) / 2]); i = (i - 1) / 2)
		q->at[i] = q->at[(i - 1) / 2];
	q->at[i] = job;
}

static size_t pop(struct queue *q)
{
	size_t top = q->at[0], last = q->at[--q->n], i = 0;

	for (;;) {
		size_t kid = 2 * i + 1;

		if (kid >= q->n)
			break;
		if (kid + 1 < q->n && sooner(q, q->at[kid + 1], q->at[kid]))
			kid++;
		if (!sooner(q, q->at[kid], last))
			break;
		q->at[i] = q->at[kid];
		i = kid;
	}
	q->at[i] = last;
	return top;
}

long vt_limit_served(const struct vt_limit_job *jobs, size_t n, bool preempt, bool *in_time)
{
	struct queue q = {jobs, malloc((n + 1) * sizeof(*q.at)), 0};
	uint64_t *left = malloc((n + 1) * sizeof(*left)), now = 0;
	long served = q.at && left ? 0 : -ENOMEM;

	for (size_t next = 0; served >= 0;) {
		size_t job;

		if (!q.n && next == n)
			break;
		if (!q.n && jobs[next].at_ns > now)
			now = jobs[next].at_ns;
		for (; next < n && jobs[next].at_ns <= now; next++) {
			left[next] = jobs[next].service_ns;
			push(&q, next);
		}
		job = pop(&q);
		if (in_time)
			in_time[job] = false;
		if (now + left[job] > jobs[job].deadline_ns)
			continue;
		if (preempt && next < n && jobs[next].at_ns < now + left[job]) {
			left[job] -= jobs[next].at_ns - now;
			now = jobs[next].at_ns;
			push(&q, job);
			continue;
		}
		now += left[job];
		served++;
		if (in_time)
			in_time[job] = true;
	}
	free(q.at);
	free(left);
	return served;
}

double vt_limit_capacity(const struct vt_limit_cfg *cfg)
{
	double weight = 0, service_ns = 0;

	for (uint32_t i = 0; i < cfg->n_classes; i++) {
		weight += cfg->classes[i].weight;
		service_ns += cfg->classes[i].weight * cfg->classes[i].service_ns;
	}
	return 1e9 * weight / service_ns;
}

static int by_service(const void *a, const void *b)
{
	const struct vt_limit_class *x = a, *y = b;

	return (x->service_ns > y->service_ns) - (x->service_ns < y->service_ns);
}

double vt_limit_most(const struct vt_limit_cfg *cfg)
{
	struct vt_limit_class *c = malloc(cfg->n_classes * sizeof(*c));
	double weight = 0, left, service_ns = 0;

	if (!c)
		return NAN;
	memcpy(c, cfg->classes, cfg->n_classes * sizeof(*c));
	qsort(c, cfg->n_classes, sizeof(*c), by_service);
	for (uint32_t i = 0; i < cfg->n_classes; i++)
		weight += c[i].weight;
	left = weight * cfg->target;
	for (uint32_t i = 0; i < cfg->n_classes; i++) {
		double served = fmin(left, c[i].weight);

		service_ns += served * c[i].service_ns;
		left -= served;
	}
	free(c);
	return 1e9 * weight / service_ns;
}

double vt_limit_share(const struct vt_limit_cfg *cfg, double rate_hz)
{
	size_t n = cfg->requests ? (size_t)cfg->requests : 200000, k = 0;
	struct vt_limit_job *jobs = malloc(n * sizeof(*jobs));
	double *upto = malloc(cfg->n_classes * sizeof(*upto)), sum = 0;
	struct vt_poisson p;
	struct vt_arrival a;
	long served = -ENOMEM;

	if (jobs && upto) {
		for (uint32_t i = 0; i < cfg->n_classes; i++)
			upto[i] = sum += cfg->classes[i].weight;
		vt_poisson_init(&p, rate_hz, n, cfg->seed, upto, cfg->n_classes);
		while (vt_poisson_next(&p, &a)) {
			const struct vt_limit_class *c = &cfg->classes[a.tenant];

			jobs[k++] = (struct vt_limit_job){a.at_ns, a.at_ns + (uint64_t)c->qos_ns,
							  (uint64_t)c->service_ns};
		}
		served = vt_limit_served(jobs, n, cfg->preempt, NULL);
	}
	free(jobs);
	free(upto);
	return served < 0 ? (double)served : (double)served / (double)n;
}

static double share_at(void *self, double rate)
{
	return vt_limit_share(self, rate);
}

double vt_limit_rate(const struct vt_limit_cfg *cfg)
{
	double capacity = vt_limit_capacity(cfg), most = vt_limit_most(cfg), rate;
	/* A target below 1 allows to drop the longest requests, so above capacity. */
	struct vt_search_cfg s = {.low = capacity * 1e-3,
				  .high = capacity / cfg->target * 1.5,
				  .most = most * 1.5,
				  .target = cfg->target,
				  .precision = 0.002};
	struct vt_limit_cfg copy = *cfg;
	bool open;

	if (isnan(most))
		return -ENOMEM;
	rate = vt_search_rate(&s, share_at, &copy, &open);
	return rate > 0 && open ? most : rate;
}
