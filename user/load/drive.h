/* SPDX-License-Identifier: Apache-2.0 */
/*
 * drive.h - an open-loop generator: requests go out when they are due, whatever became of those
 * before them.
 *
 * One thread sends, sleeps to absolute times and polls the target in between. Latency counts from
 * the *scheduled* time, so a generator that was held up, or a target that makes it wait, shows as
 * latency and can never hide it (no coordinated omission). How late the generator itself was is
 * kept beside it: a machine too busy to measure on is seen as such.
 */
#ifndef VT_LOAD_DRIVE_H
#define VT_LOAD_DRIVE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/** How one request ended. */
enum vt_shot_end {
	VT_SHOT_OPEN,	 /* not answered yet */
	VT_SHOT_DONE,	 /* computed, in time or not */
	VT_SHOT_REFUSED, /* the target would not: hopeless, or its queue is full */
	VT_SHOT_DROPPED, /* taken in, and given up when its deadline could not be met any more */
	VT_SHOT_FAILED,	 /* an error, or no answer before the generator gave up */
};

/** One request. The target may write `end_ns` and `how` on any thread, by vt_shot_end(). */
struct vt_shot {
	uint64_t at_mono_ns;   /* scheduled */
	uint64_t sent_mono_ns; /* when send() was called */
	uint64_t end_mono_ns;
	uint32_t tenant;
	_Atomic uint32_t how; /* enum vt_shot_end */
};

/** vt_shot_end - say how @s ended, @now; exactly once per shot */
static inline void vt_shot_end(struct vt_shot *s, enum vt_shot_end how, uint64_t now_mono_ns)
{
	s->end_mono_ns = now_mono_ns;
	/* Pairs with the acquire in vt_drive(): who sees `how` sees end_mono_ns. */
	atomic_store_explicit(&s->how, how, memory_order_release);
}

/** Where requests go. All calls come from the generator's thread. */
struct vt_target {
	/** begin - a slice of @n shots follows; 0 or -errno. May be NULL. */
	int (*begin)(void *self, struct vt_shot *shots, size_t n, struct vt_err *e);
	/** send - off with it; must not block. The shot ends now or later, on any thread. */
	void (*send)(void *self, struct vt_shot *s);
	/** poll - something can be read or written on fd(); must not block. NULL: no fd */
	void (*poll)(void *self);
	int (*fd)(void *self);
	/** end - after the last shot ended or was given up; may be NULL */
	void (*end)(void *self);
	void *self;
};

struct vt_drive_cfg {
	double rate_hz, secs;
	uint64_t seed;
	const double *upto; /* cumulated weights, [n_tenants] */
	uint32_t n_tenants;
	/* Wait this long for answers after the last arrival; 0: 60 s, or four times the slice. */
	uint64_t drain_ns;
	/** tick - called about every tick_ns between sends: sampling, progress. May be NULL. */
	void (*tick)(void *arg, uint64_t now_mono_ns);
	void *arg;
	uint64_t tick_ns; /* 0: 50 ms */
	/* stop - != 0: send no more, wait for what was sent, then -EINTR. May be NULL. */
	const volatile int *stop;
};

/** What was sent. `free(r->shots)`. */
struct vt_drive {
	struct vt_shot *shots;
	size_t n;
	uint64_t start_mono_ns, end_mono_ns; /* of the schedule */
};

/**
 * vt_drive_run - one slice of Poisson arrivals
 * The same seed at another rate is the same course of events at another speed; the number of
 * arrivals is rate times seconds.
 * Returns 0; -ENOMEM; -EINTR; what begin() returned; -ETIMEDOUT if a shot was given up: the target
 * may still hold it, so @ret keeps the shots and the target must be closed before they are freed.
 */
int vt_drive_run(const struct vt_target *t, const struct vt_drive_cfg *cfg, struct vt_drive *ret,
		 struct vt_err *e);

/**
 * vt_drive_alone - one request of @tenant after another, each when the one before was answered
 * @ns: [runs], latencies, sorted ascending
 * Returns 0; -EIO if one was refused or failed; otherwise as vt_drive_run().
 */
int vt_drive_alone(const struct vt_target *t, uint32_t tenant, unsigned int runs, uint64_t *ns,
		   struct vt_err *e);

/**
 * vt_drive_prepare - make the calling thread a punctual sender: exact timers, and a real-time
 * priority where the system allows it. Returns true if it has the priority.
 */
bool vt_drive_prepare(void);

#endif
