/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent.h - tells a load balancer how this node feels, in HAProxy's agent-check protocol: whoever
 * connects gets one line and is done.
 *
 *	"down #loading models"	at the start, until all models are loaded: no requests
 *	"up ready 85%"		weight by spare capacity within QoS (spare.h)
 *	"drain"			SIGTERM: no new requests, what has been taken is answered
 *
 * Its thread only answers, from one word that vt_agent_tick() and vt_agent_say() write: a busy or
 * stuck runtime cannot keep a balancer waiting. Nothing that is sent to it is looked at.
 */
#ifndef VT_SERVER_AGENT_H
#define VT_SERVER_AGENT_H

#include "exec/runtime.h"
#include "server/listen.h"
#include "server/spare.h"

#define VT_AGENT_CONNS 64u   /* open at a time; the oldest makes room */
#define VT_AGENT_RATE  5000u /* connections taken a second at most; the rest waits in the kernel */

struct vt_agent;

enum vt_agent_state { VT_AGENT_LOADING, VT_AGENT_READY, VT_AGENT_DRAIN };

/** What an agent says, and what it goes by: one in its place goes on with it. */
struct vt_agent_said {
	enum vt_agent_state state;
	uint32_t percent;
	struct vt_spare_window window;
	struct vt_weight weight;
	uint64_t looked_ns;
};

/**
 * vt_agent_start - answer on @l from now on
 * @as: what to say at first; NULL: VT_AGENT_LOADING
 * @l has been bound, is the caller's, and is closed after vt_agent_stop(). Signals should be blocked.
 * -ENOMEM, -EAGAIN, or what listen() says
 */
int vt_agent_start(struct vt_agent **ret, struct vt_listener *l, const struct vt_agent_said *as,
		   struct vt_err *e);
/** vt_agent_said - for vt_agent_start(). The thread of vt_agent_tick() */
void vt_agent_said(const struct vt_agent *a, struct vt_agent_said *ret);
/** vt_agent_say - any thread; @percent is told while READY */
void vt_agent_say(struct vt_agent *a, enum vt_agent_state state, uint32_t percent);
/**
 * vt_agent_tick - look at the runtime and say READY with its weight
 * Once the models of the start are loaded, then often: it looks every VT_SPARE_TICK_MS. One thread. @a may be NULL.
 */
void vt_agent_tick(struct vt_agent *a, struct vt_runtime *rt, uint64_t now_ns);
/** vt_agent_taken - connections taken since the start */
uint64_t vt_agent_taken(const struct vt_agent *a);
/** vt_agent_stop - ends the thread and all connections; NULL is fine */
void vt_agent_stop(struct vt_agent *a);

#endif
