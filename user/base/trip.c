// SPDX-License-Identifier: Apache-2.0
#include "base/trip.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/clock.h"
#include "base/cpuset.h"

#define TRIPS	100 /* of a mean: it takes 5 us, or 30 */
#define MEANS	10
#define PATIENT 1000 /* looks at the word between two at the clock */

struct trip {
	_Alignas(128) atomic_uint word; /* odd: on its way out */
	_Alignas(128) atomic_bool over; /* the traveller has what it came for, or has given up */
	unsigned int cpu[2];
	uint64_t until_mono_ns, best_ns;
};

static void *answer(void *arg)
{
	struct trip *t = arg;

	if (vt_cpuset_pin_self(t->cpu[1]))
		return NULL;
	while (!atomic_load_explicit(&t->over, memory_order_relaxed)) {
		const unsigned int word = atomic_load(&t->word);

		if (word % 2)
			atomic_store(&t->word, word + 1);
	}
	return NULL;
}

/* Once out and back; false: it did not come in time. */
static bool travel(struct trip *t)
{
	const unsigned int word = atomic_load_explicit(&t->word, memory_order_relaxed);

	atomic_store(&t->word, word + 1);
	for (int looks = 1; atomic_load(&t->word) != word + 2; looks++)
		if (looks % PATIENT == 0 && vt_now_mono_ns() > t->until_mono_ns)
			return false;
	return true;
}

static void *ask(void *arg)
{
	struct trip *t = arg;
	bool there = !vt_cpuset_pin_self(t->cpu[0]) && travel(t);

	for (int m = 0; there && m < MEANS && vt_now_mono_ns() < t->until_mono_ns; m++) {
		uint64_t ns = vt_now_mono_ns();

		for (int i = 0; there && i < TRIPS; i++)
			there = travel(t);
		ns = (vt_now_mono_ns() - ns) / TRIPS;
		if (there && (!t->best_ns || ns < t->best_ns))
			t->best_ns = ns ? ns : 1;
	}
	atomic_store(&t->over, true);
	return NULL;
}

uint64_t vt_trip_ns(unsigned int a, unsigned int b, uint64_t most_ns)
{
	struct trip t = {.cpu = {a, b}, .until_mono_ns = vt_now_mono_ns() + most_ns};
	pthread_t other, self;
	bool asks;

	if (a == b || pthread_create(&other, NULL, answer, &t))
		return 0;
	asks = !pthread_create(&self, NULL, ask, &t);
	if (asks)
		pthread_join(self, NULL);
	else
		atomic_store(&t.over, true);
	pthread_join(other, NULL);
	return t.best_ns;
}
