// SPDX-License-Identifier: Apache-2.0
// Does every expression of the dashboard and the rules return data? node prometheus.js PROMETHEUS_URL DASHBOARD RULES
// Prints "ok EXPR" or "bad EXPR". An alert's threshold is taken away first: it is not to fire, but to know.
'use strict';
const fs = require('node:fs');
const [, , url, dashboard, rules] = process.argv;

const exprs = [];
for (const p of JSON.parse(fs.readFileSync(dashboard, 'utf8')).panels)
  for (const t of p.targets) exprs.push([`panel ${p.title}`, t.expr.replaceAll('$instance', '.*')]);
// Rules as promtool has checked them: one "- record:" or "- alert:" and its expr, on one line or folded.
const lines = fs.readFileSync(rules, 'utf8').split('\n');
for (let i = 0, name = ''; i < lines.length; i++) {
  const head = lines[i].match(/^ {6}- (record|alert): (.*)/), expr = lines[i].match(/^ {8}expr: (.*)/);
  if (head) name = `${head[1]} ${head[2]}`;
  if (!expr) continue;
  let text = expr[1];
  if (text === '>-') for (text = ''; /^ {10}/.test(lines[i + 1]); i++) text += ' ' + lines[i + 1].trim();
  if (name.startsWith('alert')) text = text.replace(/ [<>] [0-9.]+/g, '');
  exprs.push([name, text.trim()]);
}

(async () => {
  let bad = 0;
  for (const [where, expr] of exprs) {
    const r = await (await fetch(`${url}/api/v1/query?query=${encodeURIComponent(expr)}`)).json();
    const n = r.status === 'success' ? (r.data.resultType === 'scalar' ? 1 : r.data.result.length) : 0;
    // A quotient of nothing by nothing is no answer either.
    const sound = n && (r.data.resultType === 'scalar' || r.data.result.some((x) => x.value[1] !== 'NaN'));
    if (!sound) bad++;
    console.log(`${sound ? 'ok' : 'bad'} ${where}: ${expr.slice(0, 150)}${r.error ? ' -- ' + r.error : ''}`);
  }
  console.log(`# ${exprs.length} expressions, ${bad} without data`);
  process.exit(bad ? 1 : 0);
})();
