// SPDX-License-Identifier: Apache-2.0
#include "base/error.h"

#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

/* File and tensor names come from outside: nothing in them may move the cursor or start a line. */
static void one_line(char *s)
{
	vt_utf8_put(s, sizeof(((struct vt_err *)0)->msg), s);
}

int vt_fail(struct vt_err *e, int code, const char *fmt, ...)
{
	va_list ap;

	if (!e)
		return code;
	if (e->code)
		return e->code;
	e->code = code;
	va_start(ap, fmt);
	vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
	va_end(ap);
	one_line(e->msg);
	return code;
}

int vt_fail_at(struct vt_err *e, const char *fmt, ...)
{
	char head[sizeof(e->msg)], old[sizeof(e->msg)];
	va_list ap;

	if (!e)
		return -EINVAL;
	va_start(ap, fmt);
	vsnprintf(head, sizeof(head), fmt, ap);
	va_end(ap);
	memcpy(old, e->msg, sizeof(old));
	if ((size_t)snprintf(e->msg, sizeof(e->msg), "%.200s: %.300s", head, old) >= sizeof(e->msg))
		e->msg[sizeof(e->msg) - 1] = '\0';
	one_line(e->msg);
	return e->code;
}

int vt_fail_more(struct vt_err *e, const char *fmt, ...)
{
	char tail[200];
	va_list ap;
	size_t used;

	if (!e)
		return -EINVAL;
	va_start(ap, fmt);
	vsnprintf(tail, sizeof(tail), fmt, ap);
	va_end(ap);
	used = strlen(e->msg);
	snprintf(e->msg + used, sizeof(e->msg) - used, "%s", tail);
	one_line(e->msg);
	return e->code;
}

enum vt_exit vt_exit_code(int code)
{
	switch (code) {
	case 0:
		return VT_EXIT_OK;
	case -EINVAL:  /* a value that makes no sense */
	case -EBADMSG: /* a file that is not what it says */
	case -ERANGE:
	case -EOVERFLOW:
	case -E2BIG:
	case -ENOENT: /* a path or name that does not exist */
	case -EISDIR:
	case -ENOTDIR:
	case -ELOOP:
	case -ENOEXEC: /* an operator, type or opset we do not know */
		return VT_EXIT_USAGE;
	case -ENOTSUP:
	case -ENOSYS:
		return VT_EXIT_UNSUPPORTED;
	default:
		return VT_EXIT_FAILED;
	}
}
