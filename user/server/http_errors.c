// SPDX-License-Identifier: Apache-2.0
/*
 * http_errors.c - libmicrohttpd's own refusals as JSON.
 *
 * What is no HTTP (a Content-Length that overflows, broken chunks, header fields without end) never
 * reaches a handler: the library answers itself, with a page of HTML. It makes that answer through
 * this public function of its own, which it calls like any other program would, so ours is the one
 * it calls (docs/decisions.md). Were a build of it to call itself directly, clients would see HTML
 * again and tests/unit/test_http would say so.
 *
 * Nor may it send that answer: to header fields that it refuses as a whole (no Host, a Content-Length that is none)
 * 0.9.75 makes the head of the answer, forgets so, and makes it once more behind the first. So ours of the functions
 * that queue an answer sends a refusal itself and says that it cannot be queued, whereupon the library, of this or any
 * version, ends the connection, as it does after each refusal.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>

#include "server/http_int.h"

/* The text between <title> and </title> of a page of at most @len bytes. */
static const char *title(const char *page, size_t len, int *chars)
{
	static const char from[] = "<title>", to[] = "</title>";
	const char *at = memmem(page, len, from, sizeof(from) - 1), *end;

	*chars = 0;
	if (!at)
		return "";
	at += sizeof(from) - 1;
	end = memmem(at, len - (size_t)(at - page), to, sizeof(to) - 1);
	*chars = end ? (int)(end - at) : 0;
	return at;
}

static void keep(void *arg)
{
}

struct MHD_Response *answer_of(const void *data, size_t len)
{
	return MHD_create_response_from_buffer_with_free_callback_cls(len, (void *)data, keep,
								      NULL);
}

/* What this thread's next MHD_queue_response() is about, if it is of a refusal. */
static _Thread_local struct {
	const struct MHD_Response *response; /* NULL: none */
	const char *json;		     /* its own */
	size_t len;
} refusal;

struct MHD_Response *MHD_create_response_from_buffer(size_t size, void *buffer,
						     enum MHD_ResponseMemoryMode mode)
{
	struct MHD_Response *r = NULL;
	char *json = NULL;
	int chars, n;
	const char *text = title(buffer, size, &chars);

	n = asprintf(&json, "{\"error\":\"the request is not sound HTTP/1.1: %.*s\"}", chars, text);
	if (mode == MHD_RESPMEM_MUST_FREE)
		free(buffer);
	if (n < 0)
		return NULL;
	r = MHD_create_response_from_buffer_with_free_callback_cls((size_t)n, json, free, json);
	if (!r)
		free(json);
	else
		MHD_add_response_header(r, "Content-Type", "application/json");
	refusal.response = r;
	refusal.json = json;
	refusal.len = (size_t)n;
	return r;
}

/* All of it, or what the kernel has room for: the connection ends with it. */
static void send_refusal(struct MHD_Connection *c, unsigned int status)
{
	const union MHD_ConnectionInfo *i =
		MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
	const time_t now = time(NULL);
	char date[64], head[256];
	struct iovec part[2];
	struct msghdr m = {.msg_iov = part, .msg_iovlen = 2};
	struct tm t;

	if (!i || !gmtime_r(&now, &t))
		return;
	strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", &t); /* the locale is C */
	part[0].iov_base = head;
	part[0].iov_len = (size_t)snprintf(
		head, sizeof(head),
		"HTTP/1.1 %u %.60s\r\nDate: %s\r\nContent-Type: application/json\r\n"
		"Content-Length: %zu\r\nConnection: close\r\n\r\n",
		status, MHD_get_reason_phrase_for(status), date, refusal.len);
	part[1].iov_base = (void *)refusal.json;
	part[1].iov_len = refusal.len;
	sendmsg(i->connect_fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* As an answer of ours: http_req.c counts those when they are queued too. */
static void count_refusal(struct MHD_Connection *c, unsigned int status)
{
	const union MHD_ConnectionInfo *i =
		MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	const struct conn *conn = i ? i->socket_context : NULL;

	if (conn)
		http_count_answer(conn->io->http, status, refusal.len);
}

static enum MHD_Result (*queue)(struct MHD_Connection *c, unsigned int status,
				struct MHD_Response *r); /* the library's */

static void __attribute__((constructor)) find_queue(void)
{
	*(void **)&queue = dlsym(RTLD_NEXT, "MHD_queue_response");
}

enum MHD_Result MHD_queue_response(struct MHD_Connection *c, unsigned int status,
				   struct MHD_Response *r)
{
	if (r && r == refusal.response) {
		count_refusal(c, status);
		send_refusal(c, status);
		refusal.response = NULL;
		return MHD_NO;
	}
	return queue(c, status, r);
}
