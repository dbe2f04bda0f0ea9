/* SPDX-License-Identifier: Apache-2.0 */
/* text.h - small text files line by line: `#` comments, blank lines, numbers. No globals. */
#ifndef VT_BASE_TEXT_H
#define VT_BASE_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/** A cursor over a text; `line` counts from 1 and is that of the line last returned. */
struct vt_text {
	const char *at, *where;
	unsigned int line;
};

void vt_text_init(struct vt_text *t, const char *text, const char *where);

/**
 * vt_text_line - copy the next line that says something, without its comment and outer blanks
 * Returns 1; 0 at the end; -EINVAL if the line is longer than @len - 1.
 */
int vt_text_line(struct vt_text *t, char *buf, size_t len, struct vt_err *e);

/** vt_text_trim - cut blanks at both ends, in place */
char *vt_text_trim(char *s);

/** vt_text_split - cut @line at commas into at most @max trimmed fields; the count, or max + 1 */
size_t vt_text_split(char *line, char **fields, size_t max);

/** vt_text_f64 - a finite number and nothing else; 0 or -EINVAL, @ret untouched */
int vt_text_f64(const char *s, double *ret);

/** vt_text_u64 - a whole number in decimal and nothing else; 0, -EINVAL or -ERANGE */
int vt_text_u64(const char *s, uint64_t *ret);

/** vt_text_ms - milliseconds in three digits, "4.12", or whole ones from a second on; whole microseconds below 1; @buf */
const char *vt_text_ms(uint64_t ns, char *buf, size_t len);

/**
 * vt_text_read - read a whole regular file of at most @max bytes, NUL added; free() it
 * Returns 0 or -errno; a NUL inside is -EBADMSG.
 */
int vt_text_read(const char *path, size_t max, char **ret, size_t *len, struct vt_err *e);

#endif
