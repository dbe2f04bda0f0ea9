/* SPDX-License-Identifier: Apache-2.0 */
/*
 * onnx_text.h - small ONNX models written as text, for tables of tests.
 *
 *	in x f32 1,3,N,4; const w f32 2,3,1,1 = 1,2,3,4,5,6;
 *	t = Conv(x, w) group=1 pads=[0,0,0,0] auto_pad=VALID; out t
 *
 * Statements end with ';'. A dimension that is no number is a symbol; '?' is nameless. A constant
 * without values is zero; "extern w f32 2 = FILE,OFFSET,LENGTH" names a file, "list w b 2 = 1,0"
 * keeps its values in int32_data instead of bytes. Attributes are
 * integers, floats (with a '.'), [lists] of either, or words; ~ and ~. are the integer and the
 * float 0 as proto3 writes them: a type and no value. An operand '-' is absent. Types: f32 i64 i32
 * u8 i8 b (bool) f64 str, and to be refused f8 (float8e4m3fn) i4, a byte each.
 */
#ifndef VT_TESTS_ONNX_TEXT_H
#define VT_TESTS_ONNX_TEXT_H

#include <stddef.h>
#include <stdint.h>

/** vt_onnx_text - the model as bytes, to be freed; NULL for text that makes no sense */
uint8_t *vt_onnx_text(const char *text, int opset, size_t *len);

#endif
