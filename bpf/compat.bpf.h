/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * compat.bpf.h - the few kernel types that the programs look into, cut down by hand.
 *
 * CO-RE finds the true offsets in the running kernel's BTF when the object is loaded, so only names
 * matter here, and the build needs neither BTF nor a generated header. Checked on 6.1, 6.12, 6.18
 * and 7.x. Kernel constants come from <linux/bpf.h>, which is user-space ABI.
 */
#ifndef VT_BPF_COMPAT_BPF_H
#define VT_BPF_COMPAT_BPF_H

#include <linux/bpf.h>
#include <stdbool.h>

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#include "veltair_abi.h"

#define TASK_COMM_LEN 16

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct kernfs_node {
	const char *name;
	__u64 id;
};

struct cgroup;

struct cgroup_subsys_state {
	struct cgroup *cgroup;
	struct cgroup_subsys_state *parent;
};

struct cgroup_root {
	int hierarchy_id; /* 0: cgroup v2 */
};

struct cgroup {
	struct cgroup_subsys_state self;
	int level;
	struct kernfs_node *kn;
	struct cgroup_root *root;
};

struct css_set {
	struct cgroup *dfl_cgrp; /* cgroup v2 */
};

struct sched_entity {
	__u64 sum_exec_runtime; /* ns it ran, up to its last switch or tick */
};

struct task_struct {
	struct sched_entity se;
	unsigned long min_flt, maj_flt; /* page faults */
	int pid;
	int tgid;
	__u64 start_boottime;
	struct task_struct *group_leader;
	struct css_set *cgroups;
	char comm[TASK_COMM_LEN];
};

#pragma clang attribute pop

#endif
