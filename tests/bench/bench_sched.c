// SPDX-License-Identifier: Apache-2.0
/*
 * How long a decision takes: every policy, machines of 2 to 256 cores, 1 to 1000 waiting tenants,
 * each with a model of its own. The views differ from call to call, so the caches are as cold as
 * between two ends of blocks. Two cases: `end`, the machine is full and one block has just ended,
 * as in almost every decision of a loaded machine; `burst`, about half of the cores are free at
 * once. One line each: case, policy, cores, tenants, ns: mean, median, p99.
 *
 *     bench_sched [POLICY...]
 */
#include <stdio.h>

#include "../unit/sched_fixture.h"
#include "base/clock.h"

#define VIEWS  64u
#define ROUNDS 40u

static const struct {
	uint32_t cores, tenants;
} sizes[] = {{2, 1}, {4, 4}, {16, 16}, {32, 50}, {64, 100}, {128, 300}, {192, 600}, {256, 1000}};

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* All cores busy but those of one block. */
static void fill_machine(struct fx_view *x, struct vt_rng *rng, const struct fx_models *f)
{
	int core = vt_coreset_next(&x->v.free, 0);
	struct vt_coreset keep = {{0}};

	for (uint32_t k = 0; k < 4 && core >= 0; k++) {
		vt_coreset_add(&keep, (unsigned int)core);
		vt_coreset_del(&x->v.free, (unsigned int)core);
		core = vt_coreset_next(&x->v.free, (unsigned int)core);
	}
	while ((core = vt_coreset_next(&x->v.free, 0)) >= 0) {
		struct vt_block *b = &x->blocks[x->v.n_blocks++];
		uint64_t id = 2000 + x->v.n_blocks;

		fx_block(b, rng, f, id, x->v.now_ns);
		for (uint32_t k = 0; k < 8 && core >= 0; k++) {
			vt_coreset_add(&b->cores, (unsigned int)core);
			vt_coreset_del(&x->v.free, (unsigned int)core);
			core = vt_coreset_next(&x->v.free, (unsigned int)core);
		}
	}
	x->v.free = keep;
}

static void make_views(struct fx_view *views, const struct fx_models *f, uint32_t cores,
		       uint32_t tenants, bool full)
{
	struct vt_rng rng = {.s = 11};

	for (uint32_t i = 0; i < VIEWS; i++) {
		struct fx_view *x = &views[i];

		fx_view_random(x, &rng, f, cores, 1);
		if (full)
			fill_machine(x, &rng, f);
		x->v.n_requests = tenants;
		for (uint32_t k = 0; k < tenants; k++) {
			x->requests[k] = fx_request(&rng, f, 1000 + k, x->v.now_ns);
			x->requests[k].instances_busy = 0;
		}
	}
}

static void bench(const char *name, const struct vt_policy *p, const struct fx_view *views,
		  uint32_t cores, uint32_t tenants)
{
	static uint64_t ns[VIEWS * ROUNDS];
	struct fx_policy x;
	uint32_t n = 0;
	double sum = 0;

	fx_policy_open(&x, p, cores);
	for (uint32_t r = 0; r < ROUNDS; r++)
		for (uint32_t i = 0; i < VIEWS; i++) {
			uint64_t t = vt_now_mono_ns();

			p->decide(x.state, &views[i].v, &x.d);
			t = vt_now_mono_ns() - t;
			if (!r)
				continue; /* warm-up */
			ns[n++] = t;
			sum += (double)t;
		}
	qsort(ns, n, sizeof(ns[0]), by_value);
	printf("%-6s %-16s %5u %7u %9.0f %9llu %9llu\n", name, p->name, cores, tenants, sum / n,
	       (unsigned long long)ns[n / 2], (unsigned long long)ns[n * 99 / 100]);
	fx_policy_close(&x);
}

static int wanted(const char *name, int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (!strcmp(argv[i], name))
			return 1;
	return argc < 2;
}

int main(int argc, char **argv)
{
	struct fx_view *views = fx_alloc(VIEWS * sizeof(*views));

	printf("# case policy          cores tenants   mean_ns median_ns    p99_ns\n");
	for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
		struct vt_rng rng = {.s = 7};
		uint32_t needs = 0;
		struct fx_models f;

		for (unsigned int i = 0; vt_policy_at(i); i++)
			if (wanted(vt_policy_at(i)->name, argc, argv))
				needs |= vt_policy_at(i)->plan_needs;
		f = fx_models_new(&rng, sizes[s].tenants, sizes[s].cores, needs);
		for (int full = 1; full >= 0; full--) {
			make_views(views, &f, sizes[s].cores, sizes[s].tenants, full);
			for (unsigned int i = 0; vt_policy_at(i); i++)
				if (wanted(vt_policy_at(i)->name, argc, argv))
					bench(full ? "end" : "burst", vt_policy_at(i), views,
					      sizes[s].cores, sizes[s].tenants);
		}
		fx_models_free(&f);
	}
	free(views);
	return 0;
}
