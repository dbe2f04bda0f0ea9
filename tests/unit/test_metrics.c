// SPDX-License-Identifier: Apache-2.0
/* Metrics text, JSON and traces: hostile names, unknown values, sums that never go back. */
#include <jansson.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "metrics/chrome.h"
#include "metrics/metrics.h"
#include "base/utf8.h"
#include "page_fixture.h"

/* ---- names from outside ------------------------------------------------------------------- */

static void test_utf8(void **state)
{
	static const struct {
		const char *text;
		size_t len;
	} cases[] = {
		{"a", 1},	 {"\xc3\xa4", 2}, {"\xe2\x82\xac", 3},	   {"\xf0\x9f\x98\x80", 4},
		{"\x80", 0},	 {"\xc0\xaf", 0}, {"\xe0\x80\x80", 0},	   {"\xed\xa0\x80", 0},
		{"\xf5\x80", 0}, {"\xe2\x82", 0}, {"\xf4\x90\x80\x80", 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(vt_utf8_len(cases[i].text), cases[i].len);
}

/* What is shown of a name: valid, steering nothing, cut between characters; in place as well. */
static void test_utf8_put(void **state)
{
	static const struct {
		const char *from;
		size_t len;
		const char *want;
	} cases[] = {
		{"plain", 16, "plain"},
		{"plain", 3, "pl"},
		{"", 1, ""},
		{"a\xc3\xa4", 3, "a"}, /* half an a umlaut is none */
		{"a\xc3\xa4", 4, "a\xc3\xa4"},
		{"\x1b[2J\n\x7f", 16, "?[2J??"},
		{"\xc2\x9b"
		 "2J\xc2\x80\xc2\x9f\xc2\xa0",
		 16, "?2J??\xc2\xa0"}, /* CSI in one character */
		{"\x9b"
		 "2J",
		 16, "?2J"},
		{"bad\xff\xfe", 16, "bad??"},
		{"cut\xe2\x82", 16, "cut??"},
		{"\xed\xa0\x80", 16, "???"}, /* a surrogate */
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char to[16], same[16];

		snprintf(same, sizeof(same), "%s", cases[i].from);
		assert_int_equal(vt_utf8_put(to, cases[i].len, cases[i].from),
				 strlen(cases[i].want));
		assert_string_equal(to, cases[i].want);
		vt_utf8_put(same, cases[i].len, same);
		assert_string_equal(same, cases[i].want);
	}
}

static const struct hostile {
	const char *name, *prometheus, *json;
} hostile[] = {
	{"plain", "plain", "plain"},
	{"quo\"te", "quo\\\"te", "quo\"te"},
	{"back\\slash", "back\\\\slash", "back\\slash"},
	{"new\nline", "new\\nline", "new\nline"},
	{"<script>alert(1)</script>", "<script>alert(1)</script>", "<script>alert(1)</script>"},
	{"\x1b[2J", "?[2J", "\x1b[2J"},
	{"bad\xff"
	 "byte",
	 "bad?byte", "bad?byte"},
	{"\xc3\xa4", "\xc3\xa4", "\xc3\xa4"},
};

static void no_emit(struct vt_expo *x, const struct vt_metrics *m, const struct vt_family *f)
{
}

static void test_hostile_names(void **state)
{
	static const struct vt_family f = {"x", VT_GAUGE, "", "name", "Help.", no_emit, 0, 0};

	for (size_t i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++) {
		const struct vt_label l[] = {{"name", hostile[i].name}};
		struct vt_expo x = {0}, j = {0};
		char want[256];
		json_t *back;

		vt_expo_sample(&x, &f, "", l, 1, 1);
		snprintf(want, sizeof(want),
			 "# HELP veltair_x Help.\n# TYPE veltair_x gauge\nveltair_x{name=\"%s\"} "
			 "1\n",
			 hostile[i].prometheus);
		assert_string_equal(x.buf, want);
		vt_expo_json(&j, hostile[i].name);
		assert_null(strpbrk(j.buf, "<>&"));
		back = json_loads(j.buf, JSON_DECODE_ANY, NULL);
		assert_non_null(back);
		assert_string_equal(json_string_value(back), hostile[i].json);
		json_decref(back);
		free(x.buf);
		free(j.buf);
	}
}

static void test_long_names_are_cut(void **state)
{
	static const struct vt_family f = {"x", VT_GAUGE, "", "name", "Help.", no_emit, 0, 0};
	char name[1000];
	const struct vt_label l[] = {{"name", name}};
	struct vt_expo x = {0};

	/* Two-byte characters: the cut must not split one. */
	for (size_t i = 0; i + 2 < sizeof(name); i += 2)
		memcpy(name + i, "\xc3\xa4", 3);
	vt_expo_sample(&x, &f, "", l, 1, 1);
	assert_non_null(strstr(x.buf, "\xc3\xa4\"} 1\n"));
	assert_true(x.len < 300);
	free(x.buf);
}

/* ---- samples ------------------------------------------------------------------------------ */

static void test_unknown_is_absent(void **state)
{
	static const struct vt_family f = {"x", VT_GAUGE, "", "", "Help.", no_emit, 0, 0};
	struct vt_expo x = {0};

	vt_expo_sample(&x, &f, "", NULL, 0, NAN);
	assert_int_equal(x.len, 0);
	free(x.buf);
}

static void test_histogram(void **state)
{
	static const struct vt_family f = {"d_seconds", VT_HISTOGRAM, "seconds", "",
					   "Help.",	no_emit,      0,	 0};
	const uint64_t bucket[] = {1, 0, 2, 4};
	const double bound[] = {0.001, 0.01, 0.1, 0};
	struct vt_expo x = {.openmetrics = true};

	vt_expo_histogram(&x, &f, NULL, 0, bucket, bound, 4, 1.5);
	assert_string_equal(x.buf, "# HELP veltair_d_seconds Help.\n"
				   "# TYPE veltair_d_seconds histogram\n"
				   "# UNIT veltair_d_seconds seconds\n"
				   "veltair_d_seconds_bucket{le=\"0.001\"} 1\n"
				   "veltair_d_seconds_bucket{le=\"0.01\"} 1\n"
				   "veltair_d_seconds_bucket{le=\"0.1\"} 3\n"
				   "veltair_d_seconds_bucket{le=\"+Inf\"} 7\n"
				   "veltair_d_seconds_sum 1.5\n"
				   "veltair_d_seconds_count 7\n");
	free(x.buf);
}

static void test_bounded(void **state)
{
	struct vt_expo x = {0};

	for (int i = 0; i < 100000; i++)
		vt_expo_put(&x, "%0100d", i);
	assert_true(x.failed);
	assert_true(x.len <= VT_EXPO_MAX);
	free(x.buf);
}

/* ---- everything --------------------------------------------------------------------------- */

static struct vt_runtime_stats *some_stats(void)
{
	struct vt_runtime_stats *s = calloc(1, sizeof(*s));

	*s = (struct vt_runtime_stats){.now_ns = 5000000000,
				       .start_ns = 1000000000,
				       .policy = "veltair-full",
				       .n_models = 2,
				       .n_domains = 1,
				       .n_cores = 2};
	for (uint32_t i = 0; i < 2; i++) {
		struct vt_runtime_model *m = &s->model[i];

		m->id = i;
		snprintf(m->name, sizeof(m->name), i ? "b\"\n<" : "a");
		snprintf(m->version, sizeof(m->version), i ? "3" : "1");
		m->qos_ns = 20000000;
		m->max_queue = 64;
		m->requests = 10;
		m->in_time = 7;
		m->late = 1;
		m->ended[VT_DONE] = 8;
		m->ended[VT_REFUSED] = 2;
		m->latency[3] = 7;
		m->latency[VT_RUNTIME_BUCKETS - 1] = 1;
		m->latency_sum_ns = 100000000;
	}
	s->core[1] =
		(struct vt_runtime_core){.cpu = 1, .id = 42, .since_ns = 4000000000, .model = 1};
	s->domain[0] = (struct vt_runtime_domain){250000, 500000, 2, 0, 2};
	return s;
}

/* Two versions of a name are two models wherever one is named. */
static void names(const json_t *state, const char *list, size_t i, const char *model,
		  const char *version)
{
	const json_t *v = json_array_get(json_object_get(state, list), i);

	assert_non_null(v);
	if (model) {
		assert_string_equal(json_string_value(json_object_get(v, "model")), model);
		assert_string_equal(json_string_value(json_object_get(v, "version")), version);
	} else {
		assert_true(json_is_null(json_object_get(v, "model")));
		assert_true(json_is_null(json_object_get(v, "version")));
	}
}

static void test_text_and_json_agree(void **state)
{
	struct vt_runtime_stats *s = some_stats();
	const struct vt_metrics_model models[] = {
		{"a", "1", true, false}, {"c", "2", false, false}, {"d", "1", false, true}};
	const struct vt_metrics_reason reasons[] = {{1, {.model = 1}}, {2, {.model = 7}}};
	struct vt_metrics m = {.runtime = s,
			       .models = models,
			       .n_models = VT_COUNT(models),
			       .monitor_absent = "no \"BTF\"",
			       .line_bytes = 64,
			       .reasons = reasons,
			       .n_reasons = VT_COUNT(reasons),
			       .started_mono_ns = 1500000000,
			       .now_mono_ns = 5250000000};
	struct vt_expo x = {0}, j = {0};
	json_t *back, *model;

	vt_metrics_text(&x, &m);
	assert_false(x.failed);
	assert_non_null(
		strstr(x.buf, "veltair_requests_total{model=\"b\\\"\\n<\",version=\"3\"} 10\n"));
	assert_non_null(strstr(x.buf, "veltair_requests_refused_total{model=\"a\",version=\"1\","
				      "reason=\"deadline\"} 2\n"));
	assert_non_null(strstr(x.buf, "veltair_model_queue_limit{model=\"a\",version=\"1\"} 64\n"));
	assert_non_null(strstr(x.buf, "veltair_pressure_ratio{domain=\"0\"} 0.25\n"));
	assert_non_null(
		strstr(x.buf, "veltair_pressure_source{domain=\"0\",source=\"slowdown\"} 1\n"));
	assert_non_null(strstr(x.buf, "reason=\"no \\\"BTF\\\"\"} 1\n"));
	assert_non_null(strstr(x.buf, "veltair_model_ready{model=\"a\",version=\"1\"} 1\n"));
	assert_non_null(strstr(x.buf, "veltair_model_ready{model=\"c\",version=\"2\"} 0\n"));
	assert_null(strstr(x.buf, "veltair_model_ready{model=\"d\""));
	/* Nothing was counted for tenants: no such family, and certainly no zero. */
	assert_null(strstr(x.buf, "veltair_tenant_"));

	vt_metrics_json(&j, &m);
	assert_false(j.failed);
	back = json_loadb(j.buf, j.len, 0, NULL);
	assert_non_null(back);
	/* How the page sees that it is another process, and how old this look is: with a runtime or without. */
	assert_float_equal(json_number_value(json_object_get(back, "started_s")), 1.5, 1e-9);
	assert_float_equal(json_number_value(json_object_get(back, "now_s")), 5.25, 1e-9);
	names(back, "cores", 0, NULL, NULL);
	names(back, "cores", 1, "b\"\n<", "3");
	names(back, "decisions", 0, "b\"\n<", "3");
	names(back, "decisions", 1, NULL, NULL);
	model = json_array_get(json_object_get(back, "models"), 1);
	assert_string_equal(json_string_value(json_object_get(model, "name")), "b\"\n<");
	assert_int_equal(json_integer_value(json_object_get(model, "requests")), 10);
	assert_int_equal(json_integer_value(json_object_get(model, "shed")), 2);
	assert_string_equal(json_string_value(json_object_get(back, "monitor_absent")),
			    "no \"BTF\"");
	assert_null(json_object_get(back, "tenants"));
	json_decref(back);
	free(x.buf);
	free(j.buf);

	m.runtime = NULL;
	j = (struct vt_expo){0};
	vt_metrics_json(&j, &m);
	back = json_loadb(j.buf, j.len, 0, NULL);
	assert_float_equal(json_number_value(json_object_get(back, "now_s")), 5.25, 1e-9);
	json_decref(back);
	free(j.buf);
	free(s);
}

static void test_metrics_page_is_current(void **state)
{
	page_is_current("docs/metrics.md", vt_metrics_page);
}

/* ---- tenants ------------------------------------------------------------------------------ */

/* No monitor is asked: every key below is of a kind whose name needs none. */
static void test_sums_never_go_back(void **state)
{
	struct vt_tenant_table *t = calloc(1, sizeof(*t));
	struct vt_total total[4] = {
		{.tenant = VT_KEY(VT_KIND_OTHER, 0), .run_ns = 5},
		{.tenant = VT_KEY(VT_KIND_IDLE, 0), .run_ns = 1000},
		{.tenant = VT_KEY(VT_KIND_GONE, 0), .run_ns = 7},
	};
	struct vt_snapshot s = {.rows = 3, .total = total};

	vt_tenant_table_update(t, NULL, &s, NULL);
	assert_int_equal(t->n, 1);
	assert_int_equal(t->series[0].total.run_ns, 12);
	/* A labelled tenant, put in by hand, ends: the kernel side moves its sum to (gone). */
	t->series[t->n++] = (struct vt_tenant_series){
		.key = VT_KEY(VT_KIND_TENANT, 9), .name = "nine", .total = {.run_ns = 100}};
	total[2].run_ns = 7 + 100 + 3;
	vt_tenant_table_update(t, NULL, &s, NULL);
	assert_int_equal(t->n, 1);
	assert_int_equal(t->series[0].total.run_ns, 12 + 3);
	vt_tenant_table_update(t, NULL, &s, NULL);
	assert_int_equal(t->series[0].total.run_ns, 12 + 3);
	free(t);
}

/* ---- traces ------------------------------------------------------------------------------- */

static const char *name_model(void *arg, uint32_t model)
{
	return model ? NULL : "evil\"<\n";
}

static json_t *written(struct vt_chrome *c)
{
	struct vt_chrome_names names = {.model = name_model, .process = "test"};
	char *buf = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&buf, &len);
	json_t *j;

	assert_int_equal(vt_chrome_write(c, f, &names), 0);
	fclose(f);
	j = json_loadb(buf, len, 0, NULL);
	free(buf);
	assert_non_null(j);
	return j;
}

static void test_trace(void **state)
{
	struct vt_chrome *c;
	json_t *j, *all, *ev;

	assert_int_equal(vt_chrome_new(&c, 4, NULL), 0);
	vt_chrome_layer(c, 1, 0, 3, 2, 1000, 1500);
	vt_chrome_block(c, &(struct vt_chrome_block){.start_ns = 1000,
						     .end_ns = 3000,
						     .id = 7,
						     .core = 1,
						     .layer_begin = 3,
						     .layer_end = 9,
						     .wanted = 2,
						     .granted = 1,
						     .leads = 1});
	vt_chrome_count(c, "pressure", 0, 2000, 0.5);
	vt_chrome_block(
		c,
		&(struct vt_chrome_block){
			.start_ns = 3000, .end_ns = 4000, .model = 1, .core = 0, .layer_end = 1});
	vt_chrome_count(c, "pressure", 0, 9000, 0.5); /* no room */
	assert_int_equal(vt_chrome_dropped(c), 1);
	j = written(c);
	all = json_object_get(j, "traceEvents");
	assert_int_equal(json_array_size(all), 1 + 2 + 4);
	/* The block comes before the layer inside it, although it was told later. */
	ev = json_array_get(all, 3);
	assert_string_equal(json_string_value(json_object_get(ev, "name")), "evil\"<\n");
	assert_string_equal(json_string_value(json_object_get(ev, "cat")), "block");
	assert_int_equal(json_number_value(json_object_get(ev, "dur")), 2);
	ev = json_array_get(all, 4);
	assert_string_equal(json_string_value(json_object_get(ev, "cat")), "layer");
	ev = json_array_get(all, 6);
	assert_string_equal(json_string_value(json_object_get(ev, "name")), "model 1");
	assert_int_equal(json_number_value(json_object_get(ev, "ts")), 2);
	json_decref(j);
	vt_chrome_free(c);
}

static void *many(void *arg)
{
	for (int i = 0; i < 1000; i++)
		vt_chrome_count(arg, "n", 0, (uint64_t)i, i);
	return NULL;
}

static void test_trace_from_many_threads(void **state)
{
	struct vt_chrome *c;
	pthread_t t[4];
	json_t *j;

	assert_int_equal(vt_chrome_new(&c, 5000, NULL), 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&t[i], NULL, many, c), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	j = written(c);
	assert_int_equal(json_array_size(json_object_get(j, "traceEvents")), 1 + 4000);
	json_decref(j);
	vt_chrome_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_utf8),
		cmocka_unit_test(test_utf8_put),
		cmocka_unit_test(test_hostile_names),
		cmocka_unit_test(test_long_names_are_cut),
		cmocka_unit_test(test_unknown_is_absent),
		cmocka_unit_test(test_histogram),
		cmocka_unit_test(test_bounded),
		cmocka_unit_test(test_text_and_json_agree),
		cmocka_unit_test(test_metrics_page_is_current),
		cmocka_unit_test(test_sums_never_go_back),
		cmocka_unit_test(test_trace),
		cmocka_unit_test(test_trace_from_many_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
