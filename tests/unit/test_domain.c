// SPDX-License-Identifier: Apache-2.0
/* test_domain.c - what a domain's cores counted between two looks. No kernel needed. */
#include "harness.h"

#include <string.h>

#include "monitor/domain.h"

#define MS    1000000ull
#define NONE  (~0ull)
#define OUT   VT_NO_DOMAIN
#define SLOTS 3

/* slot 0: references, 1: misses, 2: instructions */
static const struct vt_slot_map hw_map = {
	.slot = {-1, 2, 0, 1, -1, -1}, .hw = {0, 1, 1, 1, 0, 0}, .slots = SLOTS};
static const struct vt_slot_map no_ins = {
	.slot = {-1, -1, 0, 1, -1, -1}, .hw = {0, 0, 1, 1, 0, 0}, .slots = 2};
/* page faults stand in for misses */
static const struct vt_slot_map stand_in = {
	.slot = {-1, -1, 0, 1, -1, -1}, .hw = {0, 0, 1, 0, 0, 0}, .slots = 2};
static const struct vt_slot_map no_refs = {
	.slot = {-1, -1, -1, 0, -1, -1}, .hw = {0, 0, 0, 1, 0, 0}, .slots = 1};

/* One CPU (number 1) changes between the looks; CPU 0 of domain 0 and 2 of domain 1 are steady. */
static const struct row {
	const char *what;
	const struct vt_slot_map *map;
	struct vt_cpu_count a, b;
	uint64_t window_ns, refs, misses, instructions; /* of domain 0 */
} rows[] = {
	{"plain",
	 &hw_map,
	 {5, {100, 10, 1000}, {0}, 3},
	 {9 * MS, {400, 30, 9000}, {0}, 3},
	 10 * MS,
	 300 + 7,
	 20 + 5,
	 8000 + 3},
	{"idle all along",
	 &hw_map,
	 {5, {9, 8, 7}, {0}, 0},
	 {5, {9, 8, 7}, {0}, 0},
	 10 * MS,
	 7,
	 5,
	 3},
	{"offline since ever",
	 &hw_map,
	 {0, {NONE, NONE, NONE}, {0}, 0},
	 {0, {NONE, NONE, NONE}, {0}, 0},
	 10 * MS,
	 7,
	 5,
	 3},
	{"offline since a while",
	 &hw_map,
	 {4, {NONE, NONE, NONE}, {0}, 9},
	 {4, {NONE, NONE, NONE}, {0}, 9},
	 10 * MS,
	 7,
	 5,
	 3},
	{"first seen",
	 &hw_map,
	 {0, {NONE, NONE, NONE}, {0}, 0},
	 {9, {1, 2, 3}, {0}, 0},
	 0,
	 0,
	 0,
	 0},
	{"opened anew", &hw_map, {5, {9, 8, 7}, {0}, 0}, {9, {90, 80, 70}, {0}, 3}, 0, 0, 0, 0},
	{"one cannot be read",
	 &hw_map,
	 {5, {9, 8, 7}, {0}, 0},
	 {9, {90, NONE, 70}, {0}, 0},
	 0,
	 0,
	 0,
	 0},
	{"backwards", &hw_map, {5, {9, 8, 7}, {0}, 0}, {9, {8, 80, 70}, {0}, 0}, 0, 0, 0, 0},
	{"half of the misses seen",
	 &hw_map,
	 {0 + 1, {100, 10, 1000}, {0}, 0},
	 {8 * MS + 1, {400, 30, 9000}, {0, 4 * MS, 0}, 0},
	 10 * MS,
	 300 + 7,
	 40 + 5,
	 8000 + 3},
	{"never on a counter",
	 &hw_map,
	 {1, {9, 8, 7}, {0}, 0},
	 {8 * MS + 1, {9, 8, 70}, {8 * MS, 0, 0}, 0},
	 0,
	 0,
	 0,
	 0},
	{"no instructions", &no_ins, {5, {9, 8}, {0}, 0}, {9, {19, 9}, {0}, 0}, 10 * MS, 17, 6, 0},
	{"software stands in", &stand_in, {5, {9, 8}, {0}, 0}, {9, {19, 9}, {0}, 0}, 0, 0, 0, 0},
	{"no references", &no_refs, {5, {9}, {0}, 0}, {9, {19}, {0}, 0}, 0, 0, 0, 0},
};

static void test_counts(void **state)
{
	static const uint8_t domain_of[] = {0, 0, 1, OUT};

	for (size_t i = 0; i < VT_COUNT(rows); i++) {
		const struct row *t = &rows[i];
		struct vt_cpu_count ca[4] = {
			{1, {0}, {0}, 0}, t->a, {1, {0}, {0}, 0}, {1, {0}, {0}, 0}};
		struct vt_cpu_count cb[4] = {
			{2, {7, 5, 3}, {0}, 0}, t->b, {3, {70, 50, 30}, {0}, 0}, {0, {0}, {0}, 9}};
		struct vt_look a = {.mono_ns = 1, .cpus = 4, .cpu = ca};
		struct vt_look b = {.mono_ns = 1 + 10 * MS, .cpus = 4, .cpu = cb};
		struct vt_domain_counts d[2] = {{1, 1, 1, 1}, {1, 1, 1, 1}};
		bool hw = t->map == &hw_map || t->map == &no_ins;

		vt_domain_counts(&a, &b, t->map, domain_of, 4, 2, d);
		if (d[0].window_ns != t->window_ns || d[0].llc_refs != t->refs ||
		    d[0].llc_misses != t->misses || d[0].instructions != t->instructions)
			fail_msg("%s: window %llu refs %llu misses %llu instructions %llu", t->what,
				 (unsigned long long)d[0].window_ns,
				 (unsigned long long)d[0].llc_refs,
				 (unsigned long long)d[0].llc_misses,
				 (unsigned long long)d[0].instructions);
		/* The other domain does not suffer. */
		assert_int_equal(d[1].window_ns, hw ? 10 * MS : 0);
		assert_int_equal(d[1].llc_refs, hw ? 70 : 0);
	}
}

static void test_looks_that_do_not_fit(void **state)
{
	static const uint8_t domain_of[] = {0};
	struct vt_cpu_count c[2] = {{1, {0}, {0}, 0}, {1, {0}, {0}, 0}};
	static const struct {
		const char *what;
		uint64_t a_ns, b_ns;
		uint32_t a_cpus, b_cpus;
	} t[] = {
		{"the first", 0, 10, 0, 1},
		{"the same", 10, 10, 1, 1},
		{"the wrong way round", 20, 10, 1, 1},
		{"another number of CPUs", 10, 20, 1, 2},
	};

	for (size_t i = 0; i < VT_COUNT(t); i++) {
		struct vt_look a = {.mono_ns = t[i].a_ns, .cpus = t[i].a_cpus, .cpu = c};
		struct vt_look b = {.mono_ns = t[i].b_ns, .cpus = t[i].b_cpus, .cpu = c};
		struct vt_domain_counts d = {1, 1, 1, 1};

		vt_domain_counts(&a, &b, &hw_map, domain_of, 1, 1, &d);
		assert_int_equal(d.window_ns + d.llc_refs + d.llc_misses + d.instructions, 0);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_counts),
		cmocka_unit_test(test_looks_that_do_not_fit),
	};

	return cmocka_run_group_tests_name("domain", tests, NULL, NULL);
}
