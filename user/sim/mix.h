/* SPDX-License-Identifier: Apache-2.0 */
/* mix.h - which models run together, how often each is asked, and by when it must answer. */
#ifndef VT_SIM_MIX_H
#define VT_SIM_MIX_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "sched/model.h"

#define VT_MIX_MAX 1024u

struct vt_mix_entry {
	char model[VT_MODEL_NAME_MAX];
	char name[VT_MODEL_NAME_MAX]; /* in arrivals: the model's, or of `model=name` */
	uint64_t qos_ns;	      /* 0: the model's own target */
	double qos_times; /* > 0: so many times its fastest run on the idle machine, instead */
	double weight;	  /* share of the requests, relative */
	uint16_t priority;
	bool ranked;	 /* its priority is said, not the usual 1 */
	char nodes[128]; /* of a fleet, see vt_backend_parse(); empty: all */
};

struct vt_mix {
	char name[64];
	uint32_t n;
	struct vt_mix_entry *at; /* free() */
};

/** vt_mix_builtin - light, medium, heavy or all of the paper; 0, -ENOENT or -ENOMEM */
int vt_mix_builtin(const char *name, struct vt_mix *ret, struct vt_err *e);

/**
 * vt_mix_parse - lines `model[=name],qos_ms,weight[,priority[,nodes]]`; a model may have several, of one target
 * qos_ms `-` is the model's own target, `3x` three times its fastest run on the idle machine.
 * Returns 0; -EINVAL with the line that is wrong; -ENOMEM.
 */
int vt_mix_parse(const char *text, const char *where, struct vt_mix *ret, struct vt_err *e);

#endif
