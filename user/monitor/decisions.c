// SPDX-License-Identifier: Apache-2.0
/* decisions.c - the runtime's last decisions in a pinned map: written and read by mmap. */
#include <stddef.h>
#include <string.h>

#include "base/utf8.h"
#include "loop/explain.h"
#include "monitor/impl.h"

static void put_text(char *to, size_t len, const char *from)
{
	memset(to, 0, len);
	vt_utf8_put(to, len, from);
}

void vt_decided_of(struct vt_decided *ret, uint64_t n, const struct vt_reason *r, const char *model)
{
	*ret = (struct vt_decided){
		.seq = n,
		.mono_ns = r->now_ns,
		.request = r->id,
		.slack_ns = r->slack_ns,
		.rest_ns = r->rest_ns,
		.waited_ns = r->waited_ns,
		.model_id = r->model,
		.tenant = r->tenant,
		.pressure_ppm = r->pressure_ppm,
		.confidence_ppm = r->confidence_ppm,
		.waiting = r->waiting,
		.layer_begin = r->layer_begin,
		.layer_end = r->layer_end,
		.wanted = r->wanted,
		.granted = r->granted,
		.free = r->free,
		.other_versions = r->other_versions,
		.taken = r->taken,
		.usable = r->usable,
		.level = r->level,
	};
	put_text(ret->action, sizeof(ret->action), vt_reason_action(r->kind));
	put_text(ret->source, sizeof(ret->source), vt_reason_source(r->sources));
	put_text(ret->model, sizeof(ret->model), model);
}

#define WORDS (sizeof(struct vt_decided) / sizeof(vt_decided_word))

/* A decision as words that may be read while they are written. The first is its number. */
typedef uint64_t __attribute__((may_alias)) vt_decided_word;

_Static_assert(sizeof(struct vt_decided) % sizeof(vt_decided_word) == 0 &&
		       offsetof(struct vt_decided, seq) == 0,
	       "a decision is whole words, its number first");

static vt_decided_word *word_of(struct vt_decided *d, size_t i)
{
	return (vt_decided_word *)d + i;
}

void vt_monitor_decided(struct vt_monitor *m, uint64_t n, const struct vt_reason *r,
			const char *model)
{
	struct vt_decided *to = &m->decisions[n % VT_DECISIONS], d;

	vt_decided_of(&d, n, r, model);
	__atomic_store_n(&to->seq, 0, __ATOMIC_RELAXED);
	for (size_t i = 1; i < WORDS; i++) /* after the zero: pairs with read_one() */
		__atomic_store_n(word_of(to, i), *word_of(&d, i), __ATOMIC_RELEASE);
	__atomic_store_n(&to->seq, n, __ATOMIC_RELEASE);
}

/* Who finds the same number before and after the words has read one decision. */
static bool read_one(struct vt_decided *from, struct vt_decided *ret)
{
	uint64_t seq = __atomic_load_n(&from->seq, __ATOMIC_ACQUIRE);

	for (size_t i = 1; i < WORDS; i++)
		*word_of(ret, i) = __atomic_load_n(word_of(from, i), __ATOMIC_ACQUIRE);
	ret->seq = __atomic_load_n(&from->seq, __ATOMIC_RELAXED);
	/* Another process wrote it: its texts end here whatever it did. */
	ret->action[sizeof(ret->action) - 1] = '\0';
	ret->source[sizeof(ret->source) - 1] = '\0';
	ret->model[sizeof(ret->model) - 1] = '\0';
	return seq && ret->seq == seq;
}

size_t vt_monitor_decisions(const struct vt_monitor *m, struct vt_decided *ret, size_t len)
{
	uint64_t last = 0, first;
	size_t n = 0;

	for (uint32_t i = 0; i < VT_DECISIONS; i++) {
		uint64_t seq = __atomic_load_n(&m->decisions[i].seq, __ATOMIC_ACQUIRE);

		last = seq > last ? seq : last;
	}
	if (len > VT_DECISIONS)
		len = VT_DECISIONS;
	first = last > len ? last - len + 1 : 1;
	for (uint64_t i = first; i <= last; i++)
		if (read_one(&m->decisions[i % VT_DECISIONS], &ret[n]) && ret[n].seq == i)
			n++;
	return n;
}
