#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Kubernetes manifests: each overlay builds with kustomize and is valid by the published schemas. No cluster.
cd "$(dirname "$0")/../.." || exit 1
modules=build/node/node_modules
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
count=0 failed=0

skip_all() {
	echo "1..0 # SKIP $*"
	exit 0
}
command -v kubectl >/dev/null || skip_all "no kubectl: install kubernetes-client"
command -v node >/dev/null || skip_all "no node"
[ -d $modules/kubernetes-models ] || skip_all "no published schemas: run 'make ort'"

result() { # result STATUS NAME
	count=$((count + 1))
	if [ "$1" = 0 ]; then
		echo "ok $count - $2"
	else
		failed=$((failed + 1))
		echo "not ok $count - $2"
		sed 's/^/# /' "$dir/out"
	fi
}

for overlay in daemonset deployment monitoring kserve; do
	kubectl kustomize "share/kubernetes/overlays/$overlay" >"$dir/$overlay.yaml" 2>"$dir/out"
	result $? "kustomize builds $overlay"
	node tests/e2e/manifests.js $modules "$dir/$overlay.yaml" >"$dir/out" 2>&1
	result $? "$overlay is valid: $(grep -c '^ok' "$dir/out") objects"
done

# The job that the pods' scrapes get is the one that the alerts look for.
label=$(awk '$1 == "jobLabel:" { print $2 }' "$dir/monitoring.yaml")
job=$(sed -nE 's/.*expr: up\{job="([^"]+)"\}.*/\1/p' share/monitoring/veltair.rules.yml)
for overlay in daemonset deployment; do
	echo "label '$label', job '$job'" >"$dir/out"
	awk '$1 == "template:" { pod = 1 } pod && $1 == "spec:" { exit } pod' "$dir/$overlay.yaml" | grep -qxE " +${label:-none}: ${job:-none}"
	result $? "VeltairDown looks for the job that the PodMonitor makes of $overlay's label"
done

# The check itself: faults that it must see.
while IFS='|' read -r overlay from to; do
	sed "s|$from|$to|" "$dir/$overlay.yaml" >"$dir/bad.yaml"
	cmp -s "$dir/$overlay.yaml" "$dir/bad.yaml" && echo "# nothing replaced" >"$dir/out"
	if node tests/e2e/manifests.js $modules "$dir/bad.yaml" >"$dir/out" 2>&1; then false; else grep -q '^bad' "$dir/out"; fi
	result $? "sees '$to' in $overlay"
done <<'EOF'
daemonset|containerPort: 8000|containerPort: "http"
daemonset|mountPath: /models|mountPth: /models
daemonset|claimName: veltair-models|claimNam: veltair-models
deployment|maxReplicas: 20|maxReplicas: many
deployment|port: http|port: htp
monitoring|interval: 10s|interval: often
kserve|kserve-container|container
kserve|initialDelaySeconds: 180|initialDelaySeconds: 5
deployment|port: agent|port: agen
deployment|containerPort: 8001|containerPort: 8002
daemonset|agent: 0.0.0.0:8001|agent: 0.0.0.0:8003
daemonset|name: agent|name: haproxy
EOF
# The Prometheus adapter's rules: filled in as it does, they compute what the HPA asks for.
hpa=share/kubernetes/overlays/deployment/hpa.yaml
adapter() { # adapter RULES HPA: into $dir/adapter.yml, or the faults
	node tests/e2e/adapter.js $modules "$1" "$2" docs/metrics.md >"$dir/adapter.yml" 2>"$dir/out" && return
	cat "$dir/adapter.yml" >>"$dir/out"
	return 1
}
adapter share/monitoring/prometheus-adapter.yaml $hpa
result $? "the adapter's rules have its fields, name our metrics, and offer what the HPA asks for"
if command -v promtool >/dev/null; then
	promtool test rules "$dir/adapter.yml" >"$dir/out" 2>&1
	result $? "promtool computes both metrics from them"
else
	count=$((count + 1))
	echo "ok $count - promtool computes both metrics from them # SKIP no promtool: install prometheus"
fi
while IFS='|' read -r file from to; do
	for f in share/monitoring/prometheus-adapter.yaml $hpa; do
		if [ "${f##*/}" = "$file" ]; then sed "s/$from/$to/" "$f"; else cat "$f"; fi >"$dir/bad.${f##*/}"
	done
	! adapter "$dir/bad.prometheus-adapter.yaml" "$dir/bad.hpa.yaml"
	result $? "sees '$to' in $file"
done <<'EOF'
prometheus-adapter.yaml|metricsQuery:|metricQuery:
prometheus-adapter.yaml|veltair_requests_late_total|veltair_request_late_total
prometheus-adapter.yaml|<<.GroupBy>>|<<.GroupedBy>>
prometheus-adapter.yaml|{resource: pod}|{resourc: pod}
hpa.yaml|veltair_cores_busy_ratio|veltair_core_busy_ratio
EOF
echo "1..$count"
exit $((failed > 0))
