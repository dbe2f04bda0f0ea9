// SPDX-License-Identifier: Apache-2.0
// A client that knows the Open Inference Protocol, and one that breaks HTTP. For serve.sh.
//   serve.js protocol PORT DIR     every request and every refusal; prints "ok NAME" or "not ok NAME"
//   serve.js rude PORT             disconnects, slow readers, half requests, pipelines
//   serve.js load PORT MODEL SECONDS CLIENTS   closed loop; one JSON line of what came back
//   serve.js wait PORT             until the server is ready
'use strict';
const fs = require('fs');
const http = require('http');
const net = require('net');
const npy = require('../../scripts/npy.js');

const [, , command, portArg, ...rest] = process.argv;
const port = Number(portArg);
const agent = new http.Agent({ keepAlive: true, maxSockets: 64 });

// ---- the protocol's published schema (open_inference_rest.yaml), as far as answers go --------------
const tensorData = (v) => Array.isArray(v) &&
  v.every((x) => ['number', 'string', 'boolean'].includes(typeof x) || tensorData(x));
const str = (v) => typeof v === 'string';
const int = (v) => Number.isInteger(v);
const bool = (v) => typeof v === 'boolean';
const object = (v) => v !== null && typeof v === 'object' && !Array.isArray(v);
const list = (of) => (v) => Array.isArray(v) && v.every(of);
// shape(required, properties): an object that has all of the first, and only sound ones of the second
const shape = (required, props) => (v) => object(v) && required.every((k) => k in v) &&
  Object.entries(props).every(([k, is]) => !(k in v) || is(v[k]));

const metadataTensor = shape(['name', 'datatype', 'shape'], { name: str, datatype: str, shape: list(int) });
const schema = {
  metadata_server_response: shape(['name', 'version', 'extensions'],
    { name: str, version: str, extensions: list(str) }),
  metadata_model_response: shape(['name', 'platform'], { name: str, versions: list(str), platform: str,
    inputs: list(metadataTensor), outputs: list(metadataTensor) }),
  inference_response: shape(['model_name', 'outputs'], { model_name: str, model_version: str, id: str,
    parameters: object, outputs: list(shape(['name', 'shape', 'datatype', 'data'],
      { name: str, shape: list(int), datatype: str, parameters: object, data: tensorData })) }),
  inference_error_response: shape(['error'], { error: str }),
};

// ---- requests --------------------------------------------------------------------------------------
function request(method, path, body, headers = {}, options = {}) {
  return new Promise((resolve, reject) => {
    const r = http.request({ host: '127.0.0.1', port, method, path, agent, headers, ...options }, (res) => {
      const parts = [];
      res.on('data', (d) => parts.push(d));
      res.on('error', reject);
      res.on('end', () => {
        const raw = Buffer.concat(parts);
        let json;
        try {
          json = JSON.parse(raw.subarray(0, Number(res.headers['inference-header-content-length'] ?? raw.length)));
        } catch { json = undefined; }
        resolve({ status: res.statusCode, headers: res.headers, raw, json });
      });
    });
    r.on('error', reject);
    if (body !== undefined && !headers['Transfer-Encoding']) r.setHeader('Content-Length', Buffer.byteLength(body));
    r.end(body);
  });
}
const get = (path) => request('GET', path);
const post = (path, body, headers) =>
  request('POST', path, typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body), headers);

let failed = 0;
async function check(name, fn) {
  try {
    const why = await fn();
    if (why) throw new Error(why);
    console.log(`ok ${name}`);
  } catch (e) {
    failed++;
    console.log(`not ok ${name}`);
    console.log(`# ${String(e.message).slice(0, 600).replaceAll('\n', ' ')}`);
  }
}
const want = (ok, what) => { if (!ok) throw new Error(typeof what === 'string' ? what : JSON.stringify(what)?.slice(0, 500)); };

// A request whose binary tensors follow its JSON.
function binary(json, ...tensors) {
  const head = Buffer.from(JSON.stringify(json));
  return [Buffer.concat([head, ...tensors]), { 'Inference-Header-Content-Length': String(head.length) }];
}
function outputBytes(res, name) {
  let at = Number(res.headers['inference-header-content-length']);
  for (const o of res.json.outputs) {
    const n = o.parameters?.binary_data_size;
    if (n === undefined) continue;
    if (o.name === name) return res.raw.subarray(at, at + n);
    at += n;
  }
  return undefined;
}
const bytesOf = (a) => Buffer.from(a.buffer, a.byteOffset, a.byteLength);

// ---- protocol --------------------------------------------------------------------------------------
const ADD = '/v2/models/add/infer';
const add = (a, b, more = {}) => ({ inputs: [
  { name: 'a', shape: [2, 3], datatype: 'FP32', data: a },
  { name: 'b', shape: [2, 3], datatype: 'FP32', data: b }], ...more });
const ones = [1, 1, 1, 1, 1, 1];

async function answers(dir) {
  await check('health', async () => {
    let r = await get('/v2/health/live');
    want(r.status === 200 && r.json.live === true, r);
    r = await get('/v2/health/ready');
    want(r.status === 200 && r.json.ready === true, r);
  });
  await check('server metadata, by the schema', async () => {
    const r = await get('/v2/');
    want(r.status === 200 && schema.metadata_server_response(r.json) && r.json.name === 'veltair' &&
      r.json.extensions.includes('binary_tensor_data'), r.json);
  });
  await check('model metadata, by the schema', async () => {
    for (const path of ['/v2/models/add', '/v2/models/add/versions/3']) {
      const r = await get(path);
      want(r.status === 200 && schema.metadata_model_response(r.json), r.json);
      want(r.json.platform === 'onnx_onnxv1' && r.json.inputs[1].name === 'b' &&
        String(r.json.inputs[0].shape) === '2,3' && r.json.outputs[0].datatype === 'FP32', r.json);
      want(String(r.json.versions) === '3', r.json);
    }
  });
  await check('model ready, with and without a version', async () => {
    for (const path of ['/v2/models/add/ready', '/v2/models/add/versions/3/ready']) {
      const r = await get(path);
      want(r.status === 200 && r.json.name === 'add' && r.json.ready === true, r);
    }
  });
  await check('an inference as JSON, by the schema, id given back', async () => {
    const r = await post(ADD, add([1, 2, 3, 4, 5, 6.5], [[1, 1, 1], [1, 1, -1e-3]], { id: 'é"1' }));
    want(r.status === 200 && schema.inference_response(r.json), r);
    want(r.json.id === 'é"1' && r.json.model_name === 'add' && r.json.model_version === '3', r.json);
    want(String(r.json.outputs[0].data.map(Math.fround)) ===
      String([2, 3, 4, 5, 6, Math.fround(Math.fround(6.5) + Math.fround(-1e-3))]), r.json);
  });
  await check('binary in and out', async () => {
    const a = new Float32Array([1, 2, 3, 4, 5, 6]), b = new Float32Array(6).fill(0.1);
    const t = (name) => ({ name, shape: [2, 3], datatype: 'FP32', parameters: { binary_data_size: 24 } });
    const r = await post(ADD, ...binary({ inputs: [t('b'), t('a')],
      outputs: [{ name: 'y', parameters: { binary_data: true } }] }, bytesOf(b), bytesOf(a)));
    want(r.status === 200 && r.headers['content-type'] === 'application/octet-stream', r);
    const y = outputBytes(r, 'y');
    want(y.equals(bytesOf(a.map((x) => Math.fround(x + Math.fround(0.1))))), r.json);
  });
  await check('one input binary, the other JSON, the answer JSON', async () => {
    const r = await post(ADD, ...binary({ inputs: [
      { name: 'a', shape: [2, 3], datatype: 'FP32', data: ones },
      { name: 'b', shape: [2, 3], datatype: 'FP32', parameters: { binary_data_size: 24 } }] },
      bytesOf(new Float32Array(ones))));
    want(r.status === 200 && String(r.json.outputs[0].data) === '2,2,2,2,2,2', r.json);
  });
  await check('all bytes one input', async () => {
    const x = npy.read(`${dir}/x.npy`);
    const r = await post('/v2/models/tiny/infer', bytesOf(x.data), { 'Inference-Header-Content-Length': '0' });
    want(r.status === 200 && r.json.outputs[0].parameters.binary_data_size > 0, r.json);
  });
  await check('deadline and priority are taken', async () => {
    for (const parameters of [{ deadline_ms: 5000, priority: 3 }, { timeout: 5000000 }, { unknown: { x: [1] } }]) {
      const r = await post(ADD, add(ones, ones, { parameters }));
      want(r.status === 200, r);
    }
  });
  await check('outputs over HTTP equal those of veltair run, bit by bit', async () => {
    const x = npy.read(`${dir}/x.npy`), y = npy.read(`${dir}/run/${fs.readdirSync(`${dir}/run`)[0]}`);
    const meta = (await get('/v2/models/tiny')).json;
    const input = { name: meta.inputs[0].name, shape: meta.inputs[0].shape, datatype: 'FP32' };
    let r = await post('/v2/models/tiny/infer', ...binary({ inputs: [
      { ...input, parameters: { binary_data_size: x.data.byteLength } }],
    parameters: { binary_data_output: true } }, bytesOf(x.data)));
    want(r.status === 200 && outputBytes(r, meta.outputs[0].name).equals(bytesOf(y.data)), `binary: ${r.status} ${r.raw.subarray(0, 200)}`);
    r = await post('/v2/models/tiny/infer', { inputs: [{ ...input, data: Array.from(x.data) }] });
    want(r.status === 200 && bytesOf(new Float32Array(r.json.outputs[0].data)).equals(bytesOf(y.data)), `JSON: ${r.status}`);
  });
  await check('chunked', async () => {
    const r = await post(ADD, JSON.stringify(add(ones, ones)), { 'Transfer-Encoding': 'chunked' });
    want(r.status === 200 && r.json.outputs[0].data[0] === 2, r);
  });
  await check('statistics count what was answered', async () => {
    const stats = async () => (await get('/v2/models/add/versions/3/stats')).json.model_stats[0];
    const before = await stats();
    for (let i = 0; i < 5; i++) await post(ADD, add(ones, ones));
    const after = await stats();
    want(after.name === 'add' && after.version === '3', after);
    want(after.inference_count - before.inference_count === 5, [before, after]);
    want(after.inference_stats.success.count === after.inference_count &&
      after.inference_stats.success.ns > before.inference_stats.success.ns && after.last_inference > 1e12, after);
    want((await get('/v2/models/stats')).json.model_stats.length === 2, 'all models');
  });
  await check('the last decisions are the last, each with its number', async () => {
    const last = async () => {
      await sleep(150); // looks are at most 100 ms old
      const d = (await get('/dashboard/state')).json.decisions;
      want(d.length <= 64 && d.every((x, i) => !i || x.n > d[i - 1].n), d.map((x) => x.n));
      return d.length ? d[d.length - 1].n : 0;
    };
    let before = await last();
    for (let round = 0; round < 4; round++) {
      for (let i = 0; i < 80; i++) await post(ADD, add(ones, ones));
      const now = await last();
      want(now >= before + 80, [before, now]);
      before = now;
    }
  });
  await check('repository: index, unload, load', async () => {
    const state = async () => (await post('/v2/repository/index', {})).json.find((m) => m.name === 'add');
    want((await state()).state === 'READY', await state());
    let r = await post('/v2/repository/models/add/unload', { parameters: { unload_dependents: true } });
    want(r.status === 200, r);
    want((await state()).state === 'UNAVAILABLE', await state());
    want((await post('/v2/repository/index', { ready: true })).json.length === 1, 'only what is ready');
    r = await post(ADD, add(ones, ones));
    want(r.status === 404 && schema.inference_error_response(r.json), r);
    want((await get('/v2/health/ready')).status === 200, 'not ready without what nobody wants');
    r = await post('/v2/repository/models/add/load', { parameters: {} });
    want(r.status === 200, r);
    want((await post(ADD, add(ones, ones))).status === 200 && (await get('/v2/health/ready')).status === 200, 'back');
  });
}

// [what, status, what the error says, path, body, headers]
const t = (more) => ({ inputs: [{ name: 'a', shape: [2, 3], datatype: 'FP32', data: ones, ...more },
  add(ones, ones).inputs[1]] });
const HINT = 'was expected; a binary body needs the header field Inference-Header-Content-Length';
const refusals = [
  ['malformed JSON', 400, 'byte', ADD, '{"inputs":[{]}'],
  ['a truncated body', 400, 'too early', ADD, '{"inputs":['],
  ['an array', 400, 'object', ADD, '[]'],
  ['no inputs', 400, "'a' is missing", ADD, '{}'],
  ['a binary body without its header field', 400, HINT, ADD, Buffer.from(new Float32Array(12).fill(1).buffer)],
  ['a binary body that begins like text', 400, HINT, ADD, Buffer.from('AAAA\0\0\0\0')],
  ['a body that is said to be binary', 400, HINT, ADD, 'AAAABBBB', { 'Content-Type': 'application/octet-stream' }],
  ['a wrong tensor name', 400, "no input 'c'", ADD, t({ name: 'c' })],
  ['a wrong type', 400, 'INT64 here, the model takes FP32', ADD, t({ datatype: 'INT64' })],
  ['a type that does not exist', 400, 'FP33', ADD, t({ datatype: 'FP33' })],
  ['a wrong shape', 400, 'shape 3x2 here, the model takes 2x3', ADD, t({ shape: [3, 2] })],
  ['a shape that overflows', 400, 'a dimension', ADD, t({ shape: [1e30, 3] })],
  ['too few elements', 400, 'does not hold the 6', ADD, t({ data: [1, 2] })],
  ['too many elements', 400, 'does not hold the 6', ADD, t({ data: [...ones, 1] })],
  ['an element that is none', 400, 'element 1', ADD, t({ data: [1, 'x', 1, 1, 1, 1] })],
  ['a number too large', 400, 'element 0', ADD, t({ data: [1e39, 1, 1, 1, 1, 1] })],
  ['an unknown output', 400, "no output 'z'", ADD, { ...add(ones, ones), outputs: [{ name: 'z' }] }],
  ['shared memory, which is off', 403, 'shared memory is off', ADD,
    t({ data: undefined, parameters: { shared_memory_region: 'x', shared_memory_byte_size: 24 } })],
  ['registering shared memory, which is off', 403, 'shared_memory: unix', '/v2/systemsharedmemory/region/x/register', '{}'],
  ['a binary size that lies', 400, 'need 24', ADD,
    ...binary(t({ data: undefined, parameters: { binary_data_size: 20 } }), Buffer.alloc(20))],
  ['a binary tensor that is too short', 400, '23 bytes left', ADD,
    ...binary(t({ data: undefined, parameters: { binary_data_size: 24 } }), Buffer.alloc(23))],
  ['bytes that belong to nobody', 400, 'belong to no input', ADD, ...binary(t({}), Buffer.alloc(5))],
  ['a header length past the body', 400, 'the body has', ADD, JSON.stringify(t({})), { 'Inference-Header-Content-Length': '99999' }],
  ['a header length that is none', 400, 'no number', ADD, JSON.stringify(t({})), { 'Inference-Header-Content-Length': 'x' }],
  ['gzip', 415, 'gzip is not taken', ADD, JSON.stringify(t({})), { 'Content-Encoding': 'gzip' }],
  ['an unknown model', 404, "no model 'nope'", '/v2/models/nope/infer', t({})],
  ['an unknown version', 404, "version '9'", '/v2/models/add/versions/9/infer', t({})],
  ['an unknown path', 404, 'nothing at', '/v2/nothing', '{}'],
  ['the wrong method', 405, 'takes GET', '/v2/models/add', '{}'],
  ['no body', 411, 'a body is needed', ADD, undefined],
  ['an absurd Content-Length', 413, 'takes up to', ADD, undefined, { 'Content-Length': '999999999999', Expect: '100-continue' }],
  ['a list as the body of index', 400, 'object', '/v2/repository/index', '[0,0,0]'],
  ['ready that is no bool', 400, 'byte', '/v2/repository/index', '{"ready":1}'],
  ['a large body for index', 413, 'takes up to 65536', '/v2/repository/index', Buffer.alloc(70000, ' ')],
  ['a large body for load', 413, 'takes up to 65536', '/v2/repository/models/add/load', Buffer.alloc(70000, ' ')],
  ['a load with a broken body', 400, 'a JSON object was expected', '/v2/repository/models/add/load', '{bad json'],
  ['an unload with a broken body', 400, 'a JSON object was expected', '/v2/repository/models/add/unload', '{"parameters":[]}'],
  ['a load with something behind its body', 400, 'byte', '/v2/repository/models/add/load', '{} {}'],
  ['a load with a configuration', 501, "'config'", '/v2/repository/models/add/load', '{"parameters":{"config":"{}"}}'],
  ['a load with a file', 501, "'file:1/model.onnx'", '/v2/repository/models/add/load', '{"parameters":{"file:1/model.onnx":"AA=="}}'],
  ['an unload with a configuration', 501, "'config'", '/v2/repository/models/add/unload', '{"parameters":{"unload_dependents":true,"config":1}}'],
  ['loading an unknown model', 404, 'configured', '/v2/repository/models/nope/load', '{}'],
];

async function protocol(dir) {
  await answers(dir);
  for (const [what, status, says, path, body, headers] of refusals)
    await check(`refuses ${what} (${status})`, async () => {
      const r = await (body === undefined ? request('POST', path, undefined, headers ?? { 'Content-Length': '0' })
        : post(path, body, headers));
      want(r.status === status && schema.inference_error_response(r.json) && r.json.error.includes(says), [r.status, r.json]);
    });
  await check('text that is no JSON is not taken for binary', async () => {
    const r = await post(ADD, 'AAAABBBB');
    want(r.status === 400 && r.json.error.endsWith('was expected'), r);
  });
  await check('and goes on', async () => want((await post(ADD, add(ones, ones))).status === 200, 'it does not'));
}

// ---- rude clients ----------------------------------------------------------------------------------
const sleep = (ms) => new Promise((r) => setTimeout(r, ms));
function raw() {
  const s = net.connect(port, '127.0.0.1');
  s.text = '';
  s.on('data', (d) => { s.text += d.toString('latin1'); });
  s.on('error', () => {});
  return s;
}
const until = async (fn, ms = 20000) => {
  for (let i = 0; i < ms / 10 && !fn(); i++) await sleep(10);
  return fn();
};
const inferText = (more = '') => {
  const body = JSON.stringify(add(ones, ones));
  return `POST ${ADD} HTTP/1.1\r\nHost: x\r\n${more}Content-Length: ${body.length}\r\n\r\n${body}`;
};

async function rude() {
  await check('pipelined requests are answered in order', async () => {
    const s = raw();
    let all = '';
    for (let i = 0; i < 20; i++) {
      const body = JSON.stringify(add(ones, ones, { id: `n${i}` }));
      all += `POST ${ADD} HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
    }
    s.write(all);
    want(await until(() => s.text.includes('"n19"')), s.text);
    const order = [...s.text.matchAll(/"id":"n(\d+)"/g)].map((m) => Number(m[1]));
    want(String(order) === String([...Array(20).keys()]), order);
    s.destroy();
  });
  await check('Expect: 100-continue', async () => {
    const s = raw(), body = JSON.stringify(add(ones, ones));
    s.write(`POST ${ADD} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: ${body.length}\r\n\r\n`);
    want(await until(() => s.text.includes('100 Continue')), s.text);
    s.write(body);
    want(await until(() => s.text.includes('"outputs"')), s.text);
    s.destroy();
  });
  // One answer, whose body is as long as it says and JSON, and then the end; soon, not when it is cut for being slow.
  const refusal = async (text) => {
    const s = raw();
    let over = false;
    s.on('close', () => { over = true; });
    s.write(Buffer.from(text, 'latin1'));
    want(await until(() => over), `no end of the answer to ${text.slice(0, 200)}`);
    if (text.startsWith('\x16') && s.text === '') return 400; // a line without a blank is no request: nothing is owed
    const [, status, head, body] = /^HTTP\/1\.1 (\d+) (.*?)\r\n\r\n(.*)$/s.exec(s.text) ?? [0, 0, '', ''];
    want(Number(/^Content-Length: (\d+)\r?$/m.exec(head)?.[1]) === body.length && schema.inference_error_response(JSON.parse(body)), s.text);
    return Number(status);
  };
  await check('not HTTP, broken chunks, a Content-Length that is none: 4xx as JSON', async () => {
    const head = `POST ${ADD} HTTP/1.1\r\nHost: x\r\n`;
    for (const text of ['\x16\x03\x01\x02\x00\x01\r\n\r\n', `${head}Transfer-Encoding: chunked\r\n\r\nzz\r\n`,
      `${head}Content-Length: ten\r\n\r\n`, `${head}Content-Length: +5\r\n\r\nhello`,
      `${head}Content-Length: 99999999999999999999999\r\n\r\n`, `POST ${ADD} HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}`,
      `${head}X: ${'x'.repeat(100000)}\r\n\r\n`]) {
      const status = await refusal(text);
      want(status >= 400 && status < 500, [status, text.slice(0, 200)]);
    }
  });
  await check('a transfer coding other than chunked: 501 at once', async () => {
    for (const coding of ['gzip', 'gzip, chunked', 'identity'])
      want(await refusal(`POST ${ADD} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: ${coding}\r\n\r\n{}`) === 501, coding);
  });
  await check('chunks of nothing where a body is needed: 411', async () => {
    const r = await refusal(`POST ${ADD} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`);
    want(r === 411, r);
  });
  // These stay while others are served.
  const held = [];
  for (let i = 0; i < 20; i++) {
    const half = raw();
    half.write(inferText().slice(0, 30 + i));
    const body = raw();
    body.write(inferText().slice(0, -10));
    const slow = raw();
    slow.pause();
    for (let k = 0; k < 10; k++) slow.write(inferText());
    held.push(half, body, slow);
  }
  // What they announce is more than max_memory; nothing of it has come.
  const announced = (bytes) => `POST ${ADD} HTTP/1.1\r\nHost: x\r\nContent-Length: ${bytes}\r\n\r\n`;
  for (let i = 0; i < 100; i++) {
    const s = raw();
    s.write(announced(60000));
    held.push(s);
  }
  await check('a body larger than the inputs of its model: 413 at once, though max_body would take it', async () => {
    const s = raw();
    s.write(announced(2 << 20));
    want(await until(() => / 413 .*takes up to/s.test(s.text)), s.text);
    s.destroy();
  });
  for (let i = 0; i < 20; i++) {
    const s = raw();
    s.write(inferText());
    await sleep(i % 5);
    s.destroy();
  }
  await check('half requests, slow readers and the vanished do not hold up others', async () => {
    const t0 = Date.now();
    for (let i = 0; i < 100; i++) {
      const r = await post(ADD, add(ones, ones));
      want(r.status === 200, r);
    }
    want(Date.now() - t0 < 60000, 'too slow');
  });
  held.forEach((s) => s.destroy());
  await check('and goes on', async () => want((await post(ADD, add(ones, ones))).status === 200, 'it does not'));
}

// ---- load ------------------------------------------------------------------------------------------
async function load(model, seconds, clients) {
  const meta = (await get(`/v2/models/${model}`)).json;
  const inputs = meta.inputs.map((i) => ({ name: i.name, shape: i.shape, datatype: i.datatype,
    parameters: { binary_data_size: i.shape.reduce((a, b) => a * b, 1) * 4 } }));
  const end = Date.now() + seconds * 1000;
  // lost: nobody took it. cut: it was sent, and no answer came.
  const seen = { sent: 0, ok: 0, refused: 0, dropped: 0, lost: 0, cut: 0, other: 0, mixed: 0, refused_ms_p99: 0 };
  const refusals = [];
  await Promise.all([...Array(Number(clients)).keys()].map(async (c) => {
    for (let i = 0; Date.now() < end; i++) {
      const id = `${c}-${i}`;
      const [body, headers] = binary({ id, inputs }, ...inputs.map((t) => Buffer.alloc(t.parameters.binary_data_size)));
      const t0 = performance.now();
      seen.sent++;
      try {
        const r = await post(`/v2/models/${model}/infer`, body, headers);
        if (r.status === 200) r.json.id === id ? seen.ok++ : seen.mixed++;
        else if (r.status === 504) seen.dropped++;
        else if (r.status === 503 && r.headers['retry-after'] >= 1) {
          seen.refused++;
          refusals.push(performance.now() - t0);
          await sleep(50); // else clients take the time of those who compute
        } else seen.other++;
      } catch (e) { seen[e.code === 'ECONNREFUSED' ? 'lost' : 'cut']++; await sleep(5); }
    }
  }));
  refusals.sort((a, b) => a - b);
  seen.refused_ms_p99 = Math.round(refusals[Math.floor(refusals.length * 0.99)] ?? 0);
  console.log(JSON.stringify(seen));
}

async function wait() {
  for (let i = 0; i < 600; i++) {
    try { if ((await get('/v2/health/ready')).status === 200) return; } catch { /* not yet */ }
    await sleep(100);
  }
  failed = 1;
}

const commands = { protocol, rude, load, wait };
commands[command](...rest).then(() => process.exit(failed ? 1 : 0), (e) => { console.log(`not ok ${e.stack}`); process.exit(1); });
