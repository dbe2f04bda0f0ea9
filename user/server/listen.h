/* SPDX-License-Identifier: Apache-2.0 */
/* listen.h - sockets that wait for connections: TCP and Unix. No threads. */
#ifndef VT_SERVER_LISTEN_H
#define VT_SERVER_LISTEN_H

#include <sys/types.h>

#include "server/config.h"

/** One socket. Caller's memory. */
struct vt_listener {
	int fd;		    /* bound, not listening yet; -1: none */
	const char *unlink; /* path of a Unix socket, removed at the end; the config's */
	dev_t dev;	    /* what bind() made there */
	ino_t ino;
	uint16_t port;	/* the one taken, if 0 was asked for */
	char text[160]; /* "127.0.0.1:8000" */
};

/**
 * vt_listener_open - bind, so that a taken port is known before any model is loaded
 * From then on it is this one's, for others too. A Unix socket that nobody has open is what a killed server left, and
 * is replaced.
 * -EADDRINUSE, -EACCES, -EADDRNOTAVAIL, -ENOENT as bind() says.
 */
int vt_listener_open(struct vt_listener *ret, const struct vt_config_listen *l, uint32_t mode,
		     struct vt_err *e);
/** vt_listener_left - is it what a killed server left: a Unix socket that nobody has open? */
bool vt_listener_left(const struct vt_config_listen *l);
/** vt_listener_start - take connections from now on (they wait until somebody accepts) */
int vt_listener_start(struct vt_listener *l, struct vt_err *e);
/**
 * vt_listener_unlink - remove the path of a Unix socket, unless another one is there by now
 * Before @fd is closed, by whoever took it over: once nobody answers there, the path is whose next server it is.
 */
void vt_listener_unlink(struct vt_listener *l);
/** vt_listener_close - also removes the path of a Unix socket; @fd may have been closed already */
void vt_listener_close(struct vt_listener *l);

#endif
