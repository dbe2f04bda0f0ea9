// SPDX-License-Identifier: Apache-2.0
/*
 * bench_variants.c - what choosing versions by pressure is worth, end to end, beside the bubble.
 *
 *	bench_variants DB MODEL [ROUNDS [CORES [LEVELS]]]      make bench-variants does all of it
 *
 * In turns, round after round, at each level, on the first CORES cores:
 *
 *	xnn    XNNPACK by itself: its kernels, its order
 *	order  our kernels in XNNPACK's order
 *	alone  (b) of every layer the version that is fastest alone
 *	level  (c) of every layer the kept version that is fastest at this level
 *	oracle (d) of every layer the candidate that measured best at this level
 *
 * Ratios are medians of the rounds with their quartiles. Layers where alone and level differ are
 * named with the times that both took in these same runs.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/cpuset.h"
#include "exec/bubble.h"
#include "exec/costs.h"
#include "exec/engine.h"

#define MAX_ROUNDS 200

enum way { XNN, ORDER, ALONE, LEVEL, ORACLE, WAYS };
static const char *const way_name[WAYS] = {"xnn", "order", "alone", "level", "oracle"};

/** Of one step: the versions to run at each level. */
struct choice {
	const struct vt_variant *v[VT_LEVELS][WAYS];
	uint64_t ns[VT_LEVELS][WAYS]; /* as the store has it */
};

struct bench {
	struct vt_engine *ours, *xnn;
	struct vt_pool *pool;
	struct vt_bubble *bubble;
	struct vt_bubble_scale scale;
	struct vt_cpuset grant;
	uint16_t cores;
	struct choice *choice;		    /* per step */
	const struct vt_variant **variants; /* per step of the longer engine */
	uint64_t *step_ns;
	double ms[WAYS][MAX_ROUNDS];
	double *layer_ns[2]; /* [ALONE, LEVEL]: [step][round] */
	int rounds;
};

/* ---- what the store says -------------------------------------------------------------------- */

struct reading {
	struct choice *c;
	uint16_t cores;
};

static void offer(struct choice *c, const struct vt_profile_time *t, enum way w)
{
	uint64_t *ns = &c->ns[t->level][w];

	if (*ns && *ns <= t->median_ns)
		return;
	*ns = t->median_ns;
	c->v[t->level][w] = vt_variant_find(t->variant);
}

static int read_time(void *arg, const struct vt_profile_time *t)
{
	struct reading *r = arg;

	if (t->cores != r->cores)
		return 0;
	offer(r->c, t, ORACLE);
	if (t->kept)
		offer(r->c, t, LEVEL);
	if (t->kept && !t->rank) {
		r->c->ns[t->level][ALONE] = 0;
		offer(r->c, t, ALONE);
	}
	return 0;
}

/* A level that was not measured is the one below. */
static void fill_levels(struct choice *c)
{
	for (unsigned int l = 1; l < VT_LEVELS; l++)
		for (int w = ALONE; w < WAYS; w++)
			if (!c->ns[l][w]) {
				c->ns[l][w] = c->ns[l - 1][w];
				c->v[l][w] = c->v[l - 1][w];
			}
}

static int read_choices(struct bench *b, struct vt_profile *db, struct vt_err *e)
{
	char sig[VT_PROFILE_TEXT];

	for (int i = 0; i < b->ours->n_steps; i++) {
		struct reading r = {&b->choice[i], b->cores};
		int err;

		vt_layer_signature(b->ours, i, sig, sizeof(sig));
		err = vt_profile_each(db, sig, read_time, &r, e);
		if (err)
			return err;
		if (!r.c->ns[0][LEVEL])
			return vt_fail(e, -ENODATA, "layer %d (%s) was never measured on %u cores",
				       i, sig, b->cores);
		fill_levels(r.c);
		for (unsigned int l = 0; l < VT_LEVELS; l++)
			r.c->v[l][ORDER] = b->ours->steps[i].variant
						   ? vt_variant_find("f32_gemm_mouter")
						   : NULL;
	}
	return 0;
}

/* ---- running ------------------------------------------------------------------------------- */

static double run(struct bench *b, enum way w, unsigned int level, struct vt_err *e)
{
	struct vt_engine *m = w == XNN ? b->xnn : b->ours;
	struct vt_run r;

	for (int i = 0; i < m->n_steps; i++)
		b->variants[i] = w != XNN	       ? b->choice[i].v[level][w]
				 : m->steps[i].variant ? vt_variant_find("f32_gemm_mouter")
						       : NULL;
	vt_run_init(&r, m, 0);
	r.variants = b->variants;
	r.step_ns = b->step_ns;
	if (vt_pool_run(b->pool, &r.work, &b->grant)) {
		vt_fail(e, -EINVAL, "cannot run on %u cores", b->cores);
		return 0;
	}
	return (double)(r.work.end_mono_ns - r.work.start_mono_ns) / 1e6;
}

static void run_rounds(struct bench *b, unsigned int level, struct vt_err *e)
{
	if (b->bubble) {
		vt_bubble_set(b->bubble, b->scale.level[level]);
		vt_sleep_until_mono_ns(vt_now_mono_ns() + VT_BUBBLE_SETTLE_NS);
	}
	for (int r = -1; r < b->rounds; r++) /* round -1 warms up */
		for (int k = 0; k < WAYS; k++) {
			/* Every round begins with another one. */
			const enum way w = (enum way)((k + r + WAYS) % WAYS);
			const double ms = run(b, w, level, e);

			if (r < 0)
				continue;
			b->ms[w][r] = ms;
			for (int i = 0; (w == ALONE || w == LEVEL) && i < b->ours->n_steps; i++)
				b->layer_ns[w - ALONE][i * MAX_ROUNDS + r] = (double)b->step_ns[i];
		}
	if (b->bubble)
		vt_bubble_set(b->bubble, (struct vt_bubble_setting){0});
}

/* ---- reports ------------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

struct quartiles {
	double low, mid, high;
};

static struct quartiles quartiles(const double *v, int n)
{
	double s[MAX_ROUNDS];

	memcpy(s, v, (size_t)n * sizeof(*s));
	qsort(s, (size_t)n, sizeof(*s), by_value);
	return (struct quartiles){s[(n - 1) / 4], n % 2 ? s[n / 2] : (s[n / 2 - 1] + s[n / 2]) / 2,
				  s[n - 1 - (n - 1) / 4]};
}

static struct quartiles ratio(const double *a, const double *b, int n)
{
	double r[MAX_ROUNDS] = {0};

	for (int i = 0; i < n; i++)
		r[i] = a[i] / b[i];
	return quartiles(r, n);
}

static void print_level(const struct bench *b, unsigned int level)
{
	static const enum way over[][2] = {
		{XNN, LEVEL}, {ORDER, LEVEL}, {ALONE, LEVEL}, {LEVEL, ORACLE}};

	printf("level %u, %.1f GB/s beside:", level, (double)b->scale.bytes_per_s[level] / 1e9);
	for (int w = 0; w < WAYS; w++)
		printf("  %s %.3f ms", way_name[w], quartiles(b->ms[w], b->rounds).mid);
	printf("\n ");
	for (size_t i = 0; i < sizeof(over) / sizeof(over[0]); i++) {
		const struct quartiles q = ratio(b->ms[over[i][0]], b->ms[over[i][1]], b->rounds);

		printf("  %s/%s %.3f (%.3f .. %.3f)", way_name[over[i][0]], way_name[over[i][1]],
		       q.mid, q.low, q.high);
	}
	putchar('\n');
}

/* Layers that run another version at this level than alone. */
static void print_layers(const struct bench *b, unsigned int level)
{
	for (int i = 0; i < b->ours->n_steps; i++) {
		const struct choice *c = &b->choice[i];
		const size_t at = (size_t)i * MAX_ROUNDS;
		struct quartiles q;

		if (c->v[level][ALONE] == c->v[level][LEVEL])
			continue;
		q = ratio(b->layer_ns[0] + at, b->layer_ns[1] + at, b->rounds);
		printf("    %-28.28s alone %s, level %s: profile %.3f, here %.3f (%.3f .. %.3f)\n",
		       b->ours->graph.nodes[b->ours->steps[i].node].name, c->v[level][ALONE]->name,
		       c->v[level][LEVEL]->name,
		       (double)c->ns[level][ALONE] / (double)c->ns[level][LEVEL], q.mid, q.low,
		       q.high);
	}
}

/* ---- setting up ---------------------------------------------------------------------------- */

static int set_cores(struct bench *b, struct vt_err *e)
{
	struct vt_cpuset allowed, upper = {0};
	unsigned int n = 0, all;
	int err;

	vt_cpuset_allowed(&allowed);
	all = vt_cpuset_count(&allowed);
	if (b->cores > all)
		return vt_fail(e, -EINVAL, "there are %u cores", all);
	for (int c = vt_cpuset_next(&allowed, 0); c >= 0;
	     c = vt_cpuset_next(&allowed, (unsigned int)c + 1), n++) {
		if (n < b->cores)
			vt_cpuset_add(&b->grant, (unsigned int)c);
		if (n >= all - all / 2)
			vt_cpuset_add(&upper, (unsigned int)c);
	}
	err = vt_pool_open(&b->pool, &b->grant, e);
	if (err || b->cores > all - all / 2)
		return err; /* nobody can press */
	err = vt_bubble_open(&b->bubble, &upper, e);
	return err ? err
		   : vt_bubble_calibrate(b->bubble, vt_cpuset_next(&allowed, 0), &b->scale, e);
}

static int set_up(struct bench *b, const char *path, const char *model, struct vt_err *e)
{
	const struct vt_engine_opts ours = {0}, xnn = {.may = vt_kernel_no_own_matrix};
	struct vt_profile_key key;
	struct vt_profile *db = NULL;
	size_t n;
	int err = vt_engine_load(&b->ours, model, &ours, e);

	if (!err)
		err = vt_engine_load(&b->xnn, model, &xnn, e);
	if (!err)
		err = set_cores(b, e);
	if (err)
		return err;
	n = (size_t)(b->ours->n_steps > b->xnn->n_steps ? b->ours->n_steps : b->xnn->n_steps) + 1;
	b->choice = calloc(n, sizeof(*b->choice));
	b->variants = calloc(n, sizeof(*b->variants));
	b->step_ns = calloc(n, sizeof(*b->step_ns));
	for (int i = 0; i < 2; i++)
		b->layer_ns[i] = calloc(n * MAX_ROUNDS, sizeof(*b->layer_ns[i]));
	if (!b->choice || !b->variants || !b->step_ns || !b->layer_ns[0] || !b->layer_ns[1] ||
	    vt_pool_reserve(b->pool, b->ours->scratch_bytes) ||
	    vt_pool_reserve(b->pool, b->xnn->scratch_bytes))
		return vt_fail(e, -ENOMEM, "no memory");
	vt_profile_here(&key);
	err = vt_profile_open(&db, path, VT_PROFILE_READ, &key, e);
	if (!err)
		err = read_choices(b, db, e);
	vt_profile_close(db);
	return err;
}

static void tear_down(struct bench *b)
{
	vt_bubble_close(b->bubble);
	vt_pool_close(b->pool);
	vt_engine_free(b->ours);
	vt_engine_free(b->xnn);
	free(b->choice);
	free(b->variants);
	free(b->step_ns);
	free(b->layer_ns[0]);
	free(b->layer_ns[1]);
}

int main(int argc, char **argv)
{
	static struct bench b;
	struct vt_cpuset levels;
	struct vt_err e = {0};
	int err;

	b.rounds = argc > 3 ? atoi(argv[3]) : 15;
	b.cores = (uint16_t)(argc > 4 ? atoi(argv[4]) : 1);
	if (argc < 3 || b.rounds < 1 || b.rounds > MAX_ROUNDS || b.cores < 1 ||
	    vt_cpuset_parse(argc > 5 ? argv[5] : "0-4", &levels)) {
		fprintf(stderr, "usage: bench_variants DB MODEL [ROUNDS [CORES [LEVELS]]]\n");
		return 2;
	}
	err = set_up(&b, argv[1], argv[2], &e);
	if (!err)
		printf("%s on %u cores, %d rounds%s\n", argv[2], b.cores, b.rounds,
		       !b.bubble	      ? "; nobody can press"
		       : b.scale.by_bandwidth ? "; levels are steps of bandwidth"
					      : "");
	for (unsigned int l = 0; l < (b.bubble ? VT_LEVELS : 1) && !err; l++) {
		if (!vt_cpuset_has(&levels, l))
			continue;
		run_rounds(&b, l, &e);
		err = e.code;
		if (err)
			break;
		print_level(&b, l);
		print_layers(&b, l);
		fflush(stdout);
	}
	tear_down(&b);
	if (err)
		fprintf(stderr, "bench_variants: %s\n", e.msg);
	return err ? 1 : 0;
}
