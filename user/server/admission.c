// SPDX-License-Identifier: Apache-2.0
#include "server/admission.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"

int vt_admission_init(struct vt_admission *a, uint32_t room)
{
	*a = (struct vt_admission){.room = room};
	a->under_way = calloc(room, sizeof(struct vt_admitted *));
	if (!a->under_way)
		return -ENOMEM;
	pthread_mutex_init(&a->lock, NULL);
	return 0;
}

void vt_admission_fini(struct vt_admission *a)
{
	if (!a->under_way)
		return;
	pthread_mutex_destroy(&a->lock);
	free(a->under_way);
	a->under_way = NULL;
}

/* Work that is due before @deadline_ns, or together with it. */
static uint64_t before(const struct vt_admission *a, uint64_t deadline_ns)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < a->n; i++)
		if (a->under_way[i]->deadline_ns <= deadline_ns)
			sum += a->under_way[i]->work_ns;
	return sum;
}

bool vt_admission_enter(struct vt_admission *a, struct vt_admitted *q, uint64_t now_ns,
			uint64_t own_ns, bool any)
{
	bool ok;

	pthread_mutex_lock(&a->lock);
	/* On a free machine nothing is known better than by trying; the policy may still shed. */
	ok = a->n < a->room &&
	     (any || !a->n || now_ns + before(a, q->deadline_ns) + own_ns <= q->deadline_ns);
	if (ok) {
		q->at = a->n;
		a->under_way[a->n++] = q;
		a->sum_ns += q->work_ns;
	}
	pthread_mutex_unlock(&a->lock);
	return ok;
}

void vt_admission_leave(struct vt_admission *a, struct vt_admitted *q)
{
	pthread_mutex_lock(&a->lock);
	a->sum_ns -= q->work_ns;
	a->under_way[q->at] = a->under_way[--a->n];
	a->under_way[q->at]->at = q->at;
	pthread_mutex_unlock(&a->lock);
}

unsigned int vt_admission_retry_s(struct vt_admission *a)
{
	uint64_t s;

	pthread_mutex_lock(&a->lock);
	s = (a->sum_ns + VT_NS_PER_S - 1) / VT_NS_PER_S;
	pthread_mutex_unlock(&a->lock);
	return s < 1 ? 1 : s > 3600 ? 3600 : (unsigned int)s;
}
