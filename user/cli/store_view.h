/* SPDX-License-Identifier: Apache-2.0 */
/* store_view.h - between store_inspect.c, which reads and prints, and store_plot.c. */
#ifndef VT_CLI_STORE_VIEW_H
#define VT_CLI_STORE_VIEW_H

#include "cli/store.h"

/** A time, with texts of its own. */
struct store_row {
	struct vt_profile_time t; /* t.layer is shared by the rows of a layer; t.variant is dead */
	char variant[VT_PROFILE_NAME];
};

struct store_key {
	struct vt_profile_key key;
	uint64_t times;
};

/** What is shown, in the store's order: by layer, order of keeping, variant, cores, level. */
struct store_rows {
	const char *pattern;
	struct store_row *row;
	size_t n, cap;
	struct vt_profile_key shown;
	struct store_key *key;
	size_t n_keys;
};

/** store_plot - slowdown against level as a picture at v->plot, .svg or .png */
int store_plot(const struct vt_store_view *v, const struct store_rows *r, struct vt_err *e);

#endif
