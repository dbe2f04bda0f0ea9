/* SPDX-License-Identifier: Apache-2.0 */
/*
 * serve_file.h - a file that a server fills as long as it lives: --record, --trace.
 *
 * What it holds already may be all that is left of a server that crashed: it becomes FILE.1, in place of an older
 * FILE.1, once it is sure that this one serves; until then what is new is in FILE.new. A pipe or device is written as
 * it is.
 */
#ifndef VT_CLI_SERVE_FILE_H
#define VT_CLI_SERVE_FILE_H

#include <limits.h>
#include <stdbool.h>

#include "base/error.h"

struct vt_serve_file {
	char path[PATH_MAX]; /* links followed; "": never opened */
	bool beside;	     /* FILE.new is what is open */
	bool begun;
};

/** vt_serve_file_open - a descriptor to write to, the caller's, or -errno; @f is zeroed before */
int vt_serve_file_open(struct vt_serve_file *f, const char *path, struct vt_err *e);
/** vt_serve_file_begin - from now on it is @path that is written; fine if it was not opened */
int vt_serve_file_begin(struct vt_serve_file *f, struct vt_err *e);
/** vt_serve_file_end - the descriptor is closed; if nothing was begun, no trace of it stays */
void vt_serve_file_end(struct vt_serve_file *f);

/** vt_serve_file_try - could it be opened and begun? Leaves nothing behind. 0 or -errno */
int vt_serve_file_try(const char *path, struct vt_err *e);

#endif
