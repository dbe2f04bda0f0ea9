#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// ONNX Runtime as one tenant of `veltair bench --peer`: a process, a model, requests one after the other.
//
//   ort-tenant.js [--threads N] [--spin] MODEL
//
// Reads 'ID DEADLINE_NS' a line, answers 'ID' when that request is computed, in the order of arrival, as a
// server without a scheduler does. With a deadline (CLOCK_MONOTONIC; 0: none) a request that cannot end in
// time any more, at the median of the last runs, is answered 'ID drop' instead of being computed.
'use strict';
const readline = require('readline');
const ortlib = require('./ort.js');

function parse(argv) {
  const a = { threads: 2, spin: false };
  for (let i = 0; i < argv.length; i++) {
    if (argv[i] === '--threads' && Number(argv[i + 1]) > 0) a.threads = Number(argv[++i]);
    else if (argv[i] === '--spin') a.spin = true;
    else if (!argv[i].startsWith('-') && !a.model) a.model = argv[i];
    else throw new Error(`'${argv[i]}' not understood; usage: ort-tenant.js [--threads N] [--spin] MODEL`);
  }
  if (!a.model) throw new Error('which model? usage: ort-tenant.js [--threads N] [--spin] MODEL');
  return a;
}

// Inputs of any values: integers 0 (an index must stay in its table), numbers from a small generator.
function makeFeeds(ort, session) {
  const feeds = {};
  let seed = 1;
  for (const m of session.inputMetadata) {
    const dims = m.shape.map((d) => (typeof d === 'number' && d > 0 ? d : 1));
    const n = dims.reduce((x, y) => x * y, 1);
    if (m.type === 'int64') feeds[m.name] = new ort.Tensor('int64', new BigInt64Array(n), dims);
    else if (m.type === 'int32') feeds[m.name] = new ort.Tensor('int32', new Int32Array(n), dims);
    else if (m.type === 'float32') {
      const data = new Float32Array(n);
      for (let i = 0; i < n; i++) {
        seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
        data[i] = seed / 2 ** 31 - 1;
      }
      feeds[m.name] = new ort.Tensor('float32', data, dims);
    } else throw new Error(`input ${m.name} is of type ${m.type}: not made here`);
  }
  return feeds;
}

async function main() {
  const a = parse(process.argv.slice(2));
  const ort = ortlib.load();
  const session = await ortlib.open(ort, a.model, { threads: a.threads, spin: a.spin });
  const feeds = makeFeeds(ort, session);
  let results;
  const recent = [];
  const run = async () => {
    const start = process.hrtime.bigint();
    results = await session.run(feeds, results || session.outputNames);
    recent.push(Number(process.hrtime.bigint() - start));
    if (recent.length > 9) recent.shift();
  };
  // A run that others slow down must not make every later one look hopeless for long: the median of nine.
  const expectNs = () => BigInt(Math.round([...recent].sort((x, y) => x - y)[recent.length >> 1]));
  for (let i = 0; i < 3; i++) await run();

  const queue = [];
  let busy = false;
  const work = async () => {
    busy = true;
    while (queue.length) {
      const [id, deadline] = queue.shift();
      if (deadline && process.hrtime.bigint() + expectNs() > deadline) process.stdout.write(`${id} drop\n`);
      else {
        await run();
        process.stdout.write(`${id}\n`);
      }
    }
    busy = false;
  };
  process.stdout.on('error', () => process.exit(0)); // who asked is gone
  process.stdout.write('ready\n');
  const lines = readline.createInterface({ input: process.stdin, terminal: false });
  lines.on('line', (line) => {
    const [id, deadline] = line.split(' ');
    queue.push([id, BigInt(deadline || 0)]);
    if (!busy) work().catch(fail);
  });
  lines.on('close', () => process.exit(0));
}

function fail(err) {
  process.stderr.write(`ort-tenant: ${err.message}\n`);
  process.exit(1);
}

main().catch(fail);
