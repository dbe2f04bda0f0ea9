/* SPDX-License-Identifier: Apache-2.0 */
/* log.h - lines on stderr for cli/ and server/. Libraries never log. Thread-safe: one write per line. */
#ifndef VT_BASE_LOG_H
#define VT_BASE_LOG_H

enum vt_log_level { VT_LOG_ERROR, VT_LOG_WARN, VT_LOG_INFO, VT_LOG_DEBUG };

struct vt_log {
	const char *who;	 /* "veltair run" */
	enum vt_log_level level; /* lines above it are dropped */
	int fd;			 /* usually 2 */
};

/** vt_log - write "who: text" as one line; control characters become '?' */
void vt_log(const struct vt_log *l, enum vt_log_level level, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif
