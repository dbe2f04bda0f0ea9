// SPDX-License-Identifier: Apache-2.0
// ONNX Runtime as a library of these scripts: where it is, how a session is opened fairly.
'use strict';
const path = require('path');
const { createRequire } = require('module');

// `make ort` installs it outside the source tree.
const home = process.env.VT_NODE_DIR || path.join(__dirname, '..', 'build', 'node');

function load() {
  try {
    return createRequire(path.join(home, 'package.json'))('onnxruntime-node');
  } catch (err) {
    throw new Error(`ONNX Runtime cannot be loaded from ${home}: run 'make ort' (${err.message.split('\n')[0]})`);
  }
}

function version() {
  return createRequire(path.join(home, 'package.json'))('onnxruntime-node/package.json').version;
}

// Everything ONNX Runtime can do by itself is on. Its threads may spin while it runs, but not after: the
// process it is compared with gets its turn on the same cores.
async function open(ort, model, { threads, optimize = 'all', dims = {}, spin = true }) {
  return ort.InferenceSession.create(model, {
    executionProviders: ['cpu'],
    graphOptimizationLevel: optimize,
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    executionMode: 'sequential',
    freeDimensionOverrides: dims,
    logSeverityLevel: 3,
    extra: { session: { force_spinning_stop: '1', intra_op: { allow_spinning: spin ? '1' : '0' } } },
  });
}

function feed(ort, t) {
  return new ort.Tensor(t.type, t.data, t.dims);
}

// 'a/b:0' -> 'a_b_0', as `veltair run --output-dir` names files
function fileName(output) {
  return `${output.replace(/[/:]/g, '_')}.npy`;
}

module.exports = { load, version, open, feed, fileName };
