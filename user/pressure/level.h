/* SPDX-License-Identifier: Apache-2.0 */
/* level.h - the scale of interference. Pure.
 *
 * Pressure is what a block that starts now would feel from everybody else in its LLC domain, 0 to
 * 1 000 000 ppm. The top is the heaviest bubble (calibrated aggressor) that the machine has room
 * for, so that a level means the same on every machine. Profiles hold times at VT_LEVELS points of
 * it: level L was measured beside a bubble of L * VT_PPM / (VT_LEVELS - 1).
 */
#ifndef VT_PRESSURE_LEVEL_H
#define VT_PRESSURE_LEVEL_H

#include <stdint.h>

#define VT_PPM	  1000000u
#define VT_LEVELS 5u

/** vt_level_of - the nearest level; a value above VT_PPM counts as VT_PPM */
static inline uint8_t vt_level_of(uint32_t pressure_ppm)
{
	const uint32_t step = VT_PPM / (VT_LEVELS - 1);
	uint32_t level = (pressure_ppm + step / 2) / step;

	return level < VT_LEVELS ? (uint8_t)level : VT_LEVELS - 1;
}

/** vt_level_ppm - the pressure at which @level was measured */
static inline uint32_t vt_level_ppm(uint8_t level)
{
	return level * (VT_PPM / (VT_LEVELS - 1));
}

#endif
