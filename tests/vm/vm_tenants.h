/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm_tenants.h - attribution to tenants, with counts that are known beforehand.
 *
 * Three tenants write known numbers of cycles, LLC references and LLC misses to the scripted PMU
 * while they give up the CPU, are preempted and migrate; the production monitor has to charge each
 * exactly what it wrote. Nothing else moves those counters, so the sum over all tenants is known
 * too: a count that went to somebody else shows twice.
 */
#ifndef VT_TESTS_VM_TENANTS_H
#define VT_TESTS_VM_TENANTS_H

#include "vm.h"

#include "monitor/monitor.h"

#define TENANTS 3
#define ROLES	3

extern const enum vt_role vm_roles[ROLES];

struct tenant {
	unsigned int index;
	pid_t pid;
	uint64_t cgroup;       /* its id, when it has one of its own */
	uint64_t truth[ROLES]; /* written by the tenant, read after it is done */
	bool ready, done;
};

struct stage {
	bool go;
	bool migrate; /* change CPU at every step; else all stay on CPU 1 */
	bool cgroups; /* one cgroup each */
	unsigned int steps;
	unsigned int spin_ms; /* steps == 0: just be busy for so long */
	struct tenant t[TENANTS];
};

/* The one on; shared with the tenants. */
extern struct stage *vm_stage;

/** vm_write_amounts - count what tenant @t counts at its step @i; add it to @sum[ROLES] */
void vm_write_amounts(int ctl, unsigned int t, unsigned int i, uint64_t *sum);

/** vm_start - the monitor under test, counting vm_roles by hardware, or the test fails */
struct vt_monitor *vm_start(struct vt_monitor_opts o);

/** vm_look - an exact snapshot */
void vm_look(struct vt_monitor *m, struct vt_snapshot *s);

uint64_t vm_count_of(const struct vt_monitor *m, const struct vt_total *t, size_t role);
uint64_t vm_sum_of(const struct vt_monitor *m, const struct vt_snapshot *s, size_t role);

/** vm_row_of - of a process or cgroup; NULL as long as it never ran */
const struct vt_total *vm_row_of(const struct vt_snapshot *s, enum vt_tenant_kind kind,
				 uint64_t id);
const struct vt_total *vm_row_of_tenant(const struct vt_snapshot *s, int i);

void vm_check_no_loss(const struct vt_snapshot *s);
/** vm_check_exact - every tenant exactly what it wrote, and nobody else anything */
void vm_check_exact(struct vt_monitor *m, const struct vt_snapshot *before,
		    const struct vt_snapshot *after);

/* Tenants start, are named, and wait; then the baseline; then the load. */
void vm_start_tenants(struct stage how);
void vm_run_tenants(void);
void vm_stop_tenants(void);

#endif
