/* SPDX-License-Identifier: Apache-2.0 */
/* lower_window.h - the windows of convolutions and pools: kernel, stride, dilation, padding. */
#ifndef VT_MODEL_LOWER_WINDOW_H
#define VT_MODEL_LOWER_WINDOW_H

#include "model/import.h"

#define VT_MAX_SPATIAL 3

struct vt_window {
	int n; /* spatial axes */
	int64_t kernel[VT_MAX_SPATIAL], stride[VT_MAX_SPATIAL], dilation[VT_MAX_SPATIAL];
	int64_t begin[VT_MAX_SPATIAL], end[VT_MAX_SPATIAL]; /* padding */
	int64_t extra[VT_MAX_SPATIAL];			    /* past the end, caused by ceil_mode */
	int64_t in[VT_MAX_SPATIAL], out[VT_MAX_SPATIAL];
};

/** vt_window_read - attributes of the node; w->n, w->in and w->kernel are set before */
int vt_window_read(struct vt_imp *m, const struct vt_imp_node *n, struct vt_window *w);
/** vt_window_slide - resolve auto_pad and the output's size of a convolution or pool */
int vt_window_slide(struct vt_imp *m, const struct vt_imp_node *n, struct vt_window *w);
/** vt_window_spread - the same for a transposed convolution; @adj: output_padding */
int vt_window_spread(struct vt_imp *m, const struct vt_imp_node *n, struct vt_window *w,
		     int64_t *adj);

#endif
