// SPDX-License-Identifier: Apache-2.0
#include "metrics/page.h"

#include <string.h>

/* The assembler reads the file; VT_DYGRAPHS is where Debian puts the chart library (MIT). */
#define EMBED(name, file)                                                                          \
	__asm__(".section .rodata\n"                                                               \
		".balign 16\n"                                                                     \
		".hidden vt_page_" #name "\n"                                                      \
		".global vt_page_" #name "\n"                                                      \
		"vt_page_" #name ":\n"                                                             \
		".incbin \"" file "\"\n"                                                           \
		".hidden vt_page_" #name "_end\n"                                                  \
		".global vt_page_" #name "_end\n"                                                  \
		"vt_page_" #name "_end:\n"                                                         \
		".byte 0\n"                                                                        \
		".text\n");                                                                        \
	extern const char vt_page_##name[], vt_page_##name##_end[]

EMBED(index, "user/metrics/page/index.html");
EMBED(css, "user/metrics/page/page.css");
EMBED(js, "user/metrics/page/page.js");
EMBED(dygraph_js, VT_DYGRAPHS "/dygraph.min.js");
EMBED(dygraph_css, VT_DYGRAPHS "/dygraph.min.css");

static const struct embedded {
	const char *path, *type, *from, *to;
} embedded[] = {
	{"/dashboard", "text/html; charset=utf-8", vt_page_index, vt_page_index_end},
	{"/dashboard/page.css", "text/css; charset=utf-8", vt_page_css, vt_page_css_end},
	{"/dashboard/page.js", "text/javascript; charset=utf-8", vt_page_js, vt_page_js_end},
	{"/dashboard/dygraph.js", "text/javascript; charset=utf-8", vt_page_dygraph_js,
	 vt_page_dygraph_js_end},
	{"/dashboard/dygraph.css", "text/css; charset=utf-8", vt_page_dygraph_css,
	 vt_page_dygraph_css_end},
};

int vt_page_find(const char *path, struct vt_page_file *ret)
{
	for (size_t i = 0; i < sizeof(embedded) / sizeof(embedded[0]); i++) {
		const struct embedded *f = &embedded[i];

		if (strcmp(path, f->path) != 0)
			continue;
		*ret = (struct vt_page_file){f->path, f->type, f->from, (size_t)(f->to - f->from)};
		return 0;
	}
	return -1;
}
