// SPDX-License-Identifier: Apache-2.0
// Kubernetes manifests against the published schemas: node manifests.js NODE_MODULES FILE.yaml ...
// FILE is what kustomize makes of the overlay. Prints one line for each object: "ok KIND NAME" or what is wrong.
'use strict';
const fs = require('node:fs');
const path = require('node:path');

const modules = path.resolve(process.argv[2]), files = process.argv.slice(3);
const load = (name) => require(path.join(modules, name));
const yaml = load('js-yaml');

// A server listens once its models are loaded: who asks before whether it lives kills it, again and again.
function hasty(containers) {
  return (containers || []).filter((c) => c.livenessProbe && !c.startupProbe && !(c.livenessProbe.initialDelaySeconds >= 60))
    .map((c) => `container ${c.name}: a livenessProbe wants a startupProbe, or initialDelaySeconds, for as long as it loads`);
}

// KServe publishes its schema as a CRD only; these are the parts of a ServingRuntime that are required, and their types.
function servingRuntime(o) {
  const s = o.spec, bad = [];
  if (!Array.isArray(s.containers) || !s.containers.length) bad.push('spec.containers: at least one');
  for (const c of s.containers || []) {
    if (c.name !== 'kserve-container') bad.push(`container ${c.name}: KServe wants kserve-container`);
    if (!c.image) bad.push('container without an image');
  }
  for (const f of s.supportedModelFormats || [])
    if (typeof f.name !== 'string' || (f.version !== undefined && typeof f.version !== 'string')) bad.push('supportedModelFormats: name and version are strings');
  for (const p of s.protocolVersions || []) if (!['v1', 'v2', 'grpc-v1', 'grpc-v2'].includes(p)) bad.push(`protocol ${p}`);
  const known = ['annotations', 'labels', 'supportedModelFormats', 'protocolVersions', 'containers', 'volumes', 'nodeSelector', 'multiModel', 'disabled', 'affinity', 'tolerations'];
  for (const k of Object.keys(s)) if (!known.includes(k)) bad.push(`spec.${k} is not known`);
  // The pod template is checked with the schema of a pod.
  const { Pod } = load('kubernetes-models/v1/Pod');
  new Pod({ metadata: { name: 'x' }, spec: { containers: s.containers } }).validate();
  return bad.concat(hasty(s.containers));
}

function check(o) {
  if (o.kind === 'ServingRuntime') return servingRuntime(o);
  const [group, version] = o.apiVersion.includes('/') ? o.apiVersion.split('/') : ['', o.apiVersion];
  const where = group === 'monitoring.coreos.com' ? `@kubernetes-models/prometheus-operator/${group}/${version}`
    : group ? `kubernetes-models/${group}/${version}` : `kubernetes-models/${version}`;
  new (load(`${where}/${o.kind}`)[o.kind])(o).validate();
  const bad = [], t = o.spec && o.spec.template;
  if (t) { // what the API server checks and a schema cannot say
    const labels = t.metadata.labels, want = o.spec.selector.matchLabels;
    for (const k of Object.keys(want)) if (labels[k] !== want[k]) bad.push(`selector ${k} does not match the template`);
    const vols = new Set((t.spec.volumes || []).map((v) => v.name));
    for (const c of t.spec.containers) {
      for (const m of c.volumeMounts || []) if (!vols.delete(m.name)) bad.push(`mount ${m.name}: no such volume`);
      const ports = new Set((c.ports || []).map((p) => p.name));
      for (const p of ['startupProbe', 'readinessProbe', 'livenessProbe'])
        if (c[p] && !ports.has(c[p].httpGet.port)) bad.push(`${p}: no port ${c[p].httpGet.port}`);
    }
    for (const v of vols) bad.push(`volume ${v} is not mounted`);
    bad.push(...hasty(t.spec.containers));
  }
  return bad;
}

// Where one object counts on another: ports by their names, and what the server is told to listen on.
function together(o, all) {
  const bad = [], ports = new Map(); // by name
  for (const p of all.filter((x) => x.spec && x.spec.template).flatMap((x) => x.spec.template.spec.containers).flatMap((c) => c.ports || []))
    ports.set(p.name, p.containerPort);
  const wants = (name, who) => { if (typeof name === 'string' && !ports.has(name)) bad.push(`${who}: no container has a port ${name}`); };
  if (o.kind === 'Service') for (const p of o.spec.ports) wants(p.targetPort, 'targetPort');
  if (o.kind === 'NetworkPolicy') {
    const open = o.spec.ingress.flatMap((r) => r.ports.map((p) => p.port));
    open.forEach((p) => wants(p, 'ingress'));
    for (const name of ports.keys()) if (!open.includes(name)) bad.push(`ingress: port ${name} is shut`);
  }
  if (o.kind === 'ConfigMap') {
    const c = yaml.load(o.data['serve.yaml']), at = (a) => Number(a.split(':').pop());
    for (const [name, a] of [['http', c.listen[0]], ['agent', c.agent]])
      if (!a || at(a) !== ports.get(name)) bad.push(`serve.yaml: ${name} at ${a}, the container's port is ${ports.get(name)}`);
  }
  return bad;
}

let failed = 0;
for (const f of files) {
  const all = yaml.loadAll(fs.readFileSync(f, 'utf8'));
  for (const o of all) {
    let bad;
    try { bad = check(o).concat(together(o, all)); } catch (e) { bad = [e.message]; }
    console.log(bad.length ? `bad ${o.kind} ${o.metadata.name}: ${bad.join('; ')}` : `ok ${o.kind} ${o.metadata.name}`);
    failed += bad.length;
  }
}
process.exit(failed ? 1 : 0);
