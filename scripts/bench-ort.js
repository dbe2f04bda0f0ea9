#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// veltair beside ONNX Runtime: same file, same input, same cores, interleaved.
//
//   bench-ort.js [--models A,B...] [--threads 1,2] [--iters N] [--zoo DIR] [--out PREFIX]
//
// Both engines are loaded and warm before the clock starts, once for each number of threads; then they take turns,
// A1 B1 A2 B2 A1 ..., so that a machine that slows down slows all. A turn is at least 40 ms; where it has more than two iterations,
// the first is not counted: its caches hold what the other engine left. The ratio of a turn is that of
// its two medians; what is reported is the median of the turns' ratios and their quartiles.
// A third process takes its turn with nothing but fused multiply-adds, so that the share of the peak is
// that of the peak at that time. Writes PREFIX.md and PREFIX.json, and the table to standard output.
'use strict';
const fs = require('fs');
const os = require('os');
const path = require('path');
const readline = require('readline');
const { execFileSync, spawn } = require('child_process');
const ortlib = require('./ort.js');

const veltair = process.env.VELTAIR || 'build/release/veltair';
const peak = path.join(__dirname, '..', 'build/release/tests/bench/bench_peak');
const TURN_MS = 40;
const NOISE = 1.2; // median over best of the peak's own time, on a machine that others use
const SLOW_MS = 1000; // from here on one iteration is a turn, and five are enough
const TARGETS = ['mobilenet-v2', 'efficientnet-b0', 'googlenet', 'resnet-50', 'bert-large']; // the mean is of these
const DEFAULTS = { models: [...TARGETS, 'tiny-yolov2', 'ssd-resnet34'], threads: [1, 2], zoo: 'build/zoo', out: 'build/bench-ort' };

function parse(argv) {
  const a = { ...DEFAULTS, threads: null };
  const flags = {
    '--models': (v) => { a.models = v.split(','); },
    '--threads': (v) => { a.threads = v.split(',').map(Number); },
    '--iters': (v) => { a.iters = Number(v); },
    '--zoo': (v) => { a.zoo = v; },
    '--out': (v) => { a.out = v; },
  };
  for (let i = 0; i < argv.length; i += 2) {
    if (!flags[argv[i]] || i + 1 === argv.length) throw new Error(`'${argv[i]}' not understood; ${Object.keys(flags).join(' ')}`);
    flags[argv[i]](argv[i + 1]);
  }
  const cores = allowedCores().length;
  const wrong = a.threads && a.threads.filter((t) => !Number.isInteger(t) || t < 1 || t > cores);
  if (wrong && wrong.length) throw new Error(`--threads ${wrong}: a process may use ${cores} cores here`);
  a.threads = a.threads || DEFAULTS.threads.filter((t) => t <= cores);
  return a;
}

// ---- an engine: a process that answers lines ------------------------------------------------------

class Engine {
  constructor(command, args) {
    this.name = path.basename(command);
    this.child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'] });
    this.stderr = '';
    this.child.stderr.on('data', (d) => { this.stderr = (this.stderr + d).slice(-4000); });
    this.child.stdin.on('error', () => {}); // its end is seen by answer()
    this.closed = new Promise((resolve) => { this.child.on('close', resolve); });
    this.lines = readline.createInterface({ input: this.child.stdout })[Symbol.asyncIterator]();
  }

  async answer() {
    const { value, done } = await this.lines.next();
    if (done) {
      await this.closed;
      throw new Error(`${this.name} ended: ${this.stderr.trim() || 'no reason given'}`);
    }
    return JSON.parse(value);
  }

  async run(n) {
    this.child.stdin.write(`run ${n}\n`);
    return (await this.answer()).ms;
  }

  async quit() {
    this.child.stdin.end('quit\n');
    await this.closed;
  }

  kill() {
    this.child.kill();
  }
}

// ---- statistics -----------------------------------------------------------------------------------

function quantile(values, p) {
  const s = [...values].sort((a, b) => a - b);
  const at = p * (s.length - 1);
  const low = Math.floor(at);
  return s[low] + (s[Math.min(low + 1, s.length - 1)] - s[low]) * (at - low);
}

const median = (v) => quantile(v, 0.5);

function geomean(values) {
  return Math.exp(values.reduce((s, v) => s + Math.log(v), 0) / values.length);
}

// ---- one model ---------------------------------------------------------------

function inputArgs(zoo, model) {
  const args = [];
  for (const f of fs.existsSync(zoo) ? fs.readdirSync(zoo) : []) {
    if (f.startsWith(`${model}.`) && f.endsWith('.npy')) args.push('--input', `${f.slice(model.length + 1, -4)}=${path.join(zoo, f)}`);
  }
  return args;
}

// Those that this process may use, in order: `veltair run --threads n` takes the first n.
function allowedCores() {
  const list = /^Cpus_allowed_list:\s*(\S+)/m.exec(fs.readFileSync('/proc/self/status', 'utf8'))[1];
  return list.split(',').flatMap((part) => {
    const [from, to = from] = part.split('-').map(Number);
    return Array.from({ length: to - from + 1 }, (_, i) => from + i);
  });
}

const PEAK = 2; // the engines of a number of threads: veltair, ONNX Runtime, the peak

async function warmUp(group, iters) {
  const warm = [];
  for (const e of group.engines) warm.push(median(await e.run(1)));
  const fastest = Math.min(...warm.slice(0, PEAK));
  group.slow = fastest > SLOW_MS;
  group.perTurn = group.slow ? 1 : Math.ceil(TURN_MS / fastest) + 1;
  group.drop = group.perTurn > 2 ? 1 : 0;
  group.least = Math.max(group.slow ? 5 : 10, Math.ceil((iters || (group.slow ? 5 : 20)) / (group.perTurn - group.drop)));
  group.times = group.engines.map(() => []);
  group.mids = []; // of each turn, by engine
}

async function takeTurn(group) {
  const mids = [];
  for (const [i, e] of group.engines.entries()) {
    const ms = i === PEAK ? await e.run(2) : (await e.run(group.perTurn)).slice(group.drop);
    group.times[i].push(...ms);
    mids.push(median(ms));
  }
  group.mids.push(mids);
}

function rowOf(model, group) {
  const peakGflops = 1e3 * group.gflop / median(group.times[PEAK]);
  const side = (ms) => ({
    median_ms: median(ms), min_ms: Math.min(...ms), p95_ms: quantile(ms, 0.95), iterations: ms.length,
    gflops: 2 * model.macs / median(ms) / 1e6, peak_share: 2 * model.macs / median(ms) / 1e6 / peakGflops,
  });
  const [ours, theirs, peakMs] = group.times;
  const ratios = group.mids.map((m) => m[1] / m[0]);
  return {
    model: model.name, threads: group.threads, peak_gflops: peakGflops, veltair: side(ours), onnxruntime: side(theirs),
    ratio_of_best: Math.min(...theirs) / Math.min(...ours), peak_best_over_median: median(peakMs) / Math.min(...peakMs),
    ratio: median(ratios), ratio_p25: quantile(ratios, 0.25), ratio_p75: quantile(ratios, 0.75), turns: ratios.length,
  };
}

// Of the turns' ratios again: one thread and several, one after the other.
function scalingOf(model, groups) {
  const one = groups.find((g) => g.threads === 1);
  return groups.filter((g) => one && g !== one).map((g) => {
    const by = (i) => {
      const work = i === PEAK ? g.gflop / one.gflop : 1; // each of its threads does what one does alone
      const ratios = g.mids.map((m, t) => work * one.mids[t][i] / m[i]);
      return { median: median(ratios), p25: quantile(ratios, 0.25), p75: quantile(ratios, 0.75), of_best: work * Math.min(...one.times[i]) / Math.min(...g.times[i]) };
    };
    return { model: model.name, threads: g.threads, veltair: by(0), onnxruntime: by(1), peak: by(PEAK) };
  });
}

function start(model, threads, a) {
  const file = path.join(a.zoo, `${model.name}.onnx`);
  const common = [file, '--threads', String(threads), '--warmup', '1', '--interactive', ...inputArgs(a.zoo, model.name)];
  const cores = allowedCores().slice(0, threads).join(',');
  return { threads, engines: [new Engine(veltair, ['run', '--json', ...common]),
    new Engine('taskset', ['-c', cores, process.execPath, path.join(__dirname, 'ort-run.js'), ...common]),
    new Engine('taskset', ['-c', cores, peak, String(threads)])] };
}

// All numbers of threads take turns as well, or the machine's drift would be taken for scaling.
async function measure(model, a) {
  const groups = a.threads.map((t) => start(model, t, a));
  try {
    for (const g of groups) {
      for (const e of g.engines) {
        const hello = await e.answer();
        if (!hello.ready) throw new Error(`${e.name} did not say that it is ready`);
        g.gflop = hello.gflop || g.gflop; // of one iteration of the peak
      }
      await warmUp(g, a.iters);
    }
    const turns = Math.max(...groups.map((g) => g.least));
    for (let t = 0; t < turns; t++) for (const g of groups) await takeTurn(g);
    for (const e of groups.flatMap((g) => g.engines)) await e.quit();
  } catch (err) {
    for (const e of groups.flatMap((g) => g.engines)) e.kill();
    throw new Error(`${model.name}: ${err.message}`);
  }
  return { rows: groups.map((g) => rowOf(model, g)), scaling: scalingOf(model, groups) };
}

// ---- report -----------------------------------------------------------------------------------------

function machine() {
  const cpuinfo = fs.readFileSync('/proc/cpuinfo', 'utf8');
  const field = (k) => (new RegExp(`^${k}\\s*: (.*)$`, 'm').exec(cpuinfo) || [])[1];
  return {
    cpu: field('model name'), family: `${field('vendor_id')} ${field('cpu family')}/${field('model')}`, cores: os.cpus().length,
    kernel: os.release(), memory_gb: Math.round(os.totalmem() / 1e9),
    veltair: execFileSync(veltair, ['--version'], { encoding: 'utf8' }).trim(), onnxruntime: ortlib.version(),
  };
}

function summary(rows, threads) {
  const of = rows.filter((r) => r.threads === threads);
  const named = of.filter((r) => TARGETS.includes(r.model));
  return {
    threads, geomean_five: named.length === TARGETS.length ? geomean(named.map((r) => r.ratio)) : null,
    geomean_all: geomean(of.map((r) => r.ratio)), lowest: Math.min(...of.map((r) => r.ratio)),
  };
}

function markdown(report) {
  const n = (v, d = 2) => v.toFixed(d);
  const out = [`# veltair beside ONNX Runtime ${report.machine.onnxruntime}`, '',
    `${report.machine.cpu} (${report.machine.family}), ${report.machine.cores} cores, Linux ${report.machine.kernel}. ` +
    'Same file, same input, interleaved on the same cores; a ratio above 1 means that veltair is faster.', '',
    '| model | threads | veltair ms | ONNX Runtime ms | ratio | quartiles | of the best runs | veltair GFLOP/s | of peak | ONNX Runtime of peak | iterations |',
    '|---|---|---|---|---|---|---|---|---|---|---|'];
  for (const r of report.rows) {
    out.push(`| ${r.model} | ${r.threads} | ${n(r.veltair.median_ms)} | ${n(r.onnxruntime.median_ms)} | **${n(r.ratio)}** | ` +
      `${n(r.ratio_p25)} .. ${n(r.ratio_p75)} | ${n(r.ratio_of_best)} | ${n(r.veltair.gflops, 1)} | ` +
      `${n(100 * r.veltair.peak_share, 0)} % | ${n(100 * r.onnxruntime.peak_share, 0)} % | ${r.veltair.iterations} + ${r.onnxruntime.iterations} |`);
  }
  out.push('');
  for (const s of report.summary) {
    const five = s.geomean_five ? `geometric mean of the five ${n(s.geomean_five)}, ` : '';
    out.push(`- ${s.threads} threads: ${five}of all measured ${n(s.geomean_all)}, lowest ${n(s.lowest)}`);
  }
  const noisy = report.rows.filter((r) => r.peak_best_over_median > NOISE);
  if (noisy.length) {
    out.push(`- the machine was not quiet: in ${noisy.length} of ${report.rows.length} rows the peak itself lost more than ` +
      `${n(100 * (NOISE - 1), 0)} % to others; trust the ratio of the best runs more there`);
  }
  if (report.scaling.length) {
    out.push('', '| model | threads | veltair, times one thread | quartiles | of the best runs | ONNX Runtime | the peak |', '|---|---|---|---|---|---|---|');
    for (const s of report.scaling) {
      out.push(`| ${s.model} | ${s.threads} | **${n(s.veltair.median)}** | ${n(s.veltair.p25)} .. ${n(s.veltair.p75)} | ${n(s.veltair.of_best)} | ` +
        `${n(s.onnxruntime.median)} | ${n(s.peak.median)} |`);
    }
  }
  return `${out.join('\n')}\n`;
}

async function main() {
  const a = parse(process.argv.slice(2));
  const known = JSON.parse(execFileSync(veltair, ['zoo', '--list', '--json'], { encoding: 'utf8' }));
  const models = a.models.map((name) => known.find((m) => m.name === name) || name);
  const unknown = models.filter((m) => typeof m === 'string');
  if (unknown.length) throw new Error(`no model ${unknown}; 'veltair zoo --list' shows those there are`);
  // `make demo` and bench-tenants leave models without inputs there.
  const missing = models.filter((m) => !fs.existsSync(path.join(a.zoo, `${m.name}.onnx`)) || !inputArgs(a.zoo, m.name).length);
  if (missing.length) execFileSync(veltair, ['zoo', '--out', a.zoo, '--inputs', ...missing.map((m) => m.name)], { stdio: ['ignore', 'ignore', 'inherit'] });
  const bare = missing.filter((m) => !inputArgs(a.zoo, m.name).length);
  if (bare.length) throw new Error(`${a.zoo} has no ${bare[0].name}.INPUT.npy`);
  const report = { machine: machine(), date: new Date().toISOString(), rows: [], scaling: [] };
  for (const m of models) {
    const { rows, scaling } = await measure(m, a);
    report.rows.push(...rows);
    report.scaling.push(...scaling);
    for (const row of rows) {
      process.stderr.write(`${row.model}, ${row.threads} threads: ${row.veltair.median_ms.toFixed(2)} ms, ` +
        `ONNX Runtime ${row.onnxruntime.median_ms.toFixed(2)} ms, ratio ${row.ratio.toFixed(2)}\n`);
    }
    for (const s of scaling) process.stderr.write(`${s.model}, ${s.threads} threads: ${s.veltair.median.toFixed(2)} times one thread\n`);
  }
  report.rows.sort((x, y) => x.threads - y.threads); // stable: models stay in order
  report.summary = [...new Set(report.rows.map((r) => r.threads))].map((t) => summary(report.rows, t));
  fs.mkdirSync(path.dirname(a.out), { recursive: true });
  fs.writeFileSync(`${a.out}.json`, `${JSON.stringify(report, null, 2)}\n`);
  fs.writeFileSync(`${a.out}.md`, markdown(report));
  process.stdout.write(markdown(report));
}

main().catch((err) => {
  process.stderr.write(`bench-ort: ${err.message}\n`);
  process.exitCode = 1;
});
