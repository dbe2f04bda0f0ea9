/* SPDX-License-Identifier: Apache-2.0 */
/* http_wire.h - between http.c and http_wire.c. Internal to load/. */
#ifndef VT_LOAD_HTTP_WIRE_H
#define VT_LOAD_HTTP_WIRE_H

#include <sys/socket.h>

#include "load/http.h"

/**
 * vt_http_resolve - where @u is
 * Of a name with several addresses the first that takes a connection; the first of all if none
 * does. Returns 0; -EHOSTUNREACH with the resolver's reason.
 */
int vt_http_resolve(const struct vt_http_url *u, struct sockaddr_storage *ret, socklen_t *len,
		    struct vt_err *e);

/** vt_http_reach - does anybody take a connection at @to? Waits 10 s at most. */
bool vt_http_reach(const struct sockaddr *to, socklen_t len);

#endif
