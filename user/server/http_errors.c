// SPDX-License-Identifier: Apache-2.0
/*
 * http_errors.c - libmicrohttpd's own refusals as JSON.
 *
 * What is no HTTP (a Content-Length that overflows, broken chunks, header fields without end) never
 * reaches a handler: the library answers itself, with a page of HTML. It makes that answer through
 * this public function of its own, which it calls like any other program would, so ours is the one
 * it calls (docs/decisions.md). Were a build of it to call itself directly, clients would see HTML
 * again and tests/unit/test_http would say so.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
	return r;
}
