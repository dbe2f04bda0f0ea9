/* SPDX-License-Identifier: Apache-2.0 */
/*
 * act.h - the epilogue of a matrix kernel: activation on a finished row, in place.
 * Fetch struct vt_vec once per layer, call per row; thread-safe, no state.
 */
#ifndef VT_KERNELS_ACT_H
#define VT_KERNELS_ACT_H

#include "kernels/isa.h"

/** vt_act_ok - can the epilogue compute @act (an UNARY vt_op or VT_NONE)? Ask when creating. */
static inline bool vt_act_ok(int act)
{
	return act == VT_NONE || (act >= 0 && act < VT_OP_COUNT && vt_vec()->unary[act]);
}

/** vt_act_row_f32 - y[i] = act(y[i]) */
static inline void vt_act_row_f32(int act, float a, float b, float *y, size_t n)
{
	if (act != VT_NONE)
		vt_vec()->unary[act](y, y, n, a, b);
}

/** vt_act_add_row_f32 - y[i] = act(y[i] + residual[i]); residual may be NULL */
static inline void vt_act_add_row_f32(int act, float a, float b, float *y, const float *residual,
				      size_t n)
{
	if (!residual)
		vt_act_row_f32(act, a, b, y, n);
	else /* the table keeps the identity at RESHAPE */
		vt_vec()->add_unary[act == VT_NONE ? VT_OP_RESHAPE : act](y, residual, n, a, b);
}

#endif
