// SPDX-License-Identifier: Apache-2.0
/*
 * slots.c - from roles to the array of open events that the programs read.
 *
 * A hardware event is opened pinned first: it then counts all the time or its read fails, so a
 * plain read in the kernel is exact. The kernel reports a pinned event without a counter as end of
 * file. If any does not fit, none is pinned: the kernel rotates them all, and the programs scale by
 * what was missed.
 */
#include "monitor/impl.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "events/sysfs_pmu.h"

static int sys_open(const struct vt_event_env *env, struct perf_event_attr *attr, unsigned int cpu)
{
	int fd;

	if (env->open)
		return env->open(env->ctx, attr, -1, (int)cpu, PERF_FLAG_FD_CLOEXEC);
	fd = (int)syscall(SYS_perf_event_open, attr, -1, (int)cpu, -1, PERF_FLAG_FD_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Nothing here counts the role: no slot, and a reason for people. Anything else is the caller's error. */
static int choose_one(struct vt_slot_set *s, const struct vt_monitor_opts *o,
		      enum vt_cpu_family family, enum vt_role role, int cpu, struct vt_err *e)
{
	struct vt_err why = {0};
	const char *named = o->ev ? o->ev->text[role] : "";
	int err;

	err = vt_event_resolve(s->env, family, role, named, cpu, &s->event[s->n], &why);
	if (!err) {
		s->role[s->n++] = role;
		return 0;
	}
	if (named[0])
		return vt_fail(e, err, "%s", why.msg);
	snprintf(s->absent[role], sizeof(s->absent[role]), "%s", why.msg);
	return 0;
}

int vt_slots_choose(struct vt_slot_set *s, const struct vt_monitor_opts *o, unsigned int cpus,
		    struct vt_err *e)
{
	static const struct vt_event_env here;
	uint32_t mask = o->roles ? o->roles : (1u << VT_ROLE_COUNT) - 1;
	enum vt_cpu_family family = VT_CPU_UNKNOWN;
	struct vt_cpuset mine;
	int err, cpu;

	*s = (struct vt_slot_set){.env = o->env ? o->env : &here, .cpus = cpus};
	s->core_pmu = vt_sysfs_core_pmu(s->env->sysfs ? s->env->sysfs : "/sys");
	s->open = calloc((size_t)cpus * VT_SLOTS, sizeof(*s->open));
	if (!s->open)
		return vt_fail(e, -ENOMEM, "no memory for %u CPUs", cpus);
	cpu = vt_cpuset_allowed(&mine) ? 0 : vt_cpuset_next(&mine, 0);
	if (o->no_events)
		mask = 0;
	else if ((err = vt_cpu_family_detect(s->env, &family, e)))
		return err;
	for (int r = 0; r < VT_ROLE_COUNT; r++) {
		if (!(mask >> r & 1)) {
			snprintf(s->absent[r], sizeof(s->absent[r]), "not asked for");
			continue;
		}
		err = choose_one(s, o, family, (enum vt_role)r, cpu, e);
		if (err)
			return err;
	}
	return 0;
}

/* Is it on a counter? A pinned event that found none reads as end of file. */
static bool alive(int fd)
{
	uint64_t value[4];

	return read(fd, value, sizeof(value)) > 0;
}

static int open_one(struct vt_slot_set *s, unsigned int i, unsigned int cpu, struct vt_err *e)
{
	struct perf_event_attr attr;
	bool hw = s->event[i].cls == VT_CLASS_HW;
	int fd;

	vt_event_attr(&s->event[i], &attr);
	attr.pinned = hw && !(s->shared >> i & 1);
	fd = sys_open(s->env, &attr, cpu);
	if (fd < 0)
		return vt_fail(e, fd, "cannot open event %s on CPU %u: %s", s->event[i].name, cpu,
			       strerror(-fd));
	if (!attr.pinned || alive(fd))
		return fd;
	close(fd);
	for (unsigned int k = 0; k < s->n; k++)
		if (s->event[k].cls == VT_CLASS_HW)
			s->shared |= 1u << k;
	return -EAGAIN;
}

int vt_slots_open(struct vt_slot_set *s, unsigned int cpu, int map, struct vt_err *e)
{
	for (uint32_t i = 0, k = cpu * VT_SLOTS; i < s->n; i++, k++) {
		int fd, err;

		if (s->open[k])
			continue;
		fd = open_one(s, i, cpu, e);
		err = fd < 0 ? fd : 0;
		if (!err && bpf_map_update_elem(map, &k, &fd, BPF_ANY))
			err = vt_fail(e, -errno, "cannot hand event %s to the kernel programs: %s",
				      s->event[i].name, strerror(errno));
		/* The array holds the event from here on: 256 CPUs would need 1500 descriptors. */
		if (fd >= 0)
			close(fd);
		if (err) {
			vt_slots_close(s, cpu, map);
			return err;
		}
		s->open[k] = true;
	}
	return 0;
}

void vt_slots_close(struct vt_slot_set *s, unsigned int cpu, int map)
{
	for (uint32_t i = 0, k = cpu * VT_SLOTS; i < VT_SLOTS; i++, k++) {
		if (s->open[k])
			bpf_map_delete_elem(map, &k);
		s->open[k] = false;
	}
}

uint32_t vt_slots_faults(const struct vt_slot_set *s)
{
	for (uint32_t i = 0; i < s->n; i++)
		if (s->event[i].type == PERF_TYPE_SOFTWARE &&
		    s->event[i].config == PERF_COUNT_SW_PAGE_FAULTS)
			return i;
	return VT_SLOTS;
}

void vt_slots_describe(const struct vt_slot_set *s, unsigned int i, struct vt_slot *ret)
{
	const struct vt_event *ev = &s->event[i];

	*ret = (struct vt_slot){
		.type = ev->type,
		.role_id = s->role[i],
		.config = ev->config,
		.config1 = ev->config1,
		.config2 = ev->config2,
	};
	snprintf(ret->role, sizeof(ret->role), "%s", vt_role_name(s->role[i]));
	snprintf(ret->event, sizeof(ret->event), "%s", ev->name);
	snprintf(ret->cls, sizeof(ret->cls), "%s", vt_event_class_name(ev->cls));
	snprintf(ret->quality, sizeof(ret->quality), "%s", vt_event_quality_name(ev->quality));
	snprintf(ret->source, sizeof(ret->source), "%s", vt_event_source_name(ev->source));
}
