// SPDX-License-Identifier: Apache-2.0
/* `veltair top` without a terminal: states to rates, rates to lines. */
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/top.h"
#include "harness.h"

static const char before[] =
	"{\"veltair\":\"0\",\"policy\":\"edf\",\"uptime_s\":10,\"waiting\":3,\"limit\":64,"
	"\"bucket_ms\":[1,2,4],\"models\":[{\"id\":1,\"name\":\"a\",\"version\":\"1\",\"qos_ms\":3,"
	"\"in_time\":10,\"late\":0,\"shed\":0,\"queue_full\":0,\"blocks\":10,\"conflicts\":0,"
	"\"granted\":10,\"wanted\":10,\"latency\":[10,0,0,0],\"layer_runs\":[100,0,0,0,0]}],"
	"\"domains\":[{\"pressure\":0.5,\"confidence\":0.8,\"slowdown\":true}],"
	"\"cores\":[{\"cpu\":0,\"busy_s\":1,\"model\":\"a\"},{\"cpu\":1,\"busy_s\":1,\"model\":"
	"null}],"
	"\"counters\":[{\"role\":\"llc_misses\",\"event\":\"page-faults\",\"class\":\"sw\"}],"
	"\"tenants\":[{\"name\":\"x\",\"kind\":\"cgroup\",\"cpu_s\":1,\"llc_misses\":5},"
	"{\"name\":\"y\",\"kind\":\"cgroup\",\"cpu_s\":1,\"llc_misses\":5}]}";

static const char after[] =
	"{\"veltair\":\"0\",\"policy\":\"edf\",\"uptime_s\":12,\"waiting\":3,\"limit\":64,"
	"\"bucket_ms\":[1,2,4],\"models\":[{\"id\":1,\"name\":\"a\",\"version\":\"1\",\"qos_ms\":3,"
	"\"in_time\":16,\"late\":2,\"shed\":2,\"queue_full\":0,\"blocks\":20,\"conflicts\":5,"
	"\"granted\":25,\"wanted\":30,\"latency\":[10,8,0,0],\"layer_runs\":[150,50,0,0,0]},"
	"{\"id\":2,\"name\":\"\\u001b[2Jnew\",\"version\":\"2\"}],"
	"\"domains\":[{\"pressure\":0.5,\"confidence\":0.8,\"slowdown\":true}],"
	"\"cores\":[{\"cpu\":0,\"busy_s\":2,\"model\":\"a\"},{\"cpu\":1,\"busy_s\":1,\"model\":"
	"null}],"
	"\"counters\":[{\"role\":\"llc_misses\",\"event\":\"page-faults\",\"class\":\"sw\"}],"
	"\"tenants\":[{\"name\":\"x\",\"kind\":\"cgroup\",\"cpu_s\":1.5,\"llc_misses\":9},"
	"{\"name\":\"y\",\"kind\":\"cgroup\",\"cpu_s\":3,\"llc_misses\":5},"
	"{\"name\":\"z\",\"kind\":\"cgroup\",\"cpu_s\":70,\"llc_misses\":5}]}";

static struct vt_top *rates(void)
{
	json_t *a = json_loads(before, 0, NULL), *b = json_loads(after, 0, NULL);
	struct vt_top *t = malloc(sizeof(*t));

	assert_non_null(a);
	assert_non_null(b);
	assert_int_equal(vt_top_rates(a, b, 2.0, t), 0);
	json_decref(a);
	json_decref(b);
	return t;
}

#define near(a, b) assert_true(fabs((a) - (b)) < 1e-6)

/* Those without memory are refused; a server that does not tell them, as in test_rates(), has none. */
static void test_no_memory_is_a_refusal(void **state)
{
	json_t *a = json_loads(before, 0, NULL), *b = json_loads(after, 0, NULL);
	struct vt_top *t = malloc(sizeof(*t));

	json_object_set_new(json_array_get(json_object_get(a, "models"), 0), "no_memory",
			    json_integer(1));
	json_object_set_new(json_array_get(json_object_get(b, "models"), 0), "no_memory",
			    json_integer(3));
	assert_int_equal(vt_top_rates(a, b, 2.0, t), 0);
	near(t->model[0].refused, 2);
	near(t->model[0].in_time, 0.5);
	json_decref(a);
	json_decref(b);
	free(t);
}

static void test_rates(void **state)
{
	struct vt_top *t = rates();

	assert_int_equal(t->n_models, 2);
	near(t->model[0].rate, 4);
	near(t->model[0].in_time, 0.6);
	near(t->model[0].p50_ms, 1.5); /* eight between 1 and 2 ms */
	near(t->model[0].granted, 1.5);
	near(t->model[0].conflicts, 0.5);
	near(t->model[0].other_versions, 0.5);
	near(t->core[0].busy, 0.5);
	/* A tenant that was not there before has no rate; a stand-in is never called a miss. */
	assert_int_equal(t->n_tenants, 2);
	near(t->tenant[0].cpus, 0.25);
	assert_true(isnan(t->tenant[0].llc_misses));
	near(t->tenant[0].stand_in, 2);
	assert_true(isnan(t->tenant[0].ipc));
	free(t);
}

/* What replaces a model at a reload has another id, and its counts go on; what was unloaded and loaded begins anew. */
static void test_another_id(void **state)
{
	static const struct {
		int requests; /* before; 20 now */
		double rate, granted;
	} cases[] = {{10, 4, 1.5}, {90, 9, 1.25}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		json_t *a = json_loads(before, 0, NULL), *b = json_loads(after, 0, NULL);
		json_t *old = json_array_get(json_object_get(a, "models"), 0);
		json_t *now = json_array_get(json_object_get(b, "models"), 0);
		struct vt_top *t = malloc(sizeof(*t));

		json_object_set_new(old, "requests", json_integer(cases[i].requests));
		json_object_set_new(now, "requests", json_integer(20));
		json_object_set_new(now, "id", json_integer(258));
		assert_int_equal(vt_top_rates(a, b, 2.0, t), 0);
		near(t->model[0].rate, cases[i].rate);
		near(t->model[0].granted, cases[i].granted);
		json_decref(a);
		json_decref(b);
		free(t);
	}
}

/* On the core map it is called as in the table. */
static void test_version_of_a_core(void **state)
{
	json_t *b = json_loads(after, 0, NULL);
	struct vt_top *t = malloc(sizeof(*t));

	json_object_set_new(json_array_get(json_object_get(b, "cores"), 0), "version",
			    json_string("2"));
	json_object_set_new(json_array_get(json_object_get(b, "models"), 0), "version",
			    json_string("2"));
	assert_int_equal(vt_top_rates(NULL, b, 2.0, t), 0);
	assert_string_equal(t->model[0].name, "a:2");
	assert_string_equal(t->core[0].model, "a:2");
	assert_string_equal(t->core[1].model, "");
	json_decref(b);
	free(t);
}

/* Nor is another quantity, even if hardware counts it. */
static void test_proxy_is_a_stand_in(void **state)
{
	json_t *a = json_loads(before, 0, NULL), *b = json_loads(after, 0, NULL);
	struct vt_top *t = malloc(sizeof(*t));
	json_t *c = json_array_get(json_object_get(b, "counters"), 0);

	json_object_set_new(c, "class", json_string("hw"));
	json_object_set_new(c, "quality", json_string("approx"));
	assert_int_equal(vt_top_rates(a, b, 2.0, t), 0);
	near(t->tenant[0].llc_misses, 2);
	json_object_set_new(c, "quality", json_string("proxy"));
	assert_int_equal(vt_top_rates(a, b, 2.0, t), 0);
	assert_true(isnan(t->tenant[0].llc_misses));
	near(t->tenant[0].stand_in, 2);
	json_decref(a);
	json_decref(b);
	free(t);
}

/* What a server has counted that was started anew since the last look, it has counted since then. */
static void test_started_anew(void **state)
{
	json_t *a = json_loads(after, 0, NULL), *b = json_loads(before, 0, NULL);
	struct vt_top *t = malloc(sizeof(*t));

	assert_int_equal(json_object_set_new(a, "started_s", json_real(100)), 0);
	assert_int_equal(json_object_set_new(b, "started_s", json_real(200)), 0);
	assert_int_equal(vt_top_rates(a, b, 2.0, t), 0);
	near(t->model[0].rate, 5);
	near(t->model[0].in_time, 1);
	near(t->model[0].p50_ms, 0.5); /* ten, none above 1 ms */
	near(t->model[0].conflicts, 0);
	near(t->core[0].busy, 0.5);
	assert_int_equal(t->n_tenants, 0);
	json_decref(a);
	json_decref(b);
	free(t);
}

/* Anything may come from the other side. */
static void test_any_json(void **state)
{
	static const char *const texts[] = {
		"{\"veltair\":1}",
		"{\"veltair\":1,\"models\":7,\"cores\":{},\"tenants\":[1,[],{}],\"counters\":[null,"
		"{}]}",
		"{\"veltair\":1,\"models\":[{\"name\":5,\"latency\":[\"x\",null],\"waiting\":-"
		"1e300}]}",
		"{\"veltair\":1,\"domains\":[{}],\"cores\":[{\"cpu\":\"a\"}],\"waiting\":1e300}",
	};
	struct vt_top *t = malloc(sizeof(*t));
	struct vt_top_text *text = malloc(sizeof(*text));
	struct vt_top_ui ui = {.width = 80, .sort = {1, 2}};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		json_t *j = json_loads(texts[i], 0, NULL);

		assert_non_null(j);
		assert_int_equal(vt_top_rates(NULL, j, 1, t), 0);
		vt_top_lines(t, &ui, "here", text);
		assert_int_equal(vt_top_rates(j, j, 1, t), 0);
		vt_top_lines(t, &ui, "here", text);
		json_decref(j);
	}
	assert_int_equal(vt_top_rates(NULL, NULL, 1, t), -EINVAL);
	free(t);
	free(text);
}

static void test_every_width(void **state)
{
	struct vt_top *t = rates();
	struct vt_top_text *text = malloc(sizeof(*text));

	for (int width = 1; width < 200; width++)
		for (int height = 1; height < 30; height += 7)
			for (int sort = 0; sort < 6; sort++) {
				struct vt_top_ui ui = {
					.width = width, .height = height, .sort = {sort, sort}};

				vt_top_lines(t, &ui, "here", text);
				for (int i = 0; i < text->n; i++) {
					assert_true(strlen(text->line[i].text) <= (size_t)width);
					assert_null(strchr(text->line[i].text, 0x1b));
				}
			}
	free(t);
	free(text);
}

static int line_with(const struct vt_top_text *t, const char *what)
{
	for (int i = 0; i < t->n; i++)
		if (!strncmp(t->line[i].text, what, strlen(what)))
			return i;
	return -1;
}

static void test_sorting(void **state)
{
	struct vt_top *t = rates();
	struct vt_top_text *text = malloc(sizeof(*text));
	struct vt_top_ui ui = {.width = 100, .sort = {1, 2}};

	vt_top_lines(t, &ui, "here", text); /* by CPU, largest first */
	assert_true(line_with(text, "y ") < line_with(text, "x "));
	ui.up[0] = true;
	vt_top_lines(t, &ui, "here", text);
	assert_true(line_with(text, "x ") < line_with(text, "y "));
	assert_true(line_with(text, "LLC misses n/a: no hardware counter") >= 0);
	assert_true(line_with(text, "?[2Jnew:2") >= 0);
	free(t);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rates),
		cmocka_unit_test(test_no_memory_is_a_refusal),
		cmocka_unit_test(test_proxy_is_a_stand_in),
		cmocka_unit_test(test_started_anew),
		cmocka_unit_test(test_any_json),
		cmocka_unit_test(test_every_width),
		cmocka_unit_test(test_sorting),
		cmocka_unit_test(test_another_id),
		cmocka_unit_test(test_version_of_a_core),
	};

	setlocale(LC_CTYPE, "C.UTF-8");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
