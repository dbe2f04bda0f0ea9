// SPDX-License-Identifier: Apache-2.0
/* Traces of the live plant: spans never overlap on a core, and add up to the core time granted. */
#include <jansson.h>

#include "metrics/chrome_live.h"
#include "runtime_fixture.h"

#define REQUESTS 120u

static void on_core(void *arg, const struct vt_core_span *s)
{
	vt_chrome_core_span(arg, s);
}

static void on_layer(void *arg, const struct vt_layer_span *s)
{
	vt_chrome_layer_span(arg, s);
}

/* All requests at once: blocks start, grow and preempt each other. Returns their core time. */
static double run(const struct vt_policy *policy, struct vt_chrome *c)
{
	struct vt_runtime_opts o = {.policy = policy,
				    .no_shed = true,
				    .record_fd = -1,
				    .core = on_core,
				    .layer = on_layer,
				    .arg = c};
	struct fx_request *r = calloc(REQUESTS, sizeof(*r));
	struct vt_runtime *rt = fx_open(&o);
	struct fx_model f[2] = {{0}};
	struct fx_load l = {0};
	struct vt_err e = {0};
	uint64_t core_ns = 0;

	for (int i = 0; i < 2; i++) {
		struct vt_served s = {.engine = fx_engine(fx_dir, fx_names[i], 2)};

		fx_answers(&f[i], s.engine);
		s.costs = fx_costs(s.engine, fx_names[i], 100000,
				   20000000 + 60000000ull * (uint64_t)i);
		snprintf(s.name, sizeof(s.name), "%s", fx_names[i]);
		assert_int_equal(vt_runtime_add(rt, &s, &f[i].id, &e), 0);
	}
	for (uint32_t i = 0; i < REQUESTS; i++)
		fx_submit(rt, &r[i], &f[i % 2], &l, i);
	fx_wait(&l, REQUESTS);
	vt_runtime_drain(rt);
	for (uint32_t i = 0; i < REQUESTS; i++)
		core_ns += r[i].q.core_ns;
	vt_runtime_close(rt);
	for (int i = 0; i < 2; i++)
		fx_model_fini(&f[i]);
	free(r);
	return (double)core_ns;
}

static json_t *written(struct vt_chrome *c)
{
	char *buf = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&buf, &len);
	json_t *j;

	assert_int_equal(vt_chrome_write(c, out, NULL), 0);
	fclose(out);
	j = json_loadb(buf, len, 0, NULL);
	free(buf);
	assert_non_null(j);
	return j;
}

static double num(const json_t *o, const char *key)
{
	return json_number_value(json_object_get(o, key));
}

/* Every event as the Trace Event Format wants it; block spans in order and apart; their sum in us. */
static double check(json_t *j, double core_ns)
{
	double free_us[VT_MAX_CORES] = {0}, sum_us = 0, block_end[VT_MAX_CORES] = {0};
	json_t *ev;
	size_t i;

	assert_int_equal(num(json_object_get(j, "otherData"), "dropped"), 0);
	json_array_foreach(json_object_get(j, "traceEvents"), i, ev)
	{
		const char *ph = json_string_value(json_object_get(ev, "ph"));
		const char *cat = json_string_value(json_object_get(ev, "cat"));
		unsigned int tid = (unsigned int)num(ev, "tid");

		assert_non_null(json_string_value(json_object_get(ev, "name")));
		assert_int_equal(num(ev, "pid"), 1);
		assert_true(json_is_object(json_object_get(ev, "args")));
		if (!strcmp(ph, "M"))
			continue;
		assert_string_equal(ph, "X");
		assert_true(num(ev, "ts") >= 0 && num(ev, "dur") >= 0 && tid < VT_MAX_CORES);
		if (!strcmp(cat, "block")) {
			/* A microsecond has three decimals: neighbours may touch. */
			assert_true(num(ev, "ts") >= free_us[tid] - 0.0015);
			free_us[tid] = num(ev, "ts") + num(ev, "dur");
			block_end[tid] = free_us[tid];
			sum_us += num(ev, "dur");
		} else {
			assert_string_equal(cat, "layer");
			assert_true(num(ev, "ts") + num(ev, "dur") <= block_end[tid] + 0.0015);
		}
	}
	print_message("# spans %.3f ms, granted %.3f ms\n", sum_us / 1e3, core_ns / 1e6);
	return sum_us;
}

static void test_spans(void **state)
{
	static const char *const policies[] = {"veltair-full", "planaria", "prema", "fcfs"};

	for (size_t p = 0; p < VT_COUNT(policies); p++) {
		struct vt_chrome *c;
		double core_ns, sum_us;
		json_t *j;

		assert_int_equal(vt_chrome_new(&c, 1 << 16, NULL), 0);
		core_ns = run(vt_policy_find(policies[p]), c);
		j = written(c);
		sum_us = check(j, core_ns);
		assert_true(sum_us * 1e3 > 0.99 * core_ns && sum_us * 1e3 < 1.01 * core_ns);
		json_decref(j);
		vt_chrome_free(c);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {cmocka_unit_test(test_spans)};

	return cmocka_run_group_tests(tests, fx_setup, fx_teardown);
}
