/* SPDX-License-Identifier: Apache-2.0 */
/* gang.h - a gang that runs chunks from the last to the first, for no order may matter, and one layer on it. */
#ifndef VT_TESTS_GANG_H
#define VT_TESTS_GANG_H

#include "harness.h"
#include "kernels/layer.h"

static inline void gang_backwards(struct pthreadpool *gang, const struct vt_job *job)
{
	(void)gang;
	for (size_t i = job->n_chunks; i-- > 0;)
		vt_job_run_chunk(job, i);
}

/** gang_layer - node @node by @k, as instance @inst of two; NULL: on the calling thread. False if @k does not take it */
static inline bool gang_layer(const struct vt_graph *g, int node, const struct vt_kernel *k,
			      const struct vt_binding *b, int inst, struct pthreadpool *gang)
{
	struct vt_layer l = {.kernel = k, .n_inst = 2};
	struct vt_err e = {0};
	int err = k->create(&l, g, &g->nodes[node], &e);

	if (err) {
		assert_int_equal(err, -ENOTSUP);
		k->destroy(&l);
		return false;
	}
	assert_int_equal(vt_scratch_reserve(l.scratch_bytes), 0);
	assert_int_equal(k->bind(&l, 0, b), 0);
	assert_int_equal(k->bind(&l, 1, b), 0);
	k->run(&l, inst, gang);
	k->destroy(&l);
	return true;
}

#endif
