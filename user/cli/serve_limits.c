// SPDX-License-Identifier: Apache-2.0
/* serve_limits.c - what the kernel lets this process have, as far as a server needs it. */
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/cgroup.h"
#include "cli/serve.h"
#include "exec/topology.h"
#include "server/http.h"
#include "server/region.h"

/* Who may not is told by vt_http_start() what that means. */
void vt_serve_may_come_first(void)
{
	const rlim_t wanted = 20 - VT_HTTP_NICE; /* getrlimit(2) */
	struct rlimit l;

	if (getrlimit(RLIMIT_NICE, &l) || l.rlim_cur >= wanted)
		return;
	l.rlim_cur = wanted;
	if (l.rlim_max < wanted)
		l.rlim_max = wanted;
	setrlimit(RLIMIT_NICE, &l);
}

/* Files besides connections: counters of the monitor for each core, event loops, shared memory, and what is opened now and then. */
static rlim_t other_files(const struct vt_config *c)
{
	const long cores = c->monitor == VT_MONITOR_OFF ? 0 : sysconf(_SC_NPROCESSORS_CONF);

	const rlim_t regions = c->shm == VT_SHM_OFF ? 0 : VT_REGIONS;

	return 64 + 16 * (rlim_t)cores + 8 * c->io_threads * c->n_listen + regions;
}

uint64_t vt_serve_connections(const struct vt_config *c, const struct vt_log *log)
{
	const rlim_t others = other_files(c), wanted = others + c->n_listen * c->max_connections;
	uint64_t fewer;
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l))
		return c->max_connections;
	if (l.rlim_cur < wanted) {
		l.rlim_cur = wanted < l.rlim_max ? wanted : l.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &l) || getrlimit(RLIMIT_NOFILE, &l))
			return c->max_connections;
	}
	if (l.rlim_cur >= wanted)
		return c->max_connections;
	fewer = l.rlim_cur > others ? (l.rlim_cur - others) / c->n_listen : 0;
	fewer = fewer ? fewer : 1;
	vt_log(log, VT_LOG_WARN,
	       "limits.max_connections: %llu per address, not %llu: that takes %llu open files, "
	       "and this "
	       "process may have %llu; raise LimitNOFILE= of the unit or `ulimit -Hn`",
	       (unsigned long long)fewer, (unsigned long long)c->max_connections,
	       (unsigned long long)wanted, (unsigned long long)l.rlim_cur);
	return fewer;
}

/* Two servers with a quota each, and nothing else to tell them apart, take the same cores. */
static void say_fewer(const struct vt_log *log, const struct vt_cpuset *cores, unsigned int of,
		      uint64_t quota_ppm)
{
	char list[256];

	vt_cpuset_format(cores, list, sizeof(list));
	if (quota_ppm > (uint64_t)VT_SCHED_MAX_CORES * VT_PPM) {
		vt_log(log, VT_LOG_INFO,
		       "computing on %u of %u cores, %s: a server has no more than %u; others by "
		       "`cores`, for example those of a second server",
		       vt_cpuset_count(cores), of, list, VT_SCHED_MAX_CORES);
		return;
	}
	vt_log(log, VT_LOG_INFO,
	       "computing on %u of %u cores, %s: the CPU quota of the cgroup is %.2f cores; "
	       "another "
	       "server with a quota takes the same ones, unless `cores` or a cpuset gives each its "
	       "own",
	       vt_cpuset_count(cores), of, list, (double)quota_ppm / VT_PPM);
}

int vt_serve_cores(const struct vt_config *c, const struct vt_log *log, struct vt_cpuset *ret,
		   struct vt_err *e)
{
	const uint64_t quota_ppm = vt_cgroup_cpu_ppm(NULL);
	const unsigned int named = vt_cpuset_count(&c->cores);
	struct vt_cpuset allowed;
	int err;

	if (named) {
		if (quota_ppm < (uint64_t)named * VT_PPM)
			vt_log(log, VT_LOG_WARN,
			       "cores: %u are named, the CPU quota of the cgroup is %.2f cores: "
			       "when "
			       "it is used up all of them stand still; name fewer or raise the "
			       "quota",
			       named, (double)quota_ppm / VT_PPM);
		*ret = c->cores;
		return 0;
	}
	err = vt_cpuset_allowed(&allowed);
	if (!err)
		err = vt_topology_default(ret);
	if (err)
		return vt_fail(e, err, "cannot read the cores this process may use");
	if (vt_cpuset_count(ret) < vt_cpuset_count(&allowed))
		say_fewer(log, ret, vt_cpuset_count(&allowed), quota_ppm);
	return 0;
}
