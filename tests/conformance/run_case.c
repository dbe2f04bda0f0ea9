// SPDX-License-Identifier: Apache-2.0
#include "conformance.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/layer.h"

static bool is_tensor(const Onnx__ValueInfoProto *p)
{
	return p->type && p->type->value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
}

/* numpy has no bfloat16: onnx's data holds the bits as uint16. */
static bool is_bfloat(const Onnx__ValueInfoProto *p)
{
	return is_tensor(p) &&
	       p->type->tensor_type->elem_type == ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16;
}

static void add_name(struct values *v, const Onnx__ValueInfoProto *p)
{
	if (v->n == MAX_VALUES || !p->name)
		return;
	v->name[v->n] = strdup(p->name);
	v->bfloat[v->n] = is_bfloat(p);
	v->tensor[v->n++] = is_tensor(p);
}

static bool initialised(const Onnx__GraphProto *g, const char *name)
{
	for (size_t i = 0; i < g->n_initializer; i++)
		if (!strcmp(g->initializer[i]->name, name))
			return true;
	return false;
}

/* Names in the model's order, which the numbers of the .pb files count; defaults have no file. */
static int read_names(const char *path, struct values *in, struct values *out, struct vt_err *e)
{
	struct vt_onnx_bytes b;
	Onnx__ModelProto *m;
	int err = vt_onnx_open(path, &b, e);

	if (err)
		return err;
	m = (Onnx__ModelProto *)vt_onnx_unpack(&onnx__model_proto__descriptor, &b, e);
	for (size_t i = 0; m && i < m->graph->n_input; i++)
		if (!initialised(m->graph, m->graph->input[i]->name))
			add_name(in, m->graph->input[i]);
	for (size_t i = 0; m && i < m->graph->n_output; i++)
		add_name(out, m->graph->output[i]);
	vt_onnx_free((ProtobufCMessage *)m);
	vt_onnx_close(&b);
	return e->code;
}

static int read_values(const char *set, const char *kind, struct values *v, struct vt_err *e)
{
	char path[4096];

	for (int i = 0; i < v->n; i++) {
		vt_value_fini(&v->v[i]);
		snprintf(path, sizeof(path), "%s/%s_%d.pb", set, kind, i);
		if (v->tensor[i] && vt_value_read_pb(&v->v[i], path, e))
			return e->code;
		if (v->bfloat[i] && v->v[i].dtype == VT_U16)
			v->v[i].dtype = VT_BF16;
	}
	return 0;
}

static const struct vt_value *value_of(void *arg, const char *name)
{
	struct values *in = arg;

	for (int i = 0; i < in->n; i++)
		if (in->v[i].dtype && !strcmp(in->name[i], name))
			return &in->v[i];
	return NULL;
}

/* Expected outputs that are wrong. */
static const struct {
	const char *name, *why;
} wrong_data[] = {
	{"_FLOAT_to_BFLOAT16", "its data cuts bits off where a cast to bfloat16 rounds"},
};

static const char *wrong(const char *dir)
{
	for (size_t i = 0; i < sizeof(wrong_data) / sizeof(wrong_data[0]); i++)
		if (strstr(dir, wrong_data[i].name))
			return wrong_data[i].why;
	return NULL;
}

static enum verdict check_outputs(const struct vt_graph *g, const struct values *want, char *why,
				  size_t len)
{
	for (int i = 0; i < g->n_outputs && i < want->n; i++) {
		const struct vt_tensor *t = &g->tensors[g->outputs[i]];

		if (!compare(t, read_output(g, g->outputs[i]), &want->v[i], why, len))
			return FAIL;
	}
	if (g->n_outputs == want->n)
		return PASS;
	snprintf(why, len, "has %d outputs, not %d", g->n_outputs, want->n);
	return FAIL;
}

static enum verdict run_set(const char *model, const char *set, struct values *in,
			    struct values *out, char *why, size_t len)
{
	struct vt_import_opts o = {.input_value = value_of, .arg = in, .eval = &vt_kernel_eval};
	struct vt_err e = {0}, bad = {0};
	struct vt_graph g;
	enum verdict v;
	int err = read_values(set, "input", in, &bad);

	/* An operator or type we lack is a better reason than a file we cannot read for it. */
	err = err && err != -ENOEXEC ? err : vt_import_onnx(&g, model, &o, &e);
	if (err == -ENOEXEC) {
		snprintf(why, len, "%s", e.msg + strlen(model) + 2);
		return SKIP;
	}
	if (!err && (bad.code || read_values(set, "output", out, &bad)))
		err = bad.code;
	if (err) {
		snprintf(why, len, "%s", bad.code ? bad.msg : e.msg);
		return err == -ENOEXEC ? SKIP : FAIL;
	}
	v = run_graph(&g, in, why, len);
	if (v == PASS)
		v = check_outputs(&g, out, why, len);
	vt_graph_fini(&g);
	return v;
}

enum verdict run_case(const char *dir, char *why, size_t len)
{
	struct values in = {0}, out = {0};
	struct vt_err e = {0};
	char model[4096], set[4096];
	enum verdict v = PASS;
	int n = 0;

	if (wrong(dir)) {
		snprintf(why, len, "%s", wrong(dir));
		return SKIP;
	}
	snprintf(model, sizeof(model), "%s/model.onnx", dir);
	if (read_names(model, &in, &out, &e)) {
		snprintf(why, len, "%s", e.msg);
		return FAIL;
	}
	for (; v == PASS; n++) {
		snprintf(set, sizeof(set), "%s/test_data_set_%d", dir, n);
		if (access(set, F_OK))
			break;
		v = run_set(model, set, &in, &out, why, len);
	}
	if (!n) {
		snprintf(why, len, "has no test data");
		return FAIL;
	}
	return v;
}
