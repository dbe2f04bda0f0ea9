/* SPDX-License-Identifier: Apache-2.0 */
/*
 * serve_trace.h - `veltair serve --trace`: which block and layer ran on which core when.
 *
 * Events go to memory of a fixed size while serving; the file is written once, at the end.
 */
#ifndef VT_CLI_SERVE_TRACE_H
#define VT_CLI_SERVE_TRACE_H

#include "exec/runtime.h"

struct vt_serve_trace;

/** vt_serve_trace_open - @path is kept; opened at once, so that a bad one is told at the start */
int vt_serve_trace_open(struct vt_serve_trace **ret, const char *path, size_t max_events,
			struct vt_err *e);
/** vt_serve_trace_begin - as vt_serve_file_begin(): without it, nothing is written at the end. @w may be NULL */
int vt_serve_trace_begin(struct vt_serve_trace *w, struct vt_err *e);
/** vt_serve_trace_runtime - ask the runtime to tell of blocks and layers; @w may be NULL */
void vt_serve_trace_runtime(struct vt_serve_trace *w, struct vt_runtime_opts *o);
/** vt_serve_trace_tick - pressure and queue now; @w may be NULL */
void vt_serve_trace_tick(struct vt_serve_trace *w, struct vt_runtime *rt);
/** vt_serve_trace_close - the runtime is gone: write it; NULL is fine */
int vt_serve_trace_close(struct vt_serve_trace *w, struct vt_err *e);

#endif
