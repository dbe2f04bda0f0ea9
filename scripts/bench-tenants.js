#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// Many models on one machine: veltair beside one process of ONNX Runtime per tenant.
//
//   bench-tenants.js [--pairs light,medium,heavy] [--rounds N] [--secs S] [--serve] [--shared-memory] [--settings] [--drops]
//                    [--profiles DB] [--seed N] [--zoo DIR] [--out PREFIX]
//
// With --serve the DB should have the models: what it lacks the server would profile while ONNX Runtime has its turn.
//
// The measuring is `veltair bench`: the same seeded Poisson arrivals for all, open loop, slices interleaved, the
// highest rate with 95 % of the requests in time. A target is three times the time alone of the slower of
// the two engines, one number for both. Beside each result stands what a queue allows that engine at its
// own times alone. ONNX Runtime serves in the order of arrival, as people run it; with --drops also told
// its deadlines, so that it may drop what is hopeless. --serve compares with `veltair serve` over a Unix
// socket instead of the runtime in the bench's own process, --shared-memory with inputs that lie there, as those of
// ONNX Runtime's tenants lie in their process. A process of ONNX Runtime has as many threads as there
// are cores, as veltair has; --settings tries first whether one, or its share of the cores, serves more. Writes PREFIX.md, PREFIX.json and PREFIX-PAIR.html, and the table to standard output.
'use strict';
const fs = require('fs');
const os = require('os');
const path = require('path');
const { execFileSync, spawn, spawnSync } = require('child_process');
const ortlib = require('./ort.js');

const veltair = process.env.VELTAIR || 'build/release/veltair';
const PAIRS = {
  light: { models: ['mobilenet-v2', 'efficientnet-b0'], secs: 3, goal: 3 },
  medium: { models: ['resnet-50', 'googlenet'], secs: 5, goal: 2 },
  heavy: { models: ['bert-large', 'resnet-50'], secs: 30, goal: 1.6 },
};
const CORES = os.availableParallelism ? os.availableParallelism() : os.cpus().length; // that this process may use

// What a process of ONNX Runtime may be given, the usual first.
function settingsOf(pair) {
  const share = Math.max(1, Math.floor(CORES / PAIRS[pair].models.length));
  const named = (n, more, ...flags) => [`${n} thread${n === 1 ? '' : 's'}${more}`, ['--threads', String(n), ...flags]];
  return Object.fromEntries([named(CORES, ''), named(CORES, ', spinning', '--spin'), named(share, ''), named(1, '')]);
}

function parse(argv) {
  const a = { pairs: Object.keys(PAIRS), rounds: 6, zoo: 'build/zoo', out: 'build/bench-tenants', seed: 1 };
  const values = {
    '--pairs': (v) => { a.pairs = v.split(','); }, '--rounds': (v) => { a.rounds = Number(v); },
    '--secs': (v) => { a.secs = Number(v); }, '--seed': (v) => { a.seed = Number(v); }, '--zoo': (v) => { a.zoo = v; },
    '--out': (v) => { a.out = v; }, '--profiles': (v) => { a.profiles = v; },
  };
  const flags = { '--serve': 'serve', '--shared-memory': 'shm', '--settings': 'settings', '--drops': 'drops' };
  for (let i = 0; i < argv.length; i++) {
    if (flags[argv[i]]) a[flags[argv[i]]] = true;
    else if (values[argv[i]] && i + 1 < argv.length) values[argv[i]](argv[++i]);
    else throw new Error(`'${argv[i]}' not understood; ${[...Object.keys(values), ...Object.keys(flags)].join(' ')}`);
  }
  if (a.shm) a.serve = true;
  const unknown = a.pairs.filter((p) => !PAIRS[p]);
  if (unknown.length) throw new Error(`no pair ${unknown}; there are ${Object.keys(PAIRS)}`);
  return a;
}

const file = (a, model) => path.join(a.zoo, `${model}.onnx`);
const quote = (word) => `'${word.replace(/'/g, "'\\''")}'`; // for the shell that starts a peer
const peer = (name, args) => ['--peer', `${name}=${[process.execPath, path.join(__dirname, 'ort-tenant.js'), ...args].map(quote).join(' ')}`];

// `veltair bench`, its progress passed on, its JSON returned: of one that broke, that of the rounds until then.
function bench(args) {
  const r = spawnSync(veltair, ['bench', '--json', ...args], { stdio: ['ignore', 'pipe', 'inherit'], maxBuffer: 1 << 28 });
  const broken = r.status !== 0 && `veltair bench ${args.join(' ')} ended with status ${r.status}`;
  if (broken && !String(r.stdout).trim()) throw new Error(broken);
  return { ...JSON.parse(r.stdout), broken };
}

// The settings that serve most, by a short search each, interleaved.
function bestSettings(a, pair) {
  const settings = settingsOf(pair), names = Object.keys(settings);
  if (!a.settings) return { name: names[0], args: settings[names[0]], tried: null };
  const args = PAIRS[pair].models.flatMap((m) => ['--model', file(a, m)]);
  for (const [name, flags] of Object.entries(settings)) args.push(...peer(name.replace(/[ ,]+/g, '-'), flags));
  const r = bench([...args, '--rounds', '4', '--secs', String(a.secs || PAIRS[pair].secs), '--seed', String(a.seed)]);
  if (r.broken) throw new Error(r.broken);
  const tried = r.rows.map((row, i) => ({ settings: names[i], rate_hz: row.at_most ? 0 : row.rate_hz }));
  const best = tried.reduce((x, y) => (y.rate_hz > x.rate_hz ? y : x));
  process.stderr.write(`${pair}: ONNX Runtime ${tried.map((t) => `${t.settings} ${t.rate_hz.toFixed(1)}/s`).join(', ')}\n`);
  return { name: best.settings, args: settings[best.settings], tried };
}

// `veltair serve` with the pair's models on a Unix socket; resolves when it is ready.
async function serve(a, pair, dir) {
  const socket = path.join(dir, 'socket');
  const models = PAIRS[pair].models.map((m) => `  - name: ${m}\n    path: ${path.resolve(file(a, m))}\n    instances: 2\n`);
  const config = path.join(dir, 'serve.yaml');
  const profiles = a.profiles ? `profiles: ${JSON.stringify(path.resolve(a.profiles))}\n` : '';
  fs.writeFileSync(config, `listen:\n  - unix:${socket}\nshared_memory: unix\n${profiles}models:\n${models.join('')}`);
  const child = spawn(veltair, ['serve', '--config', config], { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.on('data', (d) => { said = (said + d).slice(-2000); });
  for (let i = 0; i < 600; i++) {
    if (child.exitCode !== null) throw new Error(`veltair serve ended: ${said.trim()}`);
    const up = fs.existsSync(socket) && spawnSync('curl', ['-sf', '--unix-socket', socket, 'http://x/v2/health/ready']).status === 0;
    if (up) return { child, url: `unix:${socket}` };
    await new Promise((r) => { setTimeout(r, 100); });
  }
  child.kill();
  throw new Error('veltair serve was not ready in a minute');
}

async function measure(a, pair) {
  const settings = bestSettings(a, pair);
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'veltair-tenants-'));
  const args = PAIRS[pair].models.flatMap((m) => ['--model', file(a, m)]);
  let server = null;
  try {
    if (a.serve) {
      server = await serve(a, pair, dir);
      args.push('--url', server.url);
      if (a.shm) args.push('--shared-memory');
    } else {
      args.push('--policy', 'veltair-full');
      if (a.profiles) args.push('--profiles', a.profiles);
    }
    args.push(...peer('onnxruntime', settings.args));
    if (a.drops) args.push('--peer-deadlines');
    args.push('--rounds', String(a.rounds), '--secs', String(a.secs || PAIRS[pair].secs), '--seed', String(a.seed), '--html', `${a.out}-${pair}.html`);
    return { pair, settings: settings.name, tried: settings.tried, ...bench(args) };
  } finally {
    if (server) server.child.kill();
    fs.rmSync(dir, { recursive: true, force: true });
  }
}

// ---- report -----------------------------------------------------------------------------------------

function machine() {
  const cpuinfo = fs.readFileSync('/proc/cpuinfo', 'utf8');
  const field = (k) => (new RegExp(`^${k}\\s*: (.*)$`, 'm').exec(cpuinfo) || [])[1];
  return {
    cpu: field('model name'), family: `${field('vendor_id')} ${field('cpu family')}/${field('model')}`, cores: CORES,
    kernel: os.release(), veltair: execFileSync(veltair, ['--version'], { encoding: 'utf8' }).trim(), onnxruntime: ortlib.version(),
  };
}

const n = (v, d = 1) => (v === undefined ? '' : v.toFixed(d));

// "2.10 (1.80 .. 2.45)": how many times what ONNX Runtime serves; '' where either is only known from the wrong side.
function times(r, row, ort) {
  const x = r.ratios.find((y) => y.row === row.name && y.over === ort.name);
  if (x) return `${n(x.ratio, 2)} (${n(x.low_95, 2)} .. ${n(x.high_95, 2)})`;
  if (row.at_most || ort.open) return '';
  return `${row.open || ort.at_most ? '> ' : ''}${n(row.rate_hz / ort.rate_hz, 2)}`;
}

function line(r, row) {
  const engine = r.engines.find((e) => e.name === row.engine);
  const ort = r.rows.find((x) => x.name === 'onnxruntime');
  const range = row.low_95_hz === undefined ? '' : `${n(row.low_95_hz)} .. ${n(row.high_95_hz)}`;
  const goal = row === ort ? '' : `${times(r, row, ort)}${row.name.startsWith('onnx') ? '' : ` (goal ${PAIRS[r.pair].goal})`}`;
  return `| ${r.pair} | ${row.name} | ${engine.alone_ms.map((v) => n(v)).join(' / ')} | ${row.open ? '> ' : row.at_most ? '< ' : ''}**${n(row.rate_hz)}** | ${range} | ` +
    `${n(engine.limit_hz)} | ${n(100 * row.rate_hz / engine.limit_hz, 0)} % | ${goal} | ${n(row.p50_ms)} / ${n(row.p95_ms)} / ${n(row.p99_ms)} |`;
}

function markdown(report) {
  const m = report.machine;
  const out = [`# Tenants: veltair beside ONNX Runtime ${m.onnxruntime}`, '',
    `${m.cpu} (${m.family}), ${m.cores} cores, Linux ${m.kernel}, ${m.veltair}. Highest rate with 95 % in time, both models equally often, ` +
    'same arrivals and targets, interleaved. The limit: one server, earliest deadline first, hopeless requests dropped, at that engine\'s own times alone.', '',
    '| pair | | alone ms | requests/s in time | 95 % range | limit | of the limit | of ONNX Runtime | p50 / p95 / p99 ms |', '|---|---|---|---|---|---|---|---|---|'];
  for (const r of report.pairs) for (const row of r.rows) out.push(line(r, row));
  out.push('');
  for (const r of report.pairs) {
    out.push(`- ${r.pair}: ${r.models.map((x) => `${x.name} ${x.qos_ms.toFixed(1)} ms`).join(', ')}; ONNX Runtime with ${r.settings}; ` +
      `${r.broken ? `broke after ${r.rounds_done} of ` : ''}${r.rounds} rounds of ${r.secs.toFixed(0)} s, seed ${r.seed}`);
    for (const x of r.rows.filter((row) => row.set_aside)) {
      out.push(`- ${r.pair}, ${x.name}: round ${x.set_aside.round + 1} set aside, ${n(100 * x.set_aside.share, 0)} % in time at ${n(x.set_aside.rate_hz)}/s`);
    }
  }
  return `${out.join('\n')}\n`;
}

async function main() {
  const a = parse(process.argv.slice(2));
  const needed = [...new Set(a.pairs.flatMap((p) => PAIRS[p].models))];
  const missing = needed.filter((m) => !fs.existsSync(file(a, m)));
  if (missing.length) execFileSync(veltair, ['zoo', '--out', a.zoo, ...missing], { stdio: ['ignore', 'ignore', 'inherit'] });
  fs.mkdirSync(path.dirname(a.out), { recursive: true });
  const report = { machine: machine(), date: new Date().toISOString(), pairs: [] };
  let failed = null;
  for (const pair of a.pairs) {
    try {
      report.pairs.push(await measure(a, pair));
      failed = report.pairs.at(-1).broken && new Error(report.pairs.at(-1).broken);
    } catch (err) {
      failed = err;
    }
    // Pair by pair: what took half an hour outlives a failure of the next.
    fs.writeFileSync(`${a.out}.json`, `${JSON.stringify(report, null, 2)}\n`);
    fs.writeFileSync(`${a.out}.md`, markdown(report));
    if (failed) break;
  }
  process.stdout.write(markdown(report));
  if (failed) throw failed;
}

main().catch((err) => {
  process.stderr.write(`bench-tenants: ${err.message}\n`);
  process.exitCode = 1;
});
