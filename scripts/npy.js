// SPDX-License-Identifier: Apache-2.0
// .npy files <-> { type, dims, data }, with the type names of ONNX Runtime.
'use strict';
const fs = require('fs');

const TYPES = {
  f4: ['float32', Float32Array], f8: ['float64', Float64Array],
  i1: ['int8', Int8Array], i2: ['int16', Int16Array], i4: ['int32', Int32Array], i8: ['int64', BigInt64Array],
  u1: ['uint8', Uint8Array], u2: ['uint16', Uint16Array], u4: ['uint32', Uint32Array], u8: ['uint64', BigUint64Array],
  b1: ['bool', Uint8Array], f2: ['float16', Uint16Array],
};

function read(path) {
  const b = fs.readFileSync(path);
  if (b.length < 12 || b.toString('latin1', 0, 6) !== '\x93NUMPY') throw new Error(`${path}: not a .npy file`);
  const start = b[6] === 1 ? 10 : 12;
  const end = start + (b[6] === 1 ? b.readUInt16LE(8) : b.readUInt32LE(8));
  const head = b.toString('latin1', start, end);
  const descr = /'descr':\s*'[<|=](\w\d)'/.exec(head);
  const shape = /'shape':\s*\(([^)]*)\)/.exec(head);
  if (!descr || !shape || !TYPES[descr[1]] || /'fortran_order':\s*True/.test(head)) {
    throw new Error(`${path}: header not understood: ${head.trim()}`);
  }
  const [type, Array] = TYPES[descr[1]];
  const bytes = b.subarray(end);
  // A typed array needs memory aligned for its elements; a slice of the file need not be.
  const data = new Array(new Uint8Array(bytes).buffer);
  return { type, dims: shape[1].split(',').filter((s) => s.trim()).map(Number), data };
}

function write(path, tensor) {
  const entry = Object.entries(TYPES).find(([, [type]]) => type === tensor.type);
  if (!entry) throw new Error(`${path}: no .npy type for ${tensor.type}`);
  const order = /1$/.test(entry[0]) ? '|' : '<';
  const dims = tensor.dims.length === 1 ? `${tensor.dims[0]},` : tensor.dims.join(', ');
  const dict = `{'descr': '${order}${entry[0]}', 'fortran_order': False, 'shape': (${dims}), }`;
  const len = Math.ceil((10 + dict.length + 1) / 64) * 64;
  const head = Buffer.alloc(len, ' ');
  head.write('\x93NUMPY\x01\x00', 0, 'latin1');
  head.writeUInt16LE(len - 10, 8);
  head.write(dict, 10, 'latin1');
  head.write('\n', len - 1);
  const { data } = tensor;
  fs.writeFileSync(path, Buffer.concat([head, Buffer.from(data.buffer, data.byteOffset, data.byteLength)]));
}

module.exports = { read, write };
