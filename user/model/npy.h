/* SPDX-License-Identifier: Apache-2.0 */
/*
 * npy.h - tensors in NumPy's .npy files.
 *
 * What is read comes from strangers: nothing in a header is believed before it is checked against
 * the bytes that are really there. Thread-safe: no globals.
 */
#ifndef VT_MODEL_NPY_H
#define VT_MODEL_NPY_H

#include <stddef.h>

#include "base/error.h"
#include "model/graph.h"

/**
 * vt_npy_parse - read a .npy of version 1 to 3 from memory
 * @ret: owns a copy of the data in C order and host byte order; written only on success
 * Types: those of vt_dtype except bfloat16, which NumPy lacks. Either byte order, either array
 * order (a Fortran array is transposed on the way in). Returns 0, -EBADMSG for what is not a sound
 * .npy, -EINVAL for a sound one of a type or rank that we lack (complex, strings, records),
 * -EOVERFLOW, -ENOMEM.
 */
int vt_npy_parse(const void *buf, size_t len, struct vt_value *ret, struct vt_err *e);

/** vt_npy_read - the same from a file; the text of an error starts with @path */
int vt_npy_read(const char *path, struct vt_value *ret, struct vt_err *e);

/** vt_npy_write - version 1.0, C order; complete or not at all. -EINVAL for bfloat16. */
int vt_npy_write(const char *path, const struct vt_value *v, struct vt_err *e);

#endif
