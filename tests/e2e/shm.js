// SPDX-License-Identifier: Apache-2.0
// A client that hands over tensors in /dev/shm. For shm.sh.
//   shm.js off|tcp|unix|on|rights PORT DIR OBJECT    prints "ok NAME" or "not ok NAME"
'use strict';
const fs = require('fs');
const http = require('http');
const npy = require('../../scripts/npy.js');

const [, , suite, port, dir, object] = process.argv;
const where = suite === 'unix' ? { socketPath: `${dir}/sock` } : { host: '127.0.0.1', port: Number(port) };
const agent = new http.Agent({ keepAlive: true });

function request(method, path, body, headers = {}, meet = () => {}) {
  return new Promise((resolve, reject) => {
    const r = http.request({ ...where, method, path, agent, headers }, (res) => {
      const parts = [];
      res.on('data', (d) => parts.push(d));
      res.on('error', reject);
      res.on('end', () => {
        const raw = Buffer.concat(parts), head = res.headers['inference-header-content-length'];
        resolve({ status: res.statusCode, headers: res.headers, raw, json: JSON.parse(raw.subarray(0, Number(head ?? raw.length))) });
      });
    });
    r.on('error', reject);
    r.end(body);
    meet(r);
  });
}
const get = (path) => request('GET', path);
const post = (path, body, headers) =>
  request('POST', path, body === undefined || Buffer.isBuffer(body) ? body : JSON.stringify(body), headers);
const want = (ok, what) => { if (!ok) throw new Error(JSON.stringify(what)?.slice(0, 500) ?? 'no'); };
async function check(name, fn) {
  try {
    await fn();
    console.log(`ok ${suite}: ${name}`);
  } catch (e) {
    console.log(`not ok ${suite}: ${name}`);
    console.log(`# ${String(e.message).slice(0, 600).replaceAll('\n', ' ')}`);
    process.exitCode = 1;
  }
}
async function refuses(name, status, says, fn) {
  await check(`refuses ${name} (${status})`, async () => {
    const r = await fn();
    want(r.status === status && r.json.error.includes(says), [r.status, r.json]);
  });
}

const BASE = '/v2/systemsharedmemory';
const file = (name) => `/dev/shm/${object}-${name}`;
const bytesOf = (a) => Buffer.from(a.buffer, a.byteOffset, a.byteLength);
const register = (name, of, bytes, offset = 0) =>
  post(`${BASE}/region/${name}/register`, { key: `/${object}-${of}`, offset, byte_size: bytes });
const at = (region, bytes, offset = 0) => ({ parameters: { shared_memory_region: region, shared_memory_byte_size: bytes,
  ...(offset ? { shared_memory_offset: offset } : {}) } });
const tensor = (name, more) => ({ name, shape: [2, 3], datatype: 'FP32', ...more });
const ones = [1, 1, 1, 1, 1, 1];
const ADD = '/v2/models/add/infer';
// a from @from, b ones as JSON, y to @to
const add = (from, to) => post(ADD, { inputs: [tensor('a', from), tensor('b', { data: ones })],
  ...(to ? { outputs: [{ name: 'y', ...to }] } : {}) });
const six = Float32Array.from([1, 2, 3, 4, 5, 6]);
const sum = bytesOf(six.map((x) => x + 1));
const listed = async () => (await get('/v2')).json.extensions.includes('system_shared_memory');

async function closed(says) {
  await check('the extension is not listed', async () => want(!await listed()));
  await refuses('to register', 403, says, () => register('r', 'io', 48));
  await refuses('to unregister', 403, says, () => post(`${BASE}/unregister`));
  await refuses('to tell what there is', 403, says, () => get(`${BASE}/status`));
  await refuses('an input', 403, says, () => add(at('r', 24)));
  await refuses('an output', 403, says, () => add({ data: ones }, at('r', 24)));
}

async function use() {
  fs.writeFileSync(file('io'), Buffer.concat([bytesOf(six), Buffer.alloc(40)]));
  await check('the extension is listed', async () => want(await listed()));
  await check('registers, and tells so', async () => {
    want((await register('r', 'io', 64)).status === 200);
    want((await register('part', 'io', 32, 32)).status === 200);
    const all = await get(`${BASE}/status`), one = await get(`${BASE}/region/part/status`);
    want(all.status === 200 && all.json.length === 2, all.json);
    want(JSON.stringify(one.json) === JSON.stringify([{ name: 'part', key: `/${object}-io`, offset: 32, byte_size: 32 }]), one.json);
  });
  await check('an input, the answer as JSON', async () => {
    const r = await add(at('r', 24));
    want(r.status === 200 && String(r.json.outputs[0].data) === '2,3,4,5,6,7', r.json);
  });
  await check('an input and an output, each at its offset', async () => {
    const r = await add(at('r', 24), at('part', 24, 8));
    want(r.status === 200 && r.json.outputs[0].data === undefined, r.json);
    want(r.headers['content-type'] === 'application/json' && r.headers['inference-header-content-length'] === undefined, r.headers);
    want(JSON.stringify(r.json.outputs[0].parameters) ===
      '{"shared_memory_region":"part","shared_memory_byte_size":24,"shared_memory_offset":8}', r.json);
    want(fs.readFileSync(file('io')).equals(Buffer.concat([bytesOf(six), Buffer.alloc(16), sum])), fs.readFileSync(file('io')));
  });
  await check('one input in shared memory, the other binary, the output binary', async () => {
    const head = Buffer.from(JSON.stringify({ inputs: [tensor('b', { parameters: { binary_data_size: 24 } }), tensor('a', at('r', 24))],
      parameters: { binary_data_output: true } }));
    const r = await post(ADD, Buffer.concat([head, bytesOf(new Float32Array(ones))]),
      { 'Inference-Header-Content-Length': String(head.length) });
    want(r.status === 200 && r.raw.subarray(Number(r.headers['inference-header-content-length'])).equals(sum), r.json);
  });
  await check('any byte but 0 is a true bool, in shared memory and in the body', async () => {
    const bools = Buffer.from([0, 1, 2, 255]), m = { name: 'm', shape: [4], datatype: 'BOOL' }, path = '/v2/models/bools/infer';
    const head = Buffer.from(JSON.stringify({ inputs: [{ ...m, parameters: { binary_data_size: 4 } }] }));
    fs.writeFileSync(file('bools'), bools);
    await register('bools', 'bools', 4);
    for (const r of [await post(path, { inputs: [{ ...m, ...at('bools', 4) }] }),
      await post(path, Buffer.concat([head, bools]), { 'Inference-Header-Content-Length': String(head.length) }),
      await post(path, { inputs: [{ ...m, data: [0, true, 1, true] }] })])
      want(r.status === 200 && String(r.json.outputs[0].data) === '0,1,1,1', r.json);
    want(fs.readFileSync(file('bools')).equals(bools), 'written to');
    await post(`${BASE}/region/bools/unregister`);
    const r = await post(path, { inputs: [{ ...m, data: [0, 1, 2, 3] }] });
    want(r.status === 400 && r.json.error.includes('element 2 is no BOOL that fits'), r.json);
  });
}

async function lies() {
  await refuses('a region registered twice', 400, 'registered already', () => register('r', 'io', 8));
  await refuses('a region past its object', 400, 'has 64 bytes', () => register('x', 'io', 64, 1));
  await refuses('an object that is not there', 400, 'cannot open', () => register('x', 'none', 1));
  await refuses('a key that leads elsewhere', 400, 'no name of shared memory',
    () => post(`${BASE}/region/x/register`, { key: '/../etc/passwd', byte_size: 1 }));
  await refuses('a body without a key', 400, 'key is missing', () => post(`${BASE}/region/x/register`, { byte_size: 1 }));
  await refuses('a body that is none', 400, 'byte', () => post(`${BASE}/region/x/register`, Buffer.from('{')));
  await refuses('a size that is none', 400, 'whole number', () => post(`${BASE}/region/x/register`, { key: '/x', byte_size: -1 }));
  await refuses('the status of nothing', 404, "no region 'x'", () => get(`${BASE}/region/x/status`));
  await refuses('a region nobody knows', 400, "input 'a': no region 'x'", () => add(at('x', 24)));
  await refuses('a size that lies', 400, 'need 24', () => add(at('r', 20)));
  await refuses('an offset past the region', 400, "input 'a': region 'r' has 64 bytes", () => add(at('r', 24, 41)));
  await refuses('an output past the region', 400, "output 'y': region 'part' has 32 bytes", () => add(at('r', 24), at('part', 24, 9)));
  await refuses('data as well', 400, 'both data and', () => add({ ...at('r', 24), data: ones }));
  fs.symlinkSync(file('io'), file('link'));
  await refuses('a link', 400, 'cannot open', () => register('x', 'link', 8));
  fs.mkdirSync(file('folder'));
  await refuses('a folder', 400, 'cannot open', () => register('x', 'folder', 8));
}

async function changes() {
  const big = file('big');
  fs.writeFileSync(big, Buffer.alloc(1 << 20));
  await register('big', 'big', 1 << 20);
  const slow = (out, meet) => request('POST', '/v2/models/slow/infer', JSON.stringify({
    inputs: [{ name: 'x', shape: [512, 512], datatype: 'FP32', ...at('big', 1 << 20) }], outputs: [{ name: 'y', ...out }] }), {}, meet);
  await check('an object emptied: 400, it stays empty, and others are served', async () => {
    fs.truncateSync(file('io'), 0);
    for (const r of [await add(at('r', 24)), await add({ data: ones }, at('r', 24))])
      want(r.status === 400 && r.json.error.includes("region 'r': its object is shorter now"), r.json);
    want(fs.statSync(file('io')).size === 0);
    want((await add({ data: ones })).status === 200);
    fs.truncateSync(file('io'), 64);
    want((await add(at('r', 24))).status === 200);
  });
  await check('an input of a model of many layers that has gone: 400', async () => {
    fs.truncateSync(big, 100);
    const r = await slow(at('big', 1 << 20));
    want(r.status === 400 && r.json.error.includes('shorter now'), r.json);
    fs.truncateSync(big, 1 << 20);
  });
  await check('unregistered and removed while a request runs: it ends well', async () => {
    const [r] = await Promise.all([slow(at('big', 1 << 20)), (async () => {
      await new Promise((f) => setTimeout(f, 2));
      fs.unlinkSync(big);
      await post(`${BASE}/region/big/unregister`);
    })()]);
    want(r.status === 200 || r.status === 400 && r.json.error.includes("no region 'big'"), r.json);
  });
  await check('a client that leaves while its request runs', async () => {
    fs.writeFileSync(big, Buffer.alloc(1 << 20));
    await register('big', 'big', 1 << 20);
    for (let i = 0; i < 20; i++)
      await slow(at('big', 1 << 20), (q) => setTimeout(() => q.destroy(), i % 5)).catch(() => {});
    want((await slow(at('big', 1 << 20))).status === 200);
  });
  await check('too many regions: 507, and room again after an unregister', async () => {
    let n = 0, r;
    do r = await register(`n${n++}`, 'io', 8); while (r.status === 200 && n < 300);
    want(r.status === 507 && r.json.error.includes('256 regions'), [n, r.json]);
    await post(`${BASE}/region/n0/unregister`);
    want((await register('again', 'io', 8)).status === 200);
  });
  await check('all unregistered, once more, and what is not there', async () => {
    want((await post(`${BASE}/unregister`)).status === 200 && (await post(`${BASE}/region/r/unregister`)).status === 200);
    want((await get(`${BASE}/status`)).json.length === 0);
  });
}

async function sameAsRun() {
  const x = npy.read(`${dir}/x.npy`), y = npy.read(`${dir}/run/${fs.readdirSync(`${dir}/run`)[0]}`);
  const meta = (await get('/v2/models/tiny')).json;
  fs.writeFileSync(file('left'), Buffer.concat([bytesOf(x.data), Buffer.alloc(y.data.byteLength)]));
  await register('left', 'left', x.data.byteLength + y.data.byteLength);
  await check('outputs equal those of veltair run, bit by bit', async () => {
    const r = await post('/v2/models/tiny/infer', { inputs: [{ ...meta.inputs[0], ...at('left', x.data.byteLength) }],
      outputs: [{ name: meta.outputs[0].name, ...at('left', y.data.byteLength, x.data.byteLength) }] });
    want(r.status === 200, r.json);
    want(fs.readFileSync(file('left')).subarray(x.data.byteLength).equals(bytesOf(y.data)), 'differs');
  });
  fs.truncateSync(file('left'), 24);
}

// A file that this server may not write so far into: of 1 MiB, beside a limit of 64 KiB.
async function far() {
  fs.writeFileSync(file('far'), Buffer.alloc(1 << 20));
  want((await register('far', 'far', 1 << 20)).status === 200);
  await refuses('an output past its limit of file sizes', 400, 'cannot be read or written: File too large',
    () => add({ data: ones }, at('far', 24, 1 << 19)));
  await check('and goes on', async () => want((await add(at('far', 24), at('far', 24))).status === 200));
}

async function rights() {
  await refuses("an object that the server's user may not read", 400, "let the server's user read it", () => register('mine', 'mine', 24));
  await check('one that it may only read: an input', async () => {
    want((await register('read', 'read', 24)).status === 200);
    const r = await add(at('read', 24));
    want(r.status === 200 && String(r.json.outputs[0].data) === String(ones), r.json);
  });
  await refuses('it as an output', 400, 'can only be read', () => add({ data: ones }, at('read', 24)));
}

const suites = {
  off: () => closed('shared memory is off: set `shared_memory: unix`'),
  tcp: () => closed('over a Unix socket only'),
  unix: async () => { await use(); await lies(); await changes(); await sameAsRun(); },
  on: async () => { await use(); await far(); },
  rights,
};
suites[suite]().then(() => console.log('# end')).catch((e) => { console.log(`not ok ${e.stack}`); process.exitCode = 1; }).finally(() => agent.destroy());
