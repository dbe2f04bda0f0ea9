// SPDX-License-Identifier: Apache-2.0
/* Which sets of requests are refuted: never one that a schedule serves, and nearly all that none does. */
#include "harness.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "sim/bound_set.h"

#define CORES  8u
#define LAYERS 6u

/** A model whose layers have times on 1, 2, 4 and 8 cores; a layer, a kind. */
struct made {
	struct vt_bound_ways w;
	uint32_t kind[LAYERS], first[LAYERS + 1];
	struct vt_bound_way at[4 * LAYERS];
};

static double below(struct vt_rng *r, double most)
{
	return vt_rng_unit(r) * most;
}

/** Each doubling of the cores makes a layer 1.2 to 2 times as fast. */
static void make(struct made *m, struct vt_rng *r)
{
	memset(m, 0, sizeof(*m));
	m->w = (struct vt_bound_ways){LAYERS, LAYERS, m->kind, m->first, m->at, 0};
	for (uint32_t l = 0; l < LAYERS; l++) {
		double ns = 1 + below(r, 9), gain = 1.2 + below(r, 0.8);

		m->kind[l] = l;
		m->first[l] = 4 * l;
		for (uint32_t i = 0; i < 4; i++, ns /= gain)
			m->at[4 * l + i] = (struct vt_bound_way){1u << i, ns};
		m->w.fastest_ns += m->at[4 * l + 3].ns;
	}
	m->first[LAYERS] = 4 * LAYERS;
}

/**
 * Runs requests as a machine would: whoever may begins its next layer on a random count of the cores
 * that are free. Deadlines are when they ended, so that there is no time to spare.
 */
static void run(struct vt_bound_request *set, uint32_t n, const struct made *of, struct vt_rng *r)
{
	double until[8] = {0}, now = 0;
	uint32_t layer[8] = {0}, held[8] = {0}, left = n, free = CORES;

	for (uint32_t i = 0; i < n; i++)
		set[i] = (struct vt_bound_request){.at_ns = below(r, 20), .ways = &of[i].w};
	while (left) {
		double next = INFINITY;

		for (uint32_t i = 0; i < n; i++) {
			if (held[i] && until[i] <= now) {
				free += held[i];
				held[i] = 0;
				if (++layer[i] == LAYERS) {
					set[i].deadline_ns = now;
					left--;
				}
			}
		}
		for (uint32_t i = 0; i < n; i++) {
			uint32_t way = (uint32_t)vt_rng_below(r, 4);

			if (held[i] || layer[i] == LAYERS || set[i].at_ns > now || 1u << way > free)
				continue;
			held[i] = 1u << way;
			free -= held[i];
			until[i] = now + of[i].at[4 * layer[i] + way].ns;
		}
		for (uint32_t i = 0; i < n; i++) {
			if (held[i])
				next = fmin(next, until[i]);
			else if (set[i].at_ns > now)
				next = fmin(next, set[i].at_ns);
		}
		/* All may have been unlucky; then they try again. */
		now = next < INFINITY ? next : now;
	}
}

static int by_arrival(const void *a, const void *b)
{
	const struct vt_bound_request *x = a, *y = b;

	return (x->at_ns > y->at_ns) - (x->at_ns < y->at_ns);
}

/** What a schedule has served is not refuted, and no request of it is dropped. */
static void served_is_not_refuted(void **state)
{
	struct vt_rng r = {21};

	for (int round = 0; round < 1000; round++) {
		struct vt_bound_request set[8];
		struct made of[8];
		bool dropped[8] = {false};
		uint32_t n = 2 + (uint32_t)vt_rng_below(&r, 5);

		for (uint32_t i = 0; i < n; i++)
			make(&of[i], &r);
		run(set, n, of, &r);
		qsort(set, n, sizeof(*set), by_arrival);
		assert_false(vt_bound_set_refuted(set, n, CORES));
		vt_bound_thin(set, n, CORES, dropped);
		for (uint32_t i = 0; i < n; i++)
			assert_false(dropped[i]);
	}
}

/** On one core: is nobody late if who is due first runs first? With layers that may be cut this is exact. */
static bool fits_one_core(const struct vt_bound_request *set, uint32_t n, uint32_t in)
{
	double left[8], now = 0;

	for (uint32_t i = 0; i < n; i++)
		left[i] = in >> i & 1 ? set[i].ways->fastest_ns : 0;
	for (;;) {
		double next = INFINITY, until;
		uint32_t best = n;

		for (uint32_t i = 0; i < n; i++) {
			if (left[i] <= 0)
				continue;
			if (set[i].at_ns > now)
				next = fmin(next, set[i].at_ns);
			else if (best == n || set[i].deadline_ns < set[best].deadline_ns)
				best = i;
		}
		if (best == n && !(next < INFINITY))
			return true;
		if (best == n) {
			now = next;
			continue;
		}
		until = fmin(now + left[best], next);
		left[best] = until < now + left[best] ? left[best] - (until - now) : 0;
		now = until;
		if (left[best] <= 0 && now > set[best].deadline_ns + 1e-9)
			return false;
	}
}

/** One core, targets that differ: as many are dropped as exhaustive search says, or fewer, seldom. */
static void one_core_is_nearly_exact(void **state)
{
	struct vt_rng r = {22};
	uint32_t missed = 0, must = 0;

	for (int round = 0; round < 400; round++) {
		struct vt_bound_request set[8];
		struct vt_bound_way way[8];
		struct vt_bound_ways w[8];
		uint32_t kind = 0, first[] = {0, 1}, n = 3 + (uint32_t)vt_rng_below(&r, 6);
		uint32_t most = 0, found = 0;
		bool dropped[8] = {false};
		double at = 0;

		for (uint32_t i = 0; i < n; i++) {
			at += below(&r, 1.2);
			way[i] = (struct vt_bound_way){1, 0.2 + below(&r, 2)};
			w[i] = (struct vt_bound_ways){1, 1, &kind, first, &way[i], way[i].ns};
			set[i] = (struct vt_bound_request){at, at + way[i].ns + below(&r, 3), &w[i],
							   round % 2 ? way[i].ns : 0};
		}
		for (uint32_t in = 0; in < 1u << n; in++)
			if (fits_one_core(set, n, in) && (uint32_t)__builtin_popcount(in) > most)
				most = (uint32_t)__builtin_popcount(in);
		vt_bound_thin(set, n, 1, dropped);
		for (uint32_t i = 0; i < n; i++)
			found += dropped[i];
		assert_true(found <= n - most);
		missed += n - most - found;
		must += n - most;
	}
	assert_true(must > 200);
	assert_true(missed * 100 <= must);
}

/** Those that are dropped already count: only what is missing is added. */
static void drops_no_more_than_it_must(void **state)
{
	const struct vt_bound_way way = {1, 2};
	uint32_t kind = 0, first[] = {0, 1};
	const struct vt_bound_ways w = {1, 1, &kind, first, (struct vt_bound_way *)&way, 2};
	/* Two at once, one of which must go; one alone; three of which one can stay; one that is hopeless. */
	const struct vt_bound_request r[] = {{0, 3, &w, 0},   {0.5, 3.5, &w, 0}, {5, 8, &w, 0},
					     {20, 23, &w, 0}, {20, 23, &w, 0},	 {20, 23, &w, 0},
					     {30, 31, &w, 0}};
	bool a[VT_COUNT(r)] = {false},
	     b[VT_COUNT(r)] = {true, false, true, true, true, false, true};
	uint32_t n = 0;

	vt_bound_thin(r, VT_COUNT(r), 1, a);
	for (size_t i = 0; i < VT_COUNT(r); i++)
		n += a[i];
	assert_int_equal(n, 4);
	assert_int_equal(a[0] + a[1], 1);
	assert_false(a[2]);
	assert_int_equal(a[3] + a[4] + a[5], 2);
	assert_true(a[6]);
	vt_bound_thin(r, VT_COUNT(r), 1, b);
	for (size_t i = 0; i < VT_COUNT(r); i++)
		assert_int_equal(b[i], i != 1 && i != 5);
}

/** Of more requests than are looked at nothing is said. */
static void too_many_are_left_alone(void **state)
{
	const struct vt_bound_way way = {1, 2};
	uint32_t kind = 0, first[] = {0, 1};
	const struct vt_bound_ways w = {1, 1, &kind, first, (struct vt_bound_way *)&way, 2};
	struct vt_bound_request many[VT_BOUND_SET_MAX + 1];
	bool dropped[VT_BOUND_SET_MAX + 1] = {false};

	for (uint32_t i = 0; i <= VT_BOUND_SET_MAX; i++)
		many[i] = (struct vt_bound_request){0, 3, &w, 0};
	assert_true(vt_bound_set_refuted(many, VT_BOUND_SET_MAX, 1));
	assert_false(vt_bound_set_refuted(many, VT_BOUND_SET_MAX + 1, 1));
	assert_false(vt_bound_set_refuted(many, 0, 1));
	vt_bound_thin(many, VT_BOUND_SET_MAX + 1, 1, dropped);
	for (uint32_t i = 0; i <= VT_BOUND_SET_MAX; i++)
		assert_false(dropped[i]);
}

/** Two BERTs on 64 cores: alone 96 ms, side by side 143, to be done in 130 (docs/simulator.md). */
static void two_large_ones_close_together(void **state)
{
	struct vt_machine m;
	struct vt_bank b;
	struct vt_net net;
	struct vt_err e = {0};
	struct vt_bound_ways w;

	assert_int_equal(vt_machine_load("share/machines/3990x.machine", &m, &e), 0);
	assert_int_equal(vt_bank_init(&b, &m), 0);
	assert_int_equal(vt_net_make("bert_large", &net, &e), 0);
	assert_int_equal(vt_bank_add_net(&b, &net, 130000000, &e), 0);
	vt_net_fini(&net);
	assert_int_equal(vt_bank_plan(&b, 0, &e), 0);
	assert_int_equal(vt_bound_ways_init(&w, &b, 0), 0);
	assert_true(fabs(w.fastest_ns / (double)vt_bank_fastest_ns(&b, 0) - 1) < 1e-6);
	for (uint32_t gap = 0; gap < 130; gap += 2) {
		const struct vt_bound_request two[] = {{0, 130e6, &w, 0},
						       {gap * 1e6, (gap + 130) * 1e6, &w, 0}};
		bool refuted = vt_bound_set_refuted(two, 2, 64);

		assert_true(gap > 24 || refuted);
		assert_true(gap < 28 || !refuted);
	}
	vt_bound_ways_fini(&w);
	vt_bank_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(served_is_not_refuted),
		cmocka_unit_test(one_core_is_nearly_exact),
		cmocka_unit_test(drops_no_more_than_it_must),
		cmocka_unit_test(too_many_are_left_alone),
		cmocka_unit_test(two_large_ones_close_together),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
