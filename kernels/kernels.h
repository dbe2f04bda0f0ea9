/* SPDX-License-Identifier: Apache-2.0 */
/* kernels.h - every kernel descriptor that table.c may name. */
#ifndef VT_KERNELS_KERNELS_H
#define VT_KERNELS_KERNELS_H

#include "kernels/layer.h"

/* X(identifier): our own, in ops_*.c */
#define VT_OWN_KERNELS(X)                                                                          \
	X(unary)                                                                                   \
	X(binary)                                                                                  \
	X(cast)                                                                                    \
	X(expand)                                                                                  \
	X(transpose)                                                                               \
	X(concat)                                                                                  \
	X(split)                                                                                   \
	X(slice)                                                                                   \
	X(tile)                                                                                    \
	X(blocks)                                                                                  \
	X(pad)

#define X(id) extern const struct vt_kernel vt_kernel_##id;
VT_OWN_KERNELS(X)
#undef X

#endif
