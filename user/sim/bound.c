// SPDX-License-Identifier: Apache-2.0
#include "sim/bound.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

double vt_bound_work_ns(const struct vt_bank *b, uint32_t model)
{
	const struct vt_machine *m = &b->machine;
	const struct vt_bank_model *bm = &b->models[model];

	return fmax(bm->least_core_ns / m->cores,
		    bm->least_dram_bytes / (m->memory_nodes * m->node_dram_gbps));
}

/** The dual at @lambda cores a nanosecond; @ns: time of the choice that attains it. */
static double dual(const struct vt_bank *b, uint32_t model, double lambda, double qos_ns,
		   double *ns)
{
	const struct vt_model *m = &b->sched[model];
	const uint32_t n_points = vt_bank_points(b, model);
	double sum = -lambda * qos_ns;

	*ns = 0;
	for (uint32_t l = 0; l < m->n_layers; l++) {
		double least = INFINITY, at = 0;

		for (uint32_t v = 0; v < m->n_versions; v++) {
			for (uint32_t p = 0; p < n_points; p++) {
				double t = (double)vt_bank_cell(b, model, l, v, p, VT_SHARES - 1)
						   ->ns[0];

				if (t > 0 && (m->points[p] + lambda) * t < least) {
					least = (m->points[p] + lambda) * t;
					at = t;
				}
			}
		}
		sum += least;
		*ns += at;
	}
	return sum;
}

double vt_bound_real_work_ns(const struct vt_bank *b, uint32_t model, uint64_t qos_ns)
{
	double low = 0, high = 1e6, ns, best = dual(b, model, 0, (double)qos_ns, &ns);

	if (ns > (double)qos_ns) {
		dual(b, model, high, (double)qos_ns, &ns);
		if (ns > (double)qos_ns)
			return INFINITY;
	}
	/* Concave in lambda, its slope the choice's time minus the target: bisect the slope. */
	for (int i = 0; i < 60; i++) {
		double mid = i < 20 ? sqrt((low + 1e-3) * high) : (low + high) / 2;

		best = fmax(best, dual(b, model, mid, (double)qos_ns, &ns));
		if (ns > (double)qos_ns)
			low = mid;
		else
			high = mid;
	}
	return fmax(best / b->machine.cores, vt_bound_work_ns(b, model));
}

/** A place from which a busy period can be run again: who waited there. */
struct mark {
	double now;
	size_t next;	 /* the first job that had not arrived */
	size_t at, n_at; /* of those that waited, in period.kept */
};

#define MARK_EVERY                                                                                 \
	64u /* arrivals at least, and as many as wait, so that all marks keep no more than n */

/** One busy period under EDF: jobs [from, to), some dropped. */
struct period {
	const struct vt_bound_job *jobs;
	size_t from, to;
	bool *dropped;
	double *left; /* work not yet done, by job */
	double *wait; /* from arrival to first service, by job */
	size_t *heap; /* by deadline */
	size_t n_heap;
	double *latency_ns; /* by job; may be NULL */
	double *most;	    /* by job: the longest work from the start of the period to here */
	struct mark *marks;
	struct kept {
		size_t job;
		double left;
	} * kept; /* of all marks; heaps as they were */
	size_t n_marks, n_kept;
};

static bool sooner(const struct period *p, size_t a, size_t b)
{
	return p->jobs[a].deadline_ns < p->jobs[b].deadline_ns;
}

static void push(struct period *p, size_t job)
{
	size_t i = p->n_heap++;

	for (; i && sooner(p, job, p->heap[(i - 1) / 2]); i = (i - 1) / 2)
		p->heap[i] = p->heap[(i - 1) / 2];
	p->heap[i] = job;
}

static void pop(struct period *p)
{
	size_t last = p->heap[--p->n_heap], i = 0;

	for (;;) {
		size_t kid = 2 * i + 1;

		if (kid >= p->n_heap)
			break;
		if (kid + 1 < p->n_heap && sooner(p, p->heap[kid + 1], p->heap[kid]))
			kid++;
		if (!sooner(p, p->heap[kid], last))
			break;
		p->heap[i] = p->heap[kid];
		i = kid;
	}
	p->heap[i] = last;
}

static void put_mark(struct period *p, double now, size_t next)
{
	p->marks[p->n_marks++] = (struct mark){now, next, p->n_kept, p->n_heap};
	for (size_t i = 0; i < p->n_heap; i++)
		p->kept[p->n_kept++] = (struct kept){p->heap[i], p->left[p->heap[i]]};
}

/** Go back to the last mark, or to the start of the period. Returns the first job that has not arrived. */
static size_t take_up(struct period *p, double *now)
{
	const struct mark start = {p->jobs[p->from].at_ns, p->from, 0, 0};
	const struct mark *m = p->n_marks ? &p->marks[p->n_marks - 1] : &start;

	for (size_t i = 0; i < m->n_at; i++) {
		p->heap[i] = p->kept[m->at + i].job;
		p->left[p->heap[i]] = p->kept[m->at + i].left;
	}
	p->n_heap = m->n_at;
	p->n_kept = m->at + m->n_at;
	*now = m->now;
	return m->next;
}

static void arrive(struct period *p, size_t job)
{
	const double work_ns = p->dropped[job] ? 0 : p->jobs[job].work_ns;

	p->left[job] = p->jobs[job].work_ns;
	p->most[job] = job > p->from ? fmax(p->most[job - 1], work_ns) : work_ns;
	if (!p->dropped[job])
		push(p, job);
}

/** Run from the last mark until the period ends. Returns the first late job, or SIZE_MAX. */
static size_t run(struct period *p, size_t n)
{
	double now;
	size_t next = take_up(p, &now), mark = next;

	for (;;) {
		size_t job;
		double until;

		if (next - mark >= MARK_EVERY && next - mark >= p->n_heap) {
			put_mark(p, now, next);
			mark = next;
		}
		for (; next < n && p->jobs[next].at_ns <= now; next++)
			arrive(p, next);
		p->to = next;
		if (!p->n_heap)
			return SIZE_MAX;
		job = p->heap[0];
		if (p->left[job] >= p->jobs[job].work_ns)
			p->wait[job] = now - p->jobs[job].at_ns;
		until = now + p->left[job];
		if (next < n && p->jobs[next].at_ns < until) {
			p->left[job] -= p->jobs[next].at_ns - now;
			now = p->jobs[next].at_ns;
			continue;
		}
		now = until;
		if (p->latency_ns)
			p->latency_ns[job] = now - p->jobs[job].at_ns;
		if (now > p->jobs[job].deadline_ns)
			return job;
		pop(p);
	}
}

/**
 * Of the jobs that made @late late, drop the one whose absence lets it end soonest: that saves its
 * work, but no more than what each job after it waited, for none can start before it arrives.
 */
static void drop_best(struct period *p, size_t late)
{
	double waited = INFINITY, most = -1;
	size_t best = late;

	for (size_t j = p->to; j-- > p->from;) {
		double saved, limit = fmin(p->most[j], waited);

		/* Nor does any job before. */
		if (limit < most || (limit <= most && p->most[j] <= p->jobs[best].work_ns))
			break;
		if (p->dropped[j] || sooner(p, late, j))
			continue;
		saved = fmin(p->jobs[j].work_ns, waited);
		if (saved > most || (saved >= most && p->jobs[j].work_ns > p->jobs[best].work_ns)) {
			most = saved;
			best = j;
		}
		waited = fmin(waited, p->wait[j]);
	}
	p->dropped[best] = true;
	while (p->n_marks && p->marks[p->n_marks - 1].next > best)
		p->n_marks--;
}

long vt_bound_served(const struct vt_bound_job *jobs, size_t n, double *latency_ns)
{
	struct period p = {.jobs = jobs,
			   .latency_ns = latency_ns,
			   .dropped = calloc(n + 1, sizeof(*p.dropped)),
			   .left = calloc(n + 1, sizeof(*p.left)),
			   .wait = calloc(n + 1, sizeof(*p.wait)),
			   .heap = calloc(n + 1, sizeof(*p.heap)),
			   .most = calloc(n + 1, sizeof(*p.most)),
			   .kept = calloc(n + 1, sizeof(*p.kept)),
			   .marks = calloc(n / MARK_EVERY + 1, sizeof(*p.marks))};
	long served = p.dropped && p.left && p.wait && p.heap && p.most && p.kept && p.marks
			      ? 0
			      : -ENOMEM;

	/* Hopeless by itself, and no reason to drop another. */
	for (size_t j = 0; j < n && !served; j++)
		p.dropped[j] = jobs[j].at_ns + jobs[j].work_ns > jobs[j].deadline_ns;
	while (!served && p.from < n) {
		size_t late;

		p.n_marks = 0;
		while ((late = run(&p, n)) != SIZE_MAX)
			drop_best(&p, late);
		p.from = p.to;
	}
	for (size_t j = 0; j < n && served >= 0; j++) {
		served += !p.dropped[j];
		if (latency_ns && p.dropped[j])
			latency_ns[j] = NAN;
	}
	free(p.dropped);
	free(p.left);
	free(p.wait);
	free(p.heap);
	free(p.most);
	free(p.kept);
	free(p.marks);
	return served;
}
