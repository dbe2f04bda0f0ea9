#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// Run a model in ONNX Runtime: the reference of the tests and the peer of the benchmarks.
//
//   ort-run.js MODEL --input NAME=FILE.npy... [--threads N] [--iters N] [--warmup N] [--dim NAME=N...]
//              [--output-dir DIR] [--interactive]
//
// Prints one JSON object. With --interactive it reads commands from standard input instead, one a line,
// and answers each with one line of JSON: 'run N' -> {"ms": [...]}, 'quit'. `veltair run --interactive`
// understands the same, so that two engines can take turns on the same cores.
'use strict';
const path = require('path');
const readline = require('readline');
const npy = require('./npy.js');
const ortlib = require('./ort.js');

const USAGE = 'usage: ort-run.js MODEL --input NAME=FILE.npy... [--threads N] [--iters N] [--warmup N] ' +
  '[--dim NAME=N...] [--output-dir DIR] [--interactive]';

function pair(text) {
  const at = text.indexOf('=');
  if (at < 1) throw new Error(`'${text}' is not NAME=VALUE`);
  return [text.slice(0, at), text.slice(at + 1)];
}

function parse(argv) {
  const a = { inputs: {}, dims: {}, threads: 1, iters: 1, warmup: 1 };
  const flags = {
    '--input': (v) => { const [k, f] = pair(v); a.inputs[k] = f; },
    '--dim': (v) => { const [k, n] = pair(v); a.dims[k] = Number(n); },
    '--threads': (v) => { a.threads = Number(v); },
    '--iters': (v) => { a.iters = Number(v); },
    '--warmup': (v) => { a.warmup = Number(v); },
    '--output-dir': (v) => { a.outputDir = v; },
    '--optimize': (v) => { a.optimize = v; },
  };
  for (let i = 0; i < argv.length; i++) {
    if (argv[i] === '--interactive') a.interactive = true;
    else if (flags[argv[i]] && i + 1 < argv.length) flags[argv[i]](argv[++i]);
    else if (!argv[i].startsWith('-') && !a.model) a.model = argv[i];
    else throw new Error(`'${argv[i]}' not understood\n${USAGE}`);
  }
  if (!a.model) throw new Error(USAGE);
  return a;
}

function percentile(sorted, p) {
  return sorted[Math.min(sorted.length - 1, Math.ceil(p * sorted.length) - 1)];
}

async function main() {
  const a = parse(process.argv.slice(2));
  const ort = ortlib.load();
  const session = await ortlib.open(ort, a.model, a);
  const feeds = {};
  for (const [name, file] of Object.entries(a.inputs)) feeds[name] = ortlib.feed(ort, npy.read(file));
  // Results go into the same memory each time, as they would in a C program.
  let results = await session.run(feeds);
  const timed = async (n) => {
    const ms = [];
    for (let i = 0; i < n; i++) {
      const start = process.hrtime.bigint();
      results = await session.run(feeds, results);
      ms.push(Number(process.hrtime.bigint() - start) / 1e6);
    }
    return ms;
  };
  await timed(a.warmup);
  const say = (o) => process.stdout.write(`${JSON.stringify(o)}\n`);
  if (a.interactive) {
    say({ ready: true });
    for await (const line of readline.createInterface({ input: process.stdin })) {
      const [word, n] = line.trim().split(/\s+/);
      if (word === 'quit') break;
      if (word !== 'run' || !(Number(n) > 0)) throw new Error(`command '${line}' not understood`);
      say({ ms: await timed(Number(n)) });
    }
  } else {
    const ms = (await timed(a.iters)).sort((x, y) => x - y);
    say({
      model: path.basename(a.model, '.onnx'), engine: `onnxruntime ${ortlib.version()}`, threads: a.threads,
      median_ms: percentile(ms, 0.5), min_ms: ms[0], p95_ms: percentile(ms, 0.95), outputs: Object.keys(results),
    });
  }
  if (a.outputDir) {
    for (const [name, t] of Object.entries(results)) npy.write(path.join(a.outputDir, ortlib.fileName(name)), t);
  }
  await session.release();
}

main().catch((err) => {
  process.stderr.write(`ort-run: ${err.message}\n`);
  process.exitCode = 1;
});
