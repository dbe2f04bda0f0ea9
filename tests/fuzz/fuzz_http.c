// SPDX-License-Identifier: Apache-2.0
/* fuzz_http.c - hostile answers to the load client. What is accepted must be consistent. */
#include <stdlib.h>
#include <string.h>

#include "load/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* Exactly as long as the input, so that a read past its end is seen. */
	char *copy = malloc(size + 1);
	struct vt_http_head h = {0}, again = {0};
	struct vt_http_url u;
	struct vt_err e = {0};
	long n;

	if (!copy)
		return 0;
	memcpy(copy, data, size);
	n = vt_http_head_parse(copy, size, &h);
	if (n > (long)size || (n > 0 && (h.status < 100 || h.status > 999)))
		abort();
	/* More bytes after a complete head change nothing. */
	if (n > 0 && (vt_http_head_parse(copy, (size_t)n, &again) != n ||
		      again.body_bytes != h.body_bytes || again.status != h.status))
		abort();
	copy[size] = '\0';
	if (!vt_http_url_parse(copy, &u, &e) && !u.where[0])
		abort();
	free(copy);
	return 0;
}
