/* SPDX-License-Identifier: Apache-2.0 */
/* run_input.h - values for a model's inputs: from files, or made from a seed. */
#ifndef VT_CLI_RUN_INPUT_H
#define VT_CLI_RUN_INPUT_H

#include "exec/engine.h"

/** A `--input NAME=FILE` flag, read. */
struct vt_given_input {
	char *name;
	const char *file; /* within the flag; NULL: made from the seed */
	struct vt_value value;
	bool used;
};

struct vt_given_inputs {
	struct vt_given_input *at;
	int n;
};

/** vt_given_read - parse "NAME=FILE" (.npy or .pb; kept by the caller) and read the file; 0 or -errno */
int vt_given_read(struct vt_given_inputs *in, const char *flag, struct vt_err *e);
void vt_given_fini(struct vt_given_inputs *in);

/** vt_given_value - for vt_import_opts.input_value; @arg is the struct vt_given_inputs */
const struct vt_value *vt_given_value(void *arg, const char *name);

/**
 * vt_make_inputs - check the given values against the model and make the missing ones from @seed
 * Made numbers: floats uniform in [-1, 1), integers and booleans 0 (an index must stay in its
 * table). -EINVAL if a given value has another type or shape than the model, or names no input.
 */
int vt_make_inputs(const struct vt_engine *m, struct vt_given_inputs *in, uint64_t seed,
		   struct vt_err *e);

/** vt_fill_inputs - copy all values into an instance, after vt_make_inputs(); needed before each run */
void vt_fill_inputs(struct vt_engine *m, int inst, struct vt_given_inputs *in);

/**
 * vt_write_outputs - DIR/NAME.npy for each output, '/' and ':' in names replaced by '_'
 * -EINVAL, before anything is written, if that makes two outputs one file.
 */
int vt_write_outputs(const struct vt_engine *m, int inst, const char *dir, struct vt_err *e);

#endif
