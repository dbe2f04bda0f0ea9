/* SPDX-License-Identifier: Apache-2.0 */
/* trace_int.h - what writing and reading a trace share. Internal to loop/. */
#ifndef VT_LOOP_TRACE_INT_H
#define VT_LOOP_TRACE_INT_H

#include "loop/trace.h"

extern const char vt_trace_magic[8];

static inline size_t vt_trace_pad(size_t len)
{
	return (len + 7) & ~(size_t)7;
}

/* Entries of a model's time table. */
static inline size_t vt_trace_model_times(const struct vt_trace_model *m)
{
	return (size_t)m->n_layers * m->n_versions * VT_LEVELS * m->n_points;
}

uint64_t vt_trace_sum(const void *buf, size_t len);

#endif
