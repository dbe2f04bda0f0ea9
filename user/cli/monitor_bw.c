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
#define ASK_EVERY    (5 * VT_NS_PER_S)

/* A tenant with a mon_group of its own; also one that got none, so that it is not asked again at once. */
struct followed {
	uint64_t key; /* 0: free */
	struct vt_resctrl_group *group;
	uint64_t asked_ns; /* for the group that could not be had; 0: none is asked for */
	uint64_t seen_ns, tasks_ns, read_ns, bytes;
	bool moved; /* some task of it is in the group */
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

struct vt_bw *vt_bw_new(const char *resctrl, const char *cgroups, const struct vt_event_env *env)
{
	enum vt_cpu_family family = VT_CPU_UNKNOWN;
	struct vt_err why = {0}, none = {0};
	struct vt_bw *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->machine = NAN;
	if (env)
		b->env = *env;
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

/*
 * A counter whose turn did not come tells with the next read what it would have told now: the window goes on until
 * then. What a counter that failed would have told is lost: the next window begins here.
 */
static void read_machine(struct vt_bw *b)
{
	uint32_t lost = 0, late = 0;
	struct vt_uncore_sample s;
	uint64_t bytes = 0;

	b->machine = NAN;
	if (!b->uncore || vt_uncore_read(b->uncore, &s, NULL)) {
		b->machine_ns = 0;
		return;
	}
	for (uint32_t i = 0; i < s.sockets; i++) {
		bytes += vt_uncore_bytes(&s.socket[i]);
		lost += s.socket[i].lost;
		late += s.socket[i].late;
	}
	if (b->machine_ns && !lost && s.mono_ns > b->machine_ns && bytes >= b->machine_bytes)
		b->machine = (double)(bytes - b->machine_bytes) * 1e9 /
			     (double)(s.mono_ns - b->machine_ns);
	if (!late) {
		b->machine_ns = s.mono_ns;
		b->machine_bytes = bytes;
	} else if (lost > late) {
		b->machine_ns = 0;
	}
}

static void drop(struct followed *f)
{
	vt_resctrl_group_del(f->group);
	*f = (struct followed){0};
}

/* A window may be longer than FORGET_AFTER: who was in the last one is still here. */
void vt_bw_tick(struct vt_bw *b, uint64_t now_mono_ns)
{
	const uint64_t last_ns = b->now_ns;

	b->now_ns = now_mono_ns;
	read_machine(b);
	for (int i = 0; i < TENANTS; i++)
		if (b->tenant[i].key && b->tenant[i].seen_ns != last_ns &&
		    now_mono_ns - b->tenant[i].seen_ns > FORGET_AFTER)
			drop(&b->tenant[i]);
}

double vt_bw_machine(const struct vt_bw *b)
{
	return b->machine;
}

/* ---- one tenant -------------------------------------------------------------------------- */

/*
 * Returns false if @tid must stay where it is: with a part of a tenant elsewhere the group's bytes say nothing. A task
 * that has ended moves nothing any more; of a group that is gone there is nothing to read.
 */
static bool move_task(struct followed *f, pid_t tid)
{
	int err = vt_resctrl_group_task(f->group, tid, NULL);

	f->moved |= !err;
	return !err || err == -ESRCH || err == -ENOENT;
}

static bool move_cgroup(const struct vt_bw *b, struct followed *f, const char *path)
{
	char file[1200];
	bool ok = true;
	int tid;
	FILE *in;

	snprintf(file, sizeof(file), "%s%.900s/cgroup.threads", b->cgroups, path);
	in = fopen(file, "re");
	while (ok && in && fscanf(in, "%d", &tid) == 1)
		ok = move_task(f, tid);
	if (in)
		fclose(in);
	return ok;
}

static bool move_process(struct followed *f)
{
	char path[64];
	struct dirent *d;
	bool ok = true;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%lu/task", (unsigned long)vt_key_id(f->key));
	dir = opendir(path);
	while (ok && dir && (d = readdir(dir)))
		if (d->d_name[0] != '.')
			ok = move_task(f, atoi(d->d_name));
	if (dir)
		closedir(dir);
	return ok;
}

/*
 * Children inherit the group; threads from elsewhere are caught within a second. Returns whether the group holds the
 * tenant's tasks; one whose tasks are refused loses its group.
 */
static bool move_tasks(struct vt_bw *b, struct followed *f, const char *path)
{
	bool ok;

	if (f->moved && b->now_ns - f->tasks_ns < TASKS_EVERY)
		return true;
	f->tasks_ns = b->now_ns;
	ok = vt_key_kind(f->key) == VT_KIND_PROCESS ? move_process(f) : move_cgroup(b, f, path);
	if (ok)
		return f->moved;
	vt_resctrl_group_del(f->group);
	f->group = NULL;
	return false;
}

/* Another tenant, or another program, may give a monitoring id back. */
static void ask_for_group(struct vt_bw *b, struct followed *f)
{
	const bool none = vt_resctrl_group_add(b->resctrl, f->key, &f->group, NULL);

	if (none)
		f->group = NULL;
	f->asked_ns = none ? b->now_ns : 0;
}

static struct followed *follow(struct vt_bw *b, uint64_t key)
{
	struct followed *spare = NULL;

	for (int i = 0; i < TENANTS; i++) {
		struct followed *f = &b->tenant[i];

		if (f->key == key) {
			if (f->asked_ns && b->now_ns - f->asked_ns >= ASK_EVERY)
				ask_for_group(b, f);
			return f;
		}
		if (!f->key && !spare)
			spare = f;
	}
	if (!spare)
		return NULL;
	*spare = (struct followed){.key = key};
	ask_for_group(b, spare);
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
	if (!f->group || !move_tasks(b, f, path))
		return NAN;
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
