// SPDX-License-Identifier: Apache-2.0
#include "server/agent.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

#define SLICE_NS  (50 * VT_NS_PER_MS)
#define PER_SLICE (VT_AGENT_RATE / 20)
#define LINGER_NS VT_NS_PER_S /* for a peer to take its line and go */
#define HEARD_MAX 4096u	      /* bytes of a peer that are read before it is let go */

/** A peer that has been answered, and has not closed yet. */
struct conn {
	int fd; /* -1: none */
	uint32_t heard;
	uint64_t until_ns;
};

struct vt_agent {
	_Atomic uint32_t word; /* state << 8 | percent: written by the owner, read by the thread */
	_Atomic uint64_t taken;
	pthread_t thread;
	int listener, stop; /* stop: eventfd */
	/* The thread's. */
	struct conn conn[VT_AGENT_CONNS];
	uint32_t next; /* slot of the oldest */
	uint64_t slice_ns;
	uint32_t left; /* connections that may still be taken in this slice */
	/* The owner's. */
	struct vt_spare_window window;
	struct vt_weight weight;
	uint64_t looked_ns;
	struct vt_runtime_stats stats;
};

/* ---- the thread --------------------------------------------------------------------------------- */

static size_t line(const struct vt_agent *a, char *ret, size_t size)
{
	uint32_t word = atomic_load_explicit(&a->word, memory_order_relaxed);

	switch ((enum vt_agent_state)(word >> 8)) {
	case VT_AGENT_READY:
		return (size_t)snprintf(ret, size, "up ready %u%%\n", word & 0xff);
	case VT_AGENT_DRAIN:
		return (size_t)snprintf(ret, size, "drain\n");
	default:
		return (size_t)snprintf(ret, size, "down #loading models\n");
	}
}

static void drop(struct conn *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
}

/*
 * A new socket has room for a line, so this never waits. Closing at once, with something unread,
 * would reset the connection and could take the line with it: the peer gets a second to close.
 */
static void answer(struct vt_agent *a, int fd, uint64_t now)
{
	struct conn *c = &a->conn[a->next];
	char text[64];
	size_t n = line(a, text, sizeof(text));

	a->next = (a->next + 1) % VT_AGENT_CONNS;
	drop(c);
	if (send(fd, text, n, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)n || shutdown(fd, SHUT_WR)) {
		close(fd);
		return;
	}
	*c = (struct conn){fd, 0, now + LINGER_NS};
}

/* What peers say is read and forgotten, a little at a time; one that has closed is let go. */
static void listen_to(struct conn *c)
{
	char waste[512];
	ssize_t n = recv(c->fd, waste, sizeof(waste), MSG_DONTWAIT);

	if (n > 0)
		c->heard += (uint32_t)n;
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR) || c->heard >= HEARD_MAX)
		drop(c);
}

static void take(struct vt_agent *a, uint64_t now)
{
	while (a->left) {
		int fd = accept4(a->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0) {
			/* No descriptors, no memory: look again in the next slice. */
			if (errno != EAGAIN && errno != ECONNABORTED && errno != EINTR)
				a->left = 0;
			return;
		}
		a->left--;
		atomic_fetch_add_explicit(&a->taken, 1, memory_order_relaxed);
		answer(a, fd, now);
	}
}

static int patience_ms(const struct vt_agent *a, uint64_t now)
{
	uint64_t until = now + VT_NS_PER_S;

	if (!a->left && a->slice_ns + SLICE_NS < until)
		until = a->slice_ns + SLICE_NS;
	for (uint32_t i = 0; i < VT_AGENT_CONNS; i++)
		if (a->conn[i].fd >= 0 && a->conn[i].until_ns < until)
			until = a->conn[i].until_ns;
	return until <= now ? 0 : (int)((until - now) / VT_NS_PER_MS) + 1;
}

static void *run(void *arg)
{
	struct vt_agent *a = arg;
	struct pollfd p[VT_AGENT_CONNS + 2];

	for (;;) {
		uint64_t now = vt_now_mono_ns();

		if (now - a->slice_ns >= SLICE_NS) {
			a->slice_ns = now;
			a->left = PER_SLICE;
		}
		p[0] = (struct pollfd){a->stop, POLLIN, 0};
		p[1] = (struct pollfd){a->left ? a->listener : -1, POLLIN, 0};
		for (uint32_t i = 0; i < VT_AGENT_CONNS; i++) {
			if (a->conn[i].fd >= 0 && now >= a->conn[i].until_ns)
				drop(&a->conn[i]);
			p[i + 2] = (struct pollfd){a->conn[i].fd, POLLIN, 0};
		}
		if (poll(p, VT_AGENT_CONNS + 2, patience_ms(a, now)) <= 0)
			continue;
		if (p[0].revents)
			return NULL;
		for (uint32_t i = 0; i < VT_AGENT_CONNS; i++)
			if (p[i + 2].revents)
				listen_to(&a->conn[i]);
		if (p[1].revents)
			take(a, vt_now_mono_ns());
	}
}

/* ---- the owner ---------------------------------------------------------------------------------- */

static void go_on(struct vt_agent *a, const struct vt_agent_said *as)
{
	vt_agent_say(a, as->state, as->percent);
	a->window = as->window;
	a->weight = as->weight;
	a->looked_ns = as->looked_ns;
}

void vt_agent_said(const struct vt_agent *a, struct vt_agent_said *ret)
{
	uint32_t word = atomic_load_explicit(&a->word, memory_order_relaxed);

	*ret = (struct vt_agent_said){.state = (enum vt_agent_state)(word >> 8),
				      .percent = word & 0xff,
				      .window = a->window,
				      .weight = a->weight,
				      .looked_ns = a->looked_ns};
}

int vt_agent_start(struct vt_agent **ret, struct vt_listener *l, const struct vt_agent_said *as,
		   struct vt_err *e)
{
	struct vt_agent *a;
	int err = vt_listener_start(l, e);

	if (err)
		return err;
	a = calloc(1, sizeof(*a));
	if (!a)
		return vt_fail(e, -ENOMEM, "no memory");
	a->listener = l->fd;
	if (as)
		go_on(a, as);
	for (uint32_t i = 0; i < VT_AGENT_CONNS; i++)
		a->conn[i].fd = -1;
	a->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	err = a->stop < 0 ? -errno : -pthread_create(&a->thread, NULL, run, a);
	if (err) {
		if (a->stop >= 0)
			close(a->stop);
		free(a);
		return vt_fail(e, err, "cannot start the agent on %s: %s", l->text, strerror(-err));
	}
	*ret = a;
	return 0;
}

void vt_agent_say(struct vt_agent *a, enum vt_agent_state state, uint32_t percent)
{
	if (a)
		atomic_store_explicit(&a->word, (uint32_t)state << 8 | (percent & 0xff),
				      memory_order_relaxed);
}

void vt_agent_tick(struct vt_agent *a, struct vt_runtime *rt, uint64_t now_ns)
{
	struct vt_spare s;
	uint32_t percent;

	if (!a || now_ns - a->looked_ns < VT_SPARE_TICK_MS * VT_NS_PER_MS)
		return;
	a->looked_ns = now_ns;
	vt_runtime_stats(rt, &a->stats);
	vt_spare_take(&a->window, &a->stats, &s);
	percent = vt_weight_step(&a->weight, vt_spare_percent(&s), now_ns);
	vt_agent_say(a, VT_AGENT_READY, percent);
}

uint64_t vt_agent_taken(const struct vt_agent *a)
{
	return atomic_load_explicit(&a->taken, memory_order_relaxed);
}

void vt_agent_stop(struct vt_agent *a)
{
	uint64_t one = 1;

	if (!a)
		return;
	if (write(a->stop, &one, sizeof(one)) != sizeof(one))
		abort(); /* an eventfd that is empty takes a 1 */
	pthread_join(a->thread, NULL);
	for (uint32_t i = 0; i < VT_AGENT_CONNS; i++)
		drop(&a->conn[i]);
	close(a->stop);
	free(a);
}
