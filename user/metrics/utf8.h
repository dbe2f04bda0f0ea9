/* SPDX-License-Identifier: Apache-2.0 */
/* utf8.h - names from outside, one well-formed character at a time. Pure. */
#ifndef VT_METRICS_UTF8_H
#define VT_METRICS_UTF8_H

#include <stddef.h>

/** vt_utf8_len - bytes of the well-formed UTF-8 character at @s (RFC 3629), or 0 */
size_t vt_utf8_len(const char *s);

#endif
