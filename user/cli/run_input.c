// SPDX-License-Identifier: Apache-2.0
#include "cli/run_input.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/rng.h"
#include "model/npy.h"
#include "model/onnx_file.h"

static bool ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), n = strlen(end);

	return len > n && !strcmp(text + len - n, end);
}

/* Which it is, its name says. What is wrong with a file that is not there is not its name. */
static int read_value(struct vt_value *ret, const char *file, struct vt_err *e)
{
	struct stat st;

	if (ends_with(file, ".npy"))
		return vt_npy_read(file, ret, e);
	if (ends_with(file, ".pb"))
		return vt_value_read_pb(ret, file, e);
	if (stat(file, &st))
		return vt_fail(e, -errno, "--input '%s': cannot open: %s", file, strerror(errno));
	if (S_ISDIR(st.st_mode))
		return vt_fail(e, -EISDIR, "--input '%s': is a directory, a file is needed", file);
	return vt_fail(e, -EINVAL, "--input '%s': the name must end in .npy or .pb", file);
}

int vt_given_read(struct vt_given_inputs *in, const char *flag, struct vt_err *e)
{
	const char *eq = strchr(flag, '='), *file = eq ? eq + 1 : "";
	struct vt_given_input *more, g = {.file = file};
	int err;

	if (eq == flag || !*file)
		return vt_fail(e, -EINVAL, "--input '%s': say NAME=FILE.npy or NAME=FILE.pb", flag);
	for (int i = 0; i < in->n; i++)
		if (strlen(in->at[i].name) == (size_t)(eq - flag) &&
		    !memcmp(in->at[i].name, flag, (size_t)(eq - flag)))
			return vt_fail(e, -EINVAL, "--input: '%s' is given twice", in->at[i].name);
	err = read_value(&g.value, file, e);
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

static int check_given(const struct vt_tensor *t, const struct vt_given_inputs *in,
		       const struct vt_value *v, struct vt_err *e)
{
	const char *file = "";
	char want[96], got[96];

	for (int i = 0; i < in->n; i++)
		if (&in->at[i].value == v)
			file = in->at[i].file;

	if (v->dtype != t->dtype || !vt_shape_equal(&v->shape, &t->shape))
		return vt_fail(e, -EINVAL, "input '%s': %s holds %s %s, the model wants %s %s",
			       t->name, file, vt_dtype_name(v->dtype),
			       vt_shape_text(&v->shape, got, sizeof(got)), vt_dtype_name(t->dtype),
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
		strdup(t->name), NULL, {t->dtype, t->shape, data, bytes, free_value}, true};
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

int vt_make_inputs(const struct vt_engine *m, struct vt_given_inputs *in, uint64_t seed,
		   struct vt_err *e)
{
	struct vt_rng r = {seed};

	for (int i = 0; i < m->graph.n_inputs; i++) {
		const struct vt_tensor *t = &m->graph.tensors[m->graph.inputs[i]];
		const struct vt_value *v = vt_given_value(in, t->name);
		struct vt_given_input *more;
		int err;

		if (v) {
			err = check_given(t, in, v, e);
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

void vt_fill_inputs(struct vt_engine *m, int inst, struct vt_given_inputs *in)
{
	for (int i = 0; i < m->graph.n_inputs; i++) {
		const struct vt_value *v =
			vt_given_value(in, m->graph.tensors[m->graph.inputs[i]].name);

		memcpy(vt_engine_tensor(m, inst, m->graph.inputs[i]), v->data, v->bytes);
	}
}

#define MAX_PATH 4096

static int output_path(const struct vt_engine *m, int i, const char *dir, char *path,
		       struct vt_err *e)
{
	const char *name = m->graph.tensors[m->graph.outputs[i]].name;
	size_t at = (size_t)snprintf(path, MAX_PATH, "%s/", dir);

	if (at + strlen(name) + 5 > MAX_PATH)
		return vt_fail(e, -ENAMETOOLONG, "%s: path of output '%.100s' is too long", dir,
			       name);
	snprintf(path + at, MAX_PATH - at, "%s.npy", name);
	for (char *c = path + at; *c; c++)
		if (*c == '/' || *c == ':')
			*c = '_';
	return 0;
}

/* Every output has a file of its own, or nothing is written. */
static int check_paths(const struct vt_engine *m, const char *dir, struct vt_err *e)
{
	char path[MAX_PATH], other[MAX_PATH];
	int err = 0;

	for (int i = 0; i < m->graph.n_outputs && !err; i++) {
		err = output_path(m, i, dir, path, e);
		for (int k = 0; k < i && !err; k++) {
			if (m->graph.outputs[k] == m->graph.outputs[i])
				continue; /* the same tensor twice: the same bytes */
			err = output_path(m, k, dir, other, e);
			if (!err && !strcmp(path, other))
				err = vt_fail(e, -EINVAL,
					      "%s would hold two outputs, '%.100s' and '%.100s'",
					      path, m->graph.tensors[m->graph.outputs[k]].name,
					      m->graph.tensors[m->graph.outputs[i]].name);
		}
	}
	return err;
}

int vt_write_outputs(const struct vt_engine *m, int inst, const char *dir, struct vt_err *e)
{
	int err = check_paths(m, dir, e);

	if (err)
		return err;
	if (mkdir(dir, 0777) && errno != EEXIST)
		return vt_fail(e, -errno, "%s: cannot make the directory: %s", dir,
			       strerror(errno));
	for (int i = 0; i < m->graph.n_outputs && !err; i++) {
		const struct vt_tensor *t = &m->graph.tensors[m->graph.outputs[i]];
		struct vt_value v = {
			t->dtype, t->shape, vt_engine_tensor(m, inst, m->graph.outputs[i]),
			(size_t)vt_shape_elems(&t->shape) * vt_dtype_bytes(t->dtype), NULL};
		char path[MAX_PATH];

		err = output_path(m, i, dir, path, e);
		if (!err)
			err = vt_npy_write(path, &v, e);
	}
	return err;
}
