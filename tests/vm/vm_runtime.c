// SPDX-License-Identifier: Apache-2.0
/* vm_runtime.c - tenants of the runtime, inside one thread: cuts, stores, and a CPU that goes away. */
#include "vm_tenants.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "monitor/domain.h"
#include "monitor/impl.h"

struct runtime {
	struct vt_monitor *m;
	struct vt_worker *w;
	uint32_t row[TENANTS];
	uint64_t truth[TENANTS][ROLES];
	struct vt_snapshot before, after;
};

static void runtime_start(struct runtime *rt)
{
	struct vt_err e = {0};

	memset(rt, 0, sizeof(*rt));
	vm_pin(0);
	rt->m = vm_start((struct vt_monitor_opts){.group = VT_BY_TENANT});
	for (uint64_t i = 0; i < TENANTS; i++) {
		char name[16];

		snprintf(name, sizeof(name), "tenant%llu", (unsigned long long)i);
		CHECK(!vt_monitor_tenant_add(rt->m, 100 + i, name, &rt->row[i], &e), "%s", e.msg);
	}
	CHECK(!vt_monitor_worker_add(rt->m, vt_monitor_tid(rt->m), &rt->w, &e), "%s", e.msg);
	/* A baseline on both CPUs, with this thread known as a worker. */
	for (int cpu = 1; cpu >= 0; cpu--) {
		vm_pin(cpu);
		CHECK(!vt_monitor_cut(rt->m, rt->w, VT_ROW_OTHER), "cut");
	}
	vm_look(rt->m, &rt->before);
}

static void runtime_check(struct runtime *rt)
{
	vm_look(rt->m, &rt->after);
	for (size_t r = 0; r < ROLES; r++) {
		uint64_t truth = 0;

		for (int i = 0; i < TENANTS; i++) {
			const struct vt_total *t = &rt->after.total[rt->row[i]];
			char what[64];

			snprintf(what, sizeof(what), "tenant %d, %s", i, vt_role_name(vm_roles[r]));
			CHECK_EQ(t->tenant, VT_KEY(VT_KIND_TENANT, 100 + (uint64_t)i), "key");
			CHECK_EQ(vm_count_of(rt->m, t, r), rt->truth[i][r], what);
			truth += rt->truth[i][r];
		}
		CHECK_EQ(vm_sum_of(rt->m, &rt->after, r) - vm_sum_of(rt->m, &rt->before, r), truth,
			 "sum over all tenants");
	}
	CHECK_EQ(rt->after.loss.backwards, 0, "counters that ran backwards");
	CHECK_EQ(rt->after.loss.rows_full, 0, "tenants without a row");
	vt_monitor_worker_del(rt->m, rt->w);
	vt_monitor_close(rt->m);
}

/* The same by CPU: what the two cores counted between two looks, whoever ran there. */
static void check_domains(struct runtime *rt, const struct vt_look *before)
{
	static const uint8_t domain_of[] = {0, 1};
	struct vt_domain_counts d[2];
	struct vt_look after = {0};
	struct vt_slot_map map;
	uint64_t refs = 0, misses = 0;

	CHECK(!vt_monitor_look(rt->m, 0, &after), "look");
	vt_slot_map_init(&map, rt->m);
	vt_domain_counts(before, &after, &map, domain_of, 2, 2, d);
	for (int i = 0; i < TENANTS; i++) {
		refs += rt->truth[i][1];
		misses += rt->truth[i][2];
	}
	CHECK(d[0].window_ns && d[1].window_ns, "a window that is not known");
	CHECK(d[0].llc_misses && d[1].llc_misses, "a core that counted nothing");
	CHECK_EQ(d[0].llc_refs + d[1].llc_refs, refs, "references of both domains");
	CHECK_EQ(d[0].llc_misses + d[1].llc_misses, misses, "misses of both domains");
	vt_look_fini(&after);
}

/* The program-run path: one thread changes its tenant 900 times, sleeping and migrating between. */
static void cuts_inside_one_thread(void)
{
	struct vt_look look = {0};
	struct runtime rt;
	int ctl = vm_ctl_open();
	uint64_t cuts;

	runtime_start(&rt);
	CHECK(!vt_monitor_look(rt.m, 0, &look), "look");
	cuts = rt.before.loss.cuts;
	for (unsigned int i = 0; i < 900; i++) {
		unsigned int t = (i * 7 + i / 5) % TENANTS;

		CHECK(!vt_monitor_cut(rt.m, rt.w, rt.row[t]), "cut: %s", strerror(errno));
		vm_write_amounts(ctl, t, i, rt.truth[t]);
		if (i % 4 == 1)
			usleep(100); /* off the CPU in the middle of a tenant's turn */
		if (i % 8 == 3)
			vm_pin(i / 8 % 2);
		vm_write_amounts(ctl, t, i + 1, rt.truth[t]);
	}
	CHECK(!vt_monitor_cut(rt.m, rt.w, VT_ROW_OTHER), "cut");
	check_domains(&rt, &look);
	vt_look_fini(&look);
	runtime_check(&rt);
	vm_check_no_loss(&rt.after);
	CHECK(rt.after.loss.cuts - cuts >= 901, "only %llu cuts",
	      (unsigned long long)(rt.after.loss.cuts - cuts));
	vm_note("%llu cuts", (unsigned long long)(rt.after.loss.cuts - cuts));
}

/* Sleep until this thread has really been off its CPU: a short sleep may be over before it is. */
static void give_up_cpu(void)
{
	struct rusage before, now;

	getrusage(RUSAGE_THREAD, &before);
	do {
		usleep(1000);
		getrusage(RUSAGE_THREAD, &now);
	} while (now.ru_nvcsw == before.ru_nvcsw);
}

/* The plain store: no call at all. Whole slices go to what was published when they end. */
static void published_by_a_store(void)
{
	struct runtime rt;
	int ctl = vm_ctl_open();

	runtime_start(&rt);
	for (unsigned int i = 0; i < 300; i++) {
		unsigned int t = i % TENANTS;

		vt_monitor_publish(rt.w, rt.row[t]);
		vm_write_amounts(ctl, t, i, rt.truth[t]);
		give_up_cpu(); /* the slice ends here */
	}
	vt_monitor_publish(rt.w, VT_ROW_OTHER);
	runtime_check(&rt);
	vm_check_no_loss(&rt.after);
}

/* ---- a CPU that goes and returns --------------------------------------------------------- */

static void cut_and_write(struct runtime *rt, int ctl)
{
	for (unsigned int i = 0; i < 30; i++) {
		unsigned int t = i % TENANTS;

		CHECK(!vt_monitor_cut(rt->m, rt->w, rt->row[t]), "cut");
		vm_write_amounts(ctl, t, i, rt->truth[t]);
	}
	CHECK(!vt_monitor_cut(rt->m, rt->w, VT_ROW_OTHER), "cut");
}

static void tend(struct runtime *rt, struct vt_snapshot *s)
{
	struct vt_err e = {0};

	vm_look(rt->m, s);
	vt_monitor_events(rt->m, NULL, NULL);
	CHECK(!vt_monitor_tend(rt->m, s, &e), "%s", e.msg);
}

/*
 * A CPU goes and comes back: counts stay right meanwhile on the other, and there afterwards. What
 * ran on it until vt_monitor_tend() noticed could not be read: that is counted, and nobody's.
 */
static void cpu_goes_and_returns(void)
{
	struct vt_snapshot s = {0};
	struct runtime rt;
	int ctl = vm_ctl_open();

	runtime_start(&rt);
	for (int round = 0; round < 3; round++) {
		vm_set_online(1, false);
		if (round != 1) /* once it is back before anybody has looked */
			tend(&rt, &s);
		cut_and_write(&rt, ctl);
		vm_set_online(1, true);
		tend(&rt, &s);
		CHECK(!rt.m->set.shared, "round %d: exact counting was given up", round);
		vm_pin(1);
		/* The first slice on a CPU that is back has no baseline; do not count in it. */
		CHECK(!vt_monitor_cut(rt.m, rt.w, VT_ROW_OTHER), "cut");
		cut_and_write(&rt, ctl);
	}
	runtime_check(&rt);
	vm_note("%llu reads failed while the CPU had no events",
		(unsigned long long)rt.after.loss.read_errors);
}

const struct vm_test vm_runtime_tests[] = {
	{"run_cuts_inside_one_thread", cuts_inside_one_thread, false},
	{"switch_published_by_a_store", published_by_a_store, true},
	{"cpu_goes_and_returns", cpu_goes_and_returns, true},
	{0},
};
