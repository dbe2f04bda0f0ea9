/* SPDX-License-Identifier: Apache-2.0 */
/* bench_costs.h - what the runtime in this process is told of its models. */
#ifndef VT_CLI_BENCH_COSTS_H
#define VT_CLI_BENCH_COSTS_H

#include "cli/bench_cli.h"
#include "exec/costs.h"

/**
 * bench_costs - of model @m, from @db unless it is NULL, else from a few runs on @pool
 * -EINVAL if @db lacks times of it.
 */
int bench_costs(struct vt_costs *ret, const struct bench *b, uint32_t m, struct vt_engine *eng,
		struct vt_pool *pool, struct vt_profile *db, struct vt_err *e);

/** bench_costs_least - core time of a request, every layer on its cheapest cores and code */
uint64_t bench_costs_least(const struct vt_model *m);

#endif
