// SPDX-License-Identifier: Apache-2.0
/* onnx_write.c - `onnx_write OPSET TEXT >FILE`: a small ONNX model from the text of onnx_text.h. */
#include <stdio.h>
#include <stdlib.h>

#include "../unit/onnx_text.h"

int main(int argc, char **argv)
{
	size_t len = 0;
	uint8_t *buf = argc == 3 ? vt_onnx_text(argv[2], atoi(argv[1]), &len) : NULL;

	if (!buf) {
		fprintf(stderr,
			"usage: onnx_write OPSET TEXT >FILE (see tests/unit/onnx_text.h)\n");
		return 2;
	}
	if (fwrite(buf, 1, len, stdout) != len || fflush(stdout)) {
		perror("onnx_write");
		free(buf);
		return 1;
	}
	free(buf);
	return 0;
}
