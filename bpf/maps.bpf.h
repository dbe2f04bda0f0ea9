/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * maps.bpf.h - every map: who writes it, who reads it, why it is pinned.
 *
 * All are weak, so that each program file can be compiled alone and `bpftool gen object` joins
 * them. Sizes marked "set at load" depend on the machine; user space sets them between open and load.
 */
#ifndef VT_BPF_MAPS_BPF_H
#define VT_BPF_MAPS_BPF_H

#include "compat.bpf.h"

/*
 * The counters. Each CPU writes only its own part, user space maps and sums them: a window costs no
 * system call. Pinned: this is what dashboards read. (Not a per-CPU hash: see docs/decisions.md.)
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1); /* set at load: CPUs * rows */
	__type(key, __u32);
	__type(value, struct vt_row);
} vt_rows __weak SEC(".maps");

/* State of each CPU's flush and its statistics; that CPU writes. Pinned: losses are public. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1); /* set at load: CPUs */
	__type(key, __u32);
	__type(value, struct vt_cpu);
} vt_cpus __weak SEC(".maps");

/* Tenant key to row and name. Programs add, user space removes. Pinned: names for the rows. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1); /* set at load: rows */
	__type(key, __u64);
	__type(value, struct vt_tenant);
} vt_tenants __weak SEC(".maps");

/* Rows nobody has. User space fills it, programs and user space take. Not pinned: private. */
struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 1); /* set at load: rows */
	__type(value, __u32);
} vt_free_rows __weak SEC(".maps");

/* What each worker of the runtime works for: workers store to it through mmap. Pinned for people. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, VT_WORKERS);
	__type(key, __u32);
	__type(value, struct vt_worker);
} vt_workers __weak SEC(".maps");

/*
 * The last decisions of the runtime and their reasons, a ring. The runtime stores through mmap, no
 * system call per decision; programs do not touch it. Pinned for people.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, VT_DECISIONS);
	__type(key, __u32);
	__type(value, struct vt_decided);
} vt_decisions __weak SEC(".maps");

/* Thread id to index in vt_workers. User space writes, programs read. Not pinned: private. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, VT_WORKERS);
	__type(key, __u32);
	__type(value, __u32);
} vt_worker_of __weak SEC(".maps");

/*
 * What the kernel had counted for the task that was switched in last, on CPUs where a switch went
 * unreported lately: with it the slice that follows can be divided. Not pinned: private.
 */
struct vt_entry {
	__u64 task;	/* address of its task_struct */
	__u64 flush_ns; /* last_ns then: any later flush makes this stale */
	__u64 exec_ns;
	__u64 faults;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct vt_entry);
} vt_entered __weak SEC(".maps");

/*
 * The open events, element cpu * VT_SLOTS + slot. Not pinned, and without PRESERVE_ELEMS: it empties
 * when the owner closes its descriptor or dies, while pinned programs may still hold the array. With
 * that flag a killed owner kept its counters on every CPU until the next start.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(max_entries, 1); /* set at load: CPUs * VT_SLOTS */
	__type(key, __u32);
	__type(value, __u32);
} vt_perf __weak SEC(".maps");

/* What each slot counts. User space writes once, everybody reads. Pinned: gives counts their names. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, VT_SLOTS);
	__type(key, __u32);
	__type(value, struct vt_slot);
} vt_slots __weak SEC(".maps");

/* What this instance is. User space writes once. Pinned: readers check the ABI and the owner here. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct vt_meta);
} vt_meta __weak SEC(".maps");

/* Rare events, from the programs to the one process that owns the instance. Not pinned. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 64 * 1024);
} vt_events __weak SEC(".maps");

#endif
