// SPDX-License-Identifier: Apache-2.0
/*
 * pass_pad.c - a Pad of the pixels becomes the padding of the convolution or pool behind it, where
 * that computes the same: zeros before a convolution or an average that counts them; before a
 * maximum, what can never win against an element inside.
 */
#include "model/pass.h"

#include <float.h>
#include <limits.h>

struct sides {
	int64_t top, left, bottom, right;
};

/* The Pad's sides if it is constant and touches rows and columns only. */
static bool read_sides(const struct vt_graph *g, const struct vt_node *pad, struct sides *s)
{
	int rank = vt_in(g, pad, 0)->shape.rank;
	const int64_t *b = pad->p.pad.before, *a = pad->p.pad.after;

	if (pad->p.pad.mode != VT_PAD_CONSTANT || (rank != 3 && rank != 4) || b[0] || a[0] ||
	    b[rank - 1] || a[rank - 1])
		return false;
	*s = rank == 4 ? (struct sides){b[1], b[2], a[1], a[2]} : (struct sides){0, b[1], 0, a[1]};
	return s->top >= 0 && s->left >= 0 && s->bottom >= 0 && s->right >= 0 &&
	       s->top < INT_MAX / 2 && s->left < INT_MAX / 2 && s->bottom < INT_MAX / 2 &&
	       s->right < INT_MAX / 2;
}

static bool never_negative(const struct vt_node *n)
{
	int act = n->epi.act >= 0 ? n->epi.act : (int)n->op;
	float low = n->epi.act >= 0 ? n->epi.a : n->p.scalar.a;

	return act == VT_OP_RELU || act == VT_OP_SIGMOID || act == VT_OP_HARD_SIGMOID ||
	       (act == VT_OP_CLIP && low >= 0);
}

static bool exact_in_conv(const struct vt_rw *w, const struct vt_node *pad, const struct vt_node *n)
{
	return pad->p.pad.value == 0;
}

/* Every pad counts in the divisor, or there was none before: then all of them may count. */
static bool exact_in_average(const struct vt_rw *w, const struct vt_node *pad,
			     const struct vt_node *n)
{
	bool own = n->p.pool.pt || n->p.pool.pl || n->p.pool.pb || n->p.pool.pr;

	return pad->p.pad.value == 0 && !n->p.pool.xb && !n->p.pool.xr &&
	       (!own || n->p.pool.count_include_pad);
}

/* Padding of less than a window leaves each window something of the input. */
static bool exact_in_maximum(const struct vt_rw *w, const struct vt_node *pad,
			     const struct vt_node *n)
{
	int p = w->producer[pad->in[0]];
	struct sides s;
	int high = (n->p.pool.kh - 1) * n->p.pool.dh, wide = (n->p.pool.kw - 1) * n->p.pool.dw;

	if (!read_sides(w->g, pad, &s) || s.top + n->p.pool.pt > high ||
	    s.bottom + n->p.pool.pb + n->p.pool.xb > high || s.left + n->p.pool.pl > wide ||
	    s.right + n->p.pool.pr + n->p.pool.xr > wide)
		return false;
	if (n->p.pool.dh != 1 || n->p.pool.dw != 1)
		return false; /* a dilated window may straddle the input */
	return pad->p.pad.value <= -(double)FLT_MAX ||
	       (pad->p.pad.value <= 0 && p >= 0 && never_negative(&w->g->nodes[p]));
}

static bool (*const exact_in[VT_OP_COUNT])(const struct vt_rw *w, const struct vt_node *pad,
					   const struct vt_node *n) = {
	[VT_OP_CONV2D] = exact_in_conv,
	[VT_OP_AVGPOOL2D] = exact_in_average,
	[VT_OP_MAXPOOL2D] = exact_in_maximum,
};

static int absorb_pad(struct vt_rw *w, int i)
{
	struct vt_node *n = &w->g->nodes[i];
	const struct vt_node *pad;
	struct sides s;
	int p = exact_in[n->op] ? vt_made_by(w, n->in[0], VT_OP_PAD) : VT_NONE;

	if (p < 0)
		return 0;
	pad = &w->g->nodes[p];
	if (!read_sides(w->g, pad, &s) || !exact_in[n->op](w, pad, n))
		return 0;
	if (n->op == VT_OP_CONV2D) {
		n->p.conv.pt += (int)s.top;
		n->p.conv.pl += (int)s.left;
		n->p.conv.pb += (int)s.bottom;
		n->p.conv.pr += (int)s.right;
	} else {
		n->p.pool.pt += (int)s.top;
		n->p.pool.pl += (int)s.left;
		n->p.pool.pb += (int)s.bottom;
		n->p.pool.pr += (int)s.right;
		n->p.pool.count_include_pad |= n->op == VT_OP_AVGPOOL2D;
	}
	n->in[0] = pad->in[0];
	return 1;
}

int vt_pass_pad(struct vt_graph *g, const struct vt_eval *eval, int *changed, struct vt_err *e)
{
	static const vt_rule rules[] = {absorb_pad, NULL};

	return vt_rewrite(g, eval, rules, changed, e);
}
