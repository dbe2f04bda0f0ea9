// SPDX-License-Identifier: Apache-2.0
// Run by zoo_vs_ort.sh. Prints TAP.
'use strict';
const fs = require('fs');
const os = require('os');
const path = require('path');
const { execFileSync } = require('child_process');
const npy = require('../../scripts/npy.js');
const ortlib = require('../../scripts/ort.js');

const veltair = process.env.VELTAIR || 'build/release/veltair';
const all = process.env.VT_ZOO === 'all';
const ort = ortlib.load();
let count = 0;
let failed = 0;

function ok(good, name, detail) {
  count++;
  if (!good) failed++;
  process.stdout.write(`${good ? 'ok' : 'not ok'} ${count} - ${name}\n`);
  if (detail) process.stdout.write(`# ${String(detail).trim().replace(/\n/g, '\n# ')}\n`);
}

function run(args) {
  return execFileSync(veltair, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], maxBuffer: 1 << 26 });
}

// ---- numbers ------------------------------------------------------------------------------------

function maxAbs(a) {
  let m = 0;
  for (let i = 0; i < a.length; i++) m = Math.max(m, Math.abs(a[i]));
  return m;
}

function maxDiff(a, b) {
  let m = 0;
  for (let i = 0; i < a.length; i++) {
    const d = Math.abs(a[i] - b[i]);
    if (!(d <= m)) m = d; // a NaN stays
  }
  return m;
}

function deviation(a) {
  let s = 0;
  let q = 0;
  for (let i = 0; i < a.length; i++) { s += a[i]; q += a[i] * a[i]; }
  return Math.sqrt(Math.max(0, q / a.length - (s / a.length) ** 2));
}

// ---- inputs -------------------------------------------------------------------------------------

function readInputs(dir, model) {
  const inputs = {};
  for (const f of fs.readdirSync(dir)) {
    if (f.startsWith(`${model}.`) && f.endsWith('.npy')) inputs[f.slice(model.length + 1, -4)] = npy.read(path.join(dir, f));
  }
  return inputs;
}

function mapInputs(inputs, f) {
  return Object.fromEntries(Object.entries(inputs).map(([k, t]) => [k, f(t, k)]));
}

// The same values in another order: as likely an input, but a different one.
function reversed(t) {
  return { ...t, data: t.data.slice().reverse() };
}

// Two of it, the second reversed.
function batchOfTwo(t) {
  const data = new t.data.constructor(2 * t.data.length);
  data.set(t.data);
  data.set(t.data.slice().reverse(), t.data.length);
  return { ...t, dims: [2, ...t.dims.slice(1)], data };
}

// ---- the two engines ----------------------------------------------------------------------------

async function reference(file, inputs) {
  // Without its layout changes and fusions, so that it is the plain meaning of the nodes.
  const session = await ortlib.open(ort, file, { threads: os.cpus().length, optimize: 'basic' });
  const result = await session.run(mapInputs(inputs, (t) => ortlib.feed(ort, t)));
  await session.release();
  return result;
}

function ours(file, inputs, dims, threads, dir) {
  const args = ['run', file, '--iters', '1', '--warmup', '0', '--threads', String(threads), '--json', '--output-dir', dir];
  for (const d of dims) args.push('--dim', d);
  for (const [name, t] of Object.entries(inputs)) {
    const f = path.join(dir, `in_${name}.npy`);
    npy.write(f, t);
    args.push('--input', `${name}=${f}`);
  }
  const json = JSON.parse(run(args));
  return { json, output: (name) => npy.read(path.join(dir, ortlib.fileName(name))) };
}

function compare(label, want, got, tolerance) {
  for (const [name, w] of Object.entries(want)) {
    try {
      const g = got.output(name);
      const diff = maxDiff(g.data, w.data) / maxAbs(w.data);
      const same = String(g.dims) === String(w.dims) && g.type === w.type;
      ok(same && diff <= tolerance, `${label}: ${name}`,
        `max|a-b| = ${diff.toExponential(1)} max|b|, allowed ${tolerance}; shape ${g.dims}, reference ${w.dims}`);
    } catch (err) {
      ok(false, `${label}: ${name}`, err.message);
    }
  }
}

// ---- the tests ----------------------------------------------------------------------------------

async function checkReference(model, file, inputs, want) {
  const other = await reference(file, mapInputs(inputs, reversed));
  for (const [name, w] of Object.entries(want)) {
    const scale = maxAbs(w.data);
    const spread = deviation(w.data) / scale;
    const moved = maxDiff(w.data, other[name].data) / scale;
    ok(Number.isFinite(scale) && scale > 0 && spread > 1e-3 && moved > 1e-2, `${model}: ${name} is finite, varies, and follows the input`,
      `max ${scale.toPrecision(3)}, deviation ${spread.toPrecision(2)} and change by another input ${moved.toPrecision(2)} of it`);
  }
}

async function checkModel(m, dir) {
  const tolerance = m.name.startsWith('bert') ? 1e-3 : 1e-4;
  run(['zoo', '--out', dir, '--inputs', m.name]);
  const file = path.join(dir, `${m.name}.onnx`);
  const inputs = readInputs(dir, m.name);
  const want = await reference(file, inputs);
  await checkReference(m.name, file, inputs, want);
  for (const threads of os.cpus().length > 1 ? [1, 2] : [1]) {
    compare(`${m.name}, ${threads} threads`, want, ours(file, inputs, [], threads, dir), tolerance);
  }
  if (!m.tiny) return;
  run(['zoo', '--out', dir, '--dynamic', '--external', m.name]);
  const two = mapInputs(inputs, batchOfTwo);
  const dims = ['batch=2'];
  if (m.name.startsWith('bert')) dims.push('sequence=24');
  compare(`${m.name}, batch of 2 by --dim, external data`, await reference(file, two), ours(file, two, dims, 1, dir), tolerance);
}

async function main() {
  const models = JSON.parse(run(['zoo', '--list', '--json']));
  for (const m of models.filter((x) => (all ? !x.tiny : x.tiny || x.name === 'mobilenet-v2'))) {
    const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'veltair-zoo-'));
    try {
      await checkModel(m, dir);
    } catch (err) {
      ok(false, m.name, err.stderr || err.stack);
    } finally {
      fs.rmSync(dir, { recursive: true, force: true });
    }
  }
  process.stdout.write(`1..${count}\n`);
  process.exitCode = failed ? 1 : 0;
}

main();
