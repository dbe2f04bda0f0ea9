/* SPDX-License-Identifier: Apache-2.0 */
/* http_int.h - shared by http.c (life of server and connections) and http_req.c (of a request). */
#ifndef VT_SERVER_HTTP_INT_H
#define VT_SERVER_HTTP_INT_H

#include <pthread.h>
#include <semaphore.h>

#include <microhttpd.h>

#include "server/http.h"

enum conn_state { CONN_IDLE, CONN_RECEIVING, CONN_HELD, CONN_SENDING };

/** A connection. Fields of the I/O thread, except where the lock is named. */
struct conn {
	struct io *io;
	struct conn *prev, *next; /* lock */
	uint64_t serial;	  /* never reused, unlike fd */
	int fd;
	enum conn_state state; /* lock */
	uint64_t since_ns;     /* lock; of the state */
	bool cut;	       /* lock; too slow: it is being shut down */
	/* lock; what to call if the client of a held request leaves; NULL: not watched */
	void (*gone)(void *arg, uint64_t id);
	void *gone_arg;
	uint64_t gone_id;
};

/** An I/O thread: connections of its own, of one address. */
struct io {
	struct vt_http *http;
	struct MHD_Daemon *daemon;
	int epoll, wake;
	bool quiet; /* takes no more connections; of its thread */
	pthread_t thread;
};

struct vt_http {
	struct io *io;
	size_t n_io;
	const struct vt_route *routes;
	const struct vt_log *log;
	struct vt_metrics_http *count;
	int nice_err; /* for which I/O threads do not come before workers; 0: they do */
	uint64_t max_body_bytes, max_memory_bytes, idle_ns, transfer_ns;
	_Atomic uint32_t busy;
	_Atomic bool closing, stopping;
	sem_t quiet; /* posted by each I/O thread that has become so */
	pthread_mutex_t lock;
	struct conn *conns; /* lock */
	uint64_t next_serial;
	int watch_fd; /* epoll of the connections of held requests: is the client still there? */
	uint64_t scanned_ns;
};

/** A request with what handlers do not see. */
struct req {
	struct vt_http_req pub; /* first */
	struct MHD_Connection *mhd;
	struct conn *conn;
	char *body;
	size_t room; /* of body, which is there from its first part on */
	size_t counted; /* of room, counted as taken: what has come, rounded up; the rest is no memory yet */
	uint64_t length; /* Content-Length; 0 if chunked */
	uint64_t limit;	 /* of its body, by its handler */
	bool endless;	 /* a transfer coding that is not taken: where its body ends is not known */
	bool chunked, expects, begun, refused, handled, held;
	uint64_t dropped; /* bytes of a body nobody wants */
	unsigned int status;
	size_t answer_bytes;
	struct MHD_Response *answer;
	void *own;
	void (*fini)(void *own);
	void (*on_short)(struct vt_http_req *r, void *arg); /* NULL: nobody wants to know */
	void *short_arg;
};

void conn_state(struct conn *c, enum conn_state s);
/** io_wake - a connection of it was resumed, or it is to end; any thread */
void io_wake(struct io *io);

/* http_errors.c: an answer of @data that outlives it, by another way than the library's own errors */
struct MHD_Response *answer_of(const void *data, size_t len);

/** http_count_answer - that one of @status leaves, with a body of @bytes; any thread */
void http_count_answer(struct vt_http *h, unsigned int status, size_t bytes);

/* http_req.c: libmicrohttpd's callbacks */
enum MHD_Result on_request(void *arg, struct MHD_Connection *mhd, const char *url,
			   const char *method, const char *version, const char *data, size_t *len,
			   void **ret);
void on_completed(void *arg, struct MHD_Connection *mhd, void **own,
		  enum MHD_RequestTerminationCode how);

#endif
