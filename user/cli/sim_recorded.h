/* SPDX-License-Identifier: Apache-2.0 */
/* sim_recorded.h - a recording of `serve --record` or `sim --record` as the arrivals of a simulation. */
#ifndef VT_CLI_SIM_RECORDED_H
#define VT_CLI_SIM_RECORDED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "load/arrivals.h"
#include "sim/mix.h"

struct sim_recorded_request {
	uint64_t id, at_ns; /* from the whole second before the first of all */
	uint64_t qos_ns;    /* from arrival to deadline, 1 at least */
	uint32_t model;
	uint16_t priority;
};

struct sim_recorded_model {
	char name[VT_MODEL_NAME_MAX];
	uint64_t qos_ns; /* its target, the last if that changed */
	uint64_t requests;
};

struct sim_recorded {
	const char *path; /* NULL: none was read; kept by the caller */
	char policy[32];  /* it was recorded under, the last if that changed */
	struct sim_recorded_model *models;
	struct sim_recorded_request *at; /* by time, then by id */
	uint32_t n_models;
	size_t n;
	struct vt_err cut; /* set: it is not whole, and this says where it ends */
};

/** sim_is_recording - does the regular file @path begin like one, of whatever version? */
bool sim_is_recording(const char *path);

/**
 * sim_recorded_read - all requests that were waiting at some step of it
 * Returns 0, also with the requests before the place where it is cut or damaged (@ret->cut);
 * -EBADMSG if there are none, -ENOMEM, as vt_file_read().
 */
int sim_recorded_read(const char *path, struct sim_recorded *ret, struct vt_err *e);
void sim_recorded_fini(struct sim_recorded *r);

/** sim_recorded_mix - a mix of the models that were asked for, each with its own target; 0, -ENOMEM */
int sim_recorded_mix(const struct sim_recorded *r, struct vt_mix *ret, struct vt_err *e);

/**
 * sim_recorded_arrivals - the requests as arrivals of @mix, one tenant for each of its lines
 * Targets and priorities stay as recorded where @mix says none; its `-` become the recorded targets.
 * Returns 0; -EINVAL for models that @mix lacks or has in several lines; -ENOMEM.
 */
int sim_recorded_arrivals(const struct sim_recorded *r, struct vt_mix *mix, struct vt_arrivals *ret,
			  struct vt_err *e);

#endif
