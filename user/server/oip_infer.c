// SPDX-License-Identifier: Apache-2.0
/*
 * oip_infer.c - one inference over HTTP.
 *
 *	I/O thread	oip_infer_begin(): with the first part of the body, admission
 *			oip_infer(): body to tensors, room for the answer, submit
 *	worker		load(): tensors into the instance's arena, of the body or of shared memory. store():
 *			outputs, encoded, into the answer, or as they are into shared memory. done(): the
 *			connection goes on
 *	I/O thread	sends
 *
 * Between submit and done nothing is allocated: the answer's memory is there before, as large as it
 * can become. done() has libmicrohttpd allocate what its header fields take.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/clock.h"
#include "base/fresh.h"
#include "base/text.h"
#include "server/infer.h"
#include "server/oip.h"

/* Of the time until the deadline, left for the way of the answer: what it takes beside busy workers, or of less time a part. */
#define ANSWER_NS   (2 * VT_NS_PER_MS)
#define ANSWER_PART 16
#define LOOK_BYTES  64u /* of a body that is no JSON: is it text at all? */

/** A request on its way through the runtime. */
struct call {
	struct vt_infer q; /* first */
	struct vt_http_req *r;
	struct vt_oip *o;
	struct vt_loaded *m;
	struct vt_admitted turn;
	bool entered;	/* turn is counted as under way */
	uint64_t taken; /* bytes counted as under way, beside the body */
	char *answer;
	size_t len, head;
	const struct vt_shm *lost; /* what could not be read or written, */
	int lost_err;		   /* and why: its client has cut it, or it cannot be made whole */
	size_t json; /* value of Inference-Header-Content-Length; VT_INFER_JSON_ONLY: absent */
	struct vt_ask ask; /* last: its arrays are not zeroed */
};

static void call_fini(void *arg)
{
	struct call *c = arg;

	if (c->entered) /* it never ran */
		vt_admission_leave(&c->o->admission, &c->turn, vt_now_mono_ns(),
				   VT_ADMISSION_OTHER);
	oip_region_let_go(&c->ask);
	vt_ask_fini(&c->ask);
	vt_http_give(c->r->http, c->taken);
	free(c->answer);
	free(c);
}

/* ---- on workers --------------------------------------------------------------------------------- */

/* The first error is told. */
static void check(struct call *c, const struct vt_shm *s, int err)
{
	if (!err || c->lost_err)
		return;
	c->lost = s;
	c->lost_err = err;
}

static void load(struct vt_infer *q, const struct vt_engine *eng, int inst)
{
	struct call *c = (struct call *)q;
	const struct vt_io *io = &c->m->io;

	for (size_t i = 0; i < io->n_in; i++) {
		const struct vt_shm *s = vt_ask_in_shm(&c->ask, i);
		void *to = vt_engine_tensor(eng, inst, io->in[i].tensor);

		if (s)
			check(c, s, vt_region_read(s->held, s->offset, to, io->in[i].bytes));
		else
			memcpy(to, c->ask.in[i], io->in[i].bytes);
		vt_bools_normalise(io->in[i].dtype, to, io->in[i].elems);
	}
	if (c->lost_err) /* nobody will have what comes of it */
		vt_runtime_cancel(c->o->runtime, q->id);
}

static void store(struct vt_infer *q, const struct vt_engine *eng, int inst)
{
	struct call *c = (struct call *)q;
	const struct vt_io *io = &c->m->io;
	const void *data[VT_INFER_TENSORS];

	for (size_t i = 0; i < io->n_out; i++)
		data[i] = vt_engine_tensor(eng, inst, io->out[i].tensor);
	for (size_t k = 0; k < c->ask.n_want && !c->lost_err; k++) {
		const struct vt_shm *s = vt_ask_out_shm(&c->ask, k);
		const uint16_t i = c->ask.want[k].out;

		if (s)
			check(c, s, vt_region_write(s->held, s->offset, data[i], io->out[i].bytes));
	}
	c->len = vt_answer_write(c->answer, io, &c->ask, c->m->name, c->m->version, data, &c->head);
}

static void answer(struct call *c)
{
	char text[24];
	bool binary = c->head != VT_INFER_JSON_ONLY;

	vt_http_reply(c->r, 200, binary ? "application/octet-stream" : "application/json",
		      c->answer, c->len, free, c->answer);
	c->answer = NULL;
	if (!binary)
		return;
	snprintf(text, sizeof(text), "%zu", c->head);
	vt_http_add_header(c->r, "Inference-Header-Content-Length", text);
}

static unsigned int retry_s(struct vt_oip *o)
{
	return vt_admission_retry_s(&o->admission, vt_now_mono_ns());
}

static void refuse(struct call *c, enum vt_outcome how)
{
	unsigned int s = retry_s(c->o);
	const char *name = c->m->name;

	switch (how) {
	case VT_QUEUE_FULL:
		vt_http_retry(c->r, s, "model '%s': too many requests wait", name);
		break;
	case VT_STOPPING:
		vt_http_retry(c->r, s, "the server is stopping");
		break;
	case VT_NO_MODEL:
		vt_http_fail(c->r, 404, "model '%s' is not loaded", name);
		break;
	default:
		vt_http_retry(c->r, s, "model '%s': the request was cancelled", name);
	}
}

/* How long until @deadline_ns, and how long it needs. */
static void say_times(uint64_t deadline_ns, uint64_t needed_ns, const char *how, char *ret,
		      size_t len)
{
	const uint64_t now = vt_now_mono_ns();
	char left[16], needed[16];

	snprintf(ret, len, "%s ms left, %s%s ms needed",
		 vt_text_ms(deadline_ns > now ? deadline_ns - now : 0, left, sizeof(left)), how,
		 vt_text_ms(needed_ns, needed, sizeof(needed)));
}

/* The least that is left of it: on free cores, of what has not run. */
static uint64_t at_least(const struct call *c)
{
	const uint64_t first = c->m->first_own_ns, own = c->m->own_ns;
	const uint32_t done = vt_headway_ppm(&c->q.headway, vt_now_mono_ns());

	return (uint64_t)((double)(own < first ? own : first) * (VT_PPM - done) / VT_PPM);
}

/*
 * What was taken in and has ended without a result. A deadline that has become hopeless is no refusal: nothing is
 * gained by asking again, here or elsewhere.
 */
static void give_up(struct call *c, enum vt_outcome how)
{
	char times[96];

	if (how != VT_REFUSED) {
		refuse(c, how);
		return;
	}
	say_times(c->q.deadline_ns, at_least(c), "at least ", times, sizeof(times));
	vt_http_fail(c->r, 504, "model '%s': the request could not meet its deadline: %s",
		     c->m->name, times);
}

static void tell_lost(struct call *c)
{
	char name[VT_REGION_NAME];

	vt_json_text(&c->lost->region, name, sizeof(name));
	if (c->lost_err == -ENODATA)
		vt_http_fail(c->r, 400,
			     "region '%s': its object is shorter now than when it was registered",
			     name);
	else
		vt_http_fail(c->r, 400, "region '%s': its object cannot be read or written: %s",
			     name, strerror(-c->lost_err));
}

static uint64_t since_1970_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME_COARSE, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* A part of the news at a time. A lost update of two that end together does no harm. */
static void learn(_Atomic uint64_t *known, uint64_t now, uint64_t part)
{
	uint64_t was = atomic_load_explicit(known, memory_order_relaxed);

	atomic_store_explicit(known, was - was / part + now / part, memory_order_relaxed);
}

static void done(struct vt_infer *q, enum vt_outcome how)
{
	struct call *c = (struct call *)q;
	struct vt_loaded *m = c->m;

	vt_admission_leave(&c->o->admission, &c->turn, vt_now_mono_ns(),
			   c->lost_err	       ? VT_ADMISSION_OTHER
			   : how == VT_DONE    ? VT_ADMISSION_ANSWERED
			   : how == VT_REFUSED ? VT_ADMISSION_GIVEN_UP
					       : VT_ADMISSION_OTHER);
	c->entered = false;
	if (c->lost_err) {
		tell_lost(c);
	} else if (how == VT_DONE) {
		learn(&m->work_ns, q->core_ns / m->cores, 8);
		learn(&m->own_ns, q->served_ns, 8);
		answer(c);
		atomic_store(&m->last_ms, since_1970_ms());
	} else {
		give_up(c, how);
	}
	vt_http_release(c->r); /* c may be gone from here on */
	vt_models_put(m);
}

/* ---- on I/O threads ------------------------------------------------------------------------------ */

static void gone(void *arg, uint64_t id)
{
	struct vt_oip *o = arg;

	vt_runtime_cancel(o->runtime, id);
}

/* The header field's value; false after an error. */
static bool json_length(struct vt_http_req *r, size_t *ret)
{
	const char *v = vt_http_header(r, "Inference-Header-Content-Length");
	char *end;

	*ret = VT_INFER_JSON_ONLY;
	if (!v)
		return true;
	if (*v >= '0' && *v <= '9' && strlen(v) < 19) {
		*ret = strtoull(v, &end, 10);
		if (!*end)
			return true;
	}
	vt_http_fail(r, 400, "Inference-Header-Content-Length: '%.40s' is no number of bytes", v);
	return false;
}

/* There is no memory for it: it was not submitted, and counts all the same. */
static void count_short(struct vt_http_req *r, void *arg)
{
	struct vt_oip *o = arg;
	const char *version = r->match.arg[1][0] ? r->match.arg[1] : NULL;
	struct vt_loaded *m = vt_models_get(o->models, r->match.arg[0], version, &(int){0});

	if (!m)
		return;
	vt_runtime_refused(o->runtime, m->id, VT_NO_MEMORY);
	vt_models_put(m);
}

/* What is for no model, or too much for it, is refused before its body is sent. */
void oip_infer_head(struct vt_http_req *r, void *arg)
{
	struct vt_oip *o = arg;
	struct vt_loaded *l = oip_model(o, r);
	size_t json;

	if (!l)
		return;
	if (o->stopping)
		vt_http_retry(r, 1, "the server is stopping");
	else if (json_length(r, &json))
		vt_http_limit(r, vt_ask_bound(&l->io, json));
	vt_http_on_short(r, count_short, o);
	vt_models_put(l);
}

static void bad_request(struct vt_http_req *r, struct vt_oip *o, const struct vt_err *e)
{
	if (e->code == -ENOSPC || e->code == -ENOMEM) {
		vt_http_retry(r, retry_s(o), "%s", e->msg);
		count_short(r, o);
	} else {
		vt_http_fail(r, e->code == -ENOTSUP ? 501 : 400, "%s", e->msg);
	}
}

/* Whoever forgets the header field sends bytes where JSON is expected. */
static bool looks_binary(const struct call *c)
{
	const char *type = vt_http_header(c->r, "Content-Type");
	const unsigned char *body = (const unsigned char *)c->r->body;
	bool text = true;

	if (type && !strncasecmp(type, "application/octet-stream", 24))
		return true;
	for (size_t i = 0; text && i < c->r->body_len && i < LOOK_BYTES; i++)
		text = body[i] >= ' ' || (body[i] >= '\t' && body[i] <= '\r');
	return !text || (c->r->body_len && body[0] >= 0x7f);
}

/* While the body is read: of many that come at a time each finds what the others have taken. */
static bool take_room(void *arg, size_t bytes)
{
	struct call *c = arg;

	if (!vt_http_take(c->r->http, bytes))
		return false;
	c->taken += bytes;
	return true;
}

/* Everything that the request needs until it is answered; false after an error. */
static bool prepare(struct call *c)
{
	const struct vt_ask_room own = {take_room, c};
	struct vt_err e = {0};
	size_t room;

	if (vt_ask_read(&c->ask, &c->m->io, c->r->body, c->r->body_len, c->json, &own, &e)) {
		if (e.code == -EBADMSG && c->json == VT_INFER_JSON_ONLY && looks_binary(c))
			vt_fail_more(&e, "; a binary body needs the header field "
					 "Inference-Header-Content-Length");
		bad_request(c->r, c->o, &e);
		return false;
	}
	if (!oip_region_use(c->o, c->r, &c->m->io, &c->ask))
		return false;
	room = vt_answer_bound(&c->m->io, &c->ask, c->m->name, c->m->version);
	if (!take_room(c, room)) {
		vt_http_retry(c->r, retry_s(c->o), "too many bytes of requests are under way");
		count_short(c->r, c->o);
		return false;
	}
	c->answer = malloc(room);
	if (c->answer) {
		vt_fresh_populate(c->answer, room);
		return true;
	}
	vt_http_retry(c->r, retry_s(c->o), "no memory for an answer of %zu bytes", room);
	count_short(c->r, c->o);
	return false;
}

/* From its header fields to its answer: its own deadline, or the model's target. */
static uint64_t time_for(const struct vt_loaded *m, uint64_t own_deadline_ns)
{
	return own_deadline_ns ? own_deadline_ns : m->qos_ns;
}

/* @full: not for its deadline, but as there are max_requests. */
static void turn_away(struct call *c, struct vt_loaded *m, bool full)
{
	char times[96];

	/* Nobody learns from those refused, so what was learnt in a bad moment must fade. */
	learn(&m->own_ns, m->first_own_ns, 64);
	vt_runtime_refused(c->o->runtime, m->id, full ? VT_QUEUE_FULL : VT_REFUSED);
	if (full) {
		vt_http_retry(c->r, retry_s(c->o), "model '%s': too many requests are under way",
			      m->name);
		return;
	}
	say_times(c->turn.deadline_ns, c->turn.needed_ns, "", times, sizeof(times));
	vt_http_retry(c->r, retry_s(c->o),
		      "model '%s': the request cannot meet its deadline now: %s, with what is due "
		      "before it",
		      m->name, times);
}

/* @yes: it is counted as under way; @full: if not, then for want of room. False after an error. */
static bool admitted(struct call *c, struct vt_loaded *m, bool yes, bool full)
{
	c->entered = yes;
	if (!yes)
		turn_away(c, m, full);
	return yes;
}

static uint64_t for_answer(uint64_t time_ns)
{
	return time_ns / ANSWER_PART < ANSWER_NS ? time_ns / ANSWER_PART : ANSWER_NS;
}

/* In time, as far as can be told? @here: all of it. */
static bool enter(struct call *c, struct vt_loaded *m, uint64_t time_ns, bool here)
{
	const bool any = c->o->late;
	bool yes;

	c->turn.deadline_ns = c->r->arrival_ns + time_ns - for_answer(time_ns);
	c->turn.work_ns = m->work_ns * VT_PPM / vt_runtime_ours_ppm(c->o->runtime); /* never 0 */
	c->turn.here = here;
	c->turn.headway = &c->q.headway;
	yes = vt_admission_enter(&c->o->admission, &c->turn, vt_now_mono_ns(), m->own_ns, any);
	return admitted(c, m, yes, any || c->turn.fits);
}

/* The rest of one that has entered is here. */
static bool arrive(struct call *c, struct vt_loaded *m)
{
	const bool any = c->o->late;
	bool yes =
		vt_admission_arrive(&c->o->admission, &c->turn, vt_now_mono_ns(), m->own_ns, any);

	return admitted(c, m, yes, any);
}

/* The memory of a request, from the first part of its body on; NULL after an error. */
static struct call *call_of(struct vt_http_req *r, struct vt_oip *o)
{
	struct call *c = vt_http_attached(r);
	size_t json;

	if (c)
		return c;
	if (!json_length(r, &json))
		return NULL;
	c = malloc(sizeof(*c));
	if (!c) {
		vt_http_retry(r, 1, "no memory");
		count_short(r, o);
		return NULL;
	}
	memset(c, 0, offsetof(struct call, ask) + offsetof(struct vt_ask, in));
	c->json = json;
	c->r = r;
	c->o = o;
	vt_http_attach(r, c, call_fini);
	return c;
}

/*
 * What would be refused once its body is there is refused with the first part of it, and what is admitted has its place
 * from then on: of a hundred requests that come at once, bodies are kept of those few that can be served. Else it takes a
 * millisecond of fresh memory for each to be received, refused or not. A deadline of its own stands in the
 * JSON before the tensors; where that is not whole yet, the body is awaited.
 */
void oip_infer_begin(struct vt_http_req *r, void *arg)
{
	struct call *c = call_of(r, arg);
	struct vt_loaded *m;

	if (!c || c->json > r->body_len)
		return;
	m = oip_model(arg, r);
	if (!m)
		return;
	enter(c, m, time_for(m, vt_ask_deadline(r->body, c->json)), false);
	vt_models_put(m); /* an upload that takes its time keeps no model */
}

/* All of it is here, sound, and in time. False after an error. */
static bool take(struct call *c, struct vt_loaded *m)
{
	c->m = m;
	if (!prepare(c))
		return false;
	return c->entered ? arrive(c, m) : enter(c, m, time_for(m, c->ask.deadline_ns), true);
}

void oip_infer(struct vt_http_req *r, void *arg)
{
	struct vt_oip *o = arg;
	struct vt_loaded *m = oip_model(o, r);
	struct call *c;

	if (!m)
		return;
	c = call_of(r, o);
	if (!c || !take(c, m)) {
		vt_models_put(m);
		return;
	}
	/* One by one: the rest is zero, and others may read its headway already. */
	c->q.model = m->id;
	c->q.priority = c->ask.priority;
	c->q.deadline_ns = r->arrival_ns + time_for(m, c->ask.deadline_ns);
	c->q.load = load;
	c->q.store = store;
	c->q.done = done;
	vt_http_hold(r);
	vt_runtime_submit(o->runtime, &c->q);
	/* @r and @c end on this very thread, later, so both are still there. */
	vt_http_watch(r, gone, o, c->q.id);
}
