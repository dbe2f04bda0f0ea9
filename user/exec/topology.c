// SPDX-License-Identifier: Apache-2.0
#include "exec/topology.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cgroup.h"

#define MAX_INDEX 8u

/* First line of a small sysfs file; false if it is not there. */
static bool read_line(const char *path, char *buf, size_t len)
{
	FILE *f = fopen(path, "re");
	bool ok;

	if (!f)
		return false;
	ok = fgets(buf, (int)len, f) != NULL;
	fclose(f);
	if (ok)
		buf[strcspn(buf, "\n")] = '\0';
	return ok;
}

static bool read_set(const char *path, struct vt_cpuset *ret)
{
	char list[4096];

	return read_line(path, list, sizeof(list)) && !vt_cpuset_parse(list, ret);
}

/* Who shares the highest cache level, else the package, else everything with @cpu. */
static struct vt_cpuset neighbours(const char *sysfs, int cpu, const struct vt_cpuset *all)
{
	struct vt_cpuset best = *all, set;
	char path[512], level[16];
	long highest = 0;

	for (unsigned int i = 0; i < MAX_INDEX; i++) {
		snprintf(path, sizeof(path), "%s/devices/system/cpu/cpu%d/cache/index%u/level",
			 sysfs, cpu, i);
		if (!read_line(path, level, sizeof(level)) || strtol(level, NULL, 10) <= highest)
			continue;
		snprintf(path, sizeof(path),
			 "%s/devices/system/cpu/cpu%d/cache/index%u/shared_cpu_list", sysfs, cpu,
			 i);
		if (!read_set(path, &set))
			continue;
		highest = strtol(level, NULL, 10);
		best = set;
	}
	snprintf(path, sizeof(path), "%s/devices/system/cpu/cpu%d/topology/package_cpus_list",
		 sysfs, cpu);
	if (!highest && read_set(path, &set))
		best = set;
	return best;
}

static void add_domain(struct vt_topology *t, const struct vt_cpuset *members)
{
	/* More caches than a view holds: the rest is one last domain. */
	bool more = t->n_domains < VT_MAX_DOMAINS;
	struct vt_domain *d = &t->domain[more ? t->n_domains++ : VT_MAX_DOMAINS - 1];

	if (more)
		*d = (struct vt_domain){.first = (uint16_t)t->n_cores};
	for (int c = vt_cpuset_next(members, 0); c >= 0;
	     c = vt_cpuset_next(members, (unsigned int)c + 1)) {
		t->domain_of[c] = (uint8_t)(d - t->domain);
		t->cpu[t->n_cores++] = (uint16_t)c;
		d->n_cores++;
	}
}

/* The first core of @left and those of @left beside it, which leave it. */
static struct vt_cpuset take_domain(const char *sysfs, struct vt_cpuset *left)
{
	const int c = vt_cpuset_next(left, 0);
	struct vt_cpuset members = neighbours(sysfs, c, left);

	vt_cpuset_add(&members, (unsigned int)c);
	for (size_t i = 0; i < VT_MAX_CORES / 64; i++) {
		members.bits[i] &= left->bits[i];
		left->bits[i] &= ~members.bits[i];
	}
	return members;
}

int vt_topology_read(struct vt_topology *ret, const char *sysfs, const struct vt_cpuset *cores)
{
	const unsigned int n = vt_cpuset_count(cores);
	struct vt_cpuset left = *cores;

	if (!n || n > VT_SCHED_MAX_CORES)
		return -EINVAL;
	memset(ret, 0, sizeof(*ret));
	memset(ret->domain_of, VT_NO_DOMAIN, sizeof(ret->domain_of));
	while (vt_cpuset_count(&left)) {
		const struct vt_cpuset members = take_domain(sysfs, &left);

		add_domain(ret, &members);
	}
	return 0;
}

bool vt_topology_afford(struct vt_cpuset *cores, const char *sysfs, uint64_t cpu_ppm)
{
	uint64_t paid = cpu_ppm / VT_PPM + (cpu_ppm % VT_PPM != 0);
	struct vt_cpuset left = *cores, ret = {{0}};
	unsigned int n = 0;

	if (paid > VT_SCHED_MAX_CORES)
		paid = VT_SCHED_MAX_CORES;
	if (!paid || paid >= vt_cpuset_count(cores))
		return false;
	while (n < paid) {
		const struct vt_cpuset members = take_domain(sysfs, &left);

		for (int c = vt_cpuset_next(&members, 0); c >= 0 && n < paid;
		     c = vt_cpuset_next(&members, (unsigned int)c + 1), n++)
			vt_cpuset_add(&ret, (unsigned int)c);
	}
	*cores = ret;
	return true;
}

int vt_topology_default(struct vt_cpuset *ret)
{
	struct vt_cpuset cores;
	const int err = vt_cpuset_allowed(&cores);

	if (err)
		return err;
	vt_topology_afford(&cores, "/sys", vt_cgroup_cpu_ppm(NULL));
	*ret = cores;
	return 0;
}
