// SPDX-License-Identifier: Apache-2.0
/* store.c - versions of a run from a profile store. */
#include "cli/store.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/digest.h"
#include "exec/costs.h"

int vt_store_input(struct vt_err *e)
{
	if (e->code != -ENOMEM)
		e->code = -EINVAL;
	return e->code;
}

void vt_store_rights(struct vt_err *e)
{
	if (e->code == -EACCES || e->code == -EROFS || e->code == -ENOSPC)
		e->code = -EINVAL;
}

static int some_key(void *arg, const struct vt_profile_key *key, uint64_t times)
{
	struct vt_profile_key *first = arg;

	if (times && !first->machine[0])
		*first = *key;
	return 0;
}

static int any_time(void *arg, const struct vt_profile_time *t)
{
	return 1;
}

/* Has the store times of this machine? If not: whose? */
static int check_ours(struct vt_profile *db, const char *path, const struct vt_profile_key *here,
		      struct vt_store_choice *c, struct vt_err *e)
{
	struct vt_profile_key other = {0};
	int rc = vt_profile_each(db, NULL, any_time, NULL, e);

	if (rc == 1)
		return vt_profile_foreign(db, &c->foreign, e);
	if (!rc)
		rc = vt_profile_keys(db, some_key, &other, e);
	if (rc)
		return rc;
	if (!other.machine[0])
		return vt_fail(e, -EINVAL, "%s: holds no times; `veltair profile` makes them",
			       path);
	return vt_fail(e, -EINVAL,
		       "%s: holds no times of this %s, only of %s (%s); run `veltair profile` here",
		       path, strcmp(other.machine, here->machine) ? "machine" : "build",
		       other.machine, other.library);
}

static int check_model(struct vt_profile *db, const char *model, struct vt_err *e)
{
	char digest[VT_DIGEST_TEXT];
	int err = vt_file_digest(model, digest, e);

	if (!err)
		err = vt_profile_model_same(db, model, digest, e);
	if (err == -ENOENT)
		return 0; /* never profiled by this name; its layers may have been */
	return err;
}

int vt_store_choose(const char *path, const struct vt_engine *eng, const char *model,
		    unsigned int cores, uint8_t level, const struct vt_variant **variants,
		    struct vt_store_choice *ret, struct vt_err *e)
{
	struct vt_store_choice c = {.level = level, .layers = eng->n_steps};
	struct vt_profile_key here;
	struct vt_profile *db = NULL;
	int err;

	vt_profile_here(&here);
	err = vt_profile_open(&db, path, VT_PROFILE_READ, &here, e);
	if (!err)
		err = check_ours(db, path, &here, &c, e);
	if (!err)
		err = check_model(db, model, e);
	if (!err)
		err = vt_costs_choose(eng, db, cores, level, variants, e);
	vt_profile_close(db);
	if (err < 0)
		return vt_store_input(e);
	c.without = err;
	for (int i = 0; i < eng->n_steps; i++)
		c.changed += variants[i] && variants[i] != eng->steps[i].variant;
	if (c.without == c.layers)
		return vt_fail(e, -EINVAL,
			       "%s: holds no time of any layer of %s; `veltair profile %s --db %s`",
			       path, model, model, path);
	*ret = c;
	return 0;
}

void vt_store_choice_print(const char *path, const struct vt_store_choice *c)
{
	printf("profiles: level %d, %d of %d layers by %s, %d of them not the default", c->level,
	       c->layers - c->without, c->layers, path, c->changed);
	if (c->without)
		printf("; %d had no time and ran the default", c->without);
	if (c->foreign)
		printf("; %llu times of other machines or builds not used",
		       (unsigned long long)c->foreign);
	putchar('\n');
}

struct json_t *vt_store_choice_json(const char *path, const struct vt_store_choice *c)
{
	return json_pack("{s:s s:i s:i s:i s:i s:I}", "store", path, "level", c->level, "layers",
			 c->layers, "layers_without_time", c->without, "not_default", c->changed,
			 "foreign_times", (json_int_t)c->foreign);
}
