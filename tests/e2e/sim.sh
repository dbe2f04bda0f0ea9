#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# `veltair sim` as a user meets it: what it prints, what it refuses and how, what a recording is worth.
cd "$(dirname "$0")/../.." || exit 1
veltair=$PWD/${VELTAIR:-build/release/veltair}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
unset VELTAIR_ASPLOS22_DATA
. tests/e2e/lib.sh

sim() {
	"$veltair" sim "$@" >"$dir/out" 2>"$dir/err"
}

# refuses TEXT ARGUMENT...: exit status 2, one line on stderr with TEXT, nothing on stdout
refuses() {
	local text=$1 status
	shift
	sim "$@"
	status=$?
	[ $status = 2 ] && [ "$(grep -c . "$dir/err")" = 1 ] && grep -qF -- "$text" "$dir/err" && [ ! -s "$dir/out" ]
	ok "refuses: $text"
}

json() { # json EXPRESSION: true of the JSON on stdout, named d
	python3 -c "import json, sys; d = json.load(sys.stdin); sys.exit(not ($1))" <"$dir/out" 2>>"$dir/err"
}

sim --rate 100 --requests 200 --policy edf,veltair-full --mix light,medium --bound &&
	[ "$(grep -c '^mix' "$dir/out")" = 2 ] && [ "$(grep -cE '^(edf|veltair-full|clairvoyant)' "$dir/out")" = 8 ]
ok "a table for each mix, a row for each policy and the bound"
[ ! -s "$dir/err" ]
ok "no progress where nobody watches"

sim --rate 100 --requests 200 --seeds 3 --policy all --json &&
	json 'len(d["mixes"][0]["policies"]) >= 9 and all(0 <= p["share"]["mean"] <= 1 and p["mean_ms"]["half_95"] >= 0 for p in d["mixes"][0]["policies"])'
ok "--json is JSON, with all policies and intervals"

sim --search --seeds 2 --requests 300 --policy fcfs-efficient,veltair-full --json &&
	json 'd["mixes"][0]["best_baseline"] == "fcfs-efficient" and all(p["share"]["mean"] >= 0.95 and p["rate_hz"]["mean"] > 0 and "at_best_baseline_rate" in p and p["over_best_baseline"]["mean"] > -1 for p in d["mixes"][0]["policies"])'
ok "--search finds rates that meet the share"

# Small and large requests are not equally easy to keep in time, and a bound has percentiles too.
sim --mix light --rate 1300 --requests 500 --policy fcfs --bound --json &&
	json 'all(p["worst_share"]["mean"] < p["share"]["mean"] < 1 and p["p50_ms"]["mean"] < p["p99_ms"]["mean"] for p in d["mixes"][0]["policies"][1:])'
ok "the bound by model, and its latencies"
# Of large requests that come close together no schedule serves all: what is ideal does, what is real does not.
sim --mix heavy --rate 6 --requests 600 --seed 7 --policy veltair-full --bound --json &&
	json '(lambda full, real, ideal: full <= real < ideal)(*[p["share"]["mean"] for p in d["mixes"][0]["policies"]])'
ok "no policy is above the bound, and a real one is below the ideal"

# The long ones are rare enough to be dropped: what is served then lies far above the capacity.
printf 'efficientnet_b0,-,30\nbert_large,-,1\n' >"$dir/rare.mix"
sim --mix "$dir/rare.mix" --search --seeds 1 --requests 1000 --policy veltair-full --json && json 'd["mixes"][0]["policies"][0]["rate_hz"]["mean"] > 2 * d["mixes"][0]["capacity_hz"] and d["mixes"][0]["policies"][0]["open_seeds"] == 0'
ok "--search goes on above the capacity"
# Ten requests at once are all in time.
sim --mix light --search --seeds 2 --requests 10 --qos-share 0.1 --policy veltair-full --json && json 'd["mixes"][0]["policies"][0]["open_seeds"] == 2' &&
	sim --mix light --search --seeds 2 --requests 10 --qos-share 0.1 --policy veltair-full && grep -qF 'met the share at every rate tried with 2 of 2 seeds' "$dir/out"
ok "--search says that it found no rate too high"

# One of eight seeds meets that share at no rate.
sim --search --mix heavy --seeds 8 --requests 60 --qos-share 0.999 --policy planaria,fcfs-efficient --json &&
	json 'all(p["share"]["mean"] >= 0.999 and p["at_best_baseline_rate"]["mean_ms"]["mean"] > 0 for p in d["mixes"][0]["policies"])'
ok "seeds without a result are no zeros in the means"
# Whole models on all cores take longer than that.
echo 'resnet50,7,1' >"$dir/short.mix"
sim --search --mix "$dir/short.mix" --seeds 2 --requests 30 --policy fcfs-efficient,fcfs &&
	grep -qE '^fcfs +0\.0 +0\.0 +- +- ' "$dir/out" && grep -qF 'fcfs met the share at no rate with 2 of 2 seeds' "$dir/out" &&
	grep -qE '^  fcfs +-100\.0 % .* - +\(2 and 0 of 2 seeds\)$' "$dir/out"
ok "what no seed has is a dash, and how many had it is said"
sim --search --mix "$dir/short.mix" --seeds 2 --requests 30 --policy fcfs-efficient,fcfs --json &&
	json 'd["mixes"][0]["policies"][1]["mean_ms"]["mean"] is None and d["mixes"][0]["policies"][1]["over_best_baseline"]["seeds"] == 2'
ok "and null in JSON"

# What nobody was served in time enough to have, and what a bound has not, is no 0, which would be the best of all.
echo 'resnet50,0.01,1' >"$dir/hopeless.mix"
sim --mix "$dir/hopeless.mix" --rate 10 --requests 50 --policy veltair-full --json &&
	json 'd["mixes"][0]["policies"][0]["share"]["mean"] == 0 and all(d["mixes"][0]["policies"][0][k]["mean"] is None for k in ("mean_ms", "p50_ms", "p99_ms", "core_ms", "efficiency"))' &&
	sim --mix "$dir/hopeless.mix" --rate 10 --requests 50 --policy veltair-full && grep -qE '^veltair-full +10\.0 +- +0\.0 +0\.0 +- +- +- +- +- +0\.0 ' "$dir/out"
ok "where all are refused there is no latency"
sim --rate 100 --requests 100 --policy edf --bound --json &&
	json '[[p[k]["mean"] is None for k in ("mean_ms", "utilisation", "core_ms", "conflict_rate", "decide_us", "late_actions")] for p in d["mixes"][0]["policies"]] == [[False] * 6] + [[False] + [True] * 5] * 2' &&
	json 'd["mixes"][0]["policies"][1]["efficiency"]["mean"] is None and d["mixes"][0]["policies"][2]["efficiency"]["mean"] == 1'
ok "and of a bound what was not worked out"
sim --nodes 2 --router weighted --mix "$dir/hopeless.mix" --rate 10 --requests 50 --policy veltair-full --json && json 'd["runs"][0]["mean_ms"] is None and d["runs"][0]["served"] == 0' &&
	sim --nodes 2 --router weighted --mix "$dir/hopeless.mix" --rate 10 --requests 50 --policy veltair-full && grep -qE '^ +2 weighted +0\.00 +0\.0 +- +0\.0 ' "$dir/out"
ok "and of a fleet"

# Figures without what they are of are none.
said() { # said OPTION...: whatever is not said is said not to be
	sim --rate 10 --requests 50 --policy edf --json "$@"
	python3 -c 'import json, sys; d = json.load(sys.stdin); print([d[k] for k in ("no_shed", "no_contention", "no_counters", "profiles", "asplos22", "seed", "rate_hz", "qos_share")])' <"$dir/out"
}
printf 'model,layer,cores,ns\nmine,0,8,2000000\n' >"$dir/some.csv"
[ "$(said)" = "[False, False, False, None, None, 1, 10.0, None]" ] && [ "$(said --no-shed)" = "[True, False, False, None, None, 1, 10.0, None]" ] &&
	[ "$(said --no-contention --seed 7)" = "[False, True, False, None, None, 7, 10.0, None]" ] &&
	[ "$(said --no-counters --profiles "$dir/some.csv")" = "[False, False, True, '$dir/some.csv', None, 1, 10.0, None]" ]
ok "JSON says what was asked for"
sim --search --seeds 1 --requests 50 --policy edf --qos-share 0.9 --json && json 'd["qos_share"] == 0.9 and d["rate_hz"] is None' &&
	sim --search --seeds 1 --requests 50 --policy edf --qos-share 0.9 --no-shed --no-counters --seed 3 --profiles "$dir/some.csv" &&
	grep -qF ', highest rate with 90 % in time' "$dir/out" && grep -qxF "with --no-shed, --no-counters, --profiles $dir/some.csv, --seed 3" "$dir/out"
ok "and the table"
sim --nodes 2,3 --router least-conn --machine 3990x,epyc-2x64 --rate 100 --requests 50 --policy edf --no-shed --seed 4 --json &&
	json 'd["machines"] == ["3990x", "epyc-2x64"] and d["seed"] == 4 and d["requests_per_node"] == 50 and d["no_shed"] and all(r["seconds"] > 0 and r["served"] == r["offered"] for r in d["runs"])' &&
	sim --nodes 2,3 --router least-conn --machine 3990x,epyc-2x64 --rate 100 --requests 50 --policy edf --no-shed --seed 4 && grep -qxF "with --no-shed, --seed 4" "$dir/out"
ok "and those of a fleet"
sim --search --seeds 3 --requests 300 --policy fcfs-efficient,planaria,veltair-full --mix light,heavy --json && cp "$dir/out" "$dir/a" &&
	sim --search --seeds 3 --requests 300 --policy fcfs-efficient,planaria,veltair-full --mix light,heavy && mv "$dir/out" "$dir/b" &&
	python3 - "$dir/a" "$dir/b" <<'EOF' 2>"$dir/err"
import json, re, sys
text = open(sys.argv[2]).read().split("\nmix ")[1:]
for m, page in zip(json.load(open(sys.argv[1]))["mixes"], text):
    base, best = re.search(r"best baseline, (\S+):.* last, (\S+) against", page).groups()
    assert (m["best_baseline"], m["best_policy"]) == (base, best), (base, best)
    for p in m["policies"]:
        rate, share, mean = re.search(r"^%s +(\S+) +\S+ +(\S+) +\S+ +(\S+)" % p["policy"], page, re.M).groups()
        assert (rate, share, mean) == ("%.1f" % p["rate_hz"]["mean"], "%.1f" % (100 * p["share"]["mean"]), "%.2f" % p["mean_ms"]["mean"]), p
        line, equal = re.search(r"^  %s .* ms \(.*$" % p["policy"], page, re.M).group(0), p["at_best_baseline_rate"]
        want = ["%+.1f" % (100 * p[k]["mean"]) for k in ("over_best_baseline", "best_policy_over_it")]
        assert re.findall(r"  ([+-][0-9.]+) %", line) == want, (line, want)
        assert "%.2f ms (%+.0f %%)" % (equal["mean_ms"]["mean"], 100 * equal["mean_ms_change"]) in line, line
EOF
ok "the table and JSON hold the same figures"

sim --mix light --rate 20 --requests 300 --policy fcfs-efficient --json && json 'd["mixes"][0]["policies"][0]["blocks"]["mean"] == 1'
ok "whole models: one block for each request, those of the warm-up counted on both sides"

sim --rate 150 --requests 300 --policy veltair-full --json && cp "$dir/out" "$dir/a" &&
	sim --rate 150 --requests 300 --policy veltair-full --json --jobs 1 && mv "$dir/out" "$dir/b" &&
	python3 - "$dir/a" "$dir/b" <<'EOF' 2>"$dir/err"
import json, sys
host = ("decide_us", "decide_max_us", "blocks_per_s")  # measured on this machine, so not repeatable
a, b = (json.load(open(f))["mixes"][0]["policies"][0] for f in sys.argv[1:])
sys.exit(any(a[k] != b[k] for k in a if k not in host))
EOF
ok "one seed, one result"

sim --mix medium --rate 400 --requests 300 --policy fcfs-efficient --json && cp "$dir/out" "$dir/a" &&
	sim --mix medium --rate 400 --requests 300 --policy fcfs-efficient --json --no-contention && mv "$dir/out" "$dir/b" &&
	python3 - "$dir/a" "$dir/b" <<'EOF' 2>"$dir/err"
import json, sys
a, b = (json.load(open(f))["mixes"][0]["policies"][0] for f in sys.argv[1:])
sys.exit(not (b["stretched"]["mean"] == 0 and b["core_ms"]["mean"] < a["core_ms"]["mean"]))
EOF
ok "without contention no memory is saturated, and the same blocks take less core-time"

for machine in epyc-2x64 vm-2; do
	sim --machine $machine --rate 5 --requests 50 --policy veltair-full --mix all
	ok "runs on $machine"
done

sim --rate 100 --requests 200 --policy veltair-full --record "$dir/t" && [ -s "$dir/t" ] && sim --replay "$dir/t" &&
	grep -q ' 0 decided otherwise' "$dir/out"
ok "a recording replays to the same bytes"

sim --replay "$dir/t" --json && json 'd["complete"] and d["steps"] > 100 and d["differ"] == 0'
ok "JSON says that the recording is complete"

# cut BYTES TEXT: without the last BYTES of it, what is there is replayed; exit status 2 and TEXT
cut() {
	head -c -"$1" "$dir/t" >"$dir/cut"
	sim --replay "$dir/cut"
	[ $? = 2 ] && grep -q ' [1-9][0-9]* steps, 0 decided otherwise' "$dir/out" && [ "$(grep -c . "$dir/err")" = 1 ] && grep -qF "$2" "$dir/err"
	ok "cut by $1 bytes: $2"
}
cut 20 "cut: step"
cut 8 "without its end mark"
cut 4 "last step is cut short"
sim --replay "$dir/cut" --json
[ $? = 2 ] && json 'not d["complete"]'
ok "JSON says that it is not"
head -c "$(od -An -tu8 -j88 -N8 "$dir/t" | tr -d ' ')" "$dir/t" >"$dir/cut"
refuses "cut: it ends after step 0 without its end mark" --replay "$dir/cut"
cat "$dir/t" "$dir/t" >"$dir/two"
sim --replay "$dir/two" && grep -q ' 0 decided otherwise' "$dir/out"
ok "two recordings in one file"
printf 'garbage' | cat "$dir/t" - >"$dir/two"
sim --replay "$dir/two"
[ $? = 2 ] && grep -qF "two: not a trace" "$dir/err"
ok "what follows a recording is another one or refused"
head -c 50 "$dir/t" >"$dir/cut"
refuses "cut: not a trace" --replay "$dir/cut"
printf '\377' | cat <(head -c 8 "$dir/t") - <(tail -c +10 "$dir/t") >"$dir/other"
refuses "other: a trace of version" --replay "$dir/other"
printf "%0200d" 0 >"$dir/text"
refuses "text: not a trace: it does not begin like one" --replay "$dir/text"
# other AT BYTES: the recording with BYTES, some as \0OCTAL, written over it at AT
other() {
	cp "$dir/t" "$dir/other" && printf '%b' "$2" | dd of="$dir/other" bs=1 seek="$1" conv=notrunc status=none
}
other 16 none
refuses "other: recorded with unknown policy 'noneair-full'" --replay "$dir/other"
other 136 '\0000\0000' # the first model has no layers: nothing else of it is where it was
refuses "other: not a trace: " --replay "$dir/other"
other 128 '\0000\0000\0000\0000\0000\0000\0000\0000' # and here no target
refuses "other: a damaged model: a model's profile is not complete and sane" --replay "$dir/other"
refuses "No such file" --replay "$dir/none"
refuses "exactly one mix and one policy" --rate 10 --policy edf,prema --record "$dir/x"
[ ! -e "$dir/x" ]
ok "a refused recording leaves no file"

# trace ARGUMENT...: of one run; spans of a core are apart, layers lie in them, all add up to what the simulator says it granted
trace() {
	sim "$@" --trace "$dir/trace.json" && cp "$dir/err" "$dir/said" || return
	python3 - "$dir/trace.json" "$dir/said" <<'EOF' 2>"$dir/err"
import json, re, sys
t = json.load(open(sys.argv[1]))
free, last, sums, layers, kinds = {}, {}, 0.0, 0.0, set()
for e in t["traceEvents"]:
    assert e["name"] and e["ph"] in "XCM" and e["pid"] == 1 and isinstance(e["args"], dict), e
    kinds.add(e.get("cat", e["ph"]))
    if e["ph"] != "X":
        continue
    assert e["ts"] >= 0 and e["dur"] >= 0, e
    core, end = e["tid"], e["ts"] + e["dur"]
    if e["cat"] == "block":
        assert e["ts"] >= free.get(core, 0) - 0.0015, ("overlap", e)
        free[core], last[core] = end, e
        sums += e["dur"]
    else:
        assert end <= free[core] + 0.0015 and e["ts"] >= last[core]["ts"] - 0.0015, ("outside its block", e)
        layers += e["dur"]
assert kinds == {"M", "C", "block", "layer"}, kinds
granted = float(re.search(r"([0-9.]+) s of core time granted, 0 events left out", open(sys.argv[2]).read()).group(1))
assert t["otherData"]["dropped"] == 0 and abs(sums * 1e-6 / granted - 1) < 0.01, (sums, granted)
assert len(free) > 1 and 0 < layers <= sums, (layers, sums)
EOF
}
for policy in veltair-full planaria prema fcfs; do
	trace --rate 300 --requests 150 --mix medium --policy $policy
	ok "--trace of $policy: no overlap, the sum is what was granted"
done
trace --machine vm-2 --rate 30 --requests 200 --policy veltair-full
ok "--trace on a small machine, which is short of cores"
refuses "exactly one mix and one policy" --rate 10 --policy edf,prema --trace "$dir/x"
refuses "not with --replay" --replay "$dir/t" --trace "$dir/x"
for option in "--policy fcfs" "--rate 10" --search "--mix light" "--machine vm-2" "--seed 1" "--jobs 2" "--profiles $dir/x" \
	"--arrivals $dir/x" --no-shed "--plot $dir/x" "--record $dir/x" "--nodes 2"; do
	# shellcheck disable=SC2086 # words
	refuses "${option%% *}: not with --replay" $option --replay "$dir/t"
done
for option in trace record; do
	refuses "none/x: cannot create" --rate 10 --policy edf --$option "$dir/none/x"
done
# Before the runs, not after them: these would take hours.
refuses "none/x: No such file" --rate 1000 --requests 100000000 --plot "$dir/none/x"

printf '0,mobilenet_v2\n0.001,mobilenet_v2\n0.5,tiny_yolo_v2\n' >"$dir/arrivals"
sim --arrivals "$dir/arrivals" --policy edf --json && json 'd["mixes"][0]["policies"][0]["share"]["mean"] == 1'
ok "--arrivals runs a trace"
printf '0,mobilenet_v2\n0,mobilenet_v2\n0,tiny_yolo_v2\n' >"$dir/arrivals"
sim --arrivals "$dir/arrivals" --policy edf --json && json 'd["mixes"][0]["policies"][0]["share"]["mean"] == 1 and d["mixes"][0]["policies"][0]["mean_ms"]["mean"] > 1'
ok "--arrivals at one time have latencies"
refuses "the same for every seed: not with --seeds" --arrivals "$dir/arrivals" --seeds 10 --policy edf
{ echo 0,late && seq 1 19 | sed 's/$/,mobilenet_v2/'; } >"$dir/arrivals"
printf 'bert_large=late,0.1,1\nmobilenet_v2,-,1\n' >"$dir/late.mix"
sim --arrivals "$dir/arrivals" --mix "$dir/late.mix" --policy edf --bound --json && json 'all(p["share"]["mean"] == 0.95 and p["worst_share"]["mean"] == 0 for p in d["mixes"][0]["policies"])'
ok "the first of --arrivals counts as the others do"
printf 'bert_large=late,1000,1\nmobilenet_v2,-,1\nmobilenet_v2,-,1,9\n' >"$dir/late.mix"
refuses "arrivals:2: 'mobilenet_v2' is in several lines of the mix" --arrivals "$dir/arrivals" --mix "$dir/late.mix" --policy edf
printf '1,mobilenet_v2\n0.5,mobilenet_v2\n' >"$dir/arrivals"
refuses "arrivals:2: earlier than the line before" --arrivals "$dir/arrivals" --policy edf

refuses "--arrivals are as many as they are: not with --requests" --arrivals "$dir/arrivals" --requests 100
refuses "--arrivals and --rate exclude each other" --arrivals "$dir/t" --rate 10
refuses "not with --arrivals" --arrivals "$dir/t" --search

# again POLICY ARGUMENT...: recorded under POLICY and taken as arrivals, with ${keep[@]}, it is the same run to the bit, and another policy meets as many.
# Shares and latencies are then of all requests, not without the first tenth.
again() {
	local policy=$1
	shift
	sim "$@" --policy "$policy" --record "$dir/past" --json && cp "$dir/out" "$dir/a" &&
		sim --arrivals "$dir/past" --policy "$policy,edf" "${keep[@]}" --json && mv "$dir/out" "$dir/b" &&
		sim --arrivals "$dir/past" --policy "$policy" "${keep[@]}" --record "$dir/past2" && { [ "$but" ] || cmp "$dir/past" "$dir/past2" 2>"$dir/err"; } &&
		python3 - "$dir/a" "$dir/b" "$policy" "$but" <<'EOF' 2>"$dir/err"
import json, sys
a, b = (json.load(open(f)) for f in sys.argv[1:3])
but = ("decide_us", "decide_max_us", "blocks_per_s", "rate_hz", sys.argv[4],  # of this machine; what came is not quite what was asked for
       "share", "worst_share", "mean_ms", "p50_ms", "p95_ms", "p99_ms")
p, q = a["mixes"][0]["policies"][0], b["mixes"][0]["policies"][0]
assert not [k for k in p if k not in but and p[k] != q[k]], (p, q)
assert b["requests"] == a["requests"] == sum(b["mixes"][0]["arrivals"].values()), b
assert b["arrivals"]["complete"] and b["arrivals"]["recorded_policy"] == sys.argv[3], b["arrivals"]
EOF
	ok "as arrivals a recording is that run again: $policy $*"
}
keep=() but=
for policy in veltair-full planaria; do
	again $policy --mix light --rate 900 --requests 500
done
but=utilisation # whole seconds before the first request are left out
again veltair-full --mix medium --rate 0.4 --requests 20 --seed 3
but=
printf 'mobilenet-v2,3.5,2,7\nresnet50,30,1\n' >"$dir/own.mix"
keep=(--machine vm-2)
again prema --mix "$dir/own.mix" --rate 40 --requests 300 --machine vm-2 # targets and priorities are those of the recording
keep=(--no-shed)
again veltair-full --mix light --rate 1300 --requests 500 --no-shed

printf '0,mobilenet_v2\n0.001,mobilenet_v2\n0.001,tiny_yolo_v2\n0.5,tiny_yolo_v2\n0.9,mobilenet_v2\n' >"$dir/arrivals"
sim --arrivals "$dir/arrivals" --policy edf --record "$dir/past" && sim --arrivals "$dir/past" --policy all --bound --json &&
	json 'd["mixes"][0]["arrivals"] == {"mobilenet_v2": 3, "tiny_yolo_v2": 2} and len(d["mixes"][0]["policies"]) >= 11 and all(p["share"]["mean"] == 1 for p in d["mixes"][0]["policies"])'
ok "its requests by model, for every policy and the bounds"
sim --arrivals "$dir/past" --policy edf && grep -qxF "arrivals of $dir/past, recorded under edf: mobilenet_v2 3, tiny_yolo_v2 2" "$dir/out"
ok "and in the table"
printf 'mobilenet_v2,0.01,1\ntiny-yolov2,-,1\n' >"$dir/own.mix"
sim --arrivals "$dir/past" --mix "$dir/own.mix" --policy edf --json && json '0 < d["mixes"][0]["policies"][0]["share"]["mean"] < 1 and d["mixes"][0]["policies"][0]["worst_share"]["mean"] == 0'
ok "a target of the mix comes before the recorded ones, of its model only"
refuses "past: mix medium lacks models that it has requests of: mobilenet_v2, tiny_yolo_v2; a line 'mobilenet_v2,-,1' of a mix file adds one" \
	--arrivals "$dir/past" --mix medium
printf 'mobilenet_v2,-,1\nmobilenet_v2,-,1,9\ntiny_yolo_v2,-,1\n' >"$dir/own.mix"
refuses "'mobilenet_v2' is in several lines" --arrivals "$dir/past" --mix "$dir/own.mix"
printf 'model,layer,cores,ns\nmine,0,8,2000000\nyours,0,8,1000000\n' >"$dir/p.csv"
printf 'mine,10,1\nyours,10,1\n' >"$dir/own.mix"
sim --profiles "$dir/p.csv" --mix "$dir/own.mix" --rate 10 --requests 100 --policy edf --record "$dir/past" &&
	sim --arrivals "$dir/past" --profiles "$dir/p.csv" --policy edf --json && json 'sum(d["mixes"][0]["arrivals"].values()) == 100 and d["mixes"][0]["policies"][0]["share"]["mean"] > 0.9'
ok "measured models need no mix: their targets are in the recording"
refuses "past: of its models no times are known: mine, yours; give them with --profiles DB, or say whose times they have by lines 'MODEL=mine,-,1' of a mix file" \
	--arrivals "$dir/past"
printf 'resnet50=mine,-,1\nresnet50=yours,-,1\n' >"$dir/own.mix"
sim --arrivals "$dir/past" --mix "$dir/own.mix" --policy edf --json && json 'sorted(d["mixes"][0]["arrivals"]) == ["mine", "yours"] and d["mixes"][0]["policies"][0]["mean_ms"]["mean"] > 4'
ok "or have those of another, two tenants of one model"
head -c -9 "$dir/past" >"$dir/cut"
sim --arrivals "$dir/cut" --profiles "$dir/p.csv" --policy edf --json
[ $? = 2 ] && json 'sum(d["mixes"][0]["arrivals"].values()) >= 99 and not d["arrivals"]["complete"]' && [ "$(grep -c . "$dir/err")" = 1 ] && grep -qF "cut: step" "$dir/err"
ok "of one that was cut, what is there: one line and exit 2, as for --replay"
cat "$dir/past" "$dir/past" >"$dir/two"
refuses "two: its time goes back, so it holds recordings of two runs" --arrivals "$dir/two"
head -c 50 "$dir/past" >"$dir/cut"
refuses "cut: not a trace: " --arrivals "$dir/cut"
head -c "$(od -An -tu8 -j88 -N8 "$dir/past" | tr -d ' ')" "$dir/past" >"$dir/cut"
refuses "cut: it ends after step 0 without its end mark" --arrivals "$dir/cut"
printf 'VTTREND\n' >>"$dir/cut"
refuses "cut: no requests in it" --arrivals "$dir/cut"
other 8 '\0377'
refuses "other: a trace of version 255" --arrivals "$dir/other"
other 16 none # under which policy it came about does not matter
sim --arrivals "$dir/other" --policy edf --json && json 'd["arrivals"]["recorded_policy"] == "noneair-full"'
ok "a recording under a policy that this program lacks"

printf 'model,layer,cores,ns\nmine,0,8,2000000\nmine,0,16,1100000\nmine,1,8,1000000\nmine,1,16,600000\n' >"$dir/p.csv"
echo 'mine,10,1' >"$dir/m.mix"
sim --profiles "$dir/p.csv" --mix "$dir/m.mix" --rate 10 --requests 100 --policy fcfs-efficient --json &&
	json '3.0 <= d["mixes"][0]["policies"][0]["p50_ms"]["mean"] <= 3.1'
ok "--profiles: measured times decide"

echo 'model,layer,cores,ns
mine,0,8,5
mine,2,8,5' >"$dir/hole.csv"
refuses "layer 1" --profiles "$dir/hole.csv" --mix "$dir/m.mix" --rate 10
printf 'model,layer,cores,ns\nmine,0,8,5\nmine,0,16,5\nmine,1,8,5\n' >"$dir/hole.csv"
refuses "sim: model 'mine': time is missing or zero (layer 1, version 0, level 0, 16 cores)" --profiles "$dir/hole.csv" --mix "$dir/m.mix" --rate 10
refuses "model 'mine': measured on 8 cores at least, and vm-2 has 2" --profiles "$dir/p.csv" --mix "$dir/m.mix" --rate 10 --machine vm-2
echo 'model,layer,cores,ns
mine,0,8,-5' >"$dir/bad.csv"
refuses "bad.csv:2: ns '-5'" --profiles "$dir/bad.csv" --mix "$dir/m.mix" --rate 10
echo 'model,layer,cores,ns
mine,0,8,0' >"$dir/bad.csv"
refuses "bad.csv:2: ns must not be 0" --profiles "$dir/bad.csv" --mix "$dir/m.mix" --rate 10
sed 's/^cores =.*/cores = 0/' share/machines/3990x.machine >"$dir/zero.machine"
refuses "cores = 0 is out of range" --machine "$dir/zero.machine" --rate 10
sed 's/^cores =.*/cores = 99999999/' share/machines/3990x.machine >"$dir/zero.machine"
sed 's/^gflops =.*/gflops = 0.01/' share/machines/vm-2.machine >"$dir/slow.machine"
refuses "cores = 99999999 is out of range" --machine "$dir/zero.machine" --rate 10
echo 'resnet50,0,1' >"$dir/zero.mix"
refuses "qos_ms must be in" --mix "$dir/zero.mix" --rate 10
echo 'resnet51,10,1' >"$dir/zero.mix"
refuses "no model is called 'resnet51'" --mix "$dir/zero.mix" --rate 10
refuses "but: efficientnet_b0, mobilenet_v2, tiny_yolo_v2, resnet50, " --mix "$dir/zero.mix" --rate 10
refuses "but: mine, efficientnet_b0, " --mix "$dir/zero.mix" --rate 10 --profiles "$dir/p.csv"
refuses "--profiles DB adds those of DB, each called as its file without .onnx" --mix "$dir/zero.mix" --rate 10
printf '%s,100,1\n' mobilenet-v2 resnet-50 tiny-yolov2 mobilenet_v2 >"$dir/zoo.mix"
sim --mix "$dir/zoo.mix" --rate 10 --requests 50 --policy edf --json && json 'd["mixes"][0]["policies"][0]["share"]["mean"] == 1'
ok "models as the zoo calls them"
printf 'mobilenet-v2,100,1\nmobilenet_v2,99,1\n' >"$dir/zoo.mix"
refuses "'mobilenet-v2' and 'mobilenet_v2' are one model, with two targets" --mix "$dir/zoo.mix" --rate 10
{ sed 's/^mine.*/&0/; s/^mine/resnet50/' "$dir/p.csv" && sed -n 's/^mine/resnet-50/p' "$dir/p.csv"; } >"$dir/dash.csv"
echo 'resnet-50,1000,1' >"$dir/exact.mix"
sim --profiles "$dir/dash.csv" --mix "$dir/exact.mix" --rate 10 --requests 100 --policy fcfs-efficient --json &&
	json '3.0 <= d["mixes"][0]["policies"][0]["p50_ms"]["mean"] <= 3.1'
ok "the name as it is written comes before one that is alike"
refuses "no machine is called 'mainframe'" --machine mainframe --rate 10
refuses "no mix is called 'middling'" --mix middling --rate 10
refuses "no mix is called 'middling.mix'" --mix middling.mix --rate 10
cp "$dir/m.mix" "$dir/bare" && mkdir "$dir/light" &&
	(cd "$dir" && timeout 60 "$veltair" sim --profiles p.csv --mix bare,light --rate 10 --requests 50 --policy edf) >"$dir/out" 2>"$dir/err" &&
	[ "$(grep -c '^mix' "$dir/out")" = 2 ]
ok "a mix of the current folder needs no slash, and a folder is none"
refuses "no policy is called 'best'" --policy best --rate 10
printf '%s\n' 'resnet50,3x,1,1,0-4' >"$dir/fleet.mix"
refuses "is past the last node" --nodes 4 --mix "$dir/fleet.mix" --policy edf --rate 10
share/mixes/fleet.sh 20 3 >"$dir/fleet.mix" 2>"$dir/err" && [ "$(grep -c , "$dir/fleet.mix")" = 20 ] &&
	"$veltair" sim --nodes 3,9 --mix "$dir/fleet.mix" --machine 3990x,epyc-2x64 --policy veltair-full --rate 300 --requests 40 \
		--router round-robin,least-conn,weighted --json >"$dir/out" 2>"$dir/err" && [ "$(grep -c '"in_qos"' "$dir/out")" = 6 ]
ok "a generated mix on fleets of two sizes behind three routers"
# fleet FLAG...: a loaded fleet with what changes its nodes
fleet() {
	sim --nodes 2 --router round-robin --mix medium --policy veltair-full --rate 500 --requests 300 --json "$@"
	python3 -c 'import json, sys; d = json.load(sys.stdin)["runs"][0]; print([d[k] for k in ("in_qos", "mean_ms", "busy", "blocks")])' <"$dir/out"
}
alone=$(fleet --no-contention) blind=$(fleet --no-counters) usual=$(fleet)
[ -n "$usual" ] && [ -n "$alone" ] && [ -n "$blind" ] && [ "$alone" != "$usual" ] && [ "$blind" != "$usual" ]
ok "the nodes of a fleet obey --no-contention and --no-counters"
# A target of so many times the fastest run: the slowest kind's, in whatever order they are given.
echo 'resnet50,3x,1' >"$dir/times.mix"
for machines in 3990x,vm-2 vm-2,3990x; do
	sim --nodes 2 --router round-robin --machine $machines --mix "$dir/times.mix" --policy veltair-full --rate 0.2 --requests 40 --json && json 'd["runs"][0]["in_qos"] == 1'
	ok "one target for all kinds of nodes: $machines"
done
for bad in 0 1025 x "1 2 3"; do
	# shellcheck disable=SC2086 # words
	share/mixes/fleet.sh $bad >"$dir/out" 2>"$dir/err"
	[ $? = 2 ] && [ "$(wc -l <"$dir/err")" = 1 ] && [ ! -s "$dir/out" ]
	ok "fleet.sh refuses '$bad'"
done
printf '%s\n' 'resnet50,3x,1,1,60%-50%' >"$dir/fleet.mix"
refuses "is no part of a fleet" --nodes 4 --mix "$dir/fleet.mix" --policy edf --rate 10
printf '%s\n' 'resnet50,0x,1' >"$dir/zero.mix"
refuses "must be in 1x..1000000x" --mix "$dir/zero.mix" --rate 10
printf '%s\n' 'bert_large,1000000x,1' >"$dir/zero.mix"
refuses "model 'bert_large': latency target is not 1 ns .. 1 h" --mix "$dir/zero.mix" --rate 10
sed 's/^overlap =.*/overlap = 100/' share/machines/vm-2.machine >"$dir/overlap.machine"
sim --machine "$dir/overlap.machine" --rate 10 --requests 100 --policy edf --json && json '0 < d["mixes"][0]["policies"][0]["mean_ms"]["mean"] < 1000'
ok "a machine whose parts overlap entirely"
refuses "is not a number in 1..4096" --nodes 0 --policy edf --rate 10
refuses "--router is of a fleet: say --nodes" --router weighted --policy edf --rate 10
refuses "--machine 3990x,vm-2: several are of a fleet: say --nodes" --machine 3990x,vm-2 --policy edf --rate 10
refuses "none of round-robin" --nodes 2 --router best --policy edf --rate 10
refuses "one mix and one policy" --nodes 2 --rate 10
refuses "not with --search" --nodes 2 --search --policy edf
refuses "--nodes: one run after the other, so not with --jobs" --nodes 2 --jobs 2 --policy edf --rate 10
for of in "--rate 10" "--arrivals $dir/t" "--nodes 2 --rate 10"; do
	# shellcheck disable=SC2086 # words
	refuses "--qos-share is what --search looks for: say --search" $of --qos-share 0.9 --policy edf
done
for option in record trace; do
	refuses "--record and --trace are of one run: not with --seeds" --rate 10 --seeds 2 --policy edf --$option "$dir/x"
	sim --rate 100 --requests 50 --policy edf --bound --$option "$dir/x" && [ -s "$dir/x" ] && [ "$(grep -cE '^(edf|clairvoyant)' "$dir/out")" = 3 ]
	ok "--bound beside --$option is no second policy"
	rm -f "$dir/x"
done
refuses "so not with --seeds" --nodes 2 --seeds 3 --policy edf --rate 10
refuses "say --rate HZ, of one node" --nodes 2 --policy edf
refuses "--rate must be a number" --rate 0
refuses "--rate must be a number" --rate fast
refuses "take more than 1e9 seconds" --rate 1e-6 --policy edf
refuses "take more than 1e9 seconds" --rate 1e-6 --policy edf --nodes 2
refuses "take more than 1e9 seconds" --search --requests 100000000 --policy edf --machine "$dir/slow.machine"
refuses "--qos-share must be a number" --search --qos-share 1.5
refuses "exclude each other" --search --rate 10
refuses "say --rate HZ, --search" --policy edf
refuses "unexpected argument 'light'" --rate 10 light
refuses "ResNet50.profile.csv" --asplos22 "$dir" --rate 10

if command -v gnuplot >/dev/null; then
	sim --rate 100 --requests 100 --policy edf,planaria --plot "$dir/plots" &&
		[ "$(find "$dir/plots" -name '*.png' -size +1k | wc -l)" -ge 5 ]
	ok "--plot draws"

	sim --search --mix "$dir/short.mix" --seeds 2 --requests 30 --policy fcfs-efficient,fcfs --plot "$dir/none" &&
		grep -qE '^fcfs-efficient [0-9.]+ [0-9.]+$' "$dir/none/mean_latency.dat" && grep -qx 'fcfs ? ?' "$dir/none/mean_latency.dat" && grep -qx 'fcfs ? ?' "$dir/none/p99_latency.dat" &&
		sim --mix "$dir/hopeless.mix" --rate 10 --requests 50 --policy veltair-full --plot "$dir/none" && grep -qx 'veltair-full ? ?' "$dir/none/mean_latency.dat" &&
		sim --nodes 2 --mix "$dir/hopeless.mix" --rate 10 --requests 50 --policy veltair-full --plot "$dir/none" && grep -qE '^2 0\.0000 \? ' "$dir/none/fleet.dat"
	ok "--plot: what no seed has is no bar of 0"

	# Names are text, whatever they hold.
	sed "s/^name = .*/name = a'; system 'touch machine-ran'; x='\`touch machine-ran\`/" share/machines/vm-2.machine >"$dir/evil.machine"
	# shellcheck disable=SC2016 # not to be expanded
	mix='a`touch mix-ran`"; system "touch mix-ran"; x="'"'; system 'touch mix-ran'; x='"
	echo 'mobilenet_v2,-,1' >"$dir/$mix"
	(cd "$dir" && "$veltair" sim --machine ./evil.machine --mix "./$mix" --rate 10 --requests 50 --policy edf --plot evil) >"$dir/out" 2>"$dir/err" &&
		[ -s "$dir/evil/share.png" ] && [ -z "$(find "$dir" -name '*-ran')" ]
	ok "--plot: a name of a machine or of a mix runs nothing"
else
	count=$((count + 1))
	echo "ok $count # SKIP gnuplot is not installed"
fi

for more in "" --json "--nodes 2 --json" "--nodes 2"; do
	# shellcheck disable=SC2086 # options
	"$veltair" sim --rate 100 --requests 200 --policy edf $more >/dev/full 2>"$dir/err"
	[ $? = 1 ] && [ "$(grep -c 'veltair sim: standard output: No space left' "$dir/err")" = 1 ]
	ok "a full disk loses no result silently: ${more:-table}"
done

echo "1..$count"
[ $failed = 0 ]
