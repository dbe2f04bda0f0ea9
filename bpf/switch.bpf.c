// SPDX-License-Identifier: GPL-2.0-only
/*
 * switch.bpf.c - who runs on this CPU, and the exact cut.
 *
 *   sched_switch        A -> B: close A's slice, look up B's tenant. Same tenant: nothing to close.
 *   cut                 a program run on one CPU: a worker changes its tenant, or somebody reads
 *   cgroup_attach_task  a task that moves itself: what it did before belongs to the old cgroup
 *   process_exec        by process: the row gets the new program's name
 *   process_free        by process: tell user space that the row can be given away
 *   cgroup_rmdir        by cgroup: likewise
 *
 * The tenant is looked up when a task is switched in and charged when it is switched out. A task
 * that is switched out without having been switched in (chain_miss) is looked up then, and gets the
 * slice, less what the kernel's own sums say the other one did.
 */
#include "flush.bpf.h"

char LICENSE[] SEC("license") = "GPL";

const volatile __u32 vt_depth = VT_DEPTH_LEAF;
const volatile __u32 vt_faults_slot = VT_SLOTS; /* the slot that counts page faults, if one does */

#define MAX_LEVELS  32
#define MERGE_PAUSE 65535 /* switches */

static __noinline __u64 id_at_depth(struct task_struct *t)
{
	struct cgroup *g;

	if (!t)
		return 0;
	g = t->cgroups->dfl_cgrp;
	for (int i = 0; i < MAX_LEVELS; i++) {
		if (g->level <= (int)vt_depth)
			break;
		g = g->self.parent->cgroup;
	}
	return g->kn->id;
}

static __always_inline __u64 key_of(const struct vt_cpu *c, struct task_struct *t)
{
	if (c->key_by == VT_KEY_BY_PROCESS)
		return VT_KEY_PROCESS(t->tgid, t->group_leader->start_boottime);
	if (likely(c->key_by == VT_KEY_BY_LEAF))
		return VT_KEY(VT_KIND_CGROUP, t->cgroups->dfl_cgrp->kn->id);
	return VT_KEY(VT_KIND_CGROUP, id_at_depth(t));
}

static __always_inline void name_of(const struct vt_cpu *c, struct task_struct *t, __u64 key,
				    struct vt_tenant *v)
{
	struct cgroup *g = t->cgroups->dfl_cgrp;

	if (c->key_by == VT_KEY_BY_PROCESS) {
		bpf_probe_read_kernel_str(v->name, sizeof(v->name), t->group_leader->comm);
		return;
	}
	for (int i = 0; i < MAX_LEVELS && g->level > 0; i++) {
		if (VT_KEY(VT_KIND_CGROUP, g->kn->id) == key)
			break;
		g = g->self.parent->cgroup;
	}
	bpf_probe_read_kernel_str(v->name, sizeof(v->name), g->kn->name);
}

static __always_inline __u32 no_row(struct vt_cpu *c)
{
	c->rows_full++;
	rare_once(c, VT_EVENT_ROWS_FULL, 0);
	return VT_ROW_OTHER;
}

/* First sight of a tenant: take a free row. Two CPUs may meet here; the hash decides. */
static __noinline __u32 take_row(struct vt_cpu *c, struct task_struct *t, __u64 key)
{
	struct vt_tenant v = {.kind = vt_key_kind(key), .id = vt_key_id(key)}, *won;

	if (!c || !t)
		return VT_ROW_OTHER;
	if (bpf_map_pop_elem(&vt_free_rows, &v.row))
		return no_row(c);
	if (v.row >= c->row_high)
		c->row_high = v.row + 1;
	v.first_mono_ns = bpf_ktime_get_ns();
	name_of(c, t, key, &v);
	if (!bpf_map_update_elem(&vt_tenants, &key, &v, BPF_NOEXIST)) {
		rare(c, VT_EVENT_APPEARED, key, v.row);
		return v.row;
	}
	if (bpf_map_push_elem(&vt_free_rows, &v.row, 0))
		no_row(c); /* a tenant that comes later will find none */
	won = bpf_map_lookup_elem(&vt_tenants, &key);
	return won ? won->row : no_row(c);
}

static __always_inline __u32 find_row(struct vt_cpu *c, struct task_struct *t, __u64 key)
{
	struct vt_tenant *v = bpf_map_lookup_elem(&vt_tenants, &key);

	return likely(v) ? v->row : take_row(c, t, key);
}

struct who {
	__u64 key;
	__u32 row;
	__u32 worker;
};

static __always_inline void look_up(struct vt_cpu *c, struct task_struct *t, struct who *w)
{
	__u32 pid = t->pid, *slot;
	struct vt_recent *recent;

	*w = (struct who){.key = VT_KEY(VT_KIND_IDLE, 0), .row = VT_ROW_IDLE};
	if (!pid)
		return;
	if ((__u32)t->tgid == c->runtime_tgid) {
		slot = bpf_map_lookup_elem(&vt_worker_of, &pid);
		if (slot) {
			w->worker = *slot + 1;
			w->key = 0;
			return;
		}
	}
	w->key = key_of(c, t);
	if (w->key == c->key && !c->worker) {
		w->row = c->row;
		return;
	}
	recent = &c->recent[w->key % VT_RECENT];
	if (recent->key == w->key) {
		w->row = recent->row;
		return;
	}
	w->row = find_row(c, t, w->key);
	if (unlikely(w->row == VT_ROW_OTHER)) {
		w->key = VT_KEY(VT_KIND_OTHER, 0);
		return;
	}
	recent->row = w->row;
	recent->key = w->key;
}

static __always_inline void now_runs(struct vt_cpu *c, struct task_struct *t, const struct who *w)
{
	/* A sample must not see half of it: it would label one tenant's row with another's key. */
	c->busy = 1;
	barrier();
	c->task = (__u32)(__u64)t;
	c->pid = t->pid;
	c->key = w->key;
	c->row = w->row;
	c->worker = w->worker;
	barrier();
	c->busy = 0;
}

/* Does the open slice go on? Then nothing is read: threads of one tenant hand over for free. */
static __always_inline bool goes_on(const struct vt_cpu *c, const struct who *w)
{
	return w->key == c->key && !w->worker && !c->worker && !c->rebase && !c->merge_pause;
}

static __noinline int remember(struct vt_cpu *c, struct task_struct *t)
{
	__u32 zero = 0;
	struct vt_entry *e = bpf_map_lookup_elem(&vt_entered, &zero);

	if (!c || !t || !e)
		return 0;
	e->task = (__u64)t;
	e->flush_ns = c->last_ns;
	e->exec_ns = t->se.sum_exec_runtime;
	e->faults = t->min_flt + t->maj_flt;
	return 0;
}

/* Page faults of the slot's delta that are @faults of the first task: what it ends up with. */
static __always_inline void divide_faults(struct vt_cpu *c, __u32 cpu, struct vt_row *row,
					  __u64 faults)
{
	__u32 i = vt_faults_slot;
	__u64 count;

	if (i >= VT_SLOTS || i >= c->slots || c->rebase || c->prev[i] == NO_BASELINE)
		return;
	count = bpf_perf_event_read(&vt_perf, cpu * VT_SLOTS + i);
	if (count >= NO_COUNT || count < c->prev[i])
		return;
	if (faults > count - c->prev[i]) /* faults in another's memory are not counted as events */
		faults = count - c->prev[i];
	row->count[i] += faults;
	c->prev[i] += faults;
}

/*
 * The open slice began with the task that c->task names and ends with another. Time and page faults
 * of the first are known to the kernel and become its own; no such sum tells of other events.
 */
static __noinline int divide(struct vt_cpu *c)
{
	__u32 zero = 0, cpu = bpf_get_smp_processor_id(), index;
	struct vt_entry *e = bpf_map_lookup_elem(&vt_entered, &zero);
	struct task_struct *t;
	struct vt_row *row;
	__u64 ran, open, exec_ns;

	if (!c || !e || !e->task || e->flush_ns != c->last_ns || c->worker || c->busy)
		return 0;
	t = (struct task_struct *)e->task; /* perhaps not a task any more: read with care */
	if (!runs(c, t))
		return 0;
	index = c->row_base + c->row;
	row = bpf_map_lookup_elem(&vt_rows, &index);
	if (!row)
		return 0;
	exec_ns = BPF_CORE_READ(t, se.sum_exec_runtime);
	if (exec_ns < e->exec_ns) /* another task where the first one lay */
		return 0;
	ran = exec_ns - e->exec_ns;
	open = bpf_ktime_get_ns() - c->last_ns;
	if (ran > open)
		ran = open;
	c->busy = 1;
	barrier();
	row->tenant = c->key;
	row->run_ns += ran;
	row->slices++;
	c->last_ns += ran;
	divide_faults(c, cpu, row,
		      BPF_CORE_READ(t, min_flt) + BPF_CORE_READ(t, maj_flt) - e->faults);
	barrier();
	c->busy = 0;
	return 0;
}

/*
 * The kernel did not tell of a switch to @now. The open slice holds what two tenants did; what cannot be
 * divided goes to the later one. Short slices keep that error small, so this CPU merges none for a while.
 */
static __noinline int chain_broke(struct vt_cpu *c, struct task_struct *now)
{
	struct who w;

	if (!c || !now)
		return 0;

	if (c->last_ns) { /* else it is the first switch ever, no miss */
		c->chain_miss++;
		c->merge_pause = MERGE_PAUSE;
		divide(c);
		rare_once(c, VT_EVENT_CHAIN_MISS, (__u64)c->pid << 32 | (__u32)now->pid);
	}
	look_up(c, now, &w);
	now_runs(c, now, &w);
	return 0;
}

SEC("tp_btf/sched_switch")
int BPF_PROG(vt_switch, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	struct who w;
	__u32 cpu;
	struct vt_cpu *c = this_cpu(&cpu);

	if (!c)
		return 0;
	c->switches++;
	if (unlikely(c->merge_pause))
		c->merge_pause--;
	if (unlikely(!runs(c, prev)))
		chain_broke(c, prev);
	look_up(c, next, &w);
	if (goes_on(c, &w)) {
		c->merged++;
		c->task = (__u32)(__u64)next;
		c->pid = next->pid;
		return 0;
	}
	flush(c, cpu);
	now_runs(c, next, &w);
	if (unlikely(c->merge_pause))
		remember(c, next);
	return 0;
}

/* Run by user space on the CPU to be cut; args as VT_CUT_ONLY tells. */
SEC("raw_tp")
int vt_cut(struct bpf_raw_tracepoint_args *ctx)
{
	__u32 cpu, index = (__u32)ctx->args[0] - 1;
	struct task_struct *t;
	struct vt_worker *worker;
	struct vt_cpu *c = this_cpu(&cpu);
	struct who w;

	if (!c)
		return 1;
	c->cuts++;
	t = bpf_get_current_task_btf();
	/* The first cut on a CPU, or a switch that was not reported. */
	if (!runs(c, t))
		chain_broke(c, t);
	flush(c, cpu);
	if (ctx->args[0] != VT_CUT_ONLY) {
		worker = bpf_map_lookup_elem(&vt_workers, &index);
		if (worker)
			worker->row = (__u32)ctx->args[1];
	}
	/* A thread that has just become a worker. */
	if (!c->worker && (__u32)t->tgid == c->runtime_tgid) {
		look_up(c, t, &w);
		now_runs(c, t, &w);
	}
	if (unlikely(c->merge_pause))
		remember(c, t);
	return 0;
}

/*
 * Run by user space: what the kernel calls the running thread (args[0] 0) or its process (1). In a
 * container gettid() and getpid() give numbers of its PID namespace, which mean nothing here.
 */
SEC("raw_tp")
int vt_who(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *t = bpf_get_current_task_btf();

	return ctx->args[0] ? t->tgid : t->pid;
}

SEC("tp_btf/cgroup_attach_task")
int BPF_PROG(vt_attach, struct cgroup *to, const char *path, struct task_struct *task)
{
	struct task_struct *me = bpf_get_current_task_btf();
	struct vt_cpu *c;
	struct who w;
	__u32 cpu;

	if (task->tgid != me->tgid)
		return 0;
	c = this_cpu(&cpu);
	if (!c)
		return 0;
	c->cuts++;
	if (!runs(c, me))
		chain_broke(c, me);
	flush(c, cpu);
	look_up(c, me, &w);
	now_runs(c, me, &w);
	return 0;
}

/* Not at sched_process_exit: after it a task runs on, to free its memory say, and would take a row anew. */
SEC("tp_btf/sched_process_free")
int BPF_PROG(vt_free, struct task_struct *task)
{
	struct vt_cpu *c;
	__u32 cpu;
	__u64 key;

	if (task->pid != task->tgid) /* its threads go before it */
		return 0;
	c = this_cpu(&cpu);
	if (!c || c->key_by != VT_KEY_BY_PROCESS)
		return 0;
	key = key_of(c, task);
	if (bpf_map_lookup_elem(&vt_tenants, &key))
		rare(c, VT_EVENT_GONE, key, 0);
	return 0;
}

/* A process is first met between fork and exec, under its parent's name. */
SEC("tp_btf/sched_process_exec")
int BPF_PROG(vt_exec, struct task_struct *task)
{
	struct vt_tenant *v;
	struct vt_cpu *c;
	__u32 cpu;
	__u64 key;

	c = this_cpu(&cpu);
	if (!c || c->key_by != VT_KEY_BY_PROCESS)
		return 0;
	key = key_of(c, task);
	v = bpf_map_lookup_elem(&vt_tenants, &key);
	if (v)
		name_of(c, task, key, v);
	return 0;
}

/* Hierarchies of v1 have numbers of their own, each from 1. */
SEC("tp_btf/cgroup_rmdir")
int BPF_PROG(vt_rmdir, struct cgroup *cgrp)
{
	__u64 key = VT_KEY(VT_KIND_CGROUP, cgrp->kn->id);
	struct vt_cpu *c;
	__u32 cpu;

	if (cgrp->root->hierarchy_id)
		return 0;
	c = this_cpu(&cpu);
	if (c && bpf_map_lookup_elem(&vt_tenants, &key))
		rare(c, VT_EVENT_GONE, key, 0);
	return 0;
}
