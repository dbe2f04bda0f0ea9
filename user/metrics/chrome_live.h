/* SPDX-License-Identifier: Apache-2.0 */
/* chrome_live.h - what the live runtime tells its hooks, into a trace. */
#ifndef VT_METRICS_CHROME_LIVE_H
#define VT_METRICS_CHROME_LIVE_H

#include "exec/runtime.h"
#include "metrics/chrome.h"

/** vt_chrome_core_span - for vt_runtime_opts.core */
static inline void vt_chrome_core_span(struct vt_chrome *c, const struct vt_core_span *s)
{
	vt_chrome_block(c, &(struct vt_chrome_block){.start_ns = s->start_ns,
						     .end_ns = s->end_ns,
						     .id = s->id,
						     .model = s->model,
						     .core = s->cpu,
						     .layer_begin = s->layer_begin,
						     .layer_end = s->layer_end,
						     .wanted = s->wanted,
						     .granted = s->granted,
						     .other_versions = s->other_versions,
						     .level = s->level,
						     .leads = s->leads});
}

/** vt_chrome_layer_span - for vt_runtime_opts.layer */
static inline void vt_chrome_layer_span(struct vt_chrome *c, const struct vt_layer_span *s)
{
	vt_chrome_layer(c, s->cpu, s->model, s->layer, s->version, s->start_ns, s->end_ns);
}

#endif
