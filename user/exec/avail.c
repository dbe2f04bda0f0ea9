// SPDX-License-Identifier: Apache-2.0
#include "exec/avail.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "pressure/level.h"

#define TAKEN_PPM (VT_PPM / 4 * 3) /* of the best */
#define FREE_PPM  (VT_PPM / 10 * 9)

/* ---- the kernel's sums -------------------------------------------------------------------- */

/* Read a few hundred times a second on each core: no stdio. */
static bool number(const char **at, uint64_t *ret)
{
	const char *p = *at;

	while (*p == ' ')
		p++;
	if (*p < '0' || *p > '9')
		return false;
	for (*ret = 0; *p >= '0' && *p <= '9'; p++)
		*ret = *ret * 10 + (uint64_t)(*p - '0');
	*at = p;
	return true;
}

int vt_avail_parse(const char *text, struct vt_avail_sums *ret)
{
	struct vt_avail_sums s;

	if (!number(&text, &s.ran_ns) || !number(&text, &s.waited_ns) ||
	    !number(&text, &s.slices) || (*text != '\n' && *text))
		return -EINVAL;
	*ret = s;
	return 0;
}

int vt_avail_read(int fd, struct vt_avail_sums *ret)
{
	char text[96];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	if (n < 0)
		return -errno;
	text[n] = '\0';
	return vt_avail_parse(text, ret);
}

int vt_avail_open(void)
{
	int fd = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC), err;
	struct vt_avail_sums s;

	if (fd < 0)
		return -errno;
	err = vt_avail_read(fd, &s);
	/* It runs, so it has got its core at least once. */
	if (!err && !s.slices)
		err = -ENOTSUP;
	if (!err)
		return fd;
	close(fd);
	return err;
}

/* ---- what they say ------------------------------------------------------------------------ */

void vt_avail_init(struct vt_avail *a, const struct vt_avail_sums *now)
{
	*a = (struct vt_avail){.last = *now, .ppm = VT_PPM};
}

static uint64_t grown(uint64_t now, uint64_t then)
{
	return now > then ? now - then : 0;
}

/* So that two of them can be added. */
static uint64_t half(uint64_t ns)
{
	return ns < UINT64_MAX / 2 ? ns : UINT64_MAX / 2;
}

/* The share of what was wanted since the last reading; false: nothing was. */
static bool share_since(struct vt_avail *a, const struct vt_avail_sums *now, uint64_t *wanted_ns,
			uint32_t *ppm)
{
	uint64_t ran = grown(now->ran_ns, a->last.ran_ns);
	uint64_t waited = grown(now->waited_ns, a->last.waited_ns);

	if (waited / VT_AVAIL_SHORT_NS < grown(now->slices, a->last.slices))
		waited = 0;

	ran = half(ran);
	waited = half(waited);
	*wanted_ns = ran + waited;
	a->last = *now;
	if (!*wanted_ns)
		return false;
	*ppm = (uint32_t)((double)ran / (double)*wanted_ns * VT_PPM);
	return true;
}

/* Only tries lengthen the pause: work on a taken core says that it is taken, and costs nothing. */
static uint64_t next_try(struct vt_avail *a, uint32_t said_ppm, bool tried)
{
	if (tried && said_ppm >= FREE_PPM) {
		a->pause_ns = 0;
		return VT_AVAIL_AGAIN_NS;
	}
	if (!a->pause_ns)
		a->pause_ns = VT_AVAIL_PAUSE_NS;
	else if (tried)
		a->pause_ns = a->pause_ns < VT_AVAIL_PAUSE_MAX_NS / 2 ? 2 * a->pause_ns
								      : VT_AVAIL_PAUSE_MAX_NS;
	return a->pause_ns;
}

bool vt_avail_note(struct vt_avail *a, const struct vt_avail_sums *now, uint32_t best_ppm,
		   uint64_t mono_ns, bool tried)
{
	const bool was = a->taken;
	uint64_t wanted_ns, best;
	bool whole;
	double weight;
	uint32_t ppm;

	if (!share_since(a, now, &wanted_ns, &ppm))
		return false;
	weight = (double)wanted_ns / ((double)wanted_ns + VT_AVAIL_KEPT_NS);
	a->ppm = (uint32_t)(a->ppm + ((double)ppm - a->ppm) * weight);
	best = a->ppm > best_ppm ? a->ppm : best_ppm;
	a->taken = a->ppm < best * (was ? FREE_PPM : TAKEN_PPM) / VT_PPM;
	whole = a->ppm >= FREE_PPM; /* whatever becomes of the best one, and taken is not */
	if (whole)
		a->pause_ns = 0;
	a->next_mono_ns = whole ? 0 : mono_ns + next_try(a, ppm, tried);
	return a->taken != was;
}

void vt_avail_skip(struct vt_avail *a, const struct vt_avail_sums *now)
{
	a->last = *now;
}

uint64_t vt_avail_try_in(const struct vt_avail *a, uint64_t mono_ns)
{
	return a->next_mono_ns ? grown(a->next_mono_ns, mono_ns) : UINT64_MAX;
}
