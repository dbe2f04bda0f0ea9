// SPDX-License-Identifier: Apache-2.0
#include "model/lower_window.h"

#define MOST (1 << 20) /* of a kernel, stride, dilation or pad: keeps all products in range */

enum { NOTSET, SAME_UPPER, SAME_LOWER, VALID };

static const char *const auto_pads[] = {"NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID", NULL};

/* A list attribute of @count values in [lo, MOST], left alone if absent. */
static int list(struct vt_imp *m, const struct vt_imp_node *n, const char *name, int64_t *v,
		int count, int64_t lo)
{
	int64_t got[2 * VT_MAX_SPATIAL];
	int err = vt_imp_ints(m, n, name, got, 2 * VT_MAX_SPATIAL);

	if (err < 0)
		return err == -ENODATA ? 0 : err;
	if (err != count)
		return vt_imp_bad(m, -EINVAL, "%s has %d values, needs %d", name, err, count);
	for (int i = 0; i < count; i++) {
		if (got[i] < lo || got[i] > MOST)
			return vt_imp_bad(m, -EINVAL, "%s has value %lld", name, (long long)got[i]);
		v[i] = got[i];
	}
	return 0;
}

int vt_window_read(struct vt_imp *m, const struct vt_imp_node *n, struct vt_window *w)
{
	int64_t pads[2 * VT_MAX_SPATIAL] = {0};
	int err;

	for (int i = 0; i < w->n; i++)
		w->stride[i] = w->dilation[i] = 1;
	err = list(m, n, "strides", w->stride, w->n, 1);
	if (!err)
		err = list(m, n, "dilations", w->dilation, w->n, 1);
	if (!err)
		err = list(m, n, "kernel_shape", w->kernel, w->n, 1);
	if (!err)
		err = list(m, n, "pads", pads, 2 * w->n, 0);
	for (int i = 0; !err && i < w->n; i++) {
		w->begin[i] = pads[i];
		w->end[i] = pads[i + w->n];
		w->extra[i] = 0;
		if (w->kernel[i] < 1 || w->kernel[i] > MOST)
			err = vt_imp_bad(m, -EINVAL, "has a kernel of %lld",
					 (long long)w->kernel[i]);
		else if (w->in[i] > INT32_MAX)
			err = vt_imp_bad(m, -EOVERFLOW, "has a side of %lld", (long long)w->in[i]);
	}
	return err;
}

static int64_t reach(const struct vt_window *w, int i)
{
	return (w->kernel[i] - 1) * w->dilation[i] + 1;
}

/* Padding of @total along axis @i; the odd one goes where the mode says. */
static void same_pads(struct vt_window *w, int i, int64_t total, bool upper)
{
	int64_t less = (total < 0 ? 0 : total) / 2, more = (total < 0 ? 0 : total) - less;

	w->begin[i] = upper ? less : more;
	w->end[i] = upper ? more : less;
}

static void slide(struct vt_window *w, int i, int mode, bool ceil)
{
	int64_t room;

	if (mode == SAME_UPPER || mode == SAME_LOWER) {
		w->out[i] = (w->in[i] + w->stride[i] - 1) / w->stride[i];
		same_pads(w, i, (w->out[i] - 1) * w->stride[i] + reach(w, i) - w->in[i],
			  mode == SAME_UPPER);
		return;
	}
	if (mode == VALID)
		w->begin[i] = w->end[i] = 0;
	room = w->in[i] + w->begin[i] + w->end[i] - reach(w, i);
	w->out[i] = room < 0 ? 0 : room / w->stride[i] + 1;
	if (!ceil || room < 0 || room % w->stride[i] == 0)
		return;
	/* one more, unless it would start behind the input and its begin padding */
	if (w->out[i] * w->stride[i] >= w->in[i] + w->begin[i])
		return;
	w->extra[i] = w->stride[i] - room % w->stride[i];
	w->out[i]++;
}

int vt_window_slide(struct vt_imp *m, const struct vt_imp_node *n, struct vt_window *w)
{
	int mode = vt_imp_word(m, n, "auto_pad", auto_pads, NOTSET);
	bool ceil = vt_imp_int(n, "ceil_mode", 0) != 0;

	if (mode < 0)
		return mode;
	for (int i = 0; i < w->n; i++) {
		slide(w, i, mode, ceil);
		if (w->out[i] < 1)
			return vt_imp_bad(m, -EINVAL,
					  "a window of %lld does not fit %lld + %lld + %lld",
					  (long long)reach(w, i), (long long)w->in[i],
					  (long long)w->begin[i], (long long)w->end[i]);
	}
	return 0;
}

int vt_window_spread(struct vt_imp *m, const struct vt_imp_node *n, struct vt_window *w,
		     int64_t *adj)
{
	int mode = vt_imp_word(m, n, "auto_pad", auto_pads, NOTSET), err;
	int64_t want[VT_MAX_SPATIAL] = {0};

	if (mode < 0)
		return mode;
	for (int i = 0; i < w->n; i++)
		adj[i] = 0;
	err = list(m, n, "output_padding", adj, w->n, 0);
	if (!err)
		err = list(m, n, "output_shape", want, w->n, 1);
	for (int i = 0; !err && i < w->n; i++) {
		int64_t full = (w->in[i] - 1) * w->stride[i] + adj[i] + reach(w, i), total;

		if (mode == VALID)
			w->begin[i] = w->end[i] = 0;
		if (!want[i] && (mode == SAME_UPPER || mode == SAME_LOWER))
			want[i] = w->in[i] * w->stride[i];
		if (want[i]) {
			total = full - want[i];
			same_pads(w, i, total, mode == SAME_UPPER);
			adj[i] += total < 0 ? -total : 0;
		}
		w->out[i] = (w->in[i] - 1) * w->stride[i] + adj[i] + reach(w, i) - w->begin[i] -
			    w->end[i];
		if (w->out[i] < 1)
			err = vt_imp_bad(m, -EINVAL, "its output would have %lld along axis %d",
					 (long long)w->out[i], i);
	}
	return err;
}
