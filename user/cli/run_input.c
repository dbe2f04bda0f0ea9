// SPDX-License-Identifier: Apache-2.0
#include "cli/run_input.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/rng.h"
#include "model/npy.h"
#include "model/onnx_file.h"

int vt_given_read(struct vt_given_inputs *in, const char *flag, struct vt_err *e)
{
	const char *eq = strchr(flag, '='), *file = eq ? eq + 1 : "", *dot = strrchr(file, '.');
	struct vt_given_input *more, g = {0};
	int err;

	if (!eq || eq == flag || !dot)
		return vt_fail(e, -EINVAL, "--input '%s': say NAME=FILE.npy or NAME=FILE.pb", flag);
	if (!strcmp(dot, ".npy"))
		err = vt_npy_read(file, &g.value, e);
	else if (!strcmp(dot, ".pb"))
		err = vt_value_read_pb(&g.value, file, e);
	else
		err = vt_fail(e, -EINVAL, "--input '%s': neither .npy nor .pb", flag);
	if (err)
		return err;
	more = realloc(in->at, ((size_t)in->n + 1) * sizeof(*more));
	if (more)
		in->at = more;
	g.name = strndup(flag, (size_t)(eq - flag));
	if (!more || !g.name) {
		free(g.name);
		vt_value_fini(&g.value);
		return vt_fail(e, -ENOMEM, "no memory for input '%s'", flag);
	}
	in->at[in->n++] = g;
	return 0;
}

void vt_given_fini(struct vt_given_inputs *in)
{
	for (int i = 0; i < in->n; i++) {
		free(in->at[i].name);
		vt_value_fini(&in->at[i].value);
	}
	free(in->at);
	*in = (struct vt_given_inputs){0};
}

const struct vt_value *vt_given_value(void *arg, const char *name)
{
	struct vt_given_inputs *in = arg;

	for (int i = 0; i < in->n; i++)
		if (!strcmp(in->at[i].name, name)) {
			in->at[i].used = true;
			return &in->at[i].value;
		}
	return NULL;
}

static int check_given(const struct vt_tensor *t, const struct vt_value *v, struct vt_err *e)
{
	char want[96], got[96];

	if (v->dtype != t->dtype || !vt_shape_equal(&v->shape, &t->shape))
		return vt_fail(e, -EINVAL,
			       "input '%s': the file holds %s %s, the model wants %s %s", t->name,
			       vt_dtype_name(v->dtype), vt_shape_text(&v->shape, got, sizeof(got)),
			       vt_dtype_name(t->dtype),
			       vt_shape_text(&t->shape, want, sizeof(want)));
	return 0;
}

static void free_value(void *data, size_t bytes)
{
	free(data);
}

static int make_value(const struct vt_tensor *t, struct vt_rng *r, struct vt_given_input *ret)
{
	const size_t n = (size_t)vt_shape_elems(&t->shape), bytes = n * vt_dtype_bytes(t->dtype);
	void *data = calloc(1, bytes ? bytes : 1);

	*ret = (struct vt_given_input){
		strdup(t->name), {t->dtype, t->shape, data, bytes, free_value}, true};
	if (!data || !ret->name) {
		free(ret->name);
		free(data);
		return -ENOMEM;
	}
	for (size_t k = 0; k < n && (t->dtype == VT_F32 || t->dtype == VT_F64); k++) {
		double x = vt_rng_unit(r) * 2 - 1;

		if (t->dtype == VT_F32)
			((float *)data)[k] = (float)x;
		else
			((double *)data)[k] = x;
	}
	return 0;
}

int vt_make_inputs(const struct vt_model *m, struct vt_given_inputs *in, uint64_t seed,
		   struct vt_err *e)
{
	struct vt_rng r = {seed};

	for (int i = 0; i < m->graph.n_inputs; i++) {
		const struct vt_tensor *t = &m->graph.tensors[m->graph.inputs[i]];
		const struct vt_value *v = vt_given_value(in, t->name);
		struct vt_given_input *more;
		int err;

		if (v) {
			err = check_given(t, v, e);
			if (err)
				return err;
			continue;
		}
		more = realloc(in->at, ((size_t)in->n + 1) * sizeof(*more));
		if (!more)
			return vt_fail(e, -ENOMEM, "no memory for input '%s'", t->name);
		in->at = more;
		err = make_value(t, &r, &in->at[in->n]);
		if (err)
			return vt_fail(e, err, "no memory for input '%s'", t->name);
		in->n++;
	}
	for (int i = 0; i < in->n; i++)
		if (!in->at[i].used)
			return vt_fail(e, -EINVAL, "--input: the model has no input '%s'",
				       in->at[i].name);
	return 0;
}

void vt_fill_inputs(struct vt_model *m, int inst, struct vt_given_inputs *in)
{
	for (int i = 0; i < m->graph.n_inputs; i++) {
		const struct vt_value *v =
			vt_given_value(in, m->graph.tensors[m->graph.inputs[i]].name);

		memcpy(vt_model_tensor(m, inst, m->graph.inputs[i]), v->data, v->bytes);
	}
}

int vt_write_outputs(const struct vt_model *m, int inst, const char *dir, struct vt_err *e)
{
	if (mkdir(dir, 0777) && errno != EEXIST)
		return vt_fail(e, -errno, "%s: cannot make the directory: %s", dir,
			       strerror(errno));
	for (int i = 0; i < m->graph.n_outputs; i++) {
		const struct vt_tensor *t = &m->graph.tensors[m->graph.outputs[i]];
		struct vt_value v = {
			t->dtype, t->shape, vt_model_tensor(m, inst, m->graph.outputs[i]),
			(size_t)vt_shape_elems(&t->shape) * vt_dtype_bytes(t->dtype), NULL};
		char path[4096];
		size_t at = (size_t)snprintf(path, sizeof(path), "%s/", dir);
		int err;

		if (at + strlen(t->name) + 5 > sizeof(path))
			return vt_fail(e, -ENAMETOOLONG, "%s: path of output '%.100s' is too long",
				       dir, t->name);
		snprintf(path + at, sizeof(path) - at, "%s.npy", t->name);
		for (char *c = path + at; *c; c++)
			if (*c == '/' || *c == ':')
				*c = '_';
		err = vt_npy_write(path, &v, e);
		if (err)
			return err;
	}
	return 0;
}
