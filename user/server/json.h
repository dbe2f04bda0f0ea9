/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json.h - JSON read where it lies, one value after another: no tree, no allocation.
 *
 *	vt_json_object(&j);
 *	while (vt_json_key(&j, &key) > 0)
 *		if (vt_json_is(&key, "inputs")) ... else vt_json_skip(&j);
 *
 * The text comes from strangers: nesting is bounded, strings must be UTF-8, nothing is read past
 * the end. The first error stays in the reader and everything after it fails too, so callers check
 * once. Not thread-safe; one reader, one thread.
 */
#ifndef VT_SERVER_JSON_H
#define VT_SERVER_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "server/number.h"

#define VT_JSON_DEPTH 32u

struct vt_json {
	const char *begin, *at, *end;
	unsigned int depth;
	bool first;	  /* the container just opened has had no item yet */
	struct vt_err *e; /* of the first fault; its text names the byte */
	int err;
};

/** A string as it stands between its quotes, escapes and all. */
struct vt_json_str {
	const char *at;
	size_t len;
	bool escaped; /* holds a backslash */
};

void vt_json_init(struct vt_json *j, const void *text, size_t len, struct vt_err *e);

/** vt_json_fail - record what is wrong at the present byte; returns -EBADMSG */
int vt_json_fail(struct vt_json *j, const char *what);

/** vt_json_peek - the next value's first character: { [ " t f n, '0' for a number, 0 at the end */
char vt_json_peek(struct vt_json *j);

/* Containers: 0, or -EBADMSG. */
int vt_json_object(struct vt_json *j);
int vt_json_array(struct vt_json *j);
/** vt_json_key - the next member's name, with its colon; 1, 0 at the object's end, -EBADMSG */
int vt_json_key(struct vt_json *j, struct vt_json_str *ret);
/** vt_json_item - is there a further item in the array? 1, 0 at its end, -EBADMSG */
int vt_json_item(struct vt_json *j);
/** vt_json_end - nothing but blanks may follow */
int vt_json_end(struct vt_json *j);

/* Values: 0, or -EBADMSG if the next one is of another kind. */
int vt_json_string(struct vt_json *j, struct vt_json_str *ret);
int vt_json_number(struct vt_json *j, struct vt_number *ret);
int vt_json_bool(struct vt_json *j, bool *ret);
int vt_json_skip(struct vt_json *j); /* any value */

/** vt_json_is - does the string, escapes resolved, equal @text? */
bool vt_json_is(const struct vt_json_str *s, const char *text);
/** vt_json_text - the string, escapes resolved, cut to @len - 1 bytes; returns @buf */
const char *vt_json_text(const struct vt_json_str *s, char *buf, size_t len);

/** vt_json_escape - @text as it may stand between quotes; what is not UTF-8 becomes '?'
 * Returns the length, as snprintf() does. */
size_t vt_json_escape(const char *text, char *buf, size_t len);

#endif
