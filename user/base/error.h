/* SPDX-License-Identifier: Apache-2.0 */
/* error.h - one error, one line: what, where, what to do. Thread-safe: no globals. */
#ifndef VT_BASE_ERROR_H
#define VT_BASE_ERROR_H

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>

/** An error with its text. Caller's memory; start from zero ({0}). */
struct vt_err {
	int code;      /* negative errno; 0 while nothing failed */
	char msg[512]; /* one line, no newline at its end; control characters replaced by '?' */
};

/**
 * vt_fail - record an error and return its code, so that `return vt_fail(e, -EINVAL, ...)` works
 * @e: may be NULL: then only the code is returned
 * The first error wins: a second call on the same @e keeps the first text and code.
 */
int vt_fail(struct vt_err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/** vt_fail_at - put "@where: " before the text of an error that a callee recorded */
int vt_fail_at(struct vt_err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/** vt_fail_more - put text behind that of an error that a callee recorded: what its caller can do about it */
int vt_fail_more(struct vt_err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Exit codes of every subcommand. */
enum vt_exit {
	VT_EXIT_OK = 0,
	VT_EXIT_FAILED = 1,	 /* the work failed: I/O, memory, a peer that does not answer */
	VT_EXIT_USAGE = 2,	 /* bad flags or bad input: an address that is taken, too */
	VT_EXIT_UNSUPPORTED = 3, /* this machine or build cannot */
};

/** vt_exit_code - the exit code that belongs to a negative errno */
enum vt_exit vt_exit_code(int code);

#endif
