// SPDX-License-Identifier: Apache-2.0
/*
 * test_metrics_bounds.c - thousands of tenants with hostile names, and as many models as there may
 * be: /metrics stays bounded, and what Prometheus takes.
 */
#include <ftw.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness.h"
#include "metrics/metrics.h"
#include "base/utf8.h"
#include "monitor/impl.h" /* a monitor without a kernel: two slots, no map to ask */

#define TENANTS 3000u
#define ROUNDS	5u

/* Cgroups are named by their directories, and known by inode: a tree of ours is as good. */
static char root[] = "/tmp/vt-bounds-XXXXXX";
static uint64_t inode[TENANTS];

static const char *const hostile[] = {
	"quo\"te-%u",
	"back\\slash-%u",
	"new\nline-%u",
	"<script>alert(%u)<!script>",
	"\x1b[2J\x1b]0;title\x07-%u",
	"bad\xff\xfe-%u",
	"} 1\nveltair_fake{x=\"%u\"} 1\n# EOF\n",
	"cut \xf0\x9f\x98-%u",
	"{a=\"b\",c=\"%u\"}",
	/* The same for all but the last digits, and far above any label's length. */
	("kubepods-burstable-pod0b6cfb5f_9e0a_4b1e_8d1b_0d9ed30f1a4c.slice-"
	 "kubepods-burstable-pod0b6cfb5f_9e0a_4b1e_8d1b_0d9ed30f1a4c.slice-"
	 "kubepods-burstable-pod0b6cfb5f_9e0a_4b1e_8d1b_0d9ed30f1a4c.slice-%u"),
};

static int make_tree(void **state)
{
	char path[600], name[400];
	struct stat st;

	if (!mkdtemp(root))
		return -1;
	for (uint32_t i = 0; i < TENANTS; i++) {
		/* Every hundredth differs from the one before in a byte that no label can hold. */
		snprintf(name, sizeof(name), hostile[i % VT_COUNT(hostile)], i);
		if (i % 100 == 1)
			snprintf(name, sizeof(name), "twin-%u\x80", i);
		else if (i % 100 == 2)
			snprintf(name, sizeof(name), "twin-%u\x81", i - 1);
		snprintf(path, sizeof(path), "%s/%s", root, name);
		if (mkdir(path, 0700) || stat(path, &st))
			return -1;
		inode[i] = st.st_ino;
	}
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *f)
{
	return remove(path);
}

static int remove_tree(void **state)
{
	return nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- what any scraper needs ----------------------------------------------------------------- */

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* UTF-8 without control characters, a value at the end of each line, no series twice. */
static size_t check_text(char *text)
{
	char **line = calloc(100000, sizeof(*line)), *save = NULL;
	size_t n = 0;

	for (const char *c = text; *c;) {
		size_t len = vt_utf8_len(c);

		assert_true(len > 0 && (*c == '\n' || (unsigned char)*c >= 0x20) && *c != 0x7f);
		c += len;
	}
	for (char *l = strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
		char *end = strrchr(l, ' '), *rest;

		if (*l == '#')
			continue;
		assert_memory_equal(l, "veltair_", 8);
		assert_int_not_equal(strncmp(l, "veltair_fake", 12), 0);
		assert_non_null(end);
		strtod(end + 1, &rest);
		assert_int_equal(*rest, '\0');
		*end = '\0';
		line[n++] = l;
		assert_true(n < 100000);
	}
	qsort(line, n, sizeof(*line), by_text);
	for (size_t i = 1; i < n; i++)
		if (!strcmp(line[i - 1], line[i]))
			fail_msg("twice: %s", line[i]);
	free(line);
	return n;
}

static bool have_promtool;
static unsigned int taken_by_promtool; /* texts */

static void check_promtool(const struct vt_expo *x)
{
	FILE *p;

	if (!have_promtool)
		return;
	p = popen("promtool check metrics", "w");
	assert_non_null(p);
	fwrite(x->buf, 1, x->len, p);
	assert_int_equal(pclose(p), 0);
	taken_by_promtool++;
}

static size_t check(const struct vt_metrics *m)
{
	size_t n = 0;

	for (int openmetrics = 0; openmetrics < 2; openmetrics++) {
		struct vt_expo x = {.openmetrics = openmetrics};

		vt_metrics_text(&x, m);
		assert_false(x.failed);
		assert_in_range(x.len, 1, VT_EXPO_MAX);
		assert_in_range(x.room, x.len, 2 * VT_EXPO_MAX);
		if (!openmetrics)
			check_promtool(&x);
		n = x.len;
		check_text(x.buf);
		free(x.buf);
	}
	return n;
}

/* ---- tenants -------------------------------------------------------------------------------- */

static struct vt_monitor *no_kernel(void)
{
	struct vt_monitor *m = calloc(1, sizeof(*m));

	m->fd_tenants = -1;
	m->meta = (struct vt_meta){.abi = VT_ABI_VERSION, .slots = 2};
	m->slot[0] = (struct vt_slot){
		.role = "llc_misses", .event = "x", .cls = "hw", .role_id = VT_ROLE_LLC_MISSES};
	m->slot[1] = (struct vt_slot){
		.role = "cycles", .event = "msr/tsc/", .cls = "sw", .role_id = VT_ROLE_CYCLES};
	return m;
}

/* What is shown, what ended included; less what those with a label had counted without one. */
static uint64_t sum_ns(const struct vt_tenant_table *t)
{
	uint64_t sum = t->retired.run_ns - t->series[0].held.run_ns;

	for (uint32_t i = 0; i < t->n; i++)
		sum += t->series[i].total.run_ns;
	return sum;
}

/* Each round another window of @n of the tenants lives; what ended is in row (gone). */
static uint64_t snapshot(struct vt_snapshot *s, uint32_t round, uint32_t n)
{
	uint64_t gone = 0, all = 0;

	s->rows = 1;
	for (uint32_t i = 0; i < TENANTS; i++) {
		uint64_t ns = 1000 + i;

		all += i < round * 500 + n ? ns : 0;
		if (i < round * 500)
			gone += ns;
		else if (i < round * 500 + n)
			s->total[s->rows++] =
				(struct vt_total){.tenant = VT_KEY(VT_KIND_CGROUP, inode[i]),
						  .run_ns = ns,
						  .slices = 1,
						  .count = {i, i}};
	}
	s->total[0] =
		(struct vt_total){.tenant = VT_KEY(VT_KIND_GONE, 0), .run_ns = gone, .slices = 1};
	return all;
}

static void test_thousands_of_tenants(void **state)
{
	struct vt_tenant_table *t = calloc(1, sizeof(*t));
	struct vt_snapshot s = {.total = calloc(TENANTS + 1, sizeof(*s.total))};
	struct vt_names *names = vt_names_new(root);
	struct vt_losses loss = {0};
	struct vt_monitor *mon = no_kernel();
	struct vt_metrics m = {.monitor = mon, .tenants = t, .losses = &loss, .line_bytes = 64};
	size_t most = 0;

	for (uint32_t round = 0; round < ROUNDS; round++) {
		uint64_t all = snapshot(&s, round, 1000), before = t->series[0].total.run_ns;
		size_t len;

		vt_tenant_table_update(t, mon, &s, names);
		assert_int_equal(t->n, VT_TENANT_LABELS + 1);
		assert_int_equal(sum_ns(t), all);
		assert_true(t->series[0].total.run_ns >= before);
		len = check(&m);
		most = len > most ? len : most;
	}
	print_message("# 1000 of %u tenants at a time: at most %zu bytes\n", TENANTS, most);
	vt_names_free(names);
	free(mon);
	free(s.total);
	free(t);
}

/* What both answers say of the first tenant with a label. */
static void shown(const struct vt_metrics *m, double *ret_text, double *ret_json)
{
	static const char family[] = "veltair_tenant_llc_misses_total{tenant=\"(ended)\"";
	struct vt_expo text = {0}, json = {0};
	const char *at;
	json_t *all, *v;

	vt_metrics_text(&text, m);
	at = strstr(text.buf, family);
	*ret_text = at ? atof(strstr(at, "} ") + 2) : NAN;
	vt_metrics_json(&json, m);
	all = json_loadb(json.buf, json.len, 0, NULL);
	v = json_object_get(json_array_get(json_object_get(all, "tenants"), 1), "llc_misses");
	assert_non_null(v);
	*ret_json = json_is_number(v) ? json_number_value(v) : NAN;
	json_decref(all);
	free(text.buf);
	free(json.buf);
}

static bool same(double a, double b)
{
	return fabs(a - b) < 1e-6 || (isnan(a) && isnan(b));
}

/* Events that take turns: a look's count over its own share, never the lifetime's over the lifetime's. */
static void test_multiplexed_counters_never_fall(void **state)
{
	static const struct {
		uint64_t run_ns, count, lost_ns;
		double want;
	} t[] = {
		{100, 0, 100, NAN},    /* not yet on a counter */
		{200, 10, 150, 40},    /* 50 of 200 */
		{300, 30, 200, 80},    /* 20 in 50 of 100 more: by lifetime 90 */
		{1300, 130, 200, 180}, /* always on it: by lifetime 153, then falling */
		{9300, 130, 200, 180},
		{9400, 130, 300, 180}, /* nothing seen of this look, so it joins the next */
		{9500, 140, 300, 200},
	};
	struct vt_tenant_table *table = calloc(1, sizeof(*table));
	struct vt_total total = {.tenant = VT_KEY(VT_KIND_CGROUP, 7), .slices = 1};
	struct vt_snapshot s = {.rows = 1, .total = &total};
	struct vt_monitor *mon = no_kernel();
	struct vt_losses loss = {0};
	struct vt_metrics m = {.monitor = mon, .tenants = table, .losses = &loss, .line_bytes = 64};

	for (size_t i = 0; i < VT_COUNT(t); i++) {
		double text, json;

		total.run_ns = t[i].run_ns;
		total.count[0] = t[i].count;
		total.lost_ns[0] = t[i].lost_ns;
		vt_tenant_table_update(table, mon, &s, NULL);
		shown(&m, &text, &json);
		assert_true(same(text, t[i].want) && same(json, t[i].want));
	}
	free(mon);
	free(table);
}

/* Another quantity has no place among the misses, even if hardware counts it. */
static void test_proxy_is_a_stand_in(void **state)
{
	struct vt_tenant_table *table = calloc(1, sizeof(*table));
	struct vt_total total = {
		.tenant = VT_KEY(VT_KIND_CGROUP, 7), .run_ns = 100, .slices = 1, .count = {5, 6}};
	struct vt_snapshot s = {.rows = 1, .total = &total};
	struct vt_monitor *mon = no_kernel();
	struct vt_losses loss = {0};
	struct vt_metrics m = {.monitor = mon, .tenants = table, .losses = &loss, .line_bytes = 64};
	struct vt_expo text = {0};

	snprintf(mon->slot[0].quality, sizeof(mon->slot[0].quality), "proxy");
	vt_tenant_table_update(table, mon, &s, NULL);
	vt_metrics_text(&text, &m);
	assert_null(strstr(text.buf, "veltair_tenant_llc_misses_total{"));
	assert_non_null(strstr(text.buf, "event=\"x\",instead_of=\"llc_misses\"} 5\n"));
	assert_non_null(strstr(text.buf, "event=\"msr/tsc/\",instead_of=\"cycles\"} 6\n"));
	free(text.buf);
	free(mon);
	free(table);
}

/* One whose row was taken from it while it slept comes back: a second row, then the first is gone. */
static void test_tenant_with_two_rows(void **state)
{
	static const struct {
		uint64_t old, new, gone; /* its rows, and (gone) */
		uint64_t want, other;
	} t[] = {
		{100, 0, 50, 100, 50}, {100, 5, 50, 105, 50},
		{0, 7, 150, 105, 52}, /* the 2 it ran meanwhile pass for (other)'s: the sum is right */
		{0, 20, 150, 118, 52}, {0, 0, 170, 0, 52}, /* it ended */
		{0, 0, 175, 0, 57},
	};
	struct vt_tenant_table *table = calloc(1, sizeof(*table));
	struct vt_total total[4];
	struct vt_snapshot s = {.rows = 4, .total = total};
	struct vt_monitor *mon = no_kernel();
	uint64_t key = VT_KEY(VT_KIND_CGROUP, 7);

	for (int first = 0; first < 2; first++) {
		memset(table, 0, sizeof(*table));
		/* The second time it is met with two rows already. */
		for (size_t i = (size_t)first; i < VT_COUNT(t); i++) {
			memset(total, 0, sizeof(total));
			total[0] = (struct vt_total){.tenant = VT_KEY(VT_KIND_GONE, 0),
						     .run_ns = t[i].gone};
			if (t[i].old)
				total[1] = (struct vt_total){.tenant = key, .run_ns = t[i].old};
			if (t[i].new)
				total[3] = (struct vt_total){.tenant = key, .run_ns = t[i].new};
			vt_tenant_table_update(table, mon, &s, NULL);
			assert_int_equal(table->series[0].total.run_ns, t[i].other);
			assert_int_equal(table->n, t[i].want ? 2 : 1);
			if (t[i].want)
				assert_int_equal(table->series[1].total.run_ns, t[i].want);
		}
	}
	free(mon);
	free(table);
}

/* ---- models --------------------------------------------------------------------------------- */

/* Names as long as can be, all requests in every bucket. */
static void fill_models(struct vt_runtime_stats *s)
{
	s->policy = "veltair-full";
	s->n_domains = 32;
	s->n_cores = VT_SCHED_MAX_CORES;
	for (uint32_t i = 0; i < VT_RUNTIME_MODELS; i++) {
		struct vt_runtime_model *mo = &s->model[i];

		mo->id = i;
		memset(mo->name, 'a' + (int)(i % 26), sizeof(mo->name) - 1);
		snprintf(mo->name + 50, sizeof(mo->name) - 50, "%u", i);
		snprintf(mo->version, sizeof(mo->version), "%015u", i);
		mo->qos_ns = 1234567 + i;
		mo->requests = 1000000000000ull + i;
		for (unsigned int b = 0; b < VT_RUNTIME_BUCKETS; b++)
			mo->latency[b] = 100000000000ull;
		mo->latency_sum_ns = mo->queue_sum_ns = mo->core_sum_ns = 1234567890123456ull;
	}
	for (uint32_t c = 0; c < s->n_cores; c++)
		s->core[c] = (struct vt_runtime_core){.cpu = c, .busy_ns = 1234567890123ull};
	for (uint32_t d = 0; d < s->n_domains; d++)
		s->domain[d] = (struct vt_runtime_domain){123456, 654321, 3, (uint16_t)(8 * d), 8};
}

static void test_as_many_models_and_tenants_as_there_may_be(void **state)
{
	static const uint32_t n_models[] = {200, VT_RUNTIME_MODELS};
	struct vt_runtime_stats *stats = calloc(1, sizeof(*stats));
	struct vt_tenant_table *t = calloc(1, sizeof(*t));
	struct vt_snapshot s = {.total = calloc(TENANTS + 1, sizeof(*s.total))};
	struct vt_names *names = vt_names_new(root);
	struct vt_losses loss = {0};
	struct vt_monitor *mon = no_kernel();
	struct vt_metrics m = {
		.runtime = stats, .monitor = mon, .tenants = t, .losses = &loss, .line_bytes = 64};

	snapshot(&s, 0, 1000);
	vt_tenant_table_update(t, mon, &s, names);
	fill_models(stats);
	for (size_t i = 0; i < VT_COUNT(n_models); i++) {
		size_t len;

		stats->n_models = n_models[i];
		len = check(&m);
		print_message("# %u models, %u tenants: %zu bytes\n", n_models[i], t->n, len);
		assert_true(n_models[i] > 200 || len <= 2u << 20);
	}
	vt_names_free(names);
	free(mon);
	free(s.total);
	free(t);
	free(stats);
}

/* The last: it says whether the others have asked. */
static void test_promtool_took_every_text(void **state)
{
	if (!have_promtool)
		vt_skip("promtool is not installed");
	assert_int_equal(taken_by_promtool, ROUNDS + 2);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_thousands_of_tenants),
		cmocka_unit_test(test_multiplexed_counters_never_fall),
		cmocka_unit_test(test_proxy_is_a_stand_in),
		cmocka_unit_test(test_tenant_with_two_rows),
		cmocka_unit_test(test_as_many_models_and_tenants_as_there_may_be),
		cmocka_unit_test(test_promtool_took_every_text),
	};

	have_promtool = !system("command -v promtool >/dev/null 2>&1");
	return cmocka_run_group_tests_name("metrics_bounds", tests, make_tree, remove_tree);
}
