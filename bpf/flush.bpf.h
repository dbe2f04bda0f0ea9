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

/* Set between open and load: the verifier removes what a configuration does not use. */
const volatile __u32 vt_nr_slots __weak = 0;
const volatile __u32 vt_max_rows __weak = 1;

/* Set while running: slots that share a hardware counter with others (read with both times). */
__u32 vt_shared_slots __weak = 0;

#define NO_BASELINE (~0ull)
#define barrier()   asm volatile("" ::: "memory")

struct reading {
	__u64 now_ns;
	__u64 count[VT_SLOTS];
	__u64 lost[VT_SLOTS]; /* enabled - running */
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
	/* Nobody sleeps on it: the reader looks once a window. A wake-up under the run queue's lock
	 * costs. */
	bpf_ringbuf_submit(r, BPF_RB_NO_WAKEUP);
}

/* Report a loss that may repeat at every switch once, until user space has seen it. */
static __noinline int rare_once(struct vt_cpu *c, __u32 kind, __u64 arg)
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
 * One slot. An exact slot is either always on its counter or fails to read (it is opened pinned),
 * so the plain count will do, at half the price of the form that also computes both times.
 */
static __always_inline __u64 read_slot(__u32 index, bool shared, __u64 *lost)
{
	struct bpf_perf_event_value v;
	__s64 n;

	if (shared) {
		if (bpf_perf_event_read_value(&vt_perf, index, &v, sizeof(v)))
			return NO_BASELINE;
		*lost = v.enabled - v.running;
		return v.counter;
	}
	n = (__s64)bpf_perf_event_read(&vt_perf, index);
	return n < 0 && n > -4096 ? NO_BASELINE : (__u64)n;
}

static __always_inline void read_slots(__u32 cpu, struct reading *r)
{
	r->now_ns = bpf_ktime_get_ns();
#pragma unroll
	for (__u32 i = 0; i < VT_SLOTS; i++) {
		r->count[i] = 0;
		r->lost[i] = 0;
		/* Set all the same: the compiler may fetch one before it looks whether there is
		 * such a slot, and 6.1 refuses to load that. */
		if (i >= vt_nr_slots)
			continue;
		r->count[i] =
			read_slot(cpu * VT_SLOTS + i, vt_shared_slots & (1u << i), &r->lost[i]);
	}
}

/* Charge one slot's delta; what cannot be known is dropped and counted, never guessed. */
static __always_inline void charge_slot(struct vt_cpu *c, struct vt_row *row, __u32 i,
					const struct reading *r)
{
	__u64 prev = c->prev[i], count = r->count[i];

	c->prev[i] = count;
	if (count == NO_BASELINE) {
		c->read_errors++;
		rare_once(c, VT_EVENT_READ_ERROR, i);
		return;
	}
	if (prev == NO_BASELINE) {
		c->first_dropped++;
		c->prev_lost[i] = r->lost[i];
		return;
	}
	if (count < prev) {
		c->backwards++;
		return;
	}
	row->count[i] += count - prev;
	if (r->lost[i] > c->prev_lost[i]) {
		row->lost_ns[i] += r->lost[i] - c->prev_lost[i];
		c->multiplexed++;
		rare_once(c, VT_EVENT_MULTIPLEXED, i);
	}
	c->prev_lost[i] = r->lost[i];
}

static __always_inline void forget_baseline(struct vt_cpu *c)
{
	for (__u32 i = 0; i < VT_SLOTS; i++)
		c->prev[i] = NO_BASELINE;
	if (c->rebase == 2)
		c->rebase = 0;
}

static __always_inline __u32 row_of_worker(__u32 worker)
{
	__u32 index = worker - 1;
	struct vt_worker *w = bpf_map_lookup_elem(&vt_workers, &index);

	return w ? *(volatile __u32 *)&w->row : VT_ROW_OTHER;
}

/* Close the slice. Returns the row it was charged to. */
static __always_inline void flush(struct vt_cpu *c, __u32 cpu)
{
	struct reading r;
	struct vt_row *row;
	__u32 index;

	if (c->busy) {
		c->nested++;
		return;
	}
	c->busy = 1;
	barrier();
	read_slots(cpu, &r);
	index = c->worker ? row_of_worker(c->worker) : c->row;
	if (index >= vt_max_rows)
		index = VT_ROW_OTHER;
	index += cpu * vt_max_rows;
	row = bpf_map_lookup_elem(&vt_rows, &index);
	if (!row)
		goto out;
	if (c->rebase)
		forget_baseline(c);
	if (!c->worker)
		row->tenant = c->key; /* user space labels the rows of the runtime */
	if (c->last_ns)
		row->run_ns += r.now_ns - c->last_ns;
	row->slices++;
	c->last_ns = r.now_ns;
	c->flushes++;
#pragma unroll
	for (__u32 i = 0; i < VT_SLOTS; i++) {
		if (i >= vt_nr_slots)
			break;
		charge_slot(c, row, i, &r);
	}
out:
	barrier();
	c->busy = 0;
}

#endif
