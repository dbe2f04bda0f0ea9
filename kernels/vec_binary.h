/* SPDX-License-Identifier: Apache-2.0 */
/* vec_binary.h - functions of two floats on blocks of rows, of the tier being compiled; part of vec.c. */
#ifndef VT_KERNELS_VEC_BINARY_H
#define VT_KERNELS_VEC_BINARY_H

#include "kernels/isa.h"
#include "kernels/vec.h"

/* X(operator, value for vectors a and b) */
#define VT_VEC_BINARY(X)                                                                           \
	X(ADD, a + b)                                                                              \
	X(SUB, a - b)                                                                              \
	X(MUL, a *b)                                                                               \
	X(DIV, a / b)                                                                              \
	X(MAX, v_max(a, b))                                                                        \
	X(MIN, v_min(a, b))                                                                        \
	X(PRELU, v_sel(a < 0.0f, a * b, a))

/* The expression over a block; an operand is a row, or one float per row. */
#define VT_BLOCK(name, LOADA, PARTA, LOADB, PARTB, f)                                              \
	static void name(float *y, const float *pa, const float *pb, const struct vt_rows *s)      \
	{                                                                                          \
		for (size_t r = 0; r < s->rows; r++) {                                             \
			size_t i = 0;                                                              \
                                                                                                   \
			for (; i + VT_LANES <= s->n; i += VT_LANES) {                              \
				vt_vf a = LOADA, b = LOADB;                                        \
				v_store(y + i, f);                                                 \
			}                                                                          \
			if (i < s->n) {                                                            \
				vt_vf a = PARTA, b = PARTB;                                        \
				v_store_part(y + i, f, s->n - i);                                  \
			}                                                                          \
			y += s->ys;                                                                \
			pa += s->as;                                                               \
			pb += s->bs;                                                               \
		}                                                                                  \
	}

#define X(op, f)                                                                                   \
	VT_BLOCK(vv_##op, v_load(pa + i), v_load_part(pa + i, s->n - i), v_load(pb + i),           \
		 v_load_part(pb + i, s->n - i), f)                                                 \
	VT_BLOCK(vs_##op, v_load(pa + i), v_load_part(pa + i, s->n - i), v_set(*pb), v_set(*pb),   \
		 f)                                                                                \
	VT_BLOCK(sv_##op, v_set(*pa), v_set(*pa), v_load(pb + i), v_load_part(pb + i, s->n - i), f)
VT_VEC_BINARY(X)
#undef X

#endif
