// SPDX-License-Identifier: Apache-2.0
/*
 * runtime_count.c - windows of the hardware counters, closed by whoever steps when one is due.
 *
 * Where hardware counts neither references nor misses of the last cache, nothing is ever read:
 * pressure then comes from what blocks feel. The monitor has one user at a time: a reader outside
 * goes through vt_runtime_monitor(), and a window that it would hold up is closed later.
 */
#include <stdlib.h>

#include "exec/runtime_int.h"

int rt_count_open(struct vt_runtime *rt)
{
	vt_slot_map_init(&rt->slots, rt->o.monitor);
	rt->counts = calloc(rt->topo.n_domains, sizeof(*rt->counts));
	if (!rt->counts)
		return -ENOMEM;
	rt->counting = rt->slots.hw[VT_ROLE_LLC_REFS] && rt->slots.hw[VT_ROLE_LLC_MISSES];
	return 0;
}

void rt_count_close(struct vt_runtime *rt)
{
	vt_look_fini(&rt->look[0]);
	vt_look_fini(&rt->look[1]);
	free(rt->counts);
}

const struct vt_domain_counts *rt_count(struct vt_runtime *rt)
{
	const uint64_t window = rt->o.window_ns;
	struct vt_look was;

	if (!rt->counting)
		return NULL;
	for (uint32_t d = 0; d < rt->topo.n_domains; d++)
		rt->counts[d].window_ns = 0;
	if (rt->now_ns < rt->looked_ns + window || pthread_mutex_trylock(&rt->monitoring))
		return rt->counts;
	if (!vt_monitor_look(rt->o.monitor, window / 8, &rt->look[1])) {
		vt_domain_counts(&rt->look[0], &rt->look[1], &rt->slots, rt->topo.domain_of,
				 VT_MAX_CORES, rt->topo.n_domains, rt->counts);
		was = rt->look[0];
		rt->look[0] = rt->look[1];
		rt->look[1] = was;
		rt->looked_ns = rt->now_ns;
	}
	pthread_mutex_unlock(&rt->monitoring);
	return rt->counts;
}

void vt_runtime_monitor(struct vt_runtime *rt, void (*fn)(void *arg, struct vt_monitor *m),
			void *arg)
{
	pthread_mutex_lock(&rt->monitoring);
	fn(arg, rt->o.monitor);
	pthread_mutex_unlock(&rt->monitoring);
}
