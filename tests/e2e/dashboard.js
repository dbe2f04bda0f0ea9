// SPDX-License-Identifier: Apache-2.0
// The dashboard in a headless Chromium, through WebDriver: node dashboard.js BASE_URL [SCREENSHOT_DIR]
// Prints TAP. The server is under load meanwhile; dashboard.sh sees to that.
'use strict';
const { spawn } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

const base = process.argv[2], shots = process.argv[3];
const port = 20000 + (process.pid % 20000);
let failed = 0, count = 0, session;

const sleep = (ms) => new Promise((r) => setTimeout(r, ms));
function ok(good, what, more) {
  count++;
  if (!good) failed++;
  console.log(`${good ? 'ok' : 'not ok'} ${count} - ${what}`);
  if (!good && more !== undefined) console.log('# ' + JSON.stringify(more).slice(0, 600));
}

async function wd(method, what, body) {
  const r = await fetch(`http://127.0.0.1:${port}${what}`, {
    method, body: body && JSON.stringify(body), headers: { 'content-type': 'application/json' } });
  const j = await r.json();
  if (j.value && j.value.error) throw new Error(`${what}: ${j.value.message}`);
  return j.value;
}
const js = (script, ...args) => wd('POST', `/session/${session}/execute/sync`, { script, args });
const size = (width, height) => wd('POST', `/session/${session}/window/rect`, { width, height });
async function shot(name) {
  if (!shots) return;
  const png = await wd('GET', `/session/${session}/screenshot`);
  fs.writeFileSync(path.join(shots, name), Buffer.from(png, 'base64'));
}
async function key(k) {
  await wd('POST', `/session/${session}/actions`, { actions: [
    { type: 'key', id: 'k', actions: [{ type: 'keyDown', value: k }, { type: 'keyUp', value: k }] }] });
}
async function until(what, script, ms = 15000) {
  for (const end = Date.now() + ms; Date.now() < end; await sleep(200))
    if (await js(script)) return true;
  console.log(`# waited in vain: ${what}`);
  return false;
}

async function start(profile) {
  for (let i = 0; i < 100; i++, await sleep(100))
    try { await wd('GET', '/status'); break; } catch (e) { /* not yet */ }
  const r = await wd('POST', '/session', { capabilities: { alwaysMatch: {
    'goog:loggingPrefs': { browser: 'ALL' },
    'goog:chromeOptions': { binary: '/usr/bin/chromium', args: ['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-quic',
      '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage',
      '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1', `--user-data-dir=${profile}`] } } } });
  session = r.sessionId;
}

async function checks() {
  await size(1400, 1900);
  await wd('POST', `/session/${session}/url`, { url: `${base}/dashboard` });
  ok(await until('live', 'return document.getElementById("link").textContent === "live"'), 'the page gets its first state');
  await until('a second state', 'return states.length > 3');

  const before = await js('return [...document.querySelectorAll("canvas")].map((c) => c.toDataURL().length)');
  await sleep(2500);
  const after = await js('return [...document.querySelectorAll("canvas")].map((c) => c.toDataURL().length)');
  ok(before.length >= 8 && before.some((v, i) => v !== after[i]), 'charts move', [before, after]);

  const text = await (await fetch(`${base}/metrics`)).text();
  const models = await js('return [...document.querySelectorAll("#models tbody tr td:first-child")].map((x) => x.textContent.replace(" unprofiled", ""))');
  const names = [...text.matchAll(/veltair_requests_total\{model="([^"]*)"/g)].map((m) => m[1]);
  ok(names.length > 0 && names.every((n) => models.some((m) => m.startsWith(n))), 'the table has the models of /metrics', [models, names]);

  // What the page holds is a moment of the same sums: between two scrapes around it.
  const read = async () => Object.fromEntries([...(await (await fetch(`${base}/metrics`)).text())
    .matchAll(/veltair_requests_in_time_total\{model="([^"]*)",version="[^"]*"\} (\d+)/g)].map((m) => [m[1], Number(m[2])]));
  const low = await read();
  await until('a state after the scrape', `return states.push === undefined || (window.mark = window.mark || states.length) < states.length`, 5000);
  await sleep(1200);
  const seen = await js('return Object.fromEntries(last().models.map((m) => [m.name, m.in_time]))');
  await sleep(300);
  const high = await read();
  ok(Object.keys(low).every((k) => low[k] <= seen[k] && seen[k] <= high[k]), 'values lie between those of /metrics before and after', [low, seen, high]);
  ok(Object.values(high).reduce((a, b) => a + b, 0) > Object.values(low).reduce((a, b) => a + b, 0), 'requests were answered meanwhile', [low, high]);

  ok(await until('decisions', 'return document.querySelectorAll("#decisions li").length > 3'), 'decisions are explained');
  const sentence = await js('return document.querySelector("#decisions li").textContent');
  ok(/(start|refuse|grow|shrink|preempt) .* ms/.test(sentence), 'a decision reads as a sentence', sentence);
  const why = (d) => js(`return sentence(Object.assign({ model: 'm', id: 7, layers: [0, 9], wanted: 2, granted: 1, free: 1, slack_ms: 5,
    rest_ms: 3, waiting: 1, level: 1, pressure: 0.1, confidence: 1, other_versions: 1 }, arguments[0])).join(' ')`, d);
  for (const [d, want] of [
    [{ kind: 'grow', granted: 2, version: '3' }, 'grow m:3 #7 to 2 cores; 5.0 ms left'],
    [{ kind: 'start' }, 'start m #7 layers 0–8 on 1 of 2 cores wanted, 1 was free; 5.0 ms left, the rest takes 3.0 ms; '
      + 'pressure level 1 (0.10, trust 100 %); 1 layer in another version'],
    [{ kind: 'start', wanted: 1, free: 2, other_versions: 0 }, 'start m #7 layers 0–8 on 1 of 1 core wanted, 2 were free; 5.0 ms left, '
      + 'the rest takes 3.0 ms; pressure level 1 (0.10, trust 100 %)'],
    [{ kind: 'grow', granted: 2 }, 'grow m #7 to 2 cores; 5.0 ms left'],
    [{ kind: 'shrink', slack_ms: -1 }, 'shrink m #7 to 1 core; 1.0 ms late'],
    [{ kind: 'shed', rest_ms: 9, taken: 1, usable: 1 }, 'refuse m #7 5.0 ms left, but it needs 9.0 ms on 1 core; '
      + 'pressure level 1 (0.10, trust 100 %); 1 waited; others had taken 1 core'],
    [{ kind: 'shed', rest_ms: 9, taken: 0, usable: 2 }, 'refuse m #7 5.0 ms left, but it needs 9.0 ms on 2 cores; '
      + 'pressure level 1 (0.10, trust 100 %); 1 waited'],
  ]) {
    const said = await why(d);
    ok(said === want, `says "${want.slice(0, 40)}"`, said);
  }
  const heading = await js('return document.getElementById("h-models").textContent');
  ok(/^Models rates, shares and percentiles of the last \d+ s$/.test(heading), 'the table of models says of how many seconds it is', heading);
  const cores = await js('return [...document.querySelectorAll("#cores li")].length');
  ok(cores >= 1, 'the core map has cores', cores);
  const took = await js(`const s = structuredClone(last()); Object.assign(s.cores[0], { taken: true, available: 0.4, model: null });
    window.cores(s); const li = document.querySelector('#cores li'), said = [li.className, li.textContent, li.title]; window.cores(last()); return said.join(' | ')`);
  ok(/^taken \| taken.*others 60 %.* \| .*other programs use 60 %/.test(took), 'a core that others have taken is marked', took);
  const zero = await js(`return [...document.querySelectorAll('#tenants td')].map((x) => x.textContent)`);
  const sources = await js('return document.getElementById("sources").textContent');
  const hw = /hardware,/.test(sources);
  ok(hw || zero.length === 0 || zero.includes('n/a'), 'what nothing counts says n/a, not 0');
  ok(/not counted:|stand-in|hardware|monitor/.test(sources), 'it says what its numbers rest on', sources);

  // What the page makes of sums that fall, of those that have gone, and of another process.
  const rates = await js(`for (const s of states.slice(0, -1)) for (const t of s.tenants || []) { t.cpu_s += 1e6; t.llc_misses += 1e9; }
    draw(); return [...document.querySelectorAll('#tenants td.n')].map((x) => x.textContent)`);
  ok(!rates.some((x) => x.startsWith('-')), 'a sum that falls is no negative rate', rates);
  ok(await js('allot(["not there"]); draw(); draw(); return !colours.has("not there") && colours.size > 0'), 'what is not shown holds no colour');
  await js('for (const s of states) s.started_s -= 1');
  ok(await until('a new series', 'return states.length && states.length < 4', 5000), 'another start begins anew');
  await until('states', 'return states.length > 3');

  // A reload replaces a model: another id, the same sums. A client that leaves is nobody's miss.
  const [was, replaced, left, next] = await js(`const look = () => {
      draw();
      const g = charts.lat.g, rows = [...Array(g.numRows()).keys()];
      return [$('t-rate').textContent, $('t-qos').textContent, $('t-qos').className, rows.filter((i) => isFinite(g.getValue(i, 1))).length,
        ...[...document.querySelectorAll('#models tbody td.n')].map((x) => x.textContent)].join(' ');
    };
    const a = look();
    for (const s of states.slice(0, -1)) for (const m of s.models) m.id += 257;
    const b = look();
    for (const m of last().models) m.cancelled += 1000;
    const c = look(), s = structuredClone(last());
    s.now_s += 1;
    for (const m of s.models) { m.id += 514; m.requests += 3; m.in_time += 3; }
    take(s);
    const d = points[points.length - 1].ended[0] / s.models.length;
    states.pop(); points.pop();
    return [a, b, c, d]`);
  ok(was === replaced, 'a model that replaces another goes on with its rates and its curve', [was, replaced]);
  ok(Math.abs(next - 3) < 1e-6, 'its next second is a second of it', next);
  ok(was === left, 'requests whose clients left count as in no table and no tile', [was, left]);

  const version = await js(`const s = structuredClone(last()), m = s.models[0];
    m.version = '2';
    Object.assign(s.cores[0], { model: m.name, version: '2', id: 1, taken: false });
    chartLatency(s); window.cores(s); window.models(s);
    const li = document.querySelector('#cores li'), key = document.querySelector('#models .key');
    const said = [li.style.borderLeftColor, key.style.backgroundColor, document.querySelector('#l-lat .key').style.backgroundColor, li.firstChild.textContent, m.name];
    draw();
    return said`);
  ok(version[0] && version[0] === version[1] && version[1] === version[2] && version[3] === `${version[4]}:2`,
    'another version has its own name and colour, the same on the core map, in the chart and in the table', version);

  // This browser's clock is set back: the charts go on, and no curve runs backwards.
  await js('window.clock = Date.now; Date.now = () => clock() - 3600e3; window.mark = last().t');
  ok(await until('a look', 'return last().t > mark + 1'), 'looks go on when the clock is set back');
  const times = await js(`const g = charts.lat.g, at = [...Array(g.numRows()).keys()].map((i) => g.getValue(i, 0)), w = g.xAxisRange();
    Date.now = clock; return [at.every((t, i) => !i || t > at[i - 1]), at[at.length - 1] <= w[1], at.length]`);
  ok(times[0] && times[1] && times[2] > 2, 'and their rows stay in order', times);

  // As many models as there may be, for ten minutes: a few lines, and no more kept than is shown.
  const many = await js(`const s0 = structuredClone(last()), m0 = s0.models[0], begin = performance.now();
    const model = (i) => (_, k) => Object.assign({}, m0, { id: k, name: 'm' + k, version: '1', requests: i * (k + 1), in_time: i * (k + 1), late: 0,
      latency: m0.latency.map((_, j) => (j === (k < 193 ? 4 : 12) ? i * (k + 1) : 0)) });
    for (let i = 0; i < 700; i++) {
      take(Object.assign({}, s0, { started_s: -1, now_s: s0.now_s + i, models: Array.from({ length: 200 }, model(i)) }));
      if (i % 100 === 99) draw();
    }
    const legend = [...document.querySelectorAll('#l-lat > span')], keys = [...document.querySelectorAll('#models .key')].map((x) => x.style.backgroundColor);
    const said = { states: states.length, points: points.length, columns: charts.lat.g.numColumns(), rows: charts.lat.g.numRows(), note: $('n-lat').textContent,
      names: legend.map((x) => x.textContent.split(' ')[0]).join(' '), colours: new Set(legend.map((x) => x.firstChild.style.backgroundColor)).size,
      table: keys.length, plain: new Set(keys.slice(0, 193)).size, ms: Math.round(performance.now() - begin) };
    return said`);
  ok(many.states < 65 && many.points <= 601 && many.rows <= 601 && many.columns === 9, '200 models for ten minutes: as much is kept and drawn as is shown', many);
  ok(many.names === 'm193 m194 m195 m196 m197 m198 m199 target' && many.colours === 8 && /^the 7 worst of 200 models/.test(many.note),
    'the worst of them have a line, each its own colour', many);
  ok(many.table === 200 && many.plain === 1, 'the table has all of them', many);
  await until('the server again', 'return last().started_s !== -1 && states.length > 2');

  // A server that hangs, then one that is slow while Pause is pressed.
  await js(`window.said = []; new MutationObserver(() => said.push($('link').textContent)).observe($('link'), { childList: true });
    window.ask = fetch;
    window.fetch = (_, o) => new Promise((_, no) => o.signal.addEventListener('abort', () => no(o.signal.reason)))`);
  ok(await until('10 s without an answer', 'return $("link").textContent === "no answer for 10 s"', 18000), 'says for how long a server has not answered');
  const said = await js('return said');
  ok(said.length === 2, 'and says so seldom', said);
  await js('window.fetch = async (...a) => { window.asking = true; await new Promise((r) => setTimeout(r, 1500)); return ask(...a); }');
  await until('a look under way', 'return window.asking');
  await js('window.mark = last().t; $("pause").click()');
  await sleep(3000);
  const paused = await js('return [$("link").textContent, last().t === mark]');
  ok(paused[0] === 'paused' && paused[1], 'an answer that comes after Pause is not shown', paused);
  await js('window.fetch = ask; $("pause").click()');
  ok(await until('live', 'return $("link").textContent === "live"'), 'and it goes on');

  // Keyboard: skip link, window, pause, theme, then the tables.
  await js('document.activeElement && document.activeElement.blur(); window.scrollTo(0, 0)');
  const order = [];
  for (let i = 0; i < 8; i++) {
    await key('\uE004');
    order.push(await js('const a = document.activeElement; return a.id || a.className || a.tagName'));
  }
  ok(order.slice(0, 4).join(' ') === 'skip span pause theme', 'tab order begins with skip, window, pause, theme', order);
  ok(order.slice(4).some((x) => /scroll|BUTTON/.test(x)), 'tables are reached by keyboard', order);
  const outline = await js('document.getElementById("pause").focus({ focusVisible: true }); return getComputedStyle(document.getElementById("pause")).outlineStyle');
  ok(outline !== 'none', 'focus is visible', outline);

  await key('\uE007');
  const n = await js('return states.length');
  await sleep(2300);
  ok(await js('return states.length') === n, 'Enter on Pause pauses');
  await key('\uE007');

  if (shots) await sleep(60000); // curves as long as the window
  await js('document.activeElement.blur(); document.getElementById("span").value = "60"; chosen = "light"; theme("light")');
  await sleep(1500);
  await shot('dashboard-light.png');
  const light = await js('return getComputedStyle(document.body).backgroundColor');
  await js('chosen = "dark"; theme("dark")');
  await sleep(1500);
  await shot('dashboard-dark.png');
  const dark = await js('return getComputedStyle(document.body).backgroundColor');
  ok(light !== dark, 'dark and light differ', [light, dark]);

  // A phone: nothing wider than the screen. Chromium's own window stops at 500, so a frame stands in.
  await size(520, 1400);
  await sleep(1200);
  const wide = await js('return [document.documentElement.scrollWidth, innerWidth]');
  ok(wide[0] <= wide[1], 'a narrow screen does not scroll sideways', wide);
  await shot('dashboard-phone.png');

  const away = await js(`return performance.getEntriesByType('resource').map((r) => r.name).filter((u) => !u.startsWith(location.origin))`);
  ok(away.length === 0, 'no request leaves this machine', away);
  const log = (await wd('POST', `/session/${session}/se/log`, { type: 'browser' })).filter((l) => l.level === 'SEVERE' || l.level === 'WARNING');
  ok(log.length === 0, 'no error on the console', log);
}

(async () => {
  const profile = fs.mkdtempSync(path.join(os.tmpdir(), 'vt-chromium-'));
  const driver = spawn('chromedriver', [`--port=${port}`], { stdio: 'ignore' });
  try {
    await start(profile);
    await checks();
  } catch (e) {
    ok(false, 'no exception', String(e.stack || e));
  } finally {
    if (session) await wd('DELETE', `/session/${session}`).catch(() => {});
    driver.kill();
    await sleep(300);
    fs.rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
    console.log(`1..${count}`);
    process.exit(failed ? 1 : 0);
  }
})();
