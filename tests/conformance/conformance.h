/* SPDX-License-Identifier: Apache-2.0 */
/* conformance.h - one case of ONNX's own test data: a model, inputs, expected outputs. */
#ifndef VT_TESTS_CONFORMANCE_H
#define VT_TESTS_CONFORMANCE_H

#include "model/graph.h"
#include "model/onnx_file.h"

enum verdict { PASS, SKIP, FAIL };

#define MAX_VALUES 64 /* inputs or outputs of a case */

/** The names of a model's inputs and outputs, and values for them. */
struct values {
	int n;
	char *name[MAX_VALUES];
	bool tensor[MAX_VALUES]; /* false: a sequence, map or optional */
	bool bfloat[MAX_VALUES];
	struct vt_value v[MAX_VALUES];
};

/** run_case - everything in @dir; one line of reason in @why unless PASS. In its own process. */
enum verdict run_case(const char *dir, char *why, size_t len);

/** run_graph - optimise, plan and run @g; outputs are read by read_output() until the next call */
enum verdict run_graph(struct vt_graph *g, const struct values *in, char *why, size_t len);
const void *read_output(const struct vt_graph *g, int tensor);

/** compare - are the bytes of a tensor the expected value? onnx's tolerances */
bool compare(const struct vt_tensor *t, const void *got, const struct vt_value *want, char *why,
	     size_t len);

#endif
