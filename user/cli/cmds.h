/* SPDX-License-Identifier: Apache-2.0 */
/* cmds.h - the subcommands: name and summary. Each lives in cli/NAME.c as vt_cmd_NAME. */
#ifndef VT_CLI_CMDS_H
#define VT_CLI_CMDS_H

#define VT_CMDS(X)                                                                                 \
	X(zoo, "write the paper's seven models, or tiny versions, as ONNX files")                  \
	X(inspect, "show what a model becomes, or what a profile store holds")                     \
	X(run, "run an ONNX model and say how long it takes")                                      \
	X(monitor, "count cache misses, instructions and bandwidth per tenant (eBPF)")             \
	X(profile, "measure the layers of models on this machine")                                 \
	X(bubble, "press on caches and memory, at one of five levels")                             \
	X(top, "what runs here, who keeps its target, who presses on whom, second by second")      \
	X(doctor, "what this machine has and lacks, and what to do about it")                      \
	X(bench, "how many requests a second end in time, live, beside other engines")             \
	X(serve, "serve models over HTTP, each within its latency target")                         \
	X(sim, "compare scheduling policies on a simulated machine")

#define X(name, summary) int vt_cmd_##name(int argc, char **argv);
VT_CMDS(X)
#undef X

#endif
