// SPDX-License-Identifier: Apache-2.0
// The dashboard: asks for dashboard/state once a second and turns sums into rates. Nothing else is fetched.
'use strict';

const KEEP_S = 600, STATES_S = 60, QUANTILE_S = 10, LINES = 7;
const $ = (id) => document.getElementById(id);
const states = []; // oldest first, as far back as tiles and tables look
const points = []; // what each look added to the charts, oldest first: of whole states ten minutes are too much
let paused = false, sortBy = 'cpu', sortUp = false;

// ---- small things -----------------------------------------------------------------------

const fix = (v, n = 1) => (v === null || v === undefined || !isFinite(v) ? '–' : v.toFixed(n));
const pct = (v, n = 1) => (isFinite(v) ? (100 * v).toFixed(n) + ' %' : '–');
const si = (v) => {
  if (v === null || v === undefined || !isFinite(v)) return '–';
  for (const [u, s] of [[1e12, 'T'], [1e9, 'G'], [1e6, 'M'], [1e3, 'k']])
    if (Math.abs(v) >= u) {
      const x = v / u; // three digits, so that a tile has room
      return x.toFixed(Math.abs(x) < 10 ? 2 : Math.abs(x) < 100 ? 1 : 0) + ' ' + s;
    }
  return v.toFixed(v < 10 ? 1 : 0);
};
function el(tag, text, cls) {
  const e = document.createElement(tag);
  if (text !== undefined) e.textContent = text; // never markup: names come from outside
  if (cls) e.className = cls;
  return e;
}
function ago(s) {
  const d = Math.floor(s / 86400), h = Math.floor(s / 3600) % 24, m = Math.floor(s / 60) % 60;
  return d ? `up ${d} d ${h} h` : h ? `up ${h} h ${m} min` : m ? `up ${m} min` : `up ${Math.floor(s)} s`;
}
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const colours = new Map(), drawn = new Set(); // of the lines of charts; which were in this drawing
function allot(keys) { // colours to the lines of one chart: no two the same, each kept as long as it is shown
  const here = new Set();
  for (const key of new Set(keys)) {
    drawn.add(key);
    if (here.has(colours.get(key))) colours.delete(key);
    else if (colours.has(key)) here.add(colours.get(key));
  }
  for (const key of keys) {
    if (colours.has(key)) continue;
    const all = new Set(colours.values()), free = [...Array(8).keys()].filter((i) => !here.has(i));
    const i = free.find((x) => !all.has(x)) ?? free[0];
    colours.set(key, i);
    here.add(i);
  }
}
const colourOf = (key) => css(colours.has(key) ? `--m${colours.get(key)}` : '--line'); // a faint one without a line
const count = (n, what) => `${n} ${what}${n === 1 ? '' : 's'}`;
const modelKey = (m) => (m.version && m.version !== '1' ? `${m.name}:${m.version}` : m.name);
const ranModel = (x) => x.model && modelKey({ name: x.model, version: x.version }); // of a core or a decision
const tenantKey = (t) => `${t.kind} ${t.name}`;

// ---- from sums to rates -----------------------------------------------------------------

const last = () => states[states.length - 1];
function before(seconds) { // the state about so long before the last one
  const until = last().t - seconds;
  let i = states.length - 1;
  while (i > 0 && states[i].t > until) i--;
  return states[i];
}
const indexes = new WeakMap(); // of models and tenants of a state, made once
function inState(s, list, key, like) {
  if (!indexes.has(s)) indexes.set(s, {});
  const of = indexes.get(s);
  of[list] = of[list] || new Map((s[list] || []).map((x) => [key(x), x]));
  return of[list].get(key(like));
}
const tenantIn = (s, t) => inState(s, 'tenants', tenantKey, t);
function modelIn(s, m) { // not by id: what replaces one goes on with its counts; what was unloaded and loaded counts from zero
  const o = inState(s, 'models', modelKey, m);
  return o && o.requests <= m.requests ? o : undefined;
}
const since = (a, b, key) => Math.max(0, b[key] - (a ? a[key] : 0));

function quantile(a, b, q, bounds) { // of the latencies that came between two states
  const d = b.latency.map((v, i) => v - (a ? a.latency[i] : 0));
  const n = d.reduce((x, y) => x + y, 0);
  if (!n) return NaN;
  let left = q * n;
  for (let i = 0; i < d.length; i++) {
    if (left <= d[i] && d[i]) {
      const lo = i ? bounds[i - 1] : 0, hi = i < bounds.length ? bounds[i] : bounds[bounds.length - 1] * 1.5;
      return lo + (hi - lo) * (left / d[i]);
    }
    left -= d[i];
  }
  return NaN;
}

const refused = (m) => m.shed + m.queue_full + m.no_memory; // those that leave are no miss
const refusedSince = (a, b) => Math.max(0, refused(b) - (a ? refused(a) : 0));
const ENDED = [['in time', (a, b) => since(a, b, 'in_time'), '--good'], ['late', (a, b) => since(a, b, 'late'), '--warn'],
  ['refused', refusedSince, '--bad']];
const late95 = (o, m, s) => quantile(o, m, 0.95, s.bucket_ms) / m.qos_ms;

function point(a, b) { // what state b, the last one, adds to the charts after state a
  const dt = b.t - a.t, old = before(QUANTILE_S), all = b.models || [], q = tenantQuantity(b), used = new Map();
  for (const t of b.tenants || []) {
    const o = tenantIn(a, t);
    if (o) used.set(tenantKey(t), Math.max(0, (q.get(t) - q.get(o)) / dt));
  }
  return { t: b.t, used,
    late: new Map(all.map((m) => [modelKey(m), late95(modelIn(old, m), m, b)])),
    ended: ENDED.map(([, f]) => all.reduce((n, m) => n + f(modelIn(a, m), m), 0) / dt),
    pressure: (b.domains || []).map((d) => d.pressure) };
}

let epoch = 0, shown = 0; // of the server's clock, by this browser's; the last decision listed
const wall = (t) => epoch + 1000 * t;
function take(s) { // another look
  s.t = s.now_s;
  if (states.length && s.started_s !== last().started_s) states.length = points.length = shown = 0; // restarted: other sums
  const a = last();
  if (a && s.t <= a.t) return;
  const began = Date.now() - 1000 * s.t;
  if (!a || Math.abs(began - epoch) > 5000) epoch = began; // one of them was set, or slept: all that is shown moves along
  states.push(s);
  if (a) points.push(point(a, s));
  while (states.length > 2 && s.t - states[1].t >= STATES_S) states.shift();
  while (points.length && s.t - points[0].t > KEEP_S) points.shift();
}

// ---- charts -----------------------------------------------------------------------------

const charts = {};
function chart(name, series, rows, opts) {
  const sig = series.map((s) => s.label + s.colour).join('\u0001') + document.documentElement.dataset.theme;
  const labels = ['t', ...series.map((s, i) => `${i}\u0002${s.label}`)];
  const end = wall(last().t), span = Number($('span').value) * 1000;
  const file = rows.length && series.length ? rows : [[new Date(end), ...series.map(() => NaN)]];
  const common = { file, dateWindow: [end - span, end] };
  if (!series.length) { $(`l-${name}`).textContent = 'nothing to show yet'; return; }
  if (!charts[name] || charts[name].sig !== sig) {
    if (charts[name]) charts[name].g.destroy();
    const g = new Dygraph($(`c-${name}`), file, Object.assign({
      labels, colors: series.map((s) => s.colour), strokeWidth: 1.8, drawPoints: false, connectSeparatedPoints: false,
      legend: 'never', axisLineColor: css('--line'), gridLineColor: css('--line'), gridLineWidth: 0.6,
      interactionModel: {}, highlightCircleSize: 0, includeZero: true, axisLabelFontSize: 11,
      dateWindow: common.dateWindow, axes: { y: { axisLabelWidth: 42 } },
    }, opts));
    charts[name] = { g, sig };
  } else {
    charts[name].g.updateOptions(common);
  }
  const legend = $(`l-${name}`);
  legend.replaceChildren(...series.map((s) => {
    const item = el('span'), key = el('span', '', 'key');
    key.style.background = s.colour;
    item.append(key, `${s.label} `, el('b', s.now));
    return item;
  }));
}

const rowsOf = (values) => points.map((p) => [new Date(wall(p.t)), ...values(p)]);
const now = (rows, i, n) => (rows.length ? fix(rows[rows.length - 1][i + 1], n) : '–');

function chartLatency(s) {
  const models = s.models || [], from = s.t - Number($('span').value), worst = new Map();
  for (const p of points)
    if (p.t > from) for (const [key, v] of p.late) worst.set(key, Math.max(worst.get(key) || 0, v || 0));
  const most = new Set(models.map(modelKey).sort((a, b) => (worst.get(b) || 0) - (worst.get(a) || 0)).slice(0, LINES));
  const keys = models.map(modelKey).filter((key) => most.has(key));
  allot(keys);
  const rows = rowsOf((p) => [...keys.map((key) => p.late.get(key) ?? NaN), 1]);
  const series = keys.map((key, i) => ({ label: key, colour: colourOf(key), now: now(rows, i, 2) }));
  if (series.length) series.push({ label: 'target', colour: css('--bad'), now: '1' });
  chart('lat', series, rows, { valueRange: [0, null] });
  $('n-lat').textContent = models.length > LINES
    ? `the ${LINES} worst of ${models.length} models in this window; the table has them all` : '';
}

function chartRequests() {
  const rows = rowsOf((p) => p.ended);
  chart('req', ENDED.map(([label, , c], i) => ({ label, colour: css(c), now: now(rows, i) })), rows,
    { stackedGraph: true, fillAlpha: 0.35 });
}

function chartPressure(s) {
  const d = s.domains || [];
  const rows = rowsOf((p) => d.map((_, i) => p.pressure[i] ?? NaN));
  chart('press', d.map((x, i) => ({
    label: d.length > 1 ? `domain ${i}` : 'all cores', colour: css(`--m${i % 8}`), now: fix(x.pressure, 2) })), rows,
  { valueRange: [0, 1.02], fillGraph: d.length === 1, fillAlpha: 0.15 });
  const slow = d.some((x) => x.slowdown), cnt = d.some((x) => x.counters);
  $('n-press').textContent = !d.length ? '' : cnt ? 'from hardware counters, corrected by measured slowdown'
    : slow ? 'learnt from how much slower finished blocks were than their profile: no hardware counters here'
      : 'a first guess from busy cores: no counters here, and no block has told otherwise yet';
}

// A proxy is another quantity, whatever counts it: no misses, no bytes.
const counted = (s, role) => (s.counters || []).some((c) => c.role === role && c.class === 'hw' && c.quality !== 'proxy');

// What can be said per tenant, best first: bandwidth, misses, CPU time.
function tenantQuantity(s) {
  const hw = (role) => counted(s, role);
  const why = (role) => ((s.counters || []).find((c) => c.role === role) || {}).absent || 'not counted here';
  if (hw('dram_fills')) return { title: 'Memory bandwidth', get: (t) => t.dram_fills * s.line_bytes / 1e9, unit: 'GB/s', note: '' };
  if (hw('llc_misses')) return { title: 'LLC misses', get: (t) => t.llc_misses / 1e6, unit: 'million/s', note: '' };
  return { title: 'CPU time', get: (t) => t.cpu_s, unit: 'cores',
    note: `CPU time is shown in place of memory bandwidth: no hardware counter for it here (${why('dram_fills').slice(0, 160)})` };
}

function chartTenants(s) {
  const q = tenantQuantity(s);
  $('h-bw-what').textContent = `${q.title}, ${q.unit}`;
  if (!s.tenants) {
    $('n-bw').textContent = `the monitor is off: ${s.monitor_absent || 'not asked for'}`;
    chart('bw', [], [], {});
    return;
  }
  $('n-bw').textContent = q.note;
  const past = before(30), total = (t) => { const o = tenantIn(past, t); return q.get(t) - (o ? q.get(o) : 0); };
  const top = s.tenants.slice().sort((a, b) => total(b) - total(a)).slice(0, LINES)
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  allot(top.map((t) => t.name));
  const rows = rowsOf((p) => top.map((t) => p.used.get(tenantKey(t)) ?? NaN));
  chart('bw', top.map((t, i) => ({ label: t.name, colour: colourOf(t.name), now: now(rows, i, 2) })), rows, {});
}

// ---- tables, cores, decisions -----------------------------------------------------------

function tiles(s) {
  const old = before(60), dt = s.t - old.t;
  let done = 0, ok = 0, bad = 0;
  for (const m of s.models || []) {
    const o = modelIn(old, m);
    ok += since(o, m, 'in_time');
    done += since(o, m, 'in_time') + since(o, m, 'late');
    bad += refusedSince(o, m);
  }
  const near = before(5), near_dt = s.t - near.t;
  const doneNear = (s.models || []).reduce((n, m) => n + since(modelIn(near, m), m, 'in_time') + since(modelIn(near, m), m, 'late'), 0);
  $('t-rate').textContent = near_dt ? fix(doneNear / near_dt) : '–';
  const share = done + bad ? ok / (done + bad) : NaN, q = $('t-qos');
  q.textContent = pct(share);
  q.className = 'value ' + (share >= 0.95 ? 'good' : share >= 0.8 ? 'warn' : isFinite(share) ? 'bad' : '');
  $('t-qos-of').textContent = dt ? `of ${done + bad} in ${Math.round(dt)} s` : '';
  $('t-wait').textContent = s.waiting ?? '–';
  $('t-wait-of').textContent = s.limit ? `of at most ${s.limit}` : '';
  const busy = (s.cores || []).reduce((n, c, i) => n + (near.cores && near.cores[i] ? since(near.cores[i], c, 'busy_s') / near_dt : 0), 0);
  $('t-busy').textContent = near_dt && s.cores ? fix(busy, 2) : '–';
  $('t-busy-of').textContent = s.cores ? `of ${s.cores.length}` : '';
  const d = (s.domains || []).slice().sort((a, b) => b.pressure - a.pressure)[0];
  $('t-press').textContent = d ? fix(d.pressure, 2) : '–';
  $('t-press-of').textContent = d ? `trust ${pct(d.confidence, 0)}` : '';
  const cpu = (st) => (st.tenants || []).reduce((n, t) => n + t.cpu_s, 0);
  $('t-cpu').textContent = near_dt && s.tenants && near.tenants ? fix(Math.max(0, cpu(s) - cpu(near)) / near_dt, 2) : '–';
  $('t-cpu-of').textContent = s.tenants ? `cores, ${s.tenants.length} tenants` : 'the monitor is off';
  $('t-mem').textContent = s.rss_bytes ? si(s.rss_bytes) + 'B' : '–';
}

function cores(s) {
  const list = $('cores'), all = s.cores || [], near = before(5);
  list.classList.toggle('many', all.length > 32);
  while (list.children.length > all.length) list.lastChild.remove();
  while (list.children.length < all.length) { const li = el('li'); li.append(el('b'), el('span')); list.append(li); }
  all.forEach((c, i) => {
    const li = list.children[i], old = near.cores && near.cores[i], model = ranModel(c);
    const busy = old && s.t > near.t ? since(old, c, 'busy_s') / (s.t - near.t) : NaN;
    li.style.borderLeftColor = model ? colourOf(model) : '';
    li.firstChild.textContent = model || (c.taken ? 'taken' : 'idle');
    li.classList.toggle('taken', c.taken === true);
    li.lastChild.textContent = `CPU ${c.cpu}` + (isFinite(busy) ? ` · ${Math.round(100 * Math.min(1, busy))} %` : '')
      + (c.taken ? ` · others ${pct(1 - c.available, 0)}` : '');
    li.title = (model ? `CPU ${c.cpu}: request ${c.id} of ${model}` : `CPU ${c.cpu}: idle`)
      + (c.taken ? `; taken: other programs use ${pct(1 - c.available, 0)} of it, so nothing is led from it` : '');
  });
}

function versionBar(a, b) {
  const d = b.layer_runs.map((v, i) => v - (a ? a.layer_runs[i] : 0)), n = d.reduce((x, y) => x + y, 0);
  const box = el('span', undefined, 'bar');
  const words = [];
  d.forEach((v, i) => {
    if (!v || !n) return;
    const part = el('i');
    part.style.width = `${100 * v / n}%`;
    part.style.background = css(`--m${i}`);
    words.push(`${i ? 'version ' + i : 'fastest alone'} ${pct(v / n, 0)}`);
    box.append(part);
  });
  box.title = words.join(', ') || 'no layer ran';
  box.setAttribute('role', 'img');
  box.setAttribute('aria-label', box.title);
  return box;
}

function models(s) {
  const old = before(QUANTILE_S), dt = s.t - old.t;
  $('h-models-of').textContent = dt ? `rates, shares and percentiles of the last ${Math.round(dt)} s` : '';
  $('models').tBodies[0].replaceChildren(...(s.models || []).map((m) => {
    const o = modelIn(old, m), tr = el('tr');
    const done = since(o, m, 'in_time') + since(o, m, 'late'), all = done + refusedSince(o, m);
    const blocks = since(o, m, 'blocks'), p = (q) => fix(quantile(o, m, q, s.bucket_ms), 2);
    const name = el('td', undefined, 'name'), key = el('span', '', 'key');
    key.style.background = colourOf(modelKey(m));
    name.append(key, modelKey(m));
    name.title = m.profiled ? 'layer times from the profile store' : 'layer times from a few whole runs: not profiled yet';
    if (!m.profiled) name.append(el('span', ' unprofiled', 'dim'));
    const num = (text) => el('td', text, 'n');
    const bar = el('td');
    bar.append(versionBar(o, m));
    tr.append(name, num(fix(m.qos_ms, 1)), num(dt ? fix(done / dt) : '–'), num(all ? pct(since(o, m, 'in_time') / all) : '–'),
      num(p(0.5)), num(p(0.95)), num(p(0.99)), num(String(m.waiting)),
      num(blocks ? `${fix(since(o, m, 'granted') / blocks, 2)} / ${fix(since(o, m, 'wanted') / blocks, 2)}` : '–'),
      num(blocks ? pct(since(o, m, 'conflicts') / blocks) : '–'), bar);
    return tr;
  }));
}

const ROLES = [['cycles', 'cycles/s'], ['instructions', 'instr/s'], ['llc_misses', 'LLC misses/s'], ['dram_fills', 'bytes/s']];
function tenants(s) {
  const table = $('tenants'), note = $('n-tenants');
  if (!s.tenants) { note.textContent = `the monitor is off: ${s.monitor_absent || 'not asked for'}`; return; }
  const old = before(QUANTILE_S), dt = s.t - old.t || 1;
  const rows = s.tenants.map((t) => {
    const o = tenantIn(old, t), r = { name: t.name, kind: t.kind, cpu: since(o || t, t, 'cpu_s') / dt };
    for (const [role] of ROLES) r[role] = t[role] === null || !counted(s, role) ? null
      : since(o && o[role] !== null ? o : t, t, role) / dt * (role === 'dram_fills' ? s.line_bytes : 1);
    return r;
  });
  rows.sort((a, b) => (sortUp ? 1 : -1) * (typeof a[sortBy] === 'string' ? a[sortBy].localeCompare(b[sortBy]) : (a[sortBy] ?? -1) - (b[sortBy] ?? -1)));
  const columns = [['name', 'Tenant'], ['kind', 'Kind'], ['cpu', 'CPU %'], ...ROLES];
  if (!table.tHead.rows.length) {
    const tr = el('tr');
    for (const [key, title] of columns) {
      const th = el('th', undefined, key === 'name' || key === 'kind' ? '' : 'n'), b = el('button', title);
      b.type = 'button';
      b.addEventListener('click', () => { sortUp = sortBy === key ? !sortUp : key === 'name' || key === 'kind'; sortBy = key; tenants(last()); });
      th.scope = 'col';
      th.dataset.key = key;
      th.append(b);
      tr.append(th);
    }
    table.tHead.append(tr);
  }
  for (const th of table.tHead.rows[0].cells)
    th.setAttribute('aria-sort', th.dataset.key !== sortBy ? 'none' : sortUp ? 'ascending' : 'descending');
  table.tBodies[0].replaceChildren(...rows.slice(0, 20).map((r) => {
    const tr = el('tr'), name = el('td', r.name, 'name');
    name.title = r.name;
    tr.append(name, el('td', r.kind), el('td', fix(100 * r.cpu), 'n'));
    for (const [role] of ROLES) {
      const td = el('td', undefined, 'n');
      td.append(r[role] === null ? el('span', 'n/a', 'na') : si(r[role]));
      tr.append(td);
    }
    return tr;
  }));
  note.textContent = rows.length > 20 ? `${rows.length - 20} more in /metrics` : '';
}

function sentence(d) {
  const who = `${ranModel(d) || 'an unloaded model'} #${d.id}`, at = `pressure level ${d.level} (${fix(d.pressure, 2)}, trust ${pct(d.confidence, 0)})`;
  const slack = d.slack_ms >= 0 ? `${fix(d.slack_ms)} ms left` : `${fix(-d.slack_ms)} ms late`;
  const taken = d.taken ? `; others had taken ${count(d.taken, 'core')}` : '';
  switch (d.kind) {
  case 'start': return [`start ${who}`, `layers ${d.layers[0]}–${d.layers[1] - 1} on ${d.granted} of ${count(d.wanted, 'core')} wanted, ${d.free} ${d.free === 1 ? 'was' : 'were'} free; ${slack}, the rest takes ${fix(d.rest_ms)} ms; ${at}`
    + (d.other_versions ? `; ${count(d.other_versions, 'layer')} in another version` : '') + (d.waiting > 1 ? `; ${d.waiting} waited` : '') + taken];
  case 'grow': return [`grow ${who}`, `to ${count(d.granted, 'core')}; ${slack}`];
  case 'shrink': return [`shrink ${who}`, `to ${count(d.granted, 'core')}; ${slack}`];
  case 'preempt': return [`preempt ${who}`, `at its next layer; ${slack}, ${d.waiting} waited`];
  case 'shed': return [`refuse ${who}`, `${slack}, but it needs ${fix(d.rest_ms)} ms on ${count(d.usable, 'core')}; ${at}; ${d.waiting} waited${taken}`];
  default: return [d.kind, who];
  }
}

function decisions(s) {
  const list = $('decisions');
  const fresh = (s.decisions || []).filter((d) => d.n > shown);
  if ((s.decisions || []).length) shown = s.decisions[s.decisions.length - 1].n;
  for (const d of fresh.slice(-60)) {
    const li = el('li'), [what, why] = sentence(d);
    li.style.borderLeftColor = d.model ? colourOf(ranModel(d)) : '';
    li.append(el('time', new Date(wall(d.t)).toISOString().slice(11, 23)),
      el('b', what, d.kind === 'shed' ? 'shed' : d.kind === 'start' && d.granted < d.wanted ? 'conflict' : ''), ` ${why}`);
    list.prepend(li);
  }
  while (list.children.length > 60) list.lastChild.remove();
}

function sources(s) {
  const rows = (s.counters || []).flatMap((c) => [el('dt', c.role.replace('_', ' ')),
    el('dd', c.absent ? `not counted: ${c.absent}` : `${c.event} (${c.class === 'hw' ? 'hardware' : 'software stand-in'}, ${c.quality})`)]);
  if (s.monitor_absent) rows.push(el('dt', 'monitor'), el('dd', s.monitor_absent));
  if (s.losses) rows.push(el('dt', 'losses'), el('dd',
    `${s.losses.chain_miss} switches not reported, ${s.losses.read_errors} failed reads, ${s.losses.rows_full} tenants without a row, of ${si(s.losses.switches)} switches`));
  $('sources').replaceChildren(...rows);
}

// ---- the clock --------------------------------------------------------------------------

function draw() {
  const s = last();
  drawn.clear();
  document.body.classList.toggle('monitor-only', !s.models);
  $('policy').textContent = s.policy || (s.models ? '' : 'monitor');
  $('uptime').textContent = s.uptime_s ? ago(s.uptime_s) : '';
  tiles(s);
  if (s.models) { // charts first: they give out the colours
    chartLatency(s); chartRequests(); chartPressure(s);
    cores(s); models(s); decisions(s);
  }
  chartTenants(s); tenants(s); sources(s);
  for (const key of colours.keys()) if (!drawn.has(key)) colours.delete(key);
}

function link(up, text) {
  $('link').className = 'link ' + (up ? 'up' : 'down');
  if ($('link').textContent !== text) $('link').textContent = text;
}

const SILENT_S = [10, 30, 60, 120, 300, 600, 1800, 3600]; // few steps: a screen reader says each
function silence(seconds) {
  const n = SILENT_S.filter((x) => x <= seconds).pop();
  return n ? `no answer for ${n < 60 ? `${n} s` : `${n / 60} min`}` : 'no answer';
}

let asked; // when, for the first of those looks that were not answered
async function tick() {
  if (paused || document.hidden) {
    asked = undefined;
  } else {
    asked ??= performance.now();
    try {
      const r = await fetch('/dashboard/state', { cache: 'no-store', signal: AbortSignal.timeout(3000) });
      if (!r.ok) throw new Error(`HTTP ${r.status}`);
      const s = await r.json();
      if (!paused) { // it may have been pressed meanwhile
        asked = undefined;
        take(s);
        link(true, 'live');
        draw();
      }
    } catch (e) {
      if (!paused) link(false, silence((performance.now() - asked) / 1000));
    }
  }
  setTimeout(tick, 1000);
}

function theme(name) {
  const dark = name === 'dark' || (name === 'system' && matchMedia('(prefers-color-scheme: dark)').matches);
  document.documentElement.dataset.theme = dark ? 'dark' : 'light';
  $('theme').textContent = `Theme: ${name}`;
  if (states.length) draw();
}
const themes = ['system', 'light', 'dark'];
let chosen = 'system';
try { chosen = themes.includes(localStorage.veltairTheme) ? localStorage.veltairTheme : 'system'; } catch (e) { /* no storage */ }
$('theme').addEventListener('click', () => {
  chosen = themes[(themes.indexOf(chosen) + 1) % 3];
  try { localStorage.veltairTheme = chosen; } catch (e) { /* no storage */ }
  theme(chosen);
});
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => theme(chosen));
$('pause').addEventListener('click', () => {
  paused = !paused;
  $('pause').setAttribute('aria-pressed', String(paused));
  $('pause').textContent = paused ? 'Go on' : 'Pause';
  if (paused) link(true, 'paused');
});
$('span').addEventListener('change', () => { if (states.length) draw(); });
theme(chosen);
tick();
