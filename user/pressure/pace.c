// SPDX-License-Identifier: Apache-2.0
#include "pressure/pace.h"

/* How far profiles are off, and how much of a reaction contention usually is: see pace.h. */
#define TABLE	0.1
#define PRESSED 0.3
/* Of a block this short, half of what it is off or strays by is its beginning and end: 2 us of 20. */
#define SHORT_NS   20000.0
#define BRIEF_MOST 10.0
/* After its first blocks a pace follows over about this long. */
#define FOLLOW_NS 60000000000.0
/* What a block may be off that counts, below its profile, and above its profile at the top level. */
#define OFF_MOST 0.5
/* A block moves a pace by no more than this of its distance: a core that was lost to others is no pace. */
#define STEP_MOST 0.1
/* Blocks that the noise is a mean of, the least that it is worked out from, and the least that it is. */
#define NOISE_BLOCKS 64u
#define NOISE_FIRST  4u
#define NOISE_LEAST  0.01
/* Contention that begins or ends is one large distance of each model: it counts as so many times the usual. */
#define NOISE_JUMP 4.0

static double bounded(double x, double low, double high)
{
	return x < low ? low : x > high ? high : x;
}

static struct vt_pace_slot *slot_of(struct vt_pace *p, uint64_t key)
{
	struct vt_pace_slot *s = &p->slot[vt_pace_slot_of(key)];

	if (s->key != key)
		*s = (struct vt_pace_slot){.key = key};
	return s;
}

/* How much more a block of this time is off, and strays, than a long one: as a share of it. */
static double brevity(uint64_t alone_ns)
{
	return bounded(1 + SHORT_NS / (double)alone_ns, 1, BRIEF_MOST);
}

static void hear(struct vt_pace *p, double distance)
{
	double most = NOISE_JUMP * p->noise + NOISE_LEAST;

	distance = distance < 0 ? -distance : distance;
	if (p->distances >= NOISE_FIRST && distance > most)
		distance = most;
	if (p->distances < NOISE_BLOCKS)
		p->distances++;
	p->noise += (distance - p->noise) / p->distances;
}

uint64_t vt_pace_take(struct vt_pace *p, uint64_t key, uint64_t alone_ns, uint32_t reaction_ppm,
		      uint64_t measured_ns, uint64_t now_ns)
{
	struct vt_pace_slot *s = slot_of(p, key);
	const double reaction = (double)reaction_ppm / VT_PPM, pressed = reaction * PRESSED;
	const double brief = brevity(alone_ns), table = TABLE * brief;
	const double part = table * table / (table * table + pressed * pressed);
	double off = (double)measured_ns / (double)alone_ns - 1, age, weight;

	off = bounded(off, -OFF_MOST, reaction + OFF_MOST * brief);
	if (s->blocks)
		hear(p, (off - s->last) / brief);
	s->last = (float)off;
	s->blocks += s->blocks < UINT32_MAX;
	age = now_ns > s->seen_ns && s->blocks > 1 ? (double)(now_ns - s->seen_ns) : 0;
	s->seen_ns = now_ns;
	weight = age / (age + FOLLOW_NS);
	weight = weight * s->blocks > 1 ? weight : 1.0 / s->blocks;
	s->off += (float)(weight *
			  bounded(part * off - s->off, -STEP_MOST * brief, STEP_MOST * brief));
	return (uint64_t)((double)measured_ns / (1 + (double)s->off));
}

uint32_t vt_pace_noise_ppm(const struct vt_pace *p, uint64_t alone_ns)
{
	if (p->distances < NOISE_FIRST)
		return VT_PPM;
	return (uint32_t)(bounded(bounded(p->noise, NOISE_LEAST, 1) * brevity(alone_ns), 0, 1) *
			  VT_PPM);
}
