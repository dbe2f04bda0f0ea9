// SPDX-License-Identifier: Apache-2.0
#include "harness.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine_fixture.h"
#include "exec/costs.h"
#include "model/zoo.h"

/* An engine as the scheduler sees it: from runs, and from a store filled by hand. */

static char dir[] = "/tmp/veltair-test-costs-XXXXXX";
static char db_path[128];
static struct vt_engine *eng;

static const struct vt_profile_key here = {"GenuineTest", "test"};
static const uint16_t points[] = {1, 2, 4};

static const char *sig(int step, char buf[static VT_PROFILE_TEXT])
{
	int n = vt_layer_signature(eng, step, buf, VT_PROFILE_TEXT);

	assert_in_range(n, 1, VT_PROFILE_TEXT - 1);
	assert_int_equal(n, strlen(buf));
	return buf;
}

/* ---- signatures ----------------------------------------------------------------------------- */

static void test_signatures(void **state)
{
	char a[VT_PROFILE_TEXT], b[VT_PROFILE_TEXT], cut[8];
	int equal = 0;

	assert_int_equal(vt_layer_signature(eng, -1, a, sizeof(a)), -EINVAL);
	assert_int_equal(vt_layer_signature(eng, eng->n_steps, a, sizeof(a)), -EINVAL);
	for (int i = 0; i < eng->n_steps; i++) {
		const struct vt_step *s = &eng->steps[i];

		sig(i, a);
		assert_int_equal(strncmp(a, vt_op_name(eng->graph.nodes[s->node].op),
					 strlen(vt_op_name(eng->graph.nodes[s->node].op))),
				 0);
		assert_non_null(strstr(a, s->layer.kernel->name));
		for (int j = 0; j < i; j++) {
			bool same = !strcmp(a, sig(j, b));

			equal += same;
			/* What runs other code, or is another amount of work, is another layer. */
			if (same) {
				assert_ptr_equal(s->layer.kernel, eng->steps[j].layer.kernel);
				assert_int_equal(s->flops, eng->steps[j].flops);
				assert_int_equal(s->layer.rows, eng->steps[j].layer.rows);
			}
		}
	}
	assert_true(equal > 0); /* the encoder's layers repeat */
	assert_int_equal(vt_layer_signature(eng, 0, cut, sizeof(cut)), strlen(sig(0, a)));
	assert_int_equal(strncmp(cut, a, 7), 0);
}

static void test_here(void **state)
{
	struct vt_profile_key a, b;

	vt_profile_here(&a);
	vt_profile_here(&b);
	assert_memory_equal(&a, &b, sizeof(a));
	assert_non_null(strstr(a.machine, " cores, L2 "));
	assert_non_null(strstr(a.library, ", kernels "));
	assert_null(strstr(a.library, "unknown"));
}

/* ---- from runs ------------------------------------------------------------------------------ */

static void test_measured(void **state)
{
	static const uint16_t one_two[] = {1, 2}, too_many[] = {2000};
	struct vt_cpuset allowed;
	struct vt_costs c = {0};
	struct vt_pool *pool = NULL;
	struct vt_err e = {0};
	size_t n;

	vt_cpuset_allowed(&allowed);
	n = vt_cpuset_count(&allowed) > 1 ? 2 : 1;
	assert_int_equal(vt_pool_open(&pool, &allowed, &e), 0);
	if (vt_costs_measured(&c, eng, pool, "tiny", 0, one_two, n, 3, &e))
		fail_msg("%s", e.msg);
	assert_int_equal(c.source, VT_COSTS_RUNS);
	assert_int_equal(c.model.n_layers, eng->n_steps);
	assert_int_equal(c.model.n_points, n);
	assert_int_equal(c.model.n_versions, 1);
	assert_string_equal(c.model.name, "tiny");
	assert_int_equal(vt_model_check(&c.model, NULL), 0);
	assert_int_equal(c.model.qos_ns, 3 * vt_model_block_ns(&c.model, 0, c.model.n_layers, NULL,
							       (unsigned int)n, 0));
	for (int l = 0; l < eng->n_steps; l++) {
		assert_null(c.variant[l]);
		for (unsigned int v = 1; v < VT_LEVELS; v++)
			assert_int_equal(vt_model_ns(&c.model, (unsigned int)l, 0, v, 0),
					 vt_model_ns(&c.model, (unsigned int)l, 0, 0, 0));
	}
	vt_costs_fini(&c);
	assert_int_equal(vt_costs_measured(&c, eng, pool, "tiny", 0, too_many, 1, 1, &e), -EINVAL);
	assert_non_null(strstr(e.msg, "cannot measure on 2000 cores: there are"));
	assert_null(c.mem);
	vt_costs_fini(&c);
	vt_pool_close(pool);
}

/** Lends until @refuse_at, and looks at how much it is asked for at one time. */
struct lent {
	struct vt_pool *pool;
	int calls, refuse_at; /* 0: never */
};

static int lend(void *arg, int (*fn)(void *what, struct vt_pool *pool), void *what)
{
	struct lent *l = arg;

	return ++l->calls == l->refuse_at ? -EBUSY : fn(what, l->pool);
}

/* The first run goes step by step; who lends is asked before each piece, and may end it there. */
static void test_measured_in_pieces(void **state)
{
	static const uint16_t one[] = {1};
	static const struct {
		int refuse_at, want, calls;
		const char *says;
	} t[] = {{0, 0, 3, ""},
		 {1, -EBUSY, 1, "tiny: cannot prepare the workers: Device or resource busy"},
		 {2, -EBUSY, 2, "cannot run on 1 cores: Device or resource busy"},
		 {3, -EBUSY, 3, "cannot run on 1 cores: Device or resource busy"}};
	struct vt_cpuset allowed;
	struct vt_pool *pool = NULL;
	struct vt_err e = {0};

	vt_cpuset_allowed(&allowed);
	assert_int_equal(vt_pool_open(&pool, &allowed, &e), 0);
	for (size_t i = 0; i < VT_COUNT(t); i++) {
		struct lent l = {pool, 0, t[i].refuse_at};
		const struct vt_costs_lender by = {lend, &l};
		struct vt_costs c = {0};

		assert_int_equal(vt_costs_measured_by(&c, eng, &by, "tiny", 0, one, 1, 2, &e),
				 t[i].want);
		assert_string_equal(e.msg, t[i].says);
		e = (struct vt_err){0};
		if (t[i].want)
			assert_int_equal(l.calls, t[i].calls);
		else /* scratch, each step of the first run, and two runs more */
			assert_in_range(l.calls, 1 + eng->n_steps + 2, 1 + 3 * eng->n_steps);
		vt_costs_fini(&c);
	}
	vt_pool_close(pool);
}

/* ---- from the store ------------------------------------------------------------------------- */

static void put(struct vt_profile *p, int step, const char *variant, uint16_t cores, uint8_t level,
		uint64_t ns)
{
	char s[VT_PROFILE_TEXT];
	struct vt_profile_time t = {sig(step, s), variant, cores, level, ns, 1, 5, false, 0, 0};
	struct vt_err e = {0};

	if (vt_profile_put(p, &t, 1, &e))
		fail_msg("%s", e.msg);
}

static struct vt_profile *new_store(void)
{
	static int n;
	struct vt_profile *p = NULL;
	struct vt_err e = {0};

	snprintf(db_path, sizeof(db_path), "%s/%d.db", dir, n++);
	if (vt_profile_open(&p, db_path, VT_PROFILE_WRITE, &here, &e))
		fail_msg("%s", e.msg);
	return p;
}

static bool is_matrix(int step)
{
	return eng->steps[step].layer.depth != 0;
}

/* The time put for a layer: equal signatures must get equal times, so it depends on flops only. */
static uint64_t base_ns(int step)
{
	return 1000 + eng->steps[step].flops % 1000;
}

/* All layers on 1 and 2 cores, matrix layers on 4 too; level 3 of two versions. */
static void fill(struct vt_profile *p)
{
	static const char *const keep[] = {"f32_gemm_nouter_nc64", "f32_gemm_mouter"};
	char s[VT_PROFILE_TEXT];
	struct vt_err e = {0};

	for (int i = 0; i < eng->n_steps; i++) {
		uint64_t ns = base_ns(i);

		if (!is_matrix(i)) {
			put(p, i, VT_PROFILE_NOTHING, 1, 0, ns);
			put(p, i, VT_PROFILE_NOTHING, 2, 0, ns / 2);
			continue;
		}
		for (uint16_t c = 1; c <= 4; c = (uint16_t)(2 * c)) {
			put(p, i, keep[0], c, 0, ns / c);
			put(p, i, keep[0], c, 3, 4 * ns / c);
			put(p, i, keep[1], c, 0, 2 * ns / c);
			put(p, i, keep[1], c, 3, 3 * ns / c);
			put(p, i, "f32_gemm_nouter", c, 0, 9 * ns / c);
		}
		assert_int_equal(vt_profile_keep(p, sig(i, s), keep, 2, &e), 0);
	}
}

static void test_profiled(void **state)
{
	static const uint64_t by_level[2][VT_LEVELS] = {{1, 1, 1, 4, 4}, {2, 2, 2, 3, 3}};
	struct vt_profile *p = new_store();
	struct vt_costs c = {0};
	struct vt_err e = {0};

	fill(p);
	if (vt_costs_profiled(&c, eng, p, "tiny", 77, points, VT_COUNT(points), &e))
		fail_msg("%s", e.msg);
	assert_int_equal(c.source, VT_COSTS_PROFILE);
	assert_int_equal(c.model.n_points, 2); /* elementwise layers lack four cores */
	assert_int_equal(c.model.points[1], 2);
	assert_int_equal(c.model.n_versions, 2);
	assert_int_equal(c.model.qos_ns, 77);
	for (int l = 0; l < eng->n_steps; l++) {
		const struct vt_variant **v = &c.variant[2 * l];
		unsigned int layer = (unsigned int)l;

		if (!is_matrix(l)) {
			assert_null(v[0]);
			assert_int_equal(vt_model_ns(&c.model, layer, 1, 0, 0), 0);
			assert_int_equal(vt_model_ns(&c.model, layer, 0, 4, 1), base_ns(l) / 2);
			continue;
		}
		assert_string_equal(v[0]->name, "f32_gemm_nouter_nc64");
		assert_string_equal(v[1]->name, "f32_gemm_mouter");
		for (unsigned int i = 0; i < 2; i++)
			for (unsigned int s = 0; s < VT_LEVELS; s++)
				assert_int_equal(vt_model_ns(&c.model, layer, i, s, 0),
						 by_level[i][s] * base_ns(l));
	}
	vt_costs_fini(&c);
	vt_profile_close(p);
}

/* The bubble needs cores: on all of them only level 0 can be measured. */
static void test_all_cores_are_slowed_as_fewer(void **state)
{
	static const uint64_t one[VT_LEVELS] = {1000, 1500, 0, 3000, 4000};
	static const uint64_t two[VT_LEVELS] = {600, 900, 900, 1800, 2400};
	static const uint16_t counts[] = {1, 2};
	struct vt_profile *p = new_store();
	struct vt_costs c = {0};
	struct vt_err e = {0};

	for (int i = 0; i < eng->n_steps; i++) {
		const char *name = is_matrix(i) ? "f32_gemm_mouter" : "any_c8";

		for (uint8_t s = 0; s < VT_LEVELS; s++)
			if (one[s])
				put(p, i, name, 1, s, one[s]);
		put(p, i, name, 2, 0, two[0]);
	}
	if (vt_costs_profiled(&c, eng, p, "tiny", 0, counts, 2, &e))
		fail_msg("%s", e.msg);
	for (unsigned int s = 0; s < VT_LEVELS; s++)
		assert_int_equal(vt_model_ns(&c.model, 0, 0, s, 1), two[s]);
	assert_int_equal(vt_model_ns(&c.model, 0, 0, 2, 0), 1500);
	vt_costs_fini(&c);
	vt_profile_close(p);
}

/* Nothing kept, as after a kill: the fastest alone stands for the layer. */
static void test_nothing_kept(void **state)
{
	static const char *const names[2][3] = {
		{"any_c8", "any_c2", "any_c32"},
		{"f32_gemm_mouter", "f32_gemm_nouter", "f32_gemm_nouter_nc64"}};
	static const uint64_t ns[3] = {300, 100, 200};
	static const uint16_t one[] = {1};
	struct vt_profile *p = new_store();
	struct vt_costs c = {0};
	struct vt_err e = {0};

	for (int i = 0; i < eng->n_steps; i++) {
		for (int v = 0; v < 3; v++)
			put(p, i, names[is_matrix(i)][v], 1, 0, ns[v]);
	}
	if (vt_costs_profiled(&c, eng, p, "tiny", 0, one, 1, &e))
		fail_msg("%s", e.msg);
	assert_int_equal(c.model.n_versions, 1);
	for (int l = 0; l < eng->n_steps; l++) {
		assert_string_equal(c.variant[l]->name, names[is_matrix(l)][1]);
		assert_int_equal(vt_model_ns(&c.model, (unsigned int)l, 0, 0, 0), 100);
	}
	vt_costs_fini(&c);
	vt_profile_close(p);
}

/* One run: by level; where the store lacks the cores, the next smaller count, else the next larger. */
static void test_choose(void **state)
{
	static const struct {
		unsigned int cores;
		uint8_t level;
		const char *matrix;
	} t[] = {
		{1, 0, "f32_gemm_nouter_nc64"},	 {1, 2, "f32_gemm_nouter_nc64"},
		{1, 3, "f32_gemm_mouter"},	 {3, 4, "f32_gemm_mouter"},
		{64, 0, "f32_gemm_nouter_nc64"},
	};
	const struct vt_variant **v = calloc((size_t)eng->n_steps, sizeof(*v));
	struct vt_profile *p = new_store();
	struct vt_err e = {0};

	assert_non_null(v);
	assert_int_equal(vt_costs_choose(eng, p, 1, 0, v, &e), eng->n_steps); /* empty store */
	fill(p);
	for (size_t i = 0; i < VT_COUNT(t); i++) {
		assert_int_equal(vt_costs_choose(eng, p, t[i].cores, t[i].level, v, &e), 0);
		for (int l = 0; l < eng->n_steps; l++)
			if (is_matrix(l))
				assert_string_equal(v[l]->name, t[i].matrix);
			else
				assert_null(v[l]);
	}
	assert_int_equal(vt_costs_choose(eng, p, 1, VT_LEVELS, v, &e), -EINVAL);
	free(v);
	vt_profile_close(p);
}

/* All versions, or of each layer the one that is fastest at a level on the most cores. */
static void test_copy(void **state)
{
	struct vt_profile *p = new_store();
	struct vt_costs from = {0}, all = {0}, one = {0};
	struct vt_err e = {0};
	const struct vt_model *m = &from.model;

	fill(p);
	if (vt_costs_profiled(&from, eng, p, "tiny", 7000000, points, 3, &e) ||
	    vt_costs_copy(&all, &from, -1, &e) || vt_costs_copy(&one, &from, 4, &e))
		fail_msg("%s", e.msg);
	assert_true(m->n_versions > 1 && all.model.n_versions == m->n_versions);
	assert_int_equal(one.model.n_versions, 1);
	assert_int_equal(one.model.qos_ns, 7000000);
	assert_string_equal(one.model.name, "tiny");
	for (unsigned int l = 0; l < m->n_layers; l++) {
		unsigned int last = m->n_points - 1u, best = 0;

		for (unsigned int v = 0; v < m->n_versions; v++) {
			uint64_t ns = vt_model_ns(m, l, v, 4, last);

			if (ns && ns < vt_model_ns(m, l, best, 4, last))
				best = v;
			assert_ptr_equal(all.variant[l * m->n_versions + v],
					 from.variant[l * m->n_versions + v]);
			for (unsigned int i = 0; i < VT_LEVELS * m->n_points; i++)
				assert_int_equal(
					vt_model_ns(&all.model, l, v, i / m->n_points,
						    i % m->n_points),
					vt_model_ns(m, l, v, i / m->n_points, i % m->n_points));
		}
		assert_ptr_equal(one.variant[l], from.variant[l * m->n_versions + best]);
		assert_int_equal(vt_model_ns(&one.model, l, 0, 4, last),
				 vt_model_ns(m, l, best, 4, last));
	}
	vt_costs_fini(&from);
	assert_non_null(all.model.ns); /* it has its own tables */
	vt_costs_fini(&all);
	vt_costs_fini(&one);
	vt_profile_close(p);
}

static void test_refuses(void **state)
{
	struct vt_profile *p = new_store();
	struct vt_costs c = {0};
	struct vt_err e = {0};

	assert_int_equal(vt_costs_profiled(&c, eng, p, "tiny", 0, points, 3, &e), -ENODATA);
	assert_non_null(strstr(e.msg, "tiny"));
	e = (struct vt_err){0};
	for (int i = 0; i < eng->n_steps; i++)
		put(p, i, "f32_of_tomorrow", 1, 0, 5);
	assert_int_equal(vt_costs_profiled(&c, eng, p, "tiny", 0, points, 3, &e), -ENODATA);
	assert_non_null(strstr(e.msg, "f32_of_tomorrow"));
	assert_null(c.mem);
	vt_profile_close(p);
}

static int setup(void **state)
{
	if (!mkdtemp(dir))
		return -1;
	eng = fx_engine(dir, "bert-large-tiny", 0);
	return 0;
}

static int teardown(void **state)
{
	char cmd[128];

	vt_engine_free(eng);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	return system(cmd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_signatures),
		cmocka_unit_test(test_here),
		cmocka_unit_test(test_measured),
		cmocka_unit_test(test_measured_in_pieces),
		cmocka_unit_test(test_profiled),
		cmocka_unit_test(test_all_cores_are_slowed_as_fewer),
		cmocka_unit_test(test_nothing_kept),
		cmocka_unit_test(test_choose),
		cmocka_unit_test(test_copy),
		cmocka_unit_test(test_refuses),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
