// SPDX-License-Identifier: Apache-2.0
/* serve_limits.c - what the kernel lets this process have, as far as a server needs it. */
#include <sys/resource.h>

#include "cli/serve.h"
#include "server/http.h"

/* Who may not is told by vt_http_start() what that means. */
void vt_serve_may_come_first(void)
{
	const rlim_t wanted = 20 - VT_HTTP_NICE; /* getrlimit(2) */
	struct rlimit l;

	if (getrlimit(RLIMIT_NICE, &l) || l.rlim_cur >= wanted)
		return;
	l.rlim_cur = wanted;
	if (l.rlim_max < wanted)
		l.rlim_max = wanted;
	setrlimit(RLIMIT_NICE, &l);
}
