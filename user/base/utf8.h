/* SPDX-License-Identifier: Apache-2.0 */
/* utf8.h - names from outside, one well-formed character at a time. Pure. */
#ifndef VT_BASE_UTF8_H
#define VT_BASE_UTF8_H

#include <stddef.h>

/** vt_utf8_len - bytes of the well-formed UTF-8 character at @s (RFC 3629), or 0 */
size_t vt_utf8_len(const char *s);

/**
 * vt_utf8_put - copy @from as text that any format holds and that steers no terminal
 * Malformed bytes and control characters, C0, DEL and C1, become '?'; what does not fit into @len
 * bytes with its NUL is cut between characters. @to may be @from. Returns the length.
 */
size_t vt_utf8_put(char *to, size_t len, const char *from);

#endif
