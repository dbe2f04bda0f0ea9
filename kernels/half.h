/* SPDX-License-Identifier: Apache-2.0 */
/* half.h - float16 and bfloat16 as bit patterns: conversions, round to nearest even. Pure. */
#ifndef VT_KERNELS_HALF_H
#define VT_KERNELS_HALF_H

#include <stdint.h>
#include <string.h>

static inline float vt_bits_f32(uint32_t u)
{
	float f;

	memcpy(&f, &u, sizeof(f));
	return f;
}

static inline uint32_t vt_f32_bits(float f)
{
	uint32_t u;

	memcpy(&u, &f, sizeof(u));
	return u;
}

static inline float vt_f16_to_f32(uint16_t h)
{
	uint32_t sign = (uint32_t)(h & 0x8000) << 16, mag = h & 0x7fff;

	if (mag >= 0x7c00) /* infinite or NaN */
		return vt_bits_f32(sign | 0x7f800000 | (mag & 0x3ff) << 13);
	/* 2^-14 * 2^(112 - 15): moving the exponent by a multiplication handles denormals too */
	return vt_bits_f32(sign | vt_f32_bits(vt_bits_f32(mag << 13) * 0x1p112f));
}

static inline uint16_t vt_f32_to_f16(float f)
{
	uint32_t u = vt_f32_bits(f), sign = u >> 16 & 0x8000, mag = u & 0x7fffffff, add;

	if (mag > 0x7f800000)
		return (uint16_t)(sign | 0x7e00 | (mag >> 13 & 0x3ff));
	if (mag >= 0x477ff000) /* 65520 and more round to infinity */
		return (uint16_t)(sign | 0x7c00);
	if (mag < 0x38800000) /* result is denormal: let the adder round at bit 2^-24 */
		return (uint16_t)(sign | (vt_f32_bits(vt_bits_f32(mag) + 0.5f) - 0x3f000000));
	add = 0xfff + (mag >> 13 & 1);
	return (uint16_t)(sign | ((mag + add - 0x38000000) >> 13));
}

static inline float vt_bf16_to_f32(uint16_t h)
{
	return vt_bits_f32((uint32_t)h << 16);
}

static inline uint16_t vt_f32_to_bf16(float f)
{
	uint32_t u = vt_f32_bits(f);

	if ((u & 0x7fffffff) > 0x7f800000)
		return (uint16_t)(u >> 16 | 0x40);
	return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

#endif
