/* SPDX-License-Identifier: Apache-2.0 */
/* bubble_int.h - between bubble.c (the aggressor) and bubble_scale.c (what its levels are). */
#ifndef VT_EXEC_BUBBLE_INT_H
#define VT_EXEC_BUBBLE_INT_H

#include "exec/bubble.h"

#define VT_BUBBLE_ROOM ((size_t)256 << 20)

/** vt_bubble_room - the largest footprint it can have, bytes */
size_t vt_bubble_room(const struct vt_bubble *b);

#endif
