// SPDX-License-Identifier: Apache-2.0
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

#define BAR_CELLS    30
#define TTY_EVERY_NS (100 * VT_NS_PER_MS)
#define LOG_EVERY_NS (5 * VT_NS_PER_S)

void vt_progress_init(struct vt_progress *p, const char *what, uint64_t total)
{
	*p = (struct vt_progress){
		.what = what,
		.total = total ? total : 1,
		.tty = isatty(STDERR_FILENO),
		.start_mono_ns = vt_now_mono_ns(),
	};
}

void vt_progress_update(struct vt_progress *p, uint64_t done, const char *detail)
{
	static const char full[BAR_CELLS + 1] = "##############################";
	uint64_t now = vt_now_mono_ns(), used = now - p->start_mono_ns;
	uint64_t every = p->tty ? TTY_EVERY_NS : LOG_EVERY_NS;
	double share, left_s;
	int cells;

	if (done < p->total && now - p->shown_mono_ns < every)
		return;
	p->shown_mono_ns = now;
	share = (double)done / (double)p->total;
	left_s = done ? (double)used / 1e9 * (1 / share - 1) : 0;
	cells = share >= 1 ? BAR_CELLS : (int)(share * BAR_CELLS);
	if (p->tty)
		fprintf(stderr, "\r\033[K%s [%-*.*s] %3.0f%% %.0f s left %s", p->what, BAR_CELLS,
			cells, full, share * 100, left_s, detail ? detail : "");
	else
		fprintf(stderr, "%s: %3.0f%%, %.0f s left %s\n", p->what, share * 100, left_s,
			detail ? detail : "");
}

void vt_progress_fini(struct vt_progress *p)
{
	if (p->tty)
		fputs("\r\033[K", stderr);
}
