// SPDX-License-Identifier: Apache-2.0
/* Reading a model: the file, the checks before anything is believed, the walk, the result. */
#include "model/import.h"

#include <stdlib.h>
#include <string.h>

#define MAX_IR                                                                                     \
	14 /* those since 8 have added types and notes, nothing that changes the meaning of a graph */

/* Folding may allocate this beyond what the file's own size allows, and compute this much. */
#define FOLD_BYTES (UINT64_C(64) << 20)
#define FOLD_FLOPS (UINT64_C(20) * 1000 * 1000 * 1000)

static bool is_onnx(const char *domain)
{
	return !domain || !*domain || !strcmp(domain, "ai.onnx");
}

static int find_opset(struct vt_imp *m)
{
	int64_t version = 0;

	for (size_t i = 0; i < m->model->n_opset_import; i++)
		if (is_onnx(m->model->opset_import[i]->domain))
			version = m->model->opset_import[i]->version;
	/* before IR version 3 there was nothing to declare */
	if (!version && m->model->ir_version < 3)
		version = 1;
	if (version < 0 || (!version && !m->model->n_opset_import))
		return vt_fail(m->e, -EBADMSG, "declares no opset of ai.onnx");
	if (version > VT_IMP_MAX_OPSET)
		return vt_fail(m->e, -ENOEXEC,
			       "uses opset %lld; this build knows 1 to %d (export with opset %d)",
			       (long long)version, VT_IMP_MAX_OPSET, VT_IMP_MAX_OPSET);
	m->opset = (int)version;
	return 0;
}

static int check_model(struct vt_imp *m)
{
	if (!m->model->has_ir_version || m->model->ir_version < 1 || !m->model->graph)
		return vt_fail(m->e, -EBADMSG,
			       "is not an ONNX model: it has no IR version or no graph");
	if (m->model->ir_version > MAX_IR)
		return vt_fail(m->e, -ENOEXEC, "has IR version %lld; this build knows 1 to %d",
			       (long long)m->model->ir_version, MAX_IR);
	if (m->pg->n_sparse_initializer)
		return vt_fail(m->e, -ENOEXEC, "has sparse initialisers, which are not supported");
	return find_opset(m);
}

static int import(struct vt_graph *g, struct vt_onnx_bytes *b, const char *dir,
		  const struct vt_import_opts *o, struct vt_err *e)
{
	struct vt_imp m = {
		.g = g,
		.o = o,
		.e = e,
		.beside = {dir, o},
		.fold_bytes = FOLD_BYTES + 2 * b->len,
		.fold_flops = FOLD_FLOPS,
	};
	int err;

	m.model = (Onnx__ModelProto *)vt_onnx_unpack(&onnx__model_proto__descriptor, b, e);
	if (!m.model)
		return e->code;
	vt_onnx_close(b);
	m.pg = m.model->graph;
	err = check_model(&m);
	if (!err && vt_graph_init(g, m.pg->name ? m.pg->name : ""))
		err = vt_fail(e, -ENOMEM, "no memory");
	if (!err)
		err = vt_imp_run(&m);
	if (!err)
		vt_graph_compact(g);
	if (err)
		vt_graph_fini(g);
	vt_onnx_free((ProtobufCMessage *)m.model);
	free(m.syms);
	free(m.order);
	free(m.refs);
	return err;
}

int vt_import_onnx_buf(struct vt_graph *g, const void *buf, size_t len, const char *dir,
		       const struct vt_import_opts *o, struct vt_err *e)
{
	struct vt_onnx_bytes b = {.data = buf, .len = len};
	struct vt_err mine = {0};

	*g = (struct vt_graph){0};
	return import(g, &b, dir, o, e ? e : &mine);
}

int vt_import_onnx(struct vt_graph *g, const char *path, const struct vt_import_opts *o,
		   struct vt_err *e)
{
	struct vt_onnx_bytes b = {0};
	struct vt_err mine = {0};
	char *dir = strdup(path), *slash;
	int err;

	e = e ? e : &mine;
	*g = (struct vt_graph){0};
	if (!dir)
		return vt_fail(e, -ENOMEM, "no memory");
	slash = strrchr(dir, '/');
	if (slash)
		slash[slash == dir] = '\0';
	err = vt_onnx_open(path, &b, e);
	if (!err)
		err = import(g, &b, slash ? dir : ".", o, e);
	vt_onnx_close(&b);
	free(dir);
	return err ? vt_fail_at(e, "%s", path) : 0;
}
