// SPDX-License-Identifier: Apache-2.0
/* What Winograd's transforms do with values that are not finite: they may fill the tiles that read them, and never leave these. */
#include "kernels/kernels.h"
#include "kernels/winograd.h"
#include "ops.h"

#define SIDE 28

/* Batch 2, 16 channels to 32, one pixel of padding all around: output (y, x) reads the pixels beside (y, x). */
static void make(struct t_node *t)
{
	*t = (struct t_node){.n = {.op = VT_OP_CONV2D,
				   .p = {.conv = {.kh = 3,
						  .kw = 3,
						  .sh = 1,
						  .sw = 1,
						  .dh = 1,
						  .dw = 1,
						  .pt = 1,
						  .pl = 1,
						  .pb = 1,
						  .pr = 1,
						  .groups = 1}}}};
	t_in(t, VT_F32, "2x28x28x16");
	t_in(t, VT_F32, "32x16x3x3");
	t_out(t, VT_F32, "2x28x28x32");
	t_random(t, 0, 1, -1, 1);
	t_random(t, 1, 2, 0.25, 1);
	t->tensors[1].kind = VT_T_CONST;
	t->tensors[1].data = t->data[1];
}

/* Does the tile of output @at read input @in, along one axis? */
static bool tile_reads(int at, int in)
{
	const int first = at / VT_WINO_OUT * VT_WINO_OUT - 1;

	return in >= first && in < first + VT_WINO_IN;
}

static void test_what_is_not_finite_stays_in_its_tiles(void **state)
{
	static const struct {
		float v;
		int image, y, x, channel;
	} rows[] = {
		{INFINITY, 0, 9, 9, 3},	    {-INFINITY, 1, 0, 0, 0}, {NAN, 0, 27, 27, 15},
		{INFINITY, 1, 11, 12, 7},   {NAN, 0, 13, 4, 1},	     {3e38f, 1, 20, 5, 2},
		{-INFINITY, 0, 16, 27, 15}, {INFINITY, 0, 3, 8, 0},
	};
	struct t_node t;
	float *clean, *x, *y;
	size_t bytes;

	make(&t);
	if (t_run_with(&t, &vt_conv2d_wino_f32)) {
		t_free(&t);
		vt_skip("no kernel of this instruction set");
	}
	bytes = t_bytes(&t, 2);
	clean = malloc(bytes);
	assert_non_null(clean);
	memcpy(clean, t.data[2], bytes);
	x = t.data[0];
	y = t.data[2];
	for (size_t k = 0; k < VT_COUNT(rows); k++) {
		float *at = &x[((rows[k].image * SIDE + rows[k].y) * SIDE + rows[k].x) * 16 +
			       rows[k].channel];
		const float was = *at;

		*at = rows[k].v;
		assert_int_equal(t_run_with(&t, &vt_conv2d_wino_f32), 0);
		*at = was;
		for (int i = 0; i < 2 * SIDE * SIDE * 32; i++) {
			const int ox = i / 32 % SIDE, oy = i / 32 / SIDE % SIDE;
			const bool here = i / 32 / SIDE / SIDE == rows[k].image;

			if (!here || !tile_reads(oy, rows[k].y) || !tile_reads(ox, rows[k].x)) {
				assert_memory_equal(&y[i], &clean[i], sizeof(y[i]));
			} else if (abs(oy - rows[k].y) <= 1 && abs(ox - rows[k].x) <= 1 &&
				   !isfinite(rows[k].v)) {
				assert_false(isfinite(y[i])); /* nor is it lost */
			}
		}
	}
	free(clean);
	t_free(&t);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_not_finite_stays_in_its_tiles),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
