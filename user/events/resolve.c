// SPDX-License-Identifier: Apache-2.0
/* resolve.c - try candidates in order until one opens and counts. */
#include "events/events.h"
#include "events/sysfs_pmu.h"

#include <linux/perf_event.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* How good a generic event is depends on whose kernel table stands behind it. */
enum vendor { INTEL, AMD, ARM, OTHER, VENDORS };

static const enum vendor vendors[VT_CPU_COUNT] = {
	[VT_CPU_UNKNOWN] = OTHER, [VT_CPU_SKX] = INTEL,	      [VT_CPU_CLX] = INTEL,
	[VT_CPU_ICX] = INTEL,	  [VT_CPU_SPR] = INTEL,	      [VT_CPU_ZEN1] = AMD,
	[VT_CPU_ZEN2] = AMD,	  [VT_CPU_ZEN3] = AMD,	      [VT_CPU_ZEN4] = AMD,
	[VT_CPU_ZEN5] = AMD,	  [VT_CPU_NEOVERSE_N1] = ARM, [VT_CPU_NEOVERSE_V1] = ARM,
};

#define X VT_QUALITY_EXACT
#define A VT_QUALITY_APPROX
#define P VT_QUALITY_PROXY
#define N VT_QUALITY_NONE /* means something else there: not a candidate */

/*
 * Candidates behind the family's own rows (codes.c), best first. `q` by vendor: Intel, AMD, Arm,
 * other. On Zen the kernel's cache-references and cache-misses are L2 events.
 */
static const struct candidate {
	enum vt_role role;
	const char *text;
	enum vt_event_quality q[VENDORS];
	const char *doc;
} candidates[] = {
	{VT_ROLE_CYCLES, "cpu/cpu-cycles/", {X, X, X, X}, "the kernel's alias"},
	{VT_ROLE_CYCLES, "armv8_pmuv3_0/cpu_cycles/", {N, N, X, X}, "the kernel's alias"},
	{VT_ROLE_CYCLES, "cycles", {X, X, X, X}, "perf generic"},
	{VT_ROLE_CYCLES, "msr/tsc/", {P, P, P, P}, "the clock: counts time on the CPU, not work"},
	{VT_ROLE_CYCLES, "cpu-clock", {P, P, P, P}, "nanoseconds on the CPU, not cycles"},
	{VT_ROLE_INSTRUCTIONS, "cpu/instructions/", {X, X, X, X}, "the kernel's alias"},
	{VT_ROLE_INSTRUCTIONS, "armv8_pmuv3_0/inst_retired/", {N, N, X, X}, "the kernel's alias"},
	{VT_ROLE_INSTRUCTIONS, "instructions", {X, X, X, X}, "perf generic"},
	{VT_ROLE_LLC_REFS, "armv8_pmuv3_0/ll_cache_rd/", {N, N, A, A}, "reads only"},
	{VT_ROLE_LLC_REFS, "cpu/cache-references/", {X, N, N, N}, "the kernel's alias"},
	{VT_ROLE_LLC_REFS, "cache-references", {X, N, N, N}, "perf generic"},
	{VT_ROLE_LLC_REFS, "LLC-loads", {A, A, A, A}, "perf generic: reads only"},
	{VT_ROLE_LLC_REFS,
	 "cpu/cache-references/",
	 {N, N, N, P},
	 "the kernel's alias: which cache is the kernel's choice"},
	{VT_ROLE_LLC_REFS,
	 "cache-references",
	 {N, N, N, P},
	 "perf generic: which cache is the kernel's choice"},
	{VT_ROLE_LLC_MISSES, "armv8_pmuv3_0/ll_cache_miss_rd/", {N, N, A, A}, "reads only"},
	{VT_ROLE_LLC_MISSES, "cpu/cache-misses/", {X, N, N, N}, "the kernel's alias"},
	{VT_ROLE_LLC_MISSES, "cache-misses", {X, N, N, N}, "perf generic"},
	{VT_ROLE_LLC_MISSES, "LLC-load-misses", {A, A, A, A}, "perf generic: reads only"},
	{VT_ROLE_LLC_MISSES,
	 "cpu/cache-misses/",
	 {N, N, N, P},
	 "the kernel's alias: which cache is the kernel's choice"},
	{VT_ROLE_LLC_MISSES,
	 "cache-misses",
	 {N, N, N, P},
	 "perf generic: which cache is the kernel's choice"},
	{VT_ROLE_LLC_MISSES,
	 "cache-misses",
	 {N, P, P, N},
	 "perf generic: an inner cache here, not the LLC"},
	{VT_ROLE_LLC_MISSES, "page-faults", {P, P, P, P}, "pages newly touched, not cache lines"},
	{VT_ROLE_L2_MISSES, "armv8_pmuv3_0/l2d_cache_refill/", {N, N, X, X}, "the kernel's alias"},
	{VT_ROLE_L2_MISSES, "cpu/cache-misses/", {N, A, N, N}, "on Zen this alias counts the L2"},
	{VT_ROLE_L2_MISSES, "cache-misses", {N, A, N, N}, "on Zen this counts the L2"},
	{VT_ROLE_DRAM_FILLS, "node-loads", {A, P, P, P}, "perf generic: demand reads only"},
};

#undef X
#undef A
#undef P
#undef N

void vt_event_attr(const struct vt_event *ev, struct perf_event_attr *ret)
{
	*ret = (struct perf_event_attr){
		.type = ev->type,
		.size = sizeof(*ret),
		.config = ev->config,
		.config1 = ev->config1,
		.config2 = ev->config2,
		.read_format = PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING,
		.exclude_user = ev->exclude_user,
		.exclude_kernel = ev->exclude_kernel,
	};
}

static int kernel_open(struct perf_event_attr *attr, int pid, int cpu, unsigned long flags)
{
	int fd = (int)syscall(SYS_perf_event_open, attr, pid, cpu, -1, flags);

	return fd < 0 ? -errno : fd;
}

static long paranoid(const struct vt_event_env *env)
{
	char text[16];
	int n = vt_sysfs_read(text, sizeof(text), "%s/sys/kernel/perf_event_paranoid",
			      env->procfs ? env->procfs : "/proc");
	long level = -1;

	return n > 0 && sscanf(text, "%ld", &level) == 1 ? level : -1;
}

/* What an errno of perf_event_open(2) means to whoever has to act on it. */
static const struct open_error {
	int err;
	const char *text;
} open_errors[] = {
	{-ENOENT, "the CPU or its hypervisor does not offer this counter"},
	{-EOPNOTSUPP, "the CPU or its hypervisor does not offer this counter"},
	{-ENODEV, "no such PMU, or the CPU is offline"},
	{-EINVAL, "the kernel rejects this encoding"},
	{-EBUSY, "somebody else holds this counter exclusively"},
	{-EMFILE, "too many open files: raise ulimit -n"},
	{-ENFILE, "too many open files on this machine: raise fs.file-max"},
	{-ENOSPC, "no hardware slot for this event"},
};

static const char *open_error(int err)
{
	for (size_t i = 0; i < sizeof(open_errors) / sizeof(open_errors[0]); i++)
		if (open_errors[i].err == err)
			return open_errors[i].text;
	return strerror(-err);
}

int vt_event_open(const struct vt_event_env *env, const struct vt_event *ev, int pid, int cpu,
		  struct vt_err *e)
{
	struct perf_event_attr attr;
	int fd;

	vt_event_attr(ev, &attr);
	fd = env->open ? env->open(env->ctx, &attr, pid, cpu, PERF_FLAG_FD_CLOEXEC)
		       : kernel_open(&attr, pid, cpu, PERF_FLAG_FD_CLOEXEC);
	if (fd == -EACCES || fd == -EPERM)
		return vt_fail(
			e, fd,
			"the kernel forbids perf events (perf_event_paranoid is %ld): run as "
			"root or give CAP_PERFMON",
			paranoid(env));
	if (fd < 0)
		return vt_fail(e, fd, "%.100s: %s", ev->name, open_error(fd));
	return fd;
}

int vt_event_read(const struct vt_event_env *env, int fd, uint64_t ret[3])
{
	ssize_t n = env->read ? env->read(env->ctx, fd, ret) : read(fd, ret, 3 * sizeof(*ret));

	if (n == (ssize_t)(3 * sizeof(*ret)))
		return 0;
	if (n == 0)
		return -ENODATA;
	return n > 0 ? -EIO : env->read ? (int)n : -errno;
}

/*
 * Did the event get a counter? Time enabled passes on an idle CPU too, so a working event shows
 * time_running at once; one that other users' events crowd out gets its turn within a few ticks.
 */
static int ran(const struct vt_event_env *env, int fd)
{
	const struct timespec tick = {.tv_nsec = 2000000};
	uint64_t r[3];

	if (env->ran)
		return env->ran(env->ctx, fd);
	for (int i = 0; i < 25; i++) {
		int err = vt_event_read(env, fd, r);

		if (err == -ENODATA) /* a pinned event without a counter */
			return 0;
		if (err)
			return err;
		if (r[2])
			return 1;
		nanosleep(&tick, NULL);
	}
	return 0;
}

/* Open, see it count, close. */
static int probe(const struct vt_event_env *env, const struct vt_event *ev, int cpu,
		 struct vt_err *e)
{
	int fd = vt_event_open(env, ev, -1, cpu, e), n;

	if (fd < 0)
		return fd;
	n = ran(env, fd);
	close(fd);
	if (n == 0)
		return vt_fail(e, -ENODATA, "%.100s: opens, but never gets a counter", ev->name);
	if (n < 0)
		return vt_fail(e, n, "%.100s: cannot be read: %s", ev->name, strerror(-n));
	return 0;
}

/* One attempt in the search for a role, and the text of all that failed before it. */
struct search {
	const struct vt_event_env *env;
	int cpu;
	int forbidden; /* -EACCES or -EPERM once seen */
	char tried[400];
	struct vt_event found;
};

static void note(struct search *s, const char *text)
{
	size_t have = strlen(s->tried);

	snprintf(s->tried + have, sizeof(s->tried) - have, "%s%.90s", have ? "; " : "", text);
}

static bool attempt(struct search *s, const struct vt_event *ev)
{
	struct vt_err e = {0};
	int err = probe(s->env, ev, s->cpu, &e);

	if (!err) {
		s->found = *ev;
		return true;
	}
	if (err == -EACCES || err == -EPERM)
		s->forbidden = err;
	note(s, e.msg);
	return false;
}

static bool attempt_text(struct search *s, const char *text, enum vt_event_quality q,
			 const char *doc)
{
	struct vt_err e = {0};
	struct vt_event ev;

	if (vt_event_parse(s->env, text, &ev, &e)) {
		note(s, e.msg);
		return false;
	}
	ev.quality = q;
	ev.doc = doc;
	return attempt(s, &ev);
}

static bool attempt_row(struct search *s, const struct vt_event_code *row)
{
	struct vt_event ev = {
		.doc = row->doc,
		.config = row->config,
		.config1 = row->config1,
		.scale = 1,
		.type = PERF_TYPE_RAW,
		.cls = VT_CLASS_HW,
		.quality = row->quality,
		.source = VT_EVSRC_RAW,
	};

	if (row->pfm && attempt_text(s, row->pfm, row->quality, row->doc))
		return true;
	snprintf(ev.name, sizeof(ev.name), "r%llx", (unsigned long long)row->config);
	return attempt(s, &ev);
}

static bool attempt_candidates(struct search *s, enum vendor vendor, enum vt_role role)
{
	for (size_t i = 0; i < sizeof(candidates) / sizeof(candidates[0]); i++) {
		const struct candidate *c = &candidates[i];

		if (c->role == role && c->q[vendor] != VT_QUALITY_NONE &&
		    attempt_text(s, c->text, c->q[vendor], c->doc))
			return true;
	}
	return false;
}

int vt_event_resolve(const struct vt_event_env *env, enum vt_cpu_family family, enum vt_role role,
		     const char *override, int cpu, struct vt_event *ret, struct vt_err *e)
{
	struct search s = {.env = env, .cpu = cpu};
	const struct vt_event_code *row = vt_event_code(family, role);
	struct vt_event ev;
	int err;

	if ((unsigned int)role >= VT_ROLE_COUNT || (unsigned int)family >= VT_CPU_COUNT)
		return vt_fail(e, -EINVAL, "no such role or CPU family");
	if (override && *override) {
		err = vt_event_parse(env, override, &ev, e);
		if (!err)
			err = probe(env, &ev, cpu, e);
		if (err) {
			vt_fail_at(e, "--event %s=%s", vt_role_name(role), override);
			return err;
		}
		*ret = ev;
		return 0;
	}
	if ((row && attempt_row(&s, row)) || attempt_candidates(&s, vendors[family], role)) {
		*ret = s.found;
		return 0;
	}
	if (s.forbidden)
		return vt_fail(
			e, s.forbidden,
			"%s: the kernel forbids perf events (perf_event_paranoid is %ld): run "
			"as root or give CAP_PERFMON",
			vt_role_name(role), paranoid(env));
	return vt_fail(e, -ENOTSUP,
		       "%s: nothing counts it here (%s); name an event with --event %s=EVENT",
		       vt_role_name(role), s.tried, vt_role_name(role));
}
