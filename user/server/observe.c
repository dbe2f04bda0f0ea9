// SPDX-License-Identifier: Apache-2.0
#include "server/observe.h"

#include <stdlib.h>
#include <string.h>

#include "metrics/page.h"
#include "server/http.h"

#define TEXT_TYPE	 "text/plain; version=0.0.4; charset=utf-8"
#define OPENMETRICS_TYPE "application/openmetrics-text; version=1.0.0; charset=utf-8"

static void metrics(struct vt_http_req *r, void *arg)
{
	const char *accept = vt_http_header(r, "Accept");
	bool open = accept && strstr(accept, "application/openmetrics-text");
	char *text;
	size_t len;

	if (vt_gather_text(arg, open, &text, &len))
		vt_http_fail(r, 500, "no memory for the metrics");
	else
		vt_http_reply(r, 200, open ? OPENMETRICS_TYPE : TEXT_TYPE, text, len, free, text);
}

static void state(struct vt_http_req *r, void *arg)
{
	char *text;
	size_t len;

	if (vt_gather_json(arg, &text, &len)) {
		vt_http_fail(r, 500, "no memory for the state");
		return;
	}
	vt_http_reply(r, 200, "application/json", text, len, free, text);
	vt_http_add_header(r, "Cache-Control", "no-store");
}

static void file(struct vt_http_req *r, const char *path)
{
	struct vt_page_file f;

	if (vt_page_find(path, &f)) {
		vt_http_fail(r, 404, "the dashboard has no such file");
		return;
	}
	vt_http_reply(r, 200, f.type, f.data, f.len, NULL, NULL);
	vt_http_add_header(r, "Content-Security-Policy", VT_PAGE_CSP);
	vt_http_add_header(r, "X-Content-Type-Options", "nosniff");
	vt_http_add_header(r, "Referrer-Policy", "no-referrer");
	vt_http_add_header(r, "Cache-Control", "no-cache");
}

static void page(struct vt_http_req *r, void *arg)
{
	file(r, "/dashboard");
}

static void page_file(struct vt_http_req *r, void *arg)
{
	char path[VT_ROUTE_SEG + 16];

	snprintf(path, sizeof(path), "/dashboard/%s", r->match.arg[0]);
	file(r, path);
}

static void root(struct vt_http_req *r, void *arg)
{
	static const char text[] = "The dashboard is at /dashboard, metrics are at /metrics.\n";

	vt_http_reply(r, 302, "text/plain; charset=utf-8", text, sizeof(text) - 1, NULL, NULL);
	vt_http_add_header(r, "Location", "/dashboard");
}

void vt_observe_routes(struct vt_gather *g, struct vt_route ret[VT_OBSERVE_ROUTES])
{
	const struct vt_route rows[VT_OBSERVE_ROUTES] = {
		{"GET", "/metrics", metrics, NULL, NULL, g, 0},
		{"GET", VT_PAGE_STATE, state, NULL, NULL, g, 0},
		{"GET", "/dashboard", page, NULL, NULL, NULL, 0},
		{"GET", "/dashboard/{}", page_file, NULL, NULL, NULL, 0},
		{"GET", "/", root, NULL, NULL, NULL, 0},
	};

	memcpy(ret, rows, sizeof(rows));
}
