/* SPDX-License-Identifier: Apache-2.0 */
/* plot.h - pictures by gnuplot, each beside the data and the script that made it. */
#ifndef VT_CLI_PLOT_H
#define VT_CLI_PLOT_H

#include <stdio.h>

#include "base/error.h"

/** vt_plot_create - open DIR/NAME.EXT for writing; NULL with @e */
FILE *vt_plot_create(const char *dir, const char *name, const char *ext, struct vt_err *e);

/** vt_plot_finish - close what vt_plot_create() opened; 0, -EIO */
int vt_plot_finish(FILE *f, const char *dir, const char *name, struct vt_err *e);

/**
 * vt_plot_quote - at most @max bytes of @text, for a script: between single quotes, where gnuplot
 * expands nothing
 * A quote in it is doubled, a control character becomes a question mark.
 */
void vt_plot_quote(FILE *f, const char *text, size_t max);

/** vt_plot_draw - run gnuplot on DIR/NAME.gp */
int vt_plot_draw(const char *dir, const char *name, struct vt_err *e);

#endif
