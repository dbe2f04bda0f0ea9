/* SPDX-License-Identifier: Apache-2.0 */
/* sim_profiles.h - models of a simulation from a profile store (`veltair profile`). */
#ifndef VT_CLI_SIM_PROFILES_H
#define VT_CLI_SIM_PROFILES_H

#include <stdbool.h>

#include "sim/bank.h"

/** sim_profiles_is_store - a SQLite file, rather than text? */
bool sim_profiles_is_store(const char *path);

/** sim_names_alike - are both equal but for case and punctuation, as resnet-50 and resnet50 are? */
bool sim_names_alike(const char *a, const char *b);

/** Told one time; nonzero stops and is returned. */
typedef int (*sim_sample_fn)(void *arg, const char *model, const struct vt_sampled *s);

/**
 * sim_profiles_read - hand out the times of all models that were profiled as a whole
 * A model is called as its file, without folder and ".onnx"; where that is one of the paper's
 * models but for punctuation, as vt_net_name() says ("resnet-50.onnx" is resnet50). Of files of one
 * name, by path, those of other layers are NAME~2 and so on; stderr says so, and which models are
 * left out. Times are those of this machine; if it has none and the store is of one other machine
 * only, of that one, and stderr says so. -EINVAL: the store cannot be used, or has no whole model.
 */
int sim_profiles_read(const char *path, sim_sample_fn take, void *arg, struct vt_err *e);

#endif
