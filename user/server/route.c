// SPDX-License-Identifier: Apache-2.0
#include "server/route.h"

#include <string.h>

/* One part of a path: up to the next slash. */
static size_t part_len(const char *at)
{
	return strcspn(at, "/");
}

static bool fits(const char *pattern, const char *path, struct vt_route_match *ret)
{
	unsigned int args = 0;

	for (;;) {
		size_t n, len;

		pattern += *pattern == '/';
		path += *path == '/';
		if (!*pattern || !*path) {
			for (; args < VT_ROUTE_ARGS; args++)
				ret->arg[args][0] = '\0';
			return !*pattern && !*path;
		}
		n = part_len(pattern);
		len = part_len(path);
		if (n == 2 && !memcmp(pattern, "{}", 2)) {
			if (!len || len >= VT_ROUTE_SEG || args == VT_ROUTE_ARGS)
				return false;
			memcpy(ret->arg[args], path, len);
			ret->arg[args++][len] = '\0';
		} else if (n != len || memcmp(pattern, path, n) != 0) {
			return false;
		}
		pattern += n;
		path += len;
	}
}

bool vt_route_find(const struct vt_route *table, const char *method, const char *path,
		   struct vt_route_match *ret)
{
	const char *as = !strcmp(method, "HEAD") ? "GET" : method;

	ret->route = NULL;
	ret->allow = NULL;
	if (*path != '/')
		return false;
	for (const struct vt_route *r = table; r->method; r++) {
		if (!fits(r->path, path, ret))
			continue;
		if (!strcmp(r->method, as)) {
			ret->route = r;
			return true;
		}
		ret->allow = r->method;
	}
	return false;
}
