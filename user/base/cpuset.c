// SPDX-License-Identifier: Apache-2.0
#include "base/cpuset.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_CPUS 65536u

unsigned int vt_cpuset_count(const struct vt_cpuset *s)
{
	unsigned int n = 0;

	for (size_t i = 0; i < VT_MAX_CORES / 64; i++)
		n += (unsigned int)__builtin_popcountll(s->bits[i]);
	return n;
}

int vt_cpuset_next(const struct vt_cpuset *s, unsigned int from)
{
	for (unsigned int cpu = from; cpu < VT_MAX_CORES; cpu++)
		if (vt_cpuset_has(s, cpu))
			return (int)cpu;
	return -1;
}

/* One number at *p; moves *p past it. */
static int parse_cpu(const char **p, unsigned int *ret)
{
	unsigned long v = 0;

	if (**p < '0' || **p > '9')
		return -EINVAL;
	for (; **p >= '0' && **p <= '9'; (*p)++) {
		v = v * 10 + (unsigned long)(**p - '0');
		if (v >= VT_MAX_CORES)
			return -ERANGE;
	}
	*ret = (unsigned int)v;
	return 0;
}

int vt_cpuset_parse(const char *text, struct vt_cpuset *ret)
{
	struct vt_cpuset s = {0};
	const char *p = text;
	unsigned int lo, hi;
	int err;

	for (;;) {
		err = parse_cpu(&p, &lo);
		if (err)
			return err;
		hi = lo;
		if (*p == '-') {
			p++;
			err = parse_cpu(&p, &hi);
			if (err)
				return err;
			if (hi < lo)
				return -EINVAL;
		}
		for (; lo <= hi; lo++)
			vt_cpuset_add(&s, lo);
		if (*p == '\0' || *p == '\n')
			break;
		if (*p++ != ',')
			return -EINVAL;
	}
	*ret = s;
	return 0;
}

int vt_cpuset_format(const struct vt_cpuset *s, char *buf, size_t len)
{
	int n = 0, lo, hi;

	if (len)
		buf[0] = '\0';
	for (lo = vt_cpuset_next(s, 0); lo >= 0; lo = vt_cpuset_next(s, (unsigned int)hi + 1)) {
		char *at = (size_t)n < len ? buf + n : NULL;
		size_t room = (size_t)n < len ? len - (size_t)n : 0;

		for (hi = lo; vt_cpuset_has(s, (unsigned int)hi + 1);)
			hi++;
		n += hi > lo ? snprintf(at, room, "%s%d-%d", n ? "," : "", lo, hi)
			     : snprintf(at, room, "%s%d", n ? "," : "", lo);
	}
	return n;
}

/* Of the first @cpus; those past VT_MAX_CORES are left out. */
static int allowed_of(unsigned int cpus, struct vt_cpuset *ret)
{
	const size_t len = CPU_ALLOC_SIZE(cpus);
	cpu_set_t *set = CPU_ALLOC(cpus);
	int err = 0;

	if (!set)
		return -ENOMEM;
	CPU_ZERO_S(len, set);
	if (sched_getaffinity(0, len, set))
		err = -errno;
	else
		memset(ret, 0, sizeof(*ret));
	for (unsigned int cpu = 0; cpu < VT_MAX_CORES && !err; cpu++)
		if (CPU_ISSET_S(cpu, len, set))
			vt_cpuset_add(ret, cpu);
	CPU_FREE(set);
	return err;
}

int vt_cpuset_allowed(struct vt_cpuset *ret)
{
	int err = -EINVAL;

	/* The kernel refuses a set that is smaller than its own. */
	for (unsigned int cpus = VT_MAX_CORES; err == -EINVAL && cpus <= MOST_CPUS; cpus *= 2)
		err = allowed_of(cpus, ret);
	return err;
}

int vt_cpuset_pin_self(unsigned int cpu)
{
	cpu_set_t set;

	if (cpu >= CPU_SETSIZE)
		return -EINVAL;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return sched_setaffinity(0, sizeof(set), &set) ? -errno : 0;
}
