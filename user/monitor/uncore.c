// SPDX-License-Identifier: Apache-2.0
#include "monitor/uncore.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/cpuset.h"
#include "events/sysfs_pmu.h"

#define LINE_BYTES 64 /* one CAS, one fabric transfer */

enum direction { READS, WRITES, BOTH };

#define FAMILY(f) (1u << VT_CPU_##f)

/*
 * What to open on each PMU called @prefix or @prefix_N. Documented in: Intel's uncore performance
 * monitoring guides (CAS_COUNT; the kernel's aliases carry each generation's code), AMD PPR 55901
 * (UMC PMCx00A), AMD PPRs 54945/55803/55898 (DF PMCx007 and its repetitions per channel) and 55901
 * (DF PMCx01F and its repetitions).
 */
static const struct source {
	const char *prefix;
	const char *terms; /* "%u" becomes the channel's event number */
	enum direction dir;
	uint32_t families;		    /* 0: any CPU that has the PMU */
	unsigned int channels, first, step; /* repeated for first, first + step, ... */
} sources[] = {
	{"uncore_imc", "cas_count_read", READS, 0, 1, 0, 0},
	{"uncore_imc", "cas_count_write", WRITES, 0, 1, 0, 0},
	{"amd_umc", "event=0x0a,rdwrmask=1", READS, 0, 1, 0, 0},
	{"amd_umc", "event=0x0a,rdwrmask=2", WRITES, 0, 1, 0, 0},
	/* The fabric has fewer counters than channels: they take turns and are scaled. */
	{"amd_df", "event=%u,umask=0x38", BOTH, FAMILY(ZEN1) | FAMILY(ZEN2) | FAMILY(ZEN3), 8, 0x07,
	 0x40},
	/*
	 * Zen 4 counts this socket's accesses and another's apart (local_processor_ and
	 * remote_processor_read_data_beats_* in Linux's amdzen4/data-fabric.json).
	 */
	{"amd_df", "event=%u,umask=0x7fe", READS, FAMILY(ZEN4), 12, 0x1f, 0x40},
	{"amd_df", "event=%u,umask=0x7ff", WRITES, FAMILY(ZEN4), 12, 0x1f, 0x40},
	{"amd_df", "event=%u,umask=0xbfe", READS, FAMILY(ZEN4), 12, 0x1f, 0x40},
	{"amd_df", "event=%u,umask=0xbff", WRITES, FAMILY(ZEN4), 12, 0x1f, 0x40},
	/* One umask bit more than before: from this socket or another. */
	{"amd_df", "event=%u,umask=0xffe", READS, FAMILY(ZEN5), 12, 0x1f, 0x40},
	{"amd_df", "event=%u,umask=0xfff", WRITES, FAMILY(ZEN5), 12, 0x1f, 0x40},
};

/* One open counter: one event of one PMU on one socket. */
struct counter {
	int fd;
	unsigned int socket;
	enum direction dir;
	uint64_t prev[3]; /* value, time enabled, time running */
	bool based;
	double bytes_per_count, sum;
};

struct vt_uncore {
	const struct vt_event_env *env;
	struct counter *c;
	size_t count;
	const char *prefix; /* of the source in use; others are not added to it */
};

static const char *sysfs_of(const struct vt_event_env *env)
{
	return env->sysfs ? env->sysfs : "/sys";
}

static unsigned int socket_of(const struct vt_event_env *env, int cpu)
{
	char text[32];
	int n = vt_sysfs_read(text, sizeof(text),
			      "%s/devices/system/cpu/cpu%d/topology/physical_package_id",
			      sysfs_of(env), cpu);
	long id = n > 0 ? strtol(text, NULL, 10) : 0;

	return id >= 0 && id < VT_UNCORE_SOCKETS ? (unsigned int)id : 0;
}

/* "MiB" with scale 6.1e-5 is 64 bytes a count; without a unit a count is a cache line. */
static double bytes_per_count(const struct vt_event *ev)
{
	static const struct {
		const char *unit;
		double bytes;
	} units[] = {{"MiB", 1048576}, {"MB", 1e6}, {"KiB", 1024}, {"Bytes", 1}};

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (!strcmp(ev->unit, units[i].unit))
			return ev->scale * units[i].bytes;
	return LINE_BYTES;
}

/* ---- opening ----------------------------------------------------------------------------- */

struct opening {
	struct vt_uncore *u;
	const struct source *s;
	struct vt_err *e;
};

static int add_counter(struct opening *o, const struct vt_event *ev, int cpu)
{
	struct vt_uncore *u = o->u;
	struct counter *more = realloc(u->c, (u->count + 1) * sizeof(*more)), *c;
	int fd;

	if (!more)
		return vt_fail(o->e, -ENOMEM, "out of memory");
	u->c = more;
	fd = vt_event_open(u->env, ev, -1, cpu, o->e);
	if (fd < 0)
		return fd;
	c = &u->c[u->count++];
	*c = (struct counter){
		.fd = fd,
		.socket = socket_of(u->env, cpu),
		.dir = o->s->dir,
		.bytes_per_count = bytes_per_count(ev),
	};
	c->based = !vt_event_read(u->env, fd, c->prev);
	return 0;
}

static int open_pmu(void *ctx, const char *pmu)
{
	struct opening *o = ctx;
	const char *sysfs = sysfs_of(o->u->env);
	struct vt_cpuset cpus = {0};
	char terms[64], text[160];
	struct vt_event ev;

	if (vt_sysfs_pmu_cpumask(sysfs, pmu, &cpus))
		vt_cpuset_add(&cpus, 0);
	for (unsigned int ch = 0; ch < o->s->channels; ch++) {
		int err;

		snprintf(terms, sizeof(terms), "%s", o->s->terms);
		if (strstr(o->s->terms, "%u"))
			snprintf(terms, sizeof(terms), "event=%u%s", o->s->first + ch * o->s->step,
				 strchr(o->s->terms, ','));
		snprintf(text, sizeof(text), "%s/%s/", pmu, terms);
		err = vt_sysfs_pmu_encode(sysfs, text, &ev, o->e);
		for (int cpu = vt_cpuset_next(&cpus, 0); cpu >= 0 && !err;
		     cpu = vt_cpuset_next(&cpus, (unsigned int)cpu + 1))
			err = add_counter(o, &ev, cpu);
		if (err)
			return err;
	}
	return 0;
}

int vt_uncore_open(const struct vt_event_env *env, enum vt_cpu_family family,
		   struct vt_uncore **ret, struct vt_err *e)
{
	struct vt_uncore *u = calloc(1, sizeof(*u));
	int err = 0;

	if (!u)
		return vt_fail(e, -ENOMEM, "out of memory");
	u->env = env;
	for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]) && !err; i++) {
		struct opening o = {.u = u, .s = &sources[i], .e = e};

		/* The controllers themselves come first; the fabric would count the same again. */
		if (u->prefix && strcmp(u->prefix, o.s->prefix))
			continue;
		if (o.s->families && !(o.s->families >> family & 1))
			continue;
		err = vt_sysfs_pmu_list(sysfs_of(env), o.s->prefix, open_pmu, &o);
		if (err > 0)
			u->prefix = o.s->prefix;
		if (err == -ENOENT && !u->count) /* no such directory at all */
			break;
		err = err < 0 ? err : 0;
	}
	if (!err && u->count) {
		*ret = u;
		return 0;
	}
	vt_uncore_close(u);
	if (err && err != -ENOENT)
		return err;
	if (e && e->code)
		return e->code;
	return vt_fail(e, -ENOTSUP,
		       "no PMU here counts memory traffic (uncore_imc, amd_umc, amd_df); virtual "
		       "machines have none");
}

void vt_uncore_close(struct vt_uncore *u)
{
	if (!u)
		return;
	for (size_t i = 0; i < u->count; i++)
		close(u->c[i].fd);
	free(u->c);
	free(u);
}

const char *vt_uncore_source(const struct vt_uncore *u)
{
	return u->prefix;
}

/* ---- reading ----------------------------------------------------------------------------- */

enum answer { COUNTED, LATE, LOST };

/* Fold in what was counted since the last read. */
static enum answer advance(const struct vt_uncore *u, struct counter *c)
{
	uint64_t now[3], n, enabled, running;

	if (vt_event_read(u->env, c->fd, now)) {
		c->based = false;
		return LOST;
	}
	if (!c->based || now[0] < c->prev[0] || now[2] < c->prev[2]) {
		/* The first answer, or a counter that started anew. */
		memcpy(c->prev, now, sizeof(now));
		c->based = true;
		return LOST;
	}
	n = now[0] - c->prev[0];
	enabled = now[1] - c->prev[1];
	running = now[2] - c->prev[2];
	/* Its turn did not come: say so, and let the next read scale over both intervals. */
	if (!running)
		return enabled ? LATE : COUNTED;
	c->sum += (double)n * c->bytes_per_count * ((double)enabled / (double)running);
	memcpy(c->prev, now, sizeof(now));
	return COUNTED;
}

int vt_uncore_read(struct vt_uncore *u, struct vt_uncore_sample *ret, struct vt_err *e)
{
	struct vt_uncore_sample s = {.mono_ns = vt_now_mono_ns()};
	double sums[VT_UNCORE_SOCKETS][3] = {{0}};
	size_t answers = 0;

	for (size_t i = 0; i < u->count; i++) {
		struct counter *c = &u->c[i];
		struct vt_uncore_socket *k = &s.socket[c->socket];
		enum answer a = advance(u, c);

		k->counters++;
		k->lost += a != COUNTED;
		k->late += a == LATE;
		answers += a != LOST;
		k->split = c->dir != BOTH;
		sums[c->socket][c->dir] += c->sum;
		if (c->socket >= s.sockets)
			s.sockets = c->socket + 1;
	}
	for (unsigned int i = 0; i < s.sockets; i++) {
		s.socket[i].read_bytes = (uint64_t)sums[i][READS];
		s.socket[i].write_bytes = (uint64_t)sums[i][WRITES];
		s.socket[i].both_bytes = (uint64_t)sums[i][BOTH];
	}
	if (!answers)
		return vt_fail(e, -ENODATA, "no counter of %s answers", u->prefix);
	*ret = s;
	return 0;
}

uint64_t vt_bandwidth_share_ppm(uint64_t bytes, uint64_t dt_ns, uint64_t peak_bytes_per_s)
{
	if (!dt_ns || !peak_bytes_per_s)
		return 0;
	return (uint64_t)((double)bytes * 1e9 / (double)dt_ns * 1e6 / (double)peak_bytes_per_s);
}
