/* SPDX-License-Identifier: Apache-2.0 */
/*
 * doctor.h - probes of one machine: each looks at one thing and says in one line what is there, and
 * in another what to do if that is not enough. Probes read files below a root, so that a copy of
 * another machine's /proc and /sys can be looked at; they print nothing and cannot fail.
 */
#ifndef VT_CLI_DOCTOR_H
#define VT_CLI_DOCTOR_H

#include <stdbool.h>
#include <stddef.h>

/** The machine looked at. */
struct vt_doctor {
	const char *root; /* "" for this machine, else where its proc/ and sys/ are */
};

enum vt_health {
	VT_HEALTH_OK,
	VT_HEALTH_LIMITED, /* works, with less speed or less insight */
	VT_HEALTH_MISSING, /* what depends on it cannot work */
	VT_HEALTH_COUNT
};

struct vt_finding {
	enum vt_health health;
	char what[320]; /* one line */
	char hint[256]; /* what to do; "" when ok */
};

struct vt_probe {
	const char *name; /* as --require takes it */
	void (*look)(const struct vt_doctor *d, int arg, struct vt_finding *f);
	int arg;
};

/* Each table ends with a NULL name. */
extern const struct vt_probe vt_doctor_cpu[];	/* doctor_cpu.c: what runs the models */
extern const struct vt_probe vt_doctor_watch[]; /* doctor_watch.c: what sees interference */

/** vt_found - set the finding; @hint "" when there is nothing to do */
void vt_found(struct vt_finding *f, enum vt_health h, const char *hint, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/** vt_doctor_read - a small file below the root, without its last newline; length or -errno */
int vt_doctor_read(const struct vt_doctor *d, const char *path, char *buf, size_t len);

/** vt_doctor_field - value of the first "KEY: value" line of a file of any length */
bool vt_doctor_field(const struct vt_doctor *d, const char *path, const char *key, char *buf,
		     size_t len);

/** vt_doctor_has - whether the path exists below the root */
bool vt_doctor_has(const struct vt_doctor *d, const char *path);

/** vt_doctor_mount - where a file system of @type is mounted (not prefixed by the root) */
bool vt_doctor_mount(const struct vt_doctor *d, const char *type, char *buf, size_t len);

/** vt_doctor_live - this machine, not a copy of another's files */
static inline bool vt_doctor_live(const struct vt_doctor *d)
{
	return !*d->root;
}

#endif
