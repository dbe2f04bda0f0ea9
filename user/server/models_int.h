/* SPDX-License-Identifier: Apache-2.0 */
/* models_int.h - shared by models.c and models_load.c. */
#ifndef VT_SERVER_MODELS_INT_H
#define VT_SERVER_MODELS_INT_H

#include "exec/bubble.h"
#include "server/models.h"

struct vt_tuner;
struct vt_tune_walk;
struct going;

struct vt_models {
	struct vt_models_opts o;
	pthread_mutex_t lock;
	struct vt_model_entry entry[VT_CONFIG_MODELS];
	uint32_t n;
	bool closing;
	/* Of models_improve.c, the loader's; NULL while there is nothing to improve. */
	struct vt_profile *db;
	struct vt_tuner *tuner;
	struct vt_tune_walk *walk; /* of the model that is @walks */
	struct vt_loaded *walks;
	struct going *going;
	struct vt_bubble_scale scale; /* as the last tuner found it; not probed: none did */
	uint64_t later_mono_ns;	      /* until then there was no getting on */
	bool said_later;
};

struct vt_model_entry *find_entry(struct vt_models *m, const char *name, const char *version);
/** loaded_free - accepts NULL */
void loaded_free(struct vt_loaded *l);
void retire(struct vt_models *m, struct vt_loaded *l);
/** must_end - the server stops: what takes long is left off */
bool must_end(const struct vt_models *m);

/** load_file - from file to a model of the runtime; @replaces: one of that name and version runs */
int load_file(struct vt_models *m, const struct vt_config_model *c, bool replaces,
	      struct vt_loaded **ret, struct vt_err *e);

/** core_counts - those that times are taken for: 1, 2, 4 ... and all; at most 16 */
size_t core_counts(unsigned int cores, uint16_t *ret);
/** at_least_auto - a target that was not given is not below what threads can keep */
void at_least_auto(const struct vt_config_model *c, struct vt_costs *costs);
/** first_idea - what a request of @m takes, by its times alone */
void first_idea(struct vt_loaded *l, const struct vt_model *m);
/** check_target - say so if no request of @l can meet what was configured, or if that is not so any more: once each */
void check_target(const struct vt_models *m, const struct vt_config_model *c, struct vt_loaded *l);
/** lacks_times - has @db no times of @eng on some core count or level that would be measured here? 1, 0 or negative */
int lacks_times(const struct vt_models *m, const struct vt_engine *eng, struct vt_profile *db);
/** close_tuner - what was measured is put first; its memory is free then */
void close_tuner(struct vt_models *m);
/** leave_off - @l goes: nobody measures it any more */
void leave_off(struct vt_models *m, const struct vt_loaded *l);

#endif
