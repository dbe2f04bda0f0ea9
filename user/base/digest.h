/* SPDX-License-Identifier: Apache-2.0 */
/*
 * digest.h - has a file changed? XXH64 of its bytes, 5 GB/s and more; not for secrets. No globals.
 */
#ifndef VT_BASE_DIGEST_H
#define VT_BASE_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define VT_DIGEST_TEXT 17 /* sixteen hex digits and a NUL */

/** vt_digest - XXH64 with seed 0 (Collet; the specification is public) */
uint64_t vt_digest(const void *data, size_t len);

/** vt_file_digest - of a regular file's content, as text; errors as vt_file_read() */
int vt_file_digest(const char *path, char ret[static VT_DIGEST_TEXT], struct vt_err *e);

#endif
