/* SPDX-License-Identifier: Apache-2.0 */
/* beside.h - what a busy neighbour costs: cores of a virtual machine are often two threads of one. */
#ifndef VT_TESTS_BENCH_BESIDE_H
#define VT_TESTS_BENCH_BESIDE_H

#include "asked.h"

/**
 * beside_ppm - how much longer the models' requests take on one core while the other cores are full of them, ppm
 * The runtime must be idle; another policy serves meanwhile, then @policy again. -EINVAL
 */
int beside_ppm(const struct asked *a, const struct vt_policy *policy, double *ret,
	       struct vt_err *e);

#endif
