// SPDX-License-Identifier: Apache-2.0
// The Prometheus adapter's rules, checked and filled in as it does: node adapter.js NODE_MODULES RULES HPA METRICS.md
// Prints a test for `promtool test rules` that computes both metrics for two pods; exits 1 with a line for each fault.
'use strict';
const fs = require('node:fs');
const path = require('node:path');

const [modules, rulesFile, hpaFile, metricsFile] = process.argv.slice(2);
const yaml = require(path.join(path.resolve(modules), 'js-yaml'));
const bad = [];

// The fields of its configuration (pkg/config of prometheus-adapter): required, allowed.
const shapes = {
  rule: [['seriesQuery', 'resources', 'name', 'metricsQuery'], ['seriesFilters']],
  resources: [['overrides'], ['template', 'namespaced']],
  name: [['as'], ['matches']],
};
function fields(what, o, where) {
  const [must, may] = shapes[what];
  if (typeof o !== 'object' || o === null) return bad.push(`${where}: no mapping`);
  for (const k of must) if (o[k] === undefined) bad.push(`${where}.${k} is missing`);
  for (const k of Object.keys(o)) if (!must.includes(k) && !may.includes(k)) bad.push(`${where}.${k} is not known`);
}

const doc = yaml.load(fs.readFileSync(rulesFile, 'utf8'));
const known = new Set(fs.readFileSync(metricsFile, 'utf8').match(/veltair_[a-z0-9_]+/g));
const offered = new Map();
if (Object.keys(doc).join() !== 'rules') bad.push('the top is `rules:` and nothing else');
doc.rules.forEach((r, i) => {
  const where = `rules[${i}]`;
  fields('rule', r, where);
  fields('resources', r.resources, `${where}.resources`);
  fields('name', r.name, `${where}.name`);
  for (const [label, to] of Object.entries(r.resources.overrides))
    if (!to.resource) bad.push(`${where}: override ${label} without a resource`);
  for (const m of r.metricsQuery.match(/veltair_[a-z0-9_]+/g)) if (!known.has(m)) bad.push(`${where}: ${m} is not in ${metricsFile}`);
  if (!/^veltair_[a-z_]+\{.*\}$/.test(r.seriesQuery)) bad.push(`${where}: seriesQuery '${r.seriesQuery}' names no series`);
  // An HPA of pods asks for all pods of a selector at once, grouped by pod.
  const query = r.metricsQuery.replaceAll('<<.LabelMatchers>>', 'namespace="veltair",pod=~"a|b"').replaceAll('<<.GroupBy>>', 'pod')
    .replaceAll('<<.Series>>', r.seriesQuery.replace(/\{.*/, ''));
  if (/<<|>>/.test(query)) bad.push(`${where}: unknown template in ${query}`);
  offered.set(r.name.as, query);
});
const hpa = yaml.load(fs.readFileSync(hpaFile, 'utf8'));
for (const m of hpa.spec.metrics) if (!offered.has(m.pods.metric.name)) bad.push(`the HPA asks for ${m.pods.metric.name}, which no rule offers`);
if (bad.length) {
  console.log(bad.join('\n'));
  process.exit(1);
}

// Of pod a 600 requests a minute, 30 late and 12 refused in time to be counted, 60 by their sender; two cores, busy 30 and
// 42 s of each minute. Pod b is idle: it misses 0, as an HPA for which a metric is absent does not scale down.
const series = (name, labels, step) => ({ series: `${name}{namespace="veltair",${labels}}`, values: `0+${step}x10` });
const pods = [];
for (const [pod, k] of [['a', 1], ['b', 0]])
  pods.push(series('veltair_requests_total', `pod="${pod}",model="m"`, 600 * k), series('veltair_requests_late_total', `pod="${pod}",model="m"`, 30 * k),
    series('veltair_requests_refused_total', `pod="${pod}",model="m",reason="deadline"`, 12 * k),
    series('veltair_requests_refused_total', `pod="${pod}",model="m",reason="cancelled"`, 60 * k),
    series('veltair_core_busy_seconds_total', `pod="${pod}",cpu="0"`, 30 * k), series('veltair_core_busy_seconds_total', `pod="${pod}",cpu="1"`, 42 * k));
const expect = {
  veltair_requests_missed_ratio: [{ labels: '{pod="a"}', value: 0.07 }, { labels: '{pod="b"}', value: 0 }],
  veltair_cores_busy_ratio: [{ labels: '{pod="a"}', value: 0.6 }, { labels: '{pod="b"}', value: 0 }],
};
const tests = [...offered].map(([as, expr]) => ({ expr: `round(${expr}, 0.0001)`, eval_time: '10m', exp_samples: expect[as] }));
process.stdout.write(yaml.dump({ evaluation_interval: '1m', tests: [{ interval: '1m', input_series: pods, promql_expr_test: tests }] }, { lineWidth: -1 }));
