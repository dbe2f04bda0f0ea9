// SPDX-License-Identifier: GPL-2.0-only
/* sample.bpf.c - close long slices by a perf sample, so that a reader needs no interrupt to see them. */
#include "flush.bpf.h"

char LICENSE[] SEC("license") = "GPL";

SEC("perf_event")
int vt_sample(void *ctx)
{
	__u32 cpu;
	struct vt_cpu *c = this_cpu(&cpu);

	if (!c || !c->last_ns)
		return 0;
	/* A switch was not reported: the next that is, or a cut, finds out and divides the slice. */
	if (!runs(c, bpf_get_current_task_btf()))
		return 0;
	c->samples++;
	flush(c, cpu);
	return 0;
}
