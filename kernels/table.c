// SPDX-License-Identifier: Apache-2.0
/* Which kernels can compute which operator, best first; and layers made from them. */
#include "kernels/kernels.h"

#include <stdlib.h>
#include <string.h>

#define LIST(...) ((const struct vt_kernel *const[]){__VA_ARGS__, NULL})
#define OWN(id)	  &vt_kernel_##id

static const struct vt_kernel *const *const by_op[VT_OP_COUNT] = {
	[VT_OP_CONV2D] = LIST(&vt_conv2d_dw_f32, &vt_conv2d_wino_f32, &vt_conv2d_gemm_f32,
			      &vt_xnn_conv2d_f32, OWN(conv)),
	[VT_OP_CONV2D_DW] = LIST(&vt_conv2d_dw_pair_f32),
	[VT_OP_DECONV2D] = LIST(&vt_xnn_deconv2d_f32, OWN(conv)),
	[VT_OP_FC] = LIST(&vt_fc_strassen_f32, &vt_fc_gemm_f32, &vt_xnn_fc_f32, OWN(fc)),
	[VT_OP_MATMUL] = LIST(&vt_matmul_gemm_f32, OWN(matmul)),
	[VT_OP_ATTENTION] = LIST(&vt_attention_gemm_f32),
	[VT_OP_MAXPOOL2D] = LIST(&vt_xnn_maxpool2d_f32, OWN(pool)),
	[VT_OP_AVGPOOL2D] = LIST(&vt_xnn_avgpool2d_f32, OWN(pool)),
	[VT_OP_CONCAT] = LIST(OWN(concat)),
	[VT_OP_SPLIT] = LIST(OWN(split)),
	[VT_OP_SLICE] = LIST(OWN(slice)),
	[VT_OP_PAD] = LIST(OWN(pad)),
	[VT_OP_TRANSPOSE] = LIST(OWN(transpose)),
	[VT_OP_EXPAND] = LIST(OWN(expand)),
	[VT_OP_TILE] = LIST(OWN(tile)),
	[VT_OP_DEPTH_TO_SPACE] = LIST(OWN(blocks)),
	[VT_OP_SPACE_TO_DEPTH] = LIST(OWN(blocks)),
	[VT_OP_CAST] = LIST(OWN(cast)),
	[VT_OP_GATHER] = LIST(OWN(gather)),
	[VT_OP_GATHER_ELEMENTS] = LIST(OWN(gather_elements)),
	[VT_OP_GATHER_ND] = LIST(OWN(gather_nd)),
	[VT_OP_ONE_HOT] = LIST(OWN(one_hot)),
	[VT_OP_SCATTER_ND] = LIST(OWN(scatter_nd)),
	[VT_OP_SCATTER_ELEMENTS] = LIST(OWN(scatter_elements)),
	[VT_OP_WHERE] = LIST(OWN(where)),
	[VT_OP_TRILU] = LIST(OWN(trilu)),
	[VT_OP_RANGE] = LIST(OWN(range)),
	[VT_OP_SOFTMAX] = LIST(OWN(softmax)),
	[VT_OP_LOGSOFTMAX] = LIST(OWN(softmax)),
	[VT_OP_LAYER_NORM] = LIST(OWN(layer_norm)),
	[VT_OP_INSTANCE_NORM] = LIST(OWN(instance_norm)),
	[VT_OP_BATCH_NORM] = LIST(OWN(batch_norm)),
	[VT_OP_LRN] = LIST(OWN(lrn)),
	[VT_OP_GLOBALAVGPOOL] = LIST(OWN(reduce)),
	[VT_OP_GLOBALMAXPOOL] = LIST(OWN(reduce)),
	[VT_OP_RESIZE] = LIST(OWN(resize)),
	[VT_OP_ARGMAX] = LIST(OWN(arg)),
	[VT_OP_ARGMIN] = LIST(OWN(arg)),
	[VT_OP_TOPK] = LIST(OWN(topk)),
	[VT_OP_CUMSUM] = LIST(OWN(cumsum)),
};

/* Operators that are not named above. */
static const struct vt_kernel *const *const by_class[] = {
	[VT_C_UNARY] = LIST(OWN(unary)),    [VT_C_BINARY] = LIST(OWN(binary)),
	[VT_C_COMPARE] = LIST(OWN(binary)), [VT_C_LOGIC] = LIST(OWN(binary)),
	[VT_C_REDUCE] = LIST(OWN(reduce)),  [VT_C_OTHER] = NULL,
};

const struct vt_kernel *const *vt_kernels_for(enum vt_op op)
{
	static const struct vt_kernel *const none[] = {NULL};
	const struct vt_kernel *const *list = (unsigned int)op < VT_OP_COUNT ? by_op[op] : NULL;

	if (!list && (unsigned int)op < VT_OP_COUNT)
		list = by_class[vt_op_class(op)];
	return list ? list : none;
}

bool vt_kernel_no_own_matrix(const struct vt_kernel *k)
{
	return k != &vt_conv2d_dw_f32 && k != &vt_conv2d_wino_f32 && k != &vt_conv2d_gemm_f32 &&
	       k != &vt_fc_strassen_f32 && k != &vt_fc_gemm_f32;
}

bool vt_kernel_direct(const struct vt_kernel *k)
{
	return k != &vt_conv2d_wino_f32 && k != &vt_fc_strassen_f32;
}

/* ---- what is empty ------------------------------------------------------------------------ */

static bool is_empty(const struct vt_graph *g, int tensor)
{
	return tensor != VT_NONE && vt_shape_elems(&g->tensors[tensor].shape) == 0;
}

static bool reads_empty(const struct vt_graph *g, const struct vt_node *n)
{
	for (int i = 0; i < n->n_in; i++)
		if (is_empty(g, n->in[i]))
			return true;
	return false;
}

static bool writes_nothing(const struct vt_graph *g, const struct vt_node *n)
{
	for (int i = 0; i < n->n_out; i++)
		if (n->out[i] != VT_NONE && !is_empty(g, n->out[i]))
			return false;
	return n->n_out > 0;
}

static int nothing_create(struct vt_layer *l, const struct vt_graph *g, const struct vt_node *n,
			  struct vt_err *e)
{
	return 0;
}

static int nothing_bind(struct vt_layer *l, int inst, const struct vt_binding *b)
{
	return 0;
}

static void nothing_run(struct vt_layer *l, int inst, pthreadpool_t gang)
{
}

static void nothing_destroy(struct vt_layer *l)
{
}

/* For outputs without elements: a batch of 0, say. No other kernel has to share out nothing. */
static const struct vt_kernel nothing = {"vt_nothing", nothing_create, nothing_bind, nothing_run,
					 nothing_destroy};

/* ---- layers ------------------------------------------------------------------------------- */

int vt_layer_create(struct vt_layer *l, const struct vt_graph *g, const struct vt_node *n,
		    int n_inst, struct vt_err *e)
{
	return vt_layer_create_from(l, g, n, n_inst, NULL, e);
}

static int no_kernel(const struct vt_graph *g, const struct vt_node *n, struct vt_err *e)
{
	const struct vt_tensor *x = n->n_in ? vt_in(g, n, 0) : NULL;
	const enum vt_dtype t = x ? x->dtype : VT_DT_NONE;
	const bool other_float = t == VT_F16 || t == VT_BF16 || t == VT_F64;

	return vt_fail(e, -ENOTSUP, "no kernel for %s of %s%s", vt_op_name(n->op),
		       t == VT_DT_NONE ? "no type" : vt_dtype_name(t),
		       other_float ? "; convert the model to float32" : "");
}

/* The average besides is no business of others. */
static bool gives_all(const struct vt_kernel *k, const struct vt_node *n)
{
	return !vt_averages(n) || k == &vt_conv2d_dw_f32 || k == &vt_conv2d_dw_pair_f32;
}

int vt_layer_create_from(struct vt_layer *l, const struct vt_graph *g, const struct vt_node *n,
			 int n_inst, bool (*may)(const struct vt_kernel *k), struct vt_err *e)
{
	const bool plain = reads_empty(g, n);

	if (writes_nothing(g, n)) {
		*l = (struct vt_layer){.kernel = &nothing, .n_inst = n_inst};
		return 0;
	}
	for (const struct vt_kernel *const *k = vt_kernels_for(n->op); *k; k++) {
		int rc;

		/* The last one is the plain one: it divides no work by a size that may be 0. */
		if ((may && !may(*k)) || (plain && k[1]) || !gives_all(*k, n))
			continue;
		*l = (struct vt_layer){.kernel = *k, .n_inst = n_inst};
		rc = (*k)->create(l, g, n, e);
		if (!rc)
			return 0;
		(*k)->destroy(l);
		if (rc != -ENOTSUP) {
			*l = (struct vt_layer){0};
			return rc;
		}
	}
	*l = (struct vt_layer){0};
	return no_kernel(g, n, e);
}

void vt_layer_destroy(struct vt_layer *l)
{
	if (l->kernel)
		l->kernel->destroy(l);
	*l = (struct vt_layer){0};
}

static size_t tensor_bytes(const struct vt_tensor *t)
{
	return (size_t)vt_shape_elems(&t->shape) * vt_dtype_bytes(t->dtype);
}

static int eval(const struct vt_graph *g, const struct vt_node *n, void *const *in,
		void *const *out, struct vt_err *e)
{
	struct vt_binding b = {.in = (const void *const *)in, .out = out};
	struct vt_layer l;
	int rc;

	if (vt_op_class(n->op) == VT_C_VIEW) {
		memcpy(out[0], in[0], tensor_bytes(vt_out(g, n, 0)));
		return 0;
	}
	rc = vt_layer_create(&l, g, n, 1, e);
	if (rc)
		return rc;
	rc = vt_scratch_reserve(l.scratch_bytes);
	if (rc)
		vt_fail(e, rc, "node '%s': no memory for %zu bytes of scratch",
			n->name ? n->name : "", l.scratch_bytes);
	else
		rc = l.kernel->bind(&l, 0, &b);
	if (!rc)
		l.kernel->run(&l, 0, NULL);
	vt_layer_destroy(&l);
	return rc;
}

const struct vt_eval vt_kernel_eval = {
	.eval = eval, .joins = vt_conv_dw_joins, .averages = vt_dw_averages, .attends = vt_attends};
