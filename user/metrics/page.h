/* SPDX-License-Identifier: Apache-2.0 */
/* page.h - the dashboard's files, embedded at build. Read-only data. */
#ifndef VT_METRICS_PAGE_H
#define VT_METRICS_PAGE_H

#include <stddef.h>

/** One file of the page. It fetches VT_PAGE_STATE once a second, and nothing else. */
struct vt_page_file {
	const char *path; /* "/dashboard/page.js" */
	const char *type; /* Content-Type */
	const char *data;
	size_t len;
};

#define VT_PAGE_STATE "/dashboard/state" /* answered with vt_metrics_json() */

/* No script, style or request from elsewhere, whatever a name holds. */
#define VT_PAGE_CSP                                                                                \
	"default-src 'none'; script-src 'self'; style-src 'self'; style-src-attr "                 \
	"'unsafe-inline'; img-src data:; "                                                         \
	"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

/** vt_page_find - the file at @path; 0, or -1 if there is none */
int vt_page_find(const char *path, struct vt_page_file *ret);

#endif
