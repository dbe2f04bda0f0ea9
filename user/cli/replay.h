/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replay.h - decide a recording again: all traces of a file, one after the other.
 *
 * `veltair sim --replay` compares, `veltair inspect --decisions` explains, `veltair sim --arrivals` only reads.
 */
#ifndef VT_CLI_REPLAY_H
#define VT_CLI_REPLAY_H

#include <stdbool.h>

#include "base/error.h"
#include "loop/trace.h"

/** Whoever wants to see every step. */
struct vt_replay_user {
	/** begin - a trace of the file, and its models; may be NULL */
	void (*begin)(void *arg, const struct vt_model *models, uint32_t n);
	/**
	 * step - @s: sample, its pressure filled in; @d: what was recorded; @models: of this trace
	 * @learned: finished blocks have corrected the pressure
	 */
	void (*step)(void *arg, const struct vt_sample *s, const struct vt_decision *d,
		     const struct vt_model *models, bool learned);
	void *arg;
	bool only_read; /* nothing is decided: its policy may be one that this program lacks */
};

struct vt_replay_sum {
	uint64_t steps, differ;
	char policy[32]; /* of the last trace */
	bool complete;	 /* what wrote the file closed it, and it is all there */
};

/**
 * vt_replay_file - @u: may be NULL
 * @ret: also after an error of what was read until then
 * Returns 0; -EBADMSG, naming file and step, if it is no recording, is damaged or cut; as vt_file_read()
 */
int vt_replay_file(const char *path, const struct vt_replay_user *u, struct vt_replay_sum *ret,
		   struct vt_err *e);

#endif
