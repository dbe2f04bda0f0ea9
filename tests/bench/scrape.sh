#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What a scrape costs: a server with MODELS tiny models, each a tenant, is asked for /metrics SCRAPES times.
#   tests/bench/scrape.sh [MODELS] [SCRAPES]
# Prints bytes, and milliseconds from the request to the last byte as curl sees them. Counters need root.
set -eu
cd "$(dirname "$0")/../.."
veltair=$PWD/${VELTAIR:-build/release/veltair}
models=${1:-200} scrapes=${2:-100}
dir=$(mktemp -d)
. tests/e2e/lib.sh
server=
trap '[ -z "$server" ] || kill "$server"; wait; rm -rf "$dir"' EXIT

"$veltair" zoo --out "$dir" mobilenet-v2-tiny >/dev/null 2>&1
set --
for i in $(seq "$models"); do set -- "$@" "$dir/mobilenet-v2-tiny.onnx=tenant-$i"; done
"$veltair" serve "$@" --qos-ms 200 --listen 127.0.0.1:0 --pin-dir "/sys/fs/bpf/vt-scrape-$$" >/dev/null 2>"$dir/log" &
server=$!
port=$(listening $server "$dir/log") || { tail -n 1 "$dir/log" >&2; exit 1; }
grep -q 'no monitor' "$dir/log" && echo "without the monitor: no counters per tenant in it"
# A few requests to each: a tenant that never ran has no counters.
# shellcheck disable=SC2016 # JavaScript has dollars of its own
node -e '
(async () => {
	const [port, models] = process.argv.slice(1), at = `http://127.0.0.1:${port}/v2/models/tenant-`;
	const inputs = (await (await fetch(at + 1)).json()).inputs.map((t) => ({ ...t, shape: t.shape.map((d) => Math.max(d, 1)) }));
	for (const t of inputs) t.data = new Array(t.shape.reduce((a, b) => a * b, 1)).fill(0);
	const body = JSON.stringify({ inputs });
	for (let n = 0; n < 3 * models; n++) {
		const r = await fetch(`${at}${1 + (n % models)}/infer`, { method: "POST", body });
		if (!r.ok) throw new Error(await r.text());
		await r.arrayBuffer();
	}
})().catch((e) => { console.error(e); process.exit(1); });' "$port" "$models"
curl -sf -o "$dir/metrics" "http://127.0.0.1:$port/metrics"
# One connection, as Prometheus keeps it; 8 a second: looks younger than 100 ms are not taken again.
curl -sf --rate 8/s -o /dev/null -w '%{time_total} %{size_download}\n' "http://127.0.0.1:$port/metrics#[1-$scrapes]" |
	sort -n >"$dir/times"
awk -v models="$models" -v tenants="$(grep -c '^veltair_tenant_cpu_seconds_total' "$dir/metrics" || true)" '
{ ms[NR] = $1 * 1000; bytes = $2 }
END {
	printf "%d models, %d tenants with counters: %d bytes; %d scrapes, ms: median %.2f, 95th percentile %.2f, most %.2f\n",
		models, tenants, bytes, NR, ms[int((NR + 1) / 2)], ms[int(NR * 0.95)], ms[NR]
}' "$dir/times"
