// SPDX-License-Identifier: Apache-2.0
#include "cli/monitor_bw.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "monitor/monitor.h"
#include "monitor/resctrl.h"
#include "monitor/uncore.h"

#define TENANTS	     64
#define TASKS_EVERY  VT_NS_PER_S
#define FORGET_AFTER (5 * VT_NS_PER_S)

/* A tenant with a mon_group of its own; also one that got none, so that it is not asked again at
 * once. */
struct followed {
	uint64_t key; /* 0: free */
	struct vt_resctrl_group *group;
	uint64_t seen_ns, tasks_ns, read_ns, bytes;
	bool valid; /* bytes is a measured sum */
};

struct vt_bw {
	struct vt_resctrl *resctrl;
	struct vt_uncore *uncore;
	struct vt_event_env env;
	char cgroups[256], source[400];
	uint64_t now_ns, machine_ns, machine_bytes;
	double machine;
	struct followed tenant[TENANTS];
};

struct vt_bw *vt_bw_new(const char *resctrl, const char *cgroups)
{
	enum vt_cpu_family family = VT_CPU_UNKNOWN;
	struct vt_err why = {0}, none = {0};
	struct vt_bw *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->machine = NAN;
	snprintf(b->cgroups, sizeof(b->cgroups), "%s", cgroups ? cgroups : "");
	vt_cpu_family_detect(&b->env, &family, NULL);
	if (vt_uncore_open(&b->env, family, &b->uncore, &none))
		b->uncore = NULL;
	if (vt_resctrl_open(resctrl, NULL, &b->resctrl, &why))
		b->resctrl = NULL;
	else if (!vt_resctrl_can(b->resctrl, VT_RESCTRL_TOTAL)) {
		vt_resctrl_close(b->resctrl);
		b->resctrl = NULL;
		vt_fail(&why, -ENOTSUP, "resctrl here measures no bandwidth");
	}
	snprintf(b->source, sizeof(b->source), "%s%.200s; machine: %s%.120s",
		 b->resctrl ? "resctrl MBM" : "n/a ", b->resctrl ? "" : why.msg,
		 b->uncore ? vt_uncore_source(b->uncore) : "n/a ", b->uncore ? "" : none.msg);
	return b;
}

void vt_bw_free(struct vt_bw *b)
{
	if (!b)
		return;
	for (int i = 0; i < TENANTS; i++)
		vt_resctrl_group_del(b->tenant[i].group);
	vt_resctrl_close(b->resctrl);
	vt_uncore_close(b->uncore);
	free(b);
}

const char *vt_bw_source(const struct vt_bw *b)
{
	return b->source;
}

/* ---- the machine ------------------------------------------------------------------------- */

static void read_machine(struct vt_bw *b)
{
	struct vt_uncore_sample s;
	uint64_t bytes = 0;
	uint32_t lost = 0;

	b->machine = NAN;
	if (!b->uncore || vt_uncore_read(b->uncore, &s, NULL))
		return;
	for (uint32_t i = 0; i < s.sockets; i++) {
		bytes += vt_uncore_bytes(&s.socket[i]);
		lost += s.socket[i].lost;
	}
	if (b->machine_ns && !lost && s.mono_ns > b->machine_ns && bytes >= b->machine_bytes)
		b->machine = (double)(bytes - b->machine_bytes) * 1e9 /
			     (double)(s.mono_ns - b->machine_ns);
	b->machine_ns = s.mono_ns;
	b->machine_bytes = bytes;
}

static void drop(struct followed *f)
{
	vt_resctrl_group_del(f->group);
	*f = (struct followed){0};
}

void vt_bw_tick(struct vt_bw *b, uint64_t now_mono_ns)
{
	b->now_ns = now_mono_ns;
	read_machine(b);
	for (int i = 0; i < TENANTS; i++)
		if (b->tenant[i].key && now_mono_ns - b->tenant[i].seen_ns > FORGET_AFTER)
			drop(&b->tenant[i]);
}

double vt_bw_machine(const struct vt_bw *b)
{
	return b->machine;
}

/* ---- one tenant -------------------------------------------------------------------------- */

static void move_cgroup(const struct vt_bw *b, struct followed *f, const char *path)
{
	char file[1200];
	int tid;
	FILE *in;

	snprintf(file, sizeof(file), "%s%.900s/cgroup.threads", b->cgroups, path);
	in = fopen(file, "re");
	while (in && fscanf(in, "%d", &tid) == 1)
		vt_resctrl_group_task(f->group, tid, NULL);
	if (in)
		fclose(in);
}

static void move_process(struct followed *f)
{
	char path[64];
	struct dirent *d;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%lu/task", (unsigned long)vt_key_id(f->key));
	dir = opendir(path);
	while (dir && (d = readdir(dir)))
		if (d->d_name[0] != '.')
			vt_resctrl_group_task(f->group, atoi(d->d_name), NULL);
	if (dir)
		closedir(dir);
}

/* Children inherit the group; threads from elsewhere are caught within a second. */
static void move_tasks(struct vt_bw *b, struct followed *f, const char *path)
{
	if (f->tasks_ns && b->now_ns - f->tasks_ns < TASKS_EVERY)
		return;
	f->tasks_ns = b->now_ns;
	if (vt_key_kind(f->key) == VT_KIND_PROCESS)
		move_process(f);
	else if (path)
		move_cgroup(b, f, path);
}

static struct followed *follow(struct vt_bw *b, uint64_t key)
{
	struct followed *spare = NULL;

	for (int i = 0; i < TENANTS; i++) {
		if (b->tenant[i].key == key)
			return &b->tenant[i];
		if (!b->tenant[i].key && !spare)
			spare = &b->tenant[i];
	}
	if (!spare)
		return NULL;
	*spare = (struct followed){.key = key};
	if (vt_resctrl_group_add(b->resctrl, key, &spare->group, NULL))
		spare->group = NULL;
	return spare;
}

double vt_bw_tenant(struct vt_bw *b, uint64_t key, const char *path)
{
	enum vt_tenant_kind kind = vt_key_kind(key);
	struct vt_resctrl_sample s;
	struct followed *f;
	double rate = NAN;

	if (!b->resctrl ||
	    (kind != VT_KIND_PROCESS && !(kind == VT_KIND_CGROUP && path && b->cgroups[0])))
		return NAN;
	f = follow(b, key);
	if (!f)
		return NAN;
	f->seen_ns = b->now_ns;
	if (!f->group)
		return NAN;
	move_tasks(b, f, path);
	if (vt_resctrl_group_read(f->group, &s, NULL) || !s.valid[VT_RESCTRL_TOTAL]) {
		f->valid = false;
		return NAN;
	}
	if (f->valid && !s.unavailable && !s.errors && !s.resets && b->now_ns > f->read_ns)
		rate = (double)(s.bytes[VT_RESCTRL_TOTAL] - f->bytes) * 1e9 /
		       (double)(b->now_ns - f->read_ns);
	f->bytes = s.bytes[VT_RESCTRL_TOTAL];
	f->read_ns = b->now_ns;
	f->valid = !s.unavailable;
	return rate;
}
