/* SPDX-License-Identifier: Apache-2.0 */
/* load.h - the embedded BPF object, configured and loaded. Only bpf.c and load.c include it. */
#ifndef VT_MONITOR_LOAD_H
#define VT_MONITOR_LOAD_H

#include <stdbool.h>
#include <stdint.h>

#include <bpf/bpf.h>

#include "bpf/veltair_abi.h"
#include "veltair.skel.h"

#include "base/error.h"
#include "monitor/cause.h"

/** What the verifier may take for granted. */
struct vt_load {
	uint32_t max_rows, cpus, group, depth;
	bool sample;
	uint32_t faults_slot; /* the one that counts page faults; VT_SLOTS: none */
	const char *sysfs;    /* where to look for causes when it fails */
};

int vt_load(const struct vt_load *l, struct vt_bpf **ret, struct vt_err *e);
int vt_load_attach(const char *sysfs, struct bpf_program *p, struct bpf_link **ret,
		   struct vt_err *e);

#endif
