// SPDX-License-Identifier: Apache-2.0
/* Bandwidth and occupancy from a fake resctrl tree: what counters do on bad days. */
#include "harness.h"
#include "faketree.h"

#include <sys/mount.h>

#include "monitor/resctrl.h"

static const struct fake_file machine[] = {
	{"r/info/L3_MON/mon_features", "llc_occupancy\nmbm_total_bytes\nmbm_local_bytes\n"},
	{"r/info/L3_MON/num_rmids", "176\n"},
	{"r/schemata", "L3:0=fff;1=fff\n"},
	{"r/mon_groups", NULL},
};

static struct fake_tree tree;
static char root[96];

static int setup(void **state)
{
	fake_open(&tree, machine, VT_COUNT(machine));
	snprintf(root, sizeof(root), "%s/r", tree.root);
	return 0;
}

static int teardown(void **state)
{
	fake_close(&tree);
	return 0;
}

static const char *group_name(const char *wanted, char *buf, size_t len)
{
	char path[300];
	FILE *p;

	snprintf(path, sizeof(path), "ls %s/mon_groups | grep '%s$'", root, wanted);
	p = popen(path, "r");
	if (!fgets(buf, (int)len, p))
		buf[0] = '\0';
	pclose(p);
	buf[strcspn(buf, "\n")] = '\0';
	return buf[0] ? buf : NULL;
}

/* What the kernel would fill in for a group: one L3 domain's three files. */
static void domain(const char *group, int dom, const char *occ, const char *total,
		   const char *local)
{
	const char *const values[] = {occ, total, local};
	const char *const files[] = {"llc_occupancy", "mbm_total_bytes", "mbm_local_bytes"};
	char path[256];

	for (int i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "r/mon_groups/%s/mon_data/mon_L3_%02d/%s", group, dom,
			 files[i]);
		fake_write(&tree, path, values[i]);
	}
}

static struct vt_resctrl_group *add(struct vt_resctrl *r, uint64_t id, char *name, size_t len)
{
	struct vt_resctrl_group *g = NULL;
	struct vt_err e = {0};
	char suffix[32];

	if (vt_resctrl_group_add(r, id, &g, &e))
		fail_msg("%s", e.msg);
	snprintf(suffix, sizeof(suffix), "[.]%llu", (unsigned long long)id);
	assert_non_null(group_name(suffix, name, len));
	return g;
}

/* A fake tree's group directory is not empty as the kernel's is: take the files away first. */
static void del(struct vt_resctrl_group *g, const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "r/mon_groups/%s/mon_data", name);
	fake_remove(&tree, path);
	vt_resctrl_group_del(g);
}

static struct vt_resctrl *opened(void)
{
	struct vt_resctrl *r = NULL;
	struct vt_err e = {0};

	if (vt_resctrl_open(root, NULL, &r, &e))
		fail_msg("%s", e.msg);
	return r;
}

#define U "Unavailable\n"
#define E "Error\n"

/*
 * Windows of one group on two domains; NULL: the domain's directory is not there. The sums are what
 * vt_resctrl_group_read must say, cumulative; ~0 stands for "n/a".
 */
#define NA (~0ull)
struct window {
	const char *total[2];
	uint64_t sum;
	uint32_t domains, unavailable, errors, resets;
};

#define W(a, b, sum, domains, unavailable, errors, resets)                                         \
	{                                                                                          \
		{a, b}, sum, domains, unavailable, errors, resets                                  \
	}

static const struct {
	const char *what;
	struct window w[5];
} stories[] = {
	{"counts",
	 {W("100", "1000", 1100, 2, 0, 0, 0), W("150", "1000", 1150, 2, 0, 0, 0),
	  W("150", "5000", 5150, 2, 0, 0, 0)}},
	{"steps over 2^64",
	 {W("18446744073709551000", "0", 18446744073709551000u, 2, 0, 0, 0),
	  /* 616 to the top, 384 beyond; the sum wraps with it, as a difference of sums must */
	  W("384", "7", 18446744073709551000u + 1000 + 7, 2, 0, 0, 0)}},
	{"unavailable is made good",
	 {W("100", "0", 100, 2, 0, 0, 0), W(U, "10", 110, 2, 1, 0, 0),
	  W("300", "10", 310, 2, 0, 0, 0)}},
	{"error loses its window only",
	 {W("100", "0", 100, 2, 0, 0, 0), W(E, "10", 110, 2, 0, 1, 0),
	  W("900", "10", 110, 2, 0, 0, 0), W("950", "10", 160, 2, 0, 0, 0)}},
	{"nonsense is an error",
	 {W("100", "0", 100, 2, 0, 0, 0), W("12x", "10", 110, 2, 0, 1, 0),
	  W("-5", "10", 110, 2, 0, 1, 0), W("", "10", 110, 2, 0, 1, 0)}},
	{"a counter that starts anew",
	 {W("5000000", "0", 5000000, 2, 0, 0, 0), W("40", "0", 5000000, 2, 0, 0, 1),
	  W("100", "0", 5000060, 2, 0, 0, 0)}},
	{"a domain goes offline and returns from zero",
	 {W("100", "500", 600, 2, 0, 0, 0), W("100", NULL, 600, 1, 0, 0, 0),
	  W("200", "30", 700, 2, 0, 0, 0), W("200", "80", 750, 2, 0, 0, 0)}},
	{"a domain appears later",
	 {W("100", NULL, 100, 1, 0, 0, 0), W("100", "70", 170, 2, 0, 0, 0)}},
	{"nothing answers",
	 {W("100", "0", 100, 2, 0, 0, 0), W(U, U, NA, 2, 2, 0, 0), W(E, U, NA, 2, 1, 1, 0)}},
};

static void one_story(size_t i)
{
	struct vt_resctrl *r = opened();
	char name[96];
	struct vt_resctrl_group *g = add(r, 40 + i, name, sizeof(name));

	for (size_t k = 0; k < VT_COUNT(stories[i].w) && stories[i].w[k].domains; k++) {
		const struct window *w = &stories[i].w[k];
		struct vt_resctrl_sample s;
		struct vt_err e = {0};

		for (int d = 0; d < 2; d++) {
			char path[160];

			snprintf(path, sizeof(path), "r/mon_groups/%s/mon_data/mon_L3_%02d", name,
				 d);
			if (!w->total[d])
				fake_remove(&tree, path);
			else
				domain(name, d, "4096\n", w->total[d], "0\n");
		}
		if (vt_resctrl_group_read(g, &s, &e))
			fail_msg("%s, window %zu: %s", stories[i].what, k, e.msg);
		if (s.valid[VT_RESCTRL_TOTAL] != (w->sum != NA) ||
		    (w->sum != NA && s.bytes[VT_RESCTRL_TOTAL] != w->sum) ||
		    s.domains != w->domains || s.unavailable != w->unavailable ||
		    s.errors != w->errors || s.resets != w->resets)
			fail_msg("%s, window %zu: %llu bytes%s, %u domains, %u unavailable, %u "
				 "errors, "
				 "%u resets",
				 stories[i].what, k, (unsigned long long)s.bytes[VT_RESCTRL_TOTAL],
				 s.valid[VT_RESCTRL_TOTAL] ? "" : " (n/a)", s.domains,
				 s.unavailable, s.errors, s.resets);
		assert_true(s.valid[VT_RESCTRL_OCCUPANCY]);
		assert_int_equal(s.bytes[VT_RESCTRL_OCCUPANCY], 4096u * w->domains);
	}
	del(g, name);
	assert_null(group_name(name, name, sizeof(name)));
	vt_resctrl_close(r);
}

static void windows(void **state)
{
	for (size_t i = 0; i < VT_COUNT(stories); i++)
		one_story(i);
}

static void no_domain_left(void **state)
{
	struct vt_resctrl *r = opened();
	char name[96], path[160];
	struct vt_resctrl_group *g = add(r, 7, name, sizeof(name));
	struct vt_resctrl_sample s;

	snprintf(path, sizeof(path), "r/mon_groups/%s/mon_data", name);
	fake_write(&tree, path, NULL);
	assert_int_equal(vt_resctrl_group_read(g, &s, NULL), -ENODATA);
	fake_remove(&tree, path);
	assert_int_equal(vt_resctrl_group_read(g, &s, NULL), -ENOENT); /* unmounted under us */
	vt_resctrl_close(r);
	assert_null(group_name("[.]7", name, sizeof(name)));
}

static void tasks(void **state)
{
	struct vt_resctrl *r = opened();
	char name[96], path[256], text[32] = "";
	struct vt_resctrl_group *g = add(r, 9, name, sizeof(name));
	struct vt_err e = {0};
	FILE *f;

	assert_int_equal(vt_resctrl_group_task(g, 4711, &e), -ENOENT);
	snprintf(path, sizeof(path), "r/mon_groups/%s/tasks", name);
	fake_write(&tree, path, "");
	assert_int_equal(vt_resctrl_group_task(g, 4711, NULL), 0);
	snprintf(path, sizeof(path), "%s/mon_groups/%s/tasks", root, name);
	f = fopen(path, "r");
	assert_non_null(fgets(text, sizeof(text), f));
	fclose(f);
	assert_string_equal(text, "4711\n");
	unlink(path);
	vt_resctrl_close(r);
}

/* Groups of the dead are removed; those of the living and of other programs are not. */
static void reclaim(void **state)
{
	char stat[512], mine[96], alive[96], *p;
	unsigned long long start = 0;
	struct vt_resctrl *r;
	FILE *f = fopen("/proc/1/stat", "r");

	assert_non_null(fgets(stat, sizeof(stat), f));
	fclose(f);
	p = strrchr(stat, ')');
	for (int field = 2; field < 22; field++)
		p = strchr(p + 1, ' ');
	start = strtoull(p, NULL, 10);
	snprintf(alive, sizeof(alive), "r/mon_groups/veltair.1.%llu.5", start);
	snprintf(mine, sizeof(mine), "r/mon_groups/veltair.1.%llu.5",
		 start + 1); /* pid used again */
	fake_write(&tree, alive, NULL);
	fake_write(&tree, mine, NULL);
	fake_write(&tree, "r/mon_groups/veltair.4194999.77.1", NULL); /* above pid_max */
	fake_write(&tree, "r/mon_groups/pqos-group", NULL);
	r = opened();
	assert_int_equal(vt_resctrl_reclaimed(r), 2);
	assert_true(fake_exists(&tree, alive));
	assert_true(fake_exists(&tree, "r/mon_groups/pqos-group"));
	assert_false(fake_exists(&tree, mine));
	vt_resctrl_close(r);
	fake_remove(&tree, alive);
	fake_remove(&tree, "r/mon_groups/pqos-group");
}

/* A living owner that this /proc does not show, as from another PID namespace: its group stays. */
static void other_namespace(void **state)
{
	struct vt_resctrl *theirs = opened(), *ours = NULL;
	char name[96], path[256];
	struct vt_err e = {0};

	add(theirs, 9, name, sizeof(name));
	snprintf(path, sizeof(path), "%s/mon_groups/%s", root, name);
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(vt_resctrl_open(root, "/nonexistent", &ours, &e), 0);
	assert_int_equal(vt_resctrl_reclaimed(ours), 0);
	assert_int_equal(access(path, F_OK), 0);
	vt_resctrl_close(ours);
	vt_resctrl_close(theirs);
}

/* RMIDs exhausted: mkdir says ENOSPC. A full file system says the same, so be one. */
static void rmids_exhausted(void **state)
{
	struct vt_resctrl *r = opened();
	struct vt_resctrl_group *g[32], *none = NULL;
	char path[160];
	struct vt_err e = {0};
	int n = 0, err = 0;

	snprintf(path, sizeof(path), "%s/mon_groups", root);
	if (mount("vt-test", path, "tmpfs", 0, "nr_inodes=5"))
		vt_skip("cannot mount a file system without room: %s", strerror(errno));
	while (n < 32 && !(err = vt_resctrl_group_add(r, 100 + (uint64_t)n, &g[n], &e)))
		n++;
	assert_int_equal(err, -ENOSPC);
	assert_int_equal(n, 4);
	assert_non_null(strstr(e.msg, "all 176 monitoring ids"));
	vt_resctrl_group_del(g[2]); /* one comes free: the next tenant gets it */
	assert_int_equal(vt_resctrl_group_add(r, 200, &none, NULL), 0);
	assert_int_equal(vt_resctrl_group_add(r, 200, &none, NULL), -EEXIST);
	vt_resctrl_close(r);
	assert_int_equal(rmdir(path), -1); /* a mount point still */
	assert_int_equal(umount(path), 0);
}

static void what_a_machine_lacks(void **state)
{
	static const struct {
		const char *remove, *path, *text;
		int err;
		const char *says;
	} rows[] = {
		{NULL, "r/info/L3_MON/mon_features", "llc_occupancy\n", 0, NULL},
		{NULL, "r/info/L3_MON/mon_features", "mbm_new_thing\n", -ENOTSUP, "neither"},
		{"r/info", "r/schemata", "MB:0=100\n", -ENOTSUP, "no L3 monitoring"},
		{"r/schemata", "r/x", "", -ENOENT, "mount -t resctrl"},
		{"r", "x", "", -ENOENT, "no resource monitoring"},
	};

	for (size_t i = 0; i < VT_COUNT(rows); i++) {
		struct vt_resctrl *r = NULL;
		struct vt_err e = {0};

		if (rows[i].remove)
			fake_remove(&tree, rows[i].remove);
		fake_write(&tree, rows[i].path, rows[i].text);
		assert_int_equal(vt_resctrl_open(root, NULL, &r, &e), rows[i].err);
		if (rows[i].says && !strstr(e.msg, rows[i].says))
			fail_msg("'%s' does not say '%s'", e.msg, rows[i].says);
		if (!rows[i].err) {
			assert_true(vt_resctrl_can(r, VT_RESCTRL_OCCUPANCY));
			assert_false(vt_resctrl_can(r, VT_RESCTRL_TOTAL));
			assert_int_equal(vt_resctrl_rmids(r), 176);
		}
		vt_resctrl_close(r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(windows),
		cmocka_unit_test(no_domain_left),
		cmocka_unit_test(tasks),
		cmocka_unit_test(reclaim),
		cmocka_unit_test(other_namespace),
		cmocka_unit_test(rmids_exhausted),
		cmocka_unit_test(what_a_machine_lacks),
	};

	return cmocka_run_group_tests_name("resctrl", tests, setup, teardown);
}
