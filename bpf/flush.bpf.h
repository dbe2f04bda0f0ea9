/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * flush.bpf.h - close the slice that runs on this CPU and charge it to its tenant.
 *
 * A slice is what one tenant ran on one CPU without interruption. vt_cpu says who runs (row, or
 * worker for a thread of the runtime, whose tenant is looked up at the end of the slice because it
 * may have changed its mind without telling us). Whoever closes a slice calls flush(): the switch,
 * the exact cut, a perf sample. All three run on the CPU they flush, with preemption off; an NMI or
 * an interrupt that finds a flush at work leaves it the rest (busy), so nothing is counted twice.
 */
#ifndef VT_BPF_FLUSH_BPF_H
#define VT_BPF_FLUSH_BPF_H

#include "maps.bpf.h"

/*
 * Set between open and load. What every switch needs of the configuration stands in the first line
 * of vt_cpu instead: a constant of this kind is still loaded from memory, a line and a page more.
 */
const volatile __u32 vt_max_rows __weak = 1;

#define NO_BASELINE (~0ull)
#define NO_COUNT    ((__u64)-4095) /* from here on it is an errno */
#define barrier()   asm volatile("" ::: "memory")
#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

struct reading {
	__u64 now_ns;
	__u64 count[VT_SLOTS];
};

static __always_inline void rare(struct vt_cpu *c, __u32 kind, __u64 tenant, __u64 arg)
{
	struct vt_event_record *r = bpf_ringbuf_reserve(&vt_events, sizeof(*r), 0);

	if (!r) {
		c->ring_full++;
		return;
	}
	r->mono_ns = bpf_ktime_get_ns();
	r->tenant = tenant;
	r->kind = kind;
	r->cpu = bpf_get_smp_processor_id();
	r->arg = arg;
	/* Nobody sleeps on it: the reader looks once a window. A wake-up under the run queue's lock costs. */
	bpf_ringbuf_submit(r, BPF_RB_NO_WAKEUP);
}

/*
 * What follows is out of line: on a machine that idles the code is fetched from memory too, so what
 * a usual switch does not need must not lie between what it does. Not static: the verifier then
 * looks at each once, not at every call.
 */

/* Report a loss that may repeat at every switch once, until user space has seen it. */
__weak __noinline int rare_once(struct vt_cpu *c, __u32 kind, __u64 arg)
{
	if (!c || c->unlucky & (1u << (kind & 31)))
		return 0;
	c->unlucky |= 1u << (kind & 31);
	rare(c, kind, c->key, arg);
	return 0;
}

static __always_inline struct vt_cpu *this_cpu(__u32 *ret)
{
	*ret = bpf_get_smp_processor_id();
	return bpf_map_lookup_elem(&vt_cpus, ret);
}

/*
 * A thread that is not its process's first takes that one's pid by exec, while it runs. Half of the
 * address will do, and tells no reader where the kernel is.
 */
static __always_inline bool runs(const struct vt_cpu *c, const struct task_struct *t)
{
	return c->task == (__u32)(__u64)t;
}

/* All slots, when some take turns on a counter: those with both times. */
__weak __noinline int read_shared(struct vt_cpu *c, __u32 cpu, struct reading *r)
{
	if (!c || !r)
		return 0;
	for (__u32 i = 0; i < VT_SLOTS; i++) {
		struct bpf_perf_event_value v;
		__u32 index = cpu * VT_SLOTS + i;
		__u64 lost;

		if (i >= c->slots)
			break;
		if (!(c->shared & (1u << i))) {
			r->count[i] = bpf_perf_event_read(&vt_perf, index);
			continue;
		}
		r->count[i] = NO_BASELINE;
		if (bpf_perf_event_read_value(&vt_perf, index, &v, sizeof(v)))
			continue;
		r->count[i] = v.counter;
		lost = v.enabled - v.running;
		c->lost_ns[i] = lost > c->prev_lost[i] ? lost - c->prev_lost[i] : 0;
		c->prev_lost[i] = lost;
	}
	return 0;
}

/*
 * All slots before anything else is done. An exact slot is either always on its counter or fails to
 * read (it is opened pinned), so the plain count will do, at half the price of the form that also
 * computes both times. A loop, not copies of its body: half the code to fetch.
 */
static __always_inline void read_slots(struct vt_cpu *c, __u32 cpu, struct reading *r)
{
	__builtin_memset(r->count, 0, sizeof(r->count)); /* or 6.1 takes them for not set */
	if (unlikely(c->shared)) {
		read_shared(c, cpu, r);
		return;
	}
#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < VT_SLOTS; i++) {
		if (i >= c->slots)
			break;
		r->count[i] = bpf_perf_event_read(&vt_perf, cpu * VT_SLOTS + i);
	}
}

/* A delta that cannot be known is dropped and counted, never guessed. */
__weak __noinline int drop_delta(struct vt_cpu *c, __u32 i, __u64 count)
{
	if (!c)
		return 0;
	i %= VT_SLOTS;
	c->lost_ns[i] = 0;
	if (count >= NO_COUNT) {
		c->prev[i] = NO_BASELINE;
		if (c->rebase) { /* user space has closed it, and opens it anew */
			c->first_dropped++;
			return 0;
		}
		c->read_errors++;
		return rare_once(c, VT_EVENT_READ_ERROR, i);
	}
	if (c->prev[i] == NO_BASELINE)
		c->first_dropped++;
	else
		c->backwards++;
	c->prev[i] = count;
	return 0;
}

/* The parts of the slice in which shared slots were not on their counter. */
__weak __noinline int charge_lost(struct vt_cpu *c, struct vt_row *row)
{
	if (!c || !row)
		return 0;
	for (__u32 i = 0; i < VT_SLOTS; i++) {
		if (!(c->shared & (1u << i)) || !c->lost_ns[i])
			continue;
		row->lost_ns[i] += c->lost_ns[i];
		c->lost_ns[i] = 0;
		c->multiplexed++;
		rare_once(c, VT_EVENT_MULTIPLEXED, i);
	}
	return 0;
}

static __always_inline void charge_slots(struct vt_cpu *c, struct vt_row *row,
					 const struct reading *r)
{
#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < VT_SLOTS; i++) {
		__u64 count = r->count[i];

		if (i >= c->slots)
			break;
		/* NO_BASELINE is the largest number: no count is above it. */
		if (unlikely(count < c->prev[i] || count >= NO_COUNT)) {
			drop_delta(c, i, count);
			continue;
		}
		row->count[i] += count - c->prev[i];
		c->prev[i] = count;
	}
	if (unlikely(c->shared))
		charge_lost(c, row);
}

__weak __noinline int forget_baseline(struct vt_cpu *c)
{
	if (!c)
		return 0;
	for (__u32 i = 0; i < VT_SLOTS; i++)
		c->prev[i] = NO_BASELINE;
	if (c->rebase == 2)
		c->rebase = 0;
	return 0;
}

/* The row stands in memory that user space may write: it must not lead out of this CPU's part. */
__weak __noinline __u32 row_of_worker(__u32 worker)
{
	__u32 index = worker - 1, row;
	struct vt_worker *w = bpf_map_lookup_elem(&vt_workers, &index);

	if (!w)
		return VT_ROW_OTHER;
	row = *(volatile __u32 *)&w->row;
	return row < vt_max_rows ? row : VT_ROW_OTHER;
}

/* Close the slice and charge it. */
static __always_inline void flush(struct vt_cpu *c, __u32 cpu)
{
	struct reading r;
	struct vt_row *row;
	__u32 index;

	if (unlikely(c->busy)) {
		c->nested++;
		return;
	}
	c->busy = 1;
	barrier();
	r.now_ns = bpf_ktime_get_ns();
	read_slots(c, cpu, &r);
	index = c->row_base + (unlikely(c->worker) ? row_of_worker(c->worker) : c->row);
	row = bpf_map_lookup_elem(&vt_rows, &index);
	if (!row)
		goto out;
	if (unlikely(c->rebase))
		forget_baseline(c);
	if (!c->worker)
		row->tenant = c->key; /* user space labels the rows of the runtime */
	if (c->last_ns)
		row->run_ns += r.now_ns - c->last_ns;
	row->slices++;
	c->last_ns = r.now_ns;
	charge_slots(c, row, &r);
out:
	barrier();
	c->busy = 0;
}

#endif
