// SPDX-License-Identifier: Apache-2.0
/* dw_average.c - sums of rows to the average over an image, the same however rows are shared out (dw.h). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/bigmem.h"
#include "kernels/dw.h"
#include "kernels/isa.h"

/* Branches of rows [lo, hi), from @to on; returns where the next one goes. */
static struct vt_dw_branch *grow(struct vt_dw_branch *to, size_t lo, size_t hi)
{
	const size_t mid = lo + (hi - lo + 1) / 2;

	if (hi - lo < 2)
		return to;
	to = grow(to, lo, mid);
	to = grow(to, mid, hi);
	*to = (struct vt_dw_branch){lo, mid, hi};
	return to + 1;
}

int vt_dw_sums_init(struct vt_dw_sums *s, const struct vt_dw *d, size_t batch, int n_inst)
{
	*s = (struct vt_dw_sums){.batch = batch,
				 .oh = d->oh,
				 .pixels = d->oh * d->ow,
				 .channels = d->channels,
				 .ld = vt_dw_sum_ld(d->channels),
				 .n_inst = n_inst};
	s->floats = batch * s->oh * s->ld;
	s->mem = vt_big_alloc(vt_dw_sums_bytes(s));
	s->branch = calloc(s->oh, sizeof(*s->branch));
	if (!s->mem || !s->branch)
		return -ENOMEM;
	grow(s->branch, 0, s->oh);
	return 0;
}

void vt_dw_sums_fini(struct vt_dw_sums *s)
{
	vt_big_free(s->mem, vt_dw_sums_bytes(s));
	free(s->branch);
	s->mem = NULL;
	s->branch = NULL;
}

size_t vt_dw_sums_bytes(const struct vt_dw_sums *s)
{
	return (size_t)s->n_inst * s->floats * sizeof(float);
}

void vt_dw_add_part(const struct vt_dw_sums *s, const struct vt_dw_part *p, float *sums, float *y)
{
	const size_t ld = vt_dw_sum_ld(p->channels);

	sums += p->image * s->oh * s->ld + p->c0;
	y += p->image * s->channels + p->c0;
	for (const struct vt_dw_branch *b = s->branch; b < s->branch + s->oh - 1; b++)
		if (b->lo >= p->from && b->hi <= p->end)
			vt_vec()->accum[VT_FOLD_SUM](p->rows + (b->lo - p->from) * ld,
						     p->rows + (b->mid - p->from) * ld, ld);
	if (!p->from)
		memcpy(y, p->rows, p->channels * sizeof(*y));
	/* Each row but 0 begins the second half of one branch: what was not added to the first. */
	for (const struct vt_dw_branch *b = s->branch; b < s->branch + s->oh - 1; b++)
		if (b->mid >= p->from && b->mid < p->end && (b->lo < p->from || b->hi > p->end))
			memcpy(sums + b->mid * s->ld, p->rows + (b->mid - p->from) * ld,
			       p->channels * sizeof(*sums));
}

void vt_dw_average(const struct vt_dw_sums *s, float *sums, size_t image, size_t part, float *y)
{
	const struct vt_rows row = {.rows = 1, .n = s->channels};
	const float pixels = (float)s->pixels;

	for (size_t i = 0; i < s->batch; i++, sums += s->oh * s->ld, y += s->channels) {
		for (const struct vt_dw_branch *b = s->branch; b < s->branch + s->oh - 1; b++)
			if ((i * image + b->lo) / part != (i * image + b->hi - 1) / part)
				vt_vec()->accum[VT_FOLD_SUM](b->lo ? sums + b->lo * s->ld : y,
							     sums + b->mid * s->ld, s->channels);
		vt_vec()->binary[VT_OP_DIV][VT_VS](y, y, &pixels, &row);
	}
}
