// SPDX-License-Identifier: Apache-2.0
#include "metrics/chrome.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "metrics/expo.h"

#define TOUCHED (1u << 20) /* events, 64 MiB */
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif

enum kind { NOTHING, BLOCK, LAYER, COUNT };

struct event {
	_Atomic uint8_t kind; /* set last: pairs with the load in vt_chrome_write() */
	uint8_t level, leads, version;
	uint16_t core, wanted;
	uint64_t start_ns, end_ns;
	union {
		uint64_t id;
		double value;
	};
	union {
		struct {
			uint32_t model;
			uint16_t layer_begin, layer_end, granted, other_versions;
		};
		struct {
			const char *name;
			uint32_t index;
		};
	};
};
_Static_assert(sizeof(struct event) <= 64, "a cache line");

struct vt_chrome {
	size_t room;
	_Atomic size_t used; /* may grow past room: what did is dropped */
	struct event *event;
};

int vt_chrome_new(struct vt_chrome **ret, size_t max_events, struct vt_err *e)
{
	struct vt_chrome *c = calloc(1, sizeof(*c));
	void *mem = MAP_FAILED;

	/* Mapped, so that only what is used takes memory. */
	if (c && max_events && max_events <= SIZE_MAX / sizeof(struct event))
		mem = mmap(NULL, max_events * sizeof(struct event), PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (mem == MAP_FAILED) {
		free(c);
		return vt_fail(e, -ENOMEM, "no memory for a trace of %zu events", max_events);
	}
	/*
	 * A worker that touches a new page waits for the kernel, in a guest several microseconds: the
	 * first part is there before, all of it with the default size. An old kernel says EINVAL.
	 */
	madvise(mem,
		max_events < TOUCHED ? max_events * sizeof(struct event)
				     : TOUCHED * sizeof(struct event),
		MADV_POPULATE_WRITE);
	c->room = max_events;
	c->event = mem;
	*ret = c;
	return 0;
}

void vt_chrome_free(struct vt_chrome *c)
{
	if (!c)
		return;
	munmap(c->event, c->room * sizeof(*c->event));
	free(c);
}

static void put(struct vt_chrome *c, enum kind kind, const struct event *ev)
{
	size_t at = atomic_fetch_add_explicit(&c->used, 1, memory_order_relaxed);

	if (at >= c->room)
		return;
	memcpy((char *)&c->event[at] + 1, (const char *)ev + 1, sizeof(*ev) - 1);
	atomic_store_explicit(&c->event[at].kind, kind, memory_order_release);
}

void vt_chrome_block(struct vt_chrome *c, const struct vt_chrome_block *b)
{
	struct event ev = {
		.level = b->level,
		.leads = b->leads,
		.core = b->core,
		.wanted = b->wanted,
		.start_ns = b->start_ns,
		.end_ns = b->end_ns,
		.id = b->id,
		.model = b->model,
		.layer_begin = b->layer_begin,
		.layer_end = b->layer_end,
		.granted = b->granted,
		.other_versions = b->other_versions,
	};

	put(c, BLOCK, &ev);
}

void vt_chrome_layer(struct vt_chrome *c, uint16_t core, uint32_t model, uint16_t layer,
		     uint8_t version, uint64_t start_ns, uint64_t end_ns)
{
	struct event ev = {
		.version = version,
		.core = core,
		.start_ns = start_ns,
		.end_ns = end_ns,
		.model = model,
		.layer_begin = layer,
	};

	put(c, LAYER, &ev);
}

void vt_chrome_count(struct vt_chrome *c, const char *name, unsigned int index, uint64_t now_ns,
		     double value)
{
	struct event ev = {.start_ns = now_ns, .value = value, .name = name, .index = index};

	put(c, COUNT, &ev);
}

uint64_t vt_chrome_dropped(const struct vt_chrome *c)
{
	size_t used = atomic_load(&c->used);

	return used > c->room ? used - c->room : 0;
}

/* ---- writing ------------------------------------------------------------------------------ */

/* By start; of two that start together the longer first, as nesting wants it. */
static int by_start(const void *a, const void *b)
{
	const struct event *x = a, *y = b;

	if (x->start_ns != y->start_ns)
		return x->start_ns < y->start_ns ? -1 : 1;
	return (x->end_ns < y->end_ns) - (x->end_ns > y->end_ns);
}

static void put_string(FILE *out, const char *text)
{
	struct vt_expo x = {0};

	vt_expo_json(&x, text);
	if (!x.failed && x.buf)
		fwrite(x.buf, 1, x.len, out);
	else
		fputs("\"?\"", out);
	free(x.buf);
}

static void put_name(FILE *out, const char *name, const char *what, unsigned int number)
{
	char buf[32];

	snprintf(buf, sizeof(buf), "%s %u", what, number);
	put_string(out, name ? name : buf);
}

/* Microseconds since @from. */
static double us(uint64_t ns, uint64_t from)
{
	return (double)(ns - from) / 1e3;
}

static void put_event(FILE *out, const struct event *ev, uint64_t from,
		      const struct vt_chrome_names *n)
{
	const char *name = NULL;

	fputs(",\n{\"name\":", out);
	switch (atomic_load_explicit(&ev->kind, memory_order_relaxed)) {
	case BLOCK:
		name = n->model ? n->model(n->arg, ev->model) : NULL;
		put_name(out, name, "model", ev->model);
		fprintf(out,
			",\"cat\":\"block\",\"ph\":\"X\",\"pid\":1,\"tid\":%u,\"ts\":%.3f,"
			"\"dur\":%.3f,\"args\":{\"request\":%llu,\"layers\":\"%u-%u\",\"wanted\":%"
			"u,"
			"\"granted\":%u,\"level\":%u,\"other_versions\":%u,\"leads\":%s}}",
			ev->core, us(ev->start_ns, from), us(ev->end_ns, ev->start_ns),
			(unsigned long long)ev->id, ev->layer_begin, ev->layer_end - 1u, ev->wanted,
			ev->granted, ev->level, ev->other_versions, ev->leads ? "true" : "false");
		break;
	case LAYER:
		name = n->layer ? n->layer(n->arg, ev->model, ev->layer_begin) : NULL;
		put_name(out, name, "layer", ev->layer_begin);
		fprintf(out,
			",\"cat\":\"layer\",\"ph\":\"X\",\"pid\":1,\"tid\":%u,\"ts\":%.3f,"
			"\"dur\":%.3f,\"args\":{\"layer\":%u,\"version\":%u}}",
			ev->core, us(ev->start_ns, from), us(ev->end_ns, ev->start_ns),
			ev->layer_begin, ev->version);
		break;
	default:
		put_string(out, ev->name);
		fprintf(out, ",\"ph\":\"C\",\"pid\":1,\"ts\":%.3f,\"args\":{\"%u\":%.6g}}",
			us(ev->start_ns, from), ev->index, ev->value);
	}
}

/* Name the process and the track of each core that occurs. */
static void put_tracks(FILE *out, const struct vt_chrome *c, size_t n,
		       const struct vt_chrome_names *names)
{
	uint64_t seen[1024] = {0}; /* a bit per core */

	fputs("{\"name\":\"process_name\",\"ph\":\"M\",\"pid\":1,\"args\":{\"name\":", out);
	put_string(out, names->process ? names->process : "veltair");
	fputs("}}", out);
	for (size_t i = 0; i < n; i++) {
		uint16_t core = c->event[i].core;

		if (c->event[i].kind == COUNT || seen[core / 64] >> (core % 64) & 1)
			continue;
		seen[core / 64] |= 1ull << (core % 64);
		fprintf(out,
			",\n{\"name\":\"thread_name\",\"ph\":\"M\",\"pid\":1,\"tid\":%u,"
			"\"args\":{\"name\":\"CPU %u\"}}",
			core, core);
	}
}

int vt_chrome_write(struct vt_chrome *c, FILE *out, const struct vt_chrome_names *names)
{
	static const struct vt_chrome_names none;
	size_t used = atomic_load(&c->used), n = 0;

	if (!names)
		names = &none;
	for (size_t i = 0; i < used && i < c->room; i++)
		if (atomic_load_explicit(&c->event[i].kind, memory_order_acquire) != NOTHING)
			c->event[n++] = c->event[i];
	qsort(c->event, n, sizeof(*c->event), by_start);
	fputs("{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n", out);
	put_tracks(out, c, n, names);
	for (size_t i = 0; i < n; i++)
		put_event(out, &c->event[i], c->event[0].start_ns, names);
	fprintf(out, "\n],\"otherData\":{\"dropped\":%llu}}\n",
		(unsigned long long)vt_chrome_dropped(c));
	errno = 0;
	return fflush(out) || ferror(out) ? (errno ? -errno : -EIO) : 0;
}
