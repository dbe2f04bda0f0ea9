// SPDX-License-Identifier: Apache-2.0
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gang.h"
#include "kernels/gemm.h"
#include "kernels/tile.h"
#include "kernels/variant.h"

/* Every form of nest visits every index once, whatever the variant, the cores and the order of
 * chunks. */

#define MAX_CELLS 20000

struct seen {
	size_t range[6];
	int dims;
	size_t max_tile[2]; /* the last two extents that a call may have */
	unsigned char count[MAX_CELLS];
};

static void mark(struct seen *s, const size_t *index, const size_t *extent)
{
	size_t at[6], n = 1, flat;

	for (int d = 0; d < s->dims; d++)
		n *= extent[d];
	for (size_t i = 0; i < n; i++) {
		size_t rest = i;

		for (int d = s->dims - 1; d >= 0; d--) {
			at[d] = index[d] + rest % extent[d];
			rest /= extent[d];
			assert_true(at[d] < s->range[d]);
		}
		flat = 0;
		for (int d = 0; d < s->dims; d++)
			flat = flat * s->range[d] + at[d];
		s->count[flat]++;
	}
}

static void t1(void *c, size_t i)
{
	mark(c, (size_t[]){i}, (size_t[]){1});
}
static void t1t1(void *c, size_t i, size_t ti)
{
	mark(c, (size_t[]){i}, (size_t[]){ti});
}
static void t2(void *c, size_t i, size_t j)
{
	mark(c, (size_t[]){i, j}, (size_t[]){1, 1});
}
static void t2t1(void *c, size_t i, size_t j, size_t tj)
{
	mark(c, (size_t[]){i, j}, (size_t[]){1, tj});
}
static void t2t2(void *c, size_t i, size_t j, size_t ti, size_t tj)
{
	struct seen *s = c;

	assert_true(ti <= s->max_tile[0] && tj <= s->max_tile[1]);
	mark(c, (size_t[]){i, j}, (size_t[]){ti, tj});
}
static void t3(void *c, size_t i, size_t j, size_t k)
{
	mark(c, (size_t[]){i, j, k}, (size_t[]){1, 1, 1});
}
static void t3t2(void *c, size_t i, size_t j, size_t k, size_t tj, size_t tk)
{
	mark(c, (size_t[]){i, j, k}, (size_t[]){1, tj, tk});
}
static void t4t2(void *c, size_t i, size_t j, size_t k, size_t l, size_t tk, size_t tl)
{
	mark(c, (size_t[]){i, j, k, l}, (size_t[]){1, 1, tk, tl});
}
static void t5t1(void *c, size_t i, size_t j, size_t k, size_t l, size_t m, size_t tm)
{
	mark(c, (size_t[]){i, j, k, l, m}, (size_t[]){1, 1, 1, 1, tm});
}
static void t6t2(void *c, size_t i, size_t j, size_t k, size_t l, size_t m, size_t n, size_t tm,
		 size_t tn)
{
	mark(c, (size_t[]){i, j, k, l, m, n}, (size_t[]){1, 1, 1, 1, tm, tn});
}

static void check(struct seen *s)
{
	size_t n = 1;

	for (int d = 0; d < s->dims; d++)
		n *= s->range[d];
	for (size_t i = 0; i < n; i++)
		assert_int_equal(s->count[i], 1);
	memset(s->count, 0, sizeof(s->count));
}

static void test_every_form_visits_all_once(void **state)
{
	static const unsigned int cores[] = {1, 2, 3, 64};
	struct seen *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	for (size_t c = 0; c < VT_COUNT(cores); c++) {
		struct pthreadpool g = {
			.run = gang_backwards, .cores = cores[c], .report_threads = 1};

		*s = (struct seen){.range = {1000}, .dims = 1};
		pthreadpool_parallelize_1d(&g, t1, s, 1000, 0);
		check(s);
		pthreadpool_parallelize_1d_tile_1d(&g, t1t1, s, 1000, 7, 0);
		check(s);
		*s = (struct seen){.range = {13, 77}, .dims = 2};
		pthreadpool_parallelize_2d(&g, t2, s, 13, 77, 0);
		check(s);
		pthreadpool_parallelize_2d_tile_1d(&g, t2t1, s, 13, 77, 5, 0);
		check(s);
		*s = (struct seen){.range = {5, 6, 7}, .dims = 3};
		pthreadpool_parallelize_3d(&g, t3, s, 5, 6, 7, 0);
		check(s);
		pthreadpool_parallelize_3d_tile_2d(&g, t3t2, s, 5, 6, 7, 4, 7, 0);
		check(s);
		*s = (struct seen){.range = {2, 3, 10, 33}, .dims = 4};
		pthreadpool_parallelize_4d_tile_2d(&g, t4t2, s, 2, 3, 10, 33, 3, 16, 0);
		check(s);
		*s = (struct seen){.range = {2, 3, 1, 4, 19}, .dims = 5};
		pthreadpool_parallelize_5d_tile_1d(&g, t5t1, s, 2, 3, 1, 4, 19, 4, 0);
		check(s);
		*s = (struct seen){.range = {2, 1, 3, 2, 9, 17}, .dims = 6};
		pthreadpool_parallelize_6d_tile_2d(&g, t6t2, s, 2, 1, 3, 2, 9, 17, 2, 8, 0);
		check(s);
	}
	free(s);
}

static void test_every_variant_visits_all_once(void **state)
{
	static const struct {
		size_t m, n, mr;
	} shape[] = {{49, 100, 7},  {1, 333, 7},    {14, 32, 14},
		     {196, 96, 14}, {15, 1000, 14}, {100, 1, 7}};
	static const unsigned int cores[] = {1, 2, 5};
	struct seen *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	for (const struct vt_variant *v = vt_variants; v->name; v++)
		for (size_t i = 0; i < VT_COUNT(shape); i++)
			for (size_t c = 0; c < VT_COUNT(cores); c++) {
				struct pthreadpool g = {.run = gang_backwards,
							.variant = v,
							.cores = cores[c],
							.report_threads = 1};

				*s = (struct seen){.range = {shape[i].m, shape[i].n}, .dims = 2};
				s->max_tile[0] = shape[i].mr;
				s->max_tile[1] = v->nc && v->nc < shape[i].n ? v->nc : shape[i].n;
				pthreadpool_parallelize_2d_tile_2d(&g, t2t2, s, shape[i].m,
								   shape[i].n, shape[i].mr,
								   shape[i].n, 0);
				check(s);
			}
	free(s);
}

static void test_empty_range_runs_nothing(void **state)
{
	pthreadpool_parallelize_2d_tile_2d(NULL, t2t2, NULL, 0, 5, 1, 5, 0);
	pthreadpool_parallelize_1d(NULL, t1, NULL, 0, 0);
}

/* XNNPACK must not find a pthreadpool symbol anywhere else than here. */
static void test_we_define_what_xnnpack_imports(void **state)
{
	char line[256];
	int imports = 0;
	FILE *f = popen("nm -D --undefined-only \"$(ldconfig -p | sed -n 's/.*libXNNPACK.so.* => "
			"//p' | head -n 1)\"",
			"r");

	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		char *name = strstr(line, "pthreadpool_");
		bool ours = false;

		if (!name)
			continue;
		name[strcspn(name, "\n@")] = '\0';
		for (const char *const *s = vt_tile_symbols; *s; s++)
			ours |= !strcmp(*s, name);
		if (!ours)
			fail_msg("libXNNPACK imports %s, which tile.c does not define", name);
		imports++;
	}
	pclose(f);
	assert_true(imports > 0);
}

static void test_variant_names_tell_all(void **state)
{
	for (const struct vt_variant *v = vt_variants; v->name; v++) {
		char want[64];
		int n = v->kind == VT_VARIANT_ANY ? snprintf(want, sizeof(want), "any")
						  : snprintf(want, sizeof(want), "f32_gemm_%s",
							     v->cols_outer ? "nouter" : "mouter");

		if (v->nc)
			n += snprintf(want + n, sizeof(want) - (size_t)n, "_nc%u", v->nc);
		if (v->split)
			n += snprintf(want + n, sizeof(want) - (size_t)n, "_split");
		else if (v->fit)
			n += snprintf(want + n, sizeof(want) - (size_t)n, "_fit");
		if (v->mc)
			n += snprintf(want + n, sizeof(want) - (size_t)n, "_mc%u", v->mc);
		if (v->chunks)
			snprintf(want + n, sizeof(want) - (size_t)n, "_c%u", v->chunks);
		assert_string_equal(v->name, want);
		assert_ptr_equal(vt_variant_find(want), v);
		assert_int_equal(v->nc % VT_GEMM_NR, 0);
	}
	assert_null(vt_variant_find("f32_gemm"));
}

/* What a task leaves is there for the next of the same owner, unless another has had the memory meanwhile. */
static void test_scratch_remembers_its_owner(void **state)
{
	bool still;

	assert_int_equal(vt_scratch_reserve(100), 0);
	vt_scratch_of(7, &still);
	assert_false(still);
	strcpy(vt_scratch_of(7, &still), "left");
	assert_true(still);
	assert_string_equal(vt_scratch_of(7, &still), "left");
	vt_scratch_of(8, &still);
	assert_false(still);
	vt_scratch_of(7, &still);
	assert_false(still);
	vt_scratch();
	vt_scratch_of(7, &still);
	assert_false(still);
	assert_int_equal(vt_scratch_reserve((size_t)3 << 20), 0); /* other memory */
	memset(vt_scratch_of(7, &still), 1, (size_t)3 << 20);
	assert_false(still);
	vt_scratch_release();
	assert_int_equal(vt_scratch_reserve(100), 0);
	vt_scratch_of(7, &still);
	assert_false(still);
	vt_scratch_release();
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_form_visits_all_once),
		cmocka_unit_test(test_every_variant_visits_all_once),
		cmocka_unit_test(test_empty_range_runs_nothing),
		cmocka_unit_test(test_we_define_what_xnnpack_imports),
		cmocka_unit_test(test_scratch_remembers_its_owner),
		cmocka_unit_test(test_variant_names_tell_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
