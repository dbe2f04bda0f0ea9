/* SPDX-License-Identifier: Apache-2.0 */
/*
 * onnx_block.h - memory that knows its size, so that a block can change hands with its pointer.
 * Blocks from VT_BLOCK_BIG on are mappings of their own: freeing one returns its pages at once,
 * which malloc's adaptive threshold does not promise.
 */
#ifndef VT_MODEL_ONNX_BLOCK_H
#define VT_MODEL_ONNX_BLOCK_H

#include <stddef.h>

#define VT_BLOCK_BIG ((size_t)1 << 18)

/** vt_block_alloc - @bytes of undefined content, aligned to 16; NULL if there is no memory */
void *vt_block_alloc(size_t bytes);
void vt_block_free(void *p); /* accepts NULL */
/** vt_block_release - for struct vt_tensor and struct vt_value */
void vt_block_release(void *p, size_t bytes);

#endif
