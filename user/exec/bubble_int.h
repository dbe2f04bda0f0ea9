/* SPDX-License-Identifier: Apache-2.0 */
/* bubble_int.h - between bubble.c (the aggressor) and bubble_scale.c (what its levels are). */
#ifndef VT_EXEC_BUBBLE_INT_H
#define VT_EXEC_BUBBLE_INT_H

#include "exec/bubble.h"

#define VT_BUBBLE_ROOM	((size_t)256 << 20)
#define VT_BUBBLE_NEAR	((size_t)4 << 20) /* what the probe reads */
#define VT_BUBBLE_FAR	((size_t)128 << 20)
#define VT_BUBBLE_PROBE (VT_BUBBLE_NEAR + VT_BUBBLE_FAR)

#endif
