/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peer.h - other engines as targets: one process per tenant, a line per request, a line per answer.
 *
 *	generator -> peer	ID DEADLINE	CLOCK_MONOTONIC ns; 0: serve it however late
 *	peer -> generator	ready		once, when its model is loaded and warm
 *				ID		done
 *				ID drop		it would not: its deadline cannot be met
 *
 * Any program that speaks this can be compared; scripts/ort-tenant.js is ONNX Runtime. Its errors
 * go to our stderr. A peer is killed with its process group when closed. One thread.
 */
#ifndef VT_LOAD_PEER_H
#define VT_LOAD_PEER_H

#include "load/drive.h"

struct vt_peer;

struct vt_peer_opts {
	const char *command;	   /* run by sh -c, the model's path as its first argument */
	const char *const *models; /* paths, [n] */
	uint32_t n;
	uint64_t start_ns; /* give up if it is not ready by then; 0: 120 s */
};

/**
 * vt_peer_open - start all processes, one after the other, and wait until each is ready
 * -EINVAL: it exited or said something else; -ETIMEDOUT; errors of pipe and fork
 */
int vt_peer_open(struct vt_peer **ret, const struct vt_peer_opts *o, struct vt_err *e);
void vt_peer_close(struct vt_peer *p); /* accepts NULL */

/** vt_peer_deadlines - send deadlines of arrival + @qos_ns[tenant] from now on; NULL: none */
void vt_peer_deadlines(struct vt_peer *p, const uint64_t *qos_ns);

/** vt_peer_check - -EIO once a process has ended, or answered what cannot be meant, with what it did */
int vt_peer_check(const struct vt_peer *p, struct vt_err *e);

/** vt_peer_target - as a target; begin() fails as vt_peer_check() does */
struct vt_target vt_peer_target(struct vt_peer *p);

#endif
