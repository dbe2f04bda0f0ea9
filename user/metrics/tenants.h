/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tenants.h - which of the monitor's tenants get a label of their own. One thread.
 *
 * The first VT_TENANT_LABELS tenants seen have one as long as they live; all others are summed as
 * "(other)", so thousands of tenants cost bounded memory and bounded label values. Sums never go
 * back: what a labelled tenant had counted when it ended stays out of "(other)", where the kernel
 * side puts it (row "(gone)"), and what one had counted before it got a label stays in it.
 * A series is of a key, which may have two rows for a while.
 */
#ifndef VT_METRICS_TENANTS_H
#define VT_METRICS_TENANTS_H

#include "monitor/monitor.h"
#include "monitor/names.h"

#define VT_TENANT_LABELS 200u

struct vt_tenant_series {
	uint64_t key;  /* 0: "(other)" */
	char name[96]; /* UTF-8, no control characters, no other of its kind has it; a path's end */
	const char *kind;      /* static */
	struct vt_total total; /* never falls */
	struct vt_total held;  /* of it, more than its rows hold now */
	struct vt_total now;   /* its rows in this look; private, as all below */
	struct {
		uint64_t run_ns, lost_ns, count;
	} from[VT_SLOTS];	/* of total, what count[] has taken in */
	double count[VT_SLOTS]; /* each look's part scaled to its whole running time */
	bool seen;		/* in this look */
};

struct vt_tenant_table {
	uint32_t n; /* series[0] is "(other)" once there is one to sum */
	struct vt_tenant_series series[VT_TENANT_LABELS + 1];
	struct vt_total
		retired; /* of labelled tenants that ended, and rows that labelled ones lost */
};

/** vt_tenant_table_update - take in a snapshot of @m; @names may be NULL: cgroups by number */
void vt_tenant_table_update(struct vt_tenant_table *t, struct vt_monitor *m,
			    const struct vt_snapshot *s, struct vt_names *names);

/** vt_tenant_count - the estimate for @slot; NAN if it was never on a counter; never falls */
double vt_tenant_count(const struct vt_tenant_series *s, unsigned int slot);

#endif
