// SPDX-License-Identifier: Apache-2.0
/* test_full.c - a runtime whose monitor has no row left: it serves on, and charges nobody else for it. */
#include "tests/unit/runtime_fixture.h"

#include <sys/wait.h>

#include "monitor/impl.h"
#include "tests/bpf/open.h"

#define ROWS 32u

static void fill_rows(struct vt_monitor *m)
{
	uint32_t row;

	for (uint64_t id = 1000; !vt_monitor_tenant_add(m, id, "one of many", &row, NULL); id++)
		assert_true(id < 1000 + ROWS);
}

static struct vt_runtime_model stats_of(struct vt_runtime *rt, uint32_t id)
{
	struct vt_runtime_stats *s = calloc(1, sizeof(*s));
	struct vt_runtime_model ret = {0};

	assert_non_null(s);
	vt_runtime_stats(rt, s);
	for (uint32_t i = 0; i < s->n_models; i++)
		if (s->model[i].id == id)
			ret = s->model[i];
	free(s);
	return ret;
}

/* Workers that publish @row at the end of a hundred requests to @f. */
static unsigned int publishing(struct vt_monitor *m, struct vt_runtime *rt,
			       const struct fx_model *f, uint32_t row)
{
	struct fx_request *r = calloc(WINDOW, sizeof(*r));
	struct fx_load l = {0};
	unsigned int n = 0;

	assert_non_null(r);
	for (uint32_t i = 0; i < 100; i++) {
		while (i >= WINDOW && !atomic_load(&r[i % WINDOW].answers))
			sched_yield();
		fx_submit(rt, &r[i % WINDOW], f, &l, i);
	}
	fx_wait(&l, 100);
	settle(rt);
	assert_int_equal(atomic_load(&l.how[VT_DONE]), 100);
	for (unsigned int w = 0; w < VT_WORKERS; w++)
		n += m->workers[w].tid && m->workers[w].row == row;
	free(r);
	return n;
}

static void test_a_model_without_a_row(void **state)
{
	struct vt_runtime_opts o = {.record_fd = -1};
	struct vt_served s = {.engine = NULL};
	struct vt_err e = {0};
	struct three t;
	unsigned int before;

	o.monitor = open_or_skip((struct vt_monitor_opts){.max_rows = ROWS});
	open_three(&t, &o, 50000, 10000000000ull, 2);
	fill_rows(o.monitor);
	assert_int_equal(vt_runtime_del(t.rt, t.f[0].id), 0); /* its row is not free at once */
	s.engine = fx_engine(fx_dir, fx_names[0], 2);
	s.costs = fx_costs(s.engine, fx_names[0], 50000, 10000000000ull);
	snprintf(s.name, sizeof(s.name), "%s", fx_names[0]);
	if (vt_runtime_add(t.rt, &s, &t.f[0].id, &e))
		fail_msg("%s", e.msg);
	assert_true(s.no_row);
	assert_int_equal(e.code, 0);
	assert_int_equal(stats_of(t.rt, t.f[0].id).row, UINT32_MAX);

	/* Who ran before is not charged for it. */
	before = publishing(o.monitor, t.rt, &t.f[1], stats_of(t.rt, t.f[1].id).row);
	assert_true(before > 0);
	assert_true(publishing(o.monitor, t.rt, &t.f[0], stats_of(t.rt, t.f[1].id).row) < before);
	assert_true(publishing(o.monitor, t.rt, &t.f[0], VT_ROW_OTHER) > 0);
	close_three(&t);
	vt_monitor_close(o.monitor);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_model_without_a_row),
	};

	return cmocka_run_group_tests_name("full", tests, fx_setup, fx_teardown);
}
