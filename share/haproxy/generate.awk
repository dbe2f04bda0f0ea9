# SPDX-License-Identifier: Apache-2.0
# The body of generate.sh: reads a fleet, checks it, prints haproxy.cfg. POSIX awk.

function bad(text) {
	printf "generate.sh: %s:%d: %s\n", FILENAME, FNR, text >"/dev/stderr"
	failed = 1
	exit 2
}

function whole(text, min, max) {
	return text ~ /^[0-9]+$/ && length(text) < 10 && text + 0 >= min && text + 0 <= max
}

# ADDRESS:PORT, [IPv6]:PORT; ADDRESS may be * if @any
function check_address(text, any,    port, host) {
	port = host = text
	sub(/^.*:/, "", port)
	sub(/:[^:]*$/, "", host)
	if (text !~ /:/ || !whole(port, 1, 65535))
		bad("'" text "' is no address: HOST:PORT or [IPv6]:PORT, with a port from 1 to 65535")
	if (host !~ /^[A-Za-z0-9._-]+$/ && host !~ /^\[[0-9A-Fa-f:.]+\]$/ && !(any && host == "*"))
		bad("'" text "' is no address: HOST:PORT or [IPv6]:PORT")
}

function check_name(what, text, max) {
	if (text !~ /^[A-Za-z0-9._-]+$/ || length(text) > max)
		bad(what " '" text "': 1 to " max " letters, digits or ._-")
}

# KEY=VALUE; @keys is " key key "; leaves key and value
function split_option(text, keys) {
	key = value = text
	sub(/=.*/, "", key)
	sub(/^[^=]*=/, "", value)
	if (text !~ /=/ || index(keys, " " key " ") == 0)
		bad("'" text "' is not one of:" keys "(each KEY=N)")
}

function once(what) {
	if (what in seen)
		bad("'" what "' is there twice")
	seen[what] = 1
}

BEGIN {
	listen = "127.0.0.1:8000"
	stats = "127.0.0.1:8404"
	body_kib = 704
	conns = 1000
	balance = "roundrobin"
	check_ms = 500
	agent_ms = 250
}

{ sub(/#.*/, "") }
NF == 0 { next }

$1 == "listen" || $1 == "stats" {
	once($1)
	if (NF != 2)
		bad($1 ": one ADDRESS:PORT was expected")
	check_address($2, $1 == "listen")
	if ($1 == "listen")
		listen = $2
	else
		stats = $2
	next
}

$1 == "body_kib" || $1 == "conns" || $1 == "check_ms" || $1 == "agent_ms" {
	once($1)
	if (NF != 2 || !whole($2, $1 ~ /_ms/ ? 50 : 16, $1 ~ /_ms/ ? 60000 : 1048576))
		bad($1 ": one whole number was expected, from " ($1 ~ /_ms/ ? "50 to 60000" : "16 to 1048576"))
	if ($1 == "body_kib") body_kib = $2
	else if ($1 == "conns") conns = $2
	else if ($1 == "check_ms") check_ms = $2
	else agent_ms = $2
	next
}

$1 == "balance" {
	once($1)
	if (NF != 2 || ($2 != "leastconn" && $2 != "roundrobin" && $2 != "random"))
		bad("balance: leastconn, roundrobin or random was expected")
	balance = $2
	next
}

$1 == "node" {
	if (NF < 3)
		bad("node: NAME ADDRESS:PORT [agent=PORT] [weight=N] was expected")
	check_name("node", $2, 63)
	if ($2 == "all" || $2 == "on")
		bad("'" $2 "' cannot be a node's name")
	if ($2 in address)
		bad("node '" $2 "' is there twice, first in line " node_line[$2])
	check_address($3, 0)
	if ($3 in node_at)
		bad("node '" $2 "' has the address of node '" node_at[$3] "'")
	address[$2] = $3
	node_at[$3] = $2
	node_line[$2] = FNR
	weight[$2] = 100
	for (i = 4; i <= NF; i++) {
		split_option($i, " agent weight ")
		if (key == "agent" && !whole(value, 1, 65535))
			bad("agent=" value ": a port from 1 to 65535 was expected")
		if (key == "weight" && !whole(value, 1, 256))
			bad("weight=" value ": 1 to 256 was expected")
		if (key == "agent")
			agent[$2] = value
		else
			weight[$2] = value
	}
	nodes[++n_nodes] = $2
	next
}

$1 == "model" {
	if (NF < 4 || $3 != "on")
		bad("model: NAME on NODE...|all [queue_ms=N] [per_node=N] was expected; a model on no node cannot be asked for")
	check_name("model", $2, 63)
	if ($2 in model_line)
		bad("model '" $2 "' is there twice, first in line " model_line[$2])
	model_line[$2] = FNR
	models[++n_models] = $2
	queue_ms[$2] = 1000
	per_node[$2] = 64
	for (i = 4; i <= NF; i++) {
		if ($i ~ /=/) {
			split_option($i, " queue_ms per_node ")
			if (!whole(value, 1, 65536))
				bad(key "=" value ": 1 to 65536 was expected")
			if (key == "queue_ms")
				queue_ms[$2] = value
			else
				per_node[$2] = value
			continue
		}
		if (($2, $i) in on)
			bad("model '" $2 "' is on node '" $i "' twice")
		on[$2, $i] = 1
		place[$2] = place[$2] " " $i
	}
	if (place[$2] == "")
		bad("model '" $2 "' is on no node: name nodes, or all")
	next
}

{ bad("'" $1 "' is not one of: node, model, listen, stats, balance, body_kib, conns, check_ms, agent_ms") }

# Nodes may stand below the models that name them.
function check_places(    m, i, n, list) {
	for (m = 1; m <= n_models; m++) {
		n = split(place[models[m]], list, " ")
		FNR = model_line[models[m]]
		for (i = 1; i <= n; i++)
			if (list[i] == "all" && n > 1)
				bad("model '" models[m] "': all, or nodes by name")
			else if (list[i] != "all" && !(list[i] in address))
				bad("model '" models[m] "' is on node '" list[i] "', which is not there")
		if (n == 1 && list[1] == "all") {
			place[models[m]] = ""
			for (i = 1; i <= n_nodes; i++)
				place[models[m]] = place[models[m]] " " nodes[i]
		}
	}
}

# Agents are asked by each backend: HAProxy keeps a weight per server line.
function server(name, max, health,    line, host) {
	host = address[name]
	sub(/:[^:]*$/, "", host)
	line = "    server " name " " address[name] " weight " weight[name] " maxconn " max " maxqueue " max
	line = line " " health
	if (name in agent)
		line = line " agent-check agent-addr " host " agent-port " agent[name] " agent-inter " agent_ms "ms"
	print line
}

function head(    file) {
	file = FILENAME
	sub(/^.*\//, "", file)
	print "# Made by share/haproxy/generate.sh from " file "; change that and make it again."
	print "global"
	print "    maxconn " conns
	print "    log /dev/log local0"
	print "    no-memory-trimming"
	print "    # A request can be sent again only while all of it is held: " body_kib " KiB, two such buffers a"
	print "    # connection at most. Larger ones pass, and are sent once. Start HAProxy 2.6 with -dMglobal,no-poison"
	print "    # (Debian: EXTRAOPTS in /etc/default/haproxy), or each buffer is got from the system and given back."
	print "    tune.bufsize " body_kib * 1024
	print ""
	print "defaults"
	print "    mode http"
	print "    log global"
	print "    option httplog"
	print "    timeout connect 500ms"
	print "    timeout client 30s"
	print "    timeout server 30s"
	print "    timeout http-request 10s"
	print "    timeout check 1s"
	print "    # Each retry on another node. An inference changes nothing, so that it may be computed twice:"
	print "    # refused (503), lost with its node, or no answer. 504 is not: whoever was slow will be again."
	print "    retries 3"
	print "    option redispatch 1"
	print "    # All of a request is here before any of it leaves; of one in parts nothing would be kept."
	print "    option http-buffer-request"
	print "    default-server inter " check_ms "ms fastinter 100ms downinter " check_ms "ms fall 2 rise 1"
	print ""
}

function frontend() {
	print "frontend models"
	print "    bind " listen
	print "    # What changes a node is not for clients: models are loaded by who owns the node."
	print "    http-request deny deny_status 403 content-type application/json string '{\"error\": \"not through the balancer\"}' if { path_beg /v2/repository }"
	print "    # http://balancer/v2/models/NAME/...: one backend a model, found by name in constant time."
	print "    use_backend model.%[path,field(4,/)] if { path_beg /v2/models/ }"
	print "    use_backend nodes if { path /v2 } or { path_beg /v2/health/ }"
	print "    default_backend nothing"
	print ""
	print "backend nothing"
	print "    http-request return status 404 content-type application/json string '{\"error\": \"no such model in this fleet\"}'"
	print ""
	print "frontend stats"
	print "    bind " stats
	print "    stats enable"
	print "    stats uri /"
	print "    stats refresh 2s"
	print "    http-request use-service prometheus-exporter if { path /metrics }"
	print ""
}

END {
	if (failed)
		exit 2
	if (!n_nodes)
		bad("no node: node NAME ADDRESS:PORT [agent=PORT]")
	if (!n_models)
		bad("no model: model NAME on NODE...|all")
	check_places()
	head()
	frontend()
	print "# Is a node ready? Asked once a node, here; the models' backends follow."
	print "backend nodes"
	print "    balance roundrobin"
	print "    option httpchk GET /v2/health/ready"
	print "    http-check expect status 200"
	for (i = 1; i <= n_nodes; i++)
		print "    server " nodes[i] " " address[nodes[i]] " check"
	for (m = 1; m <= n_models; m++) {
		name = models[m]
		print ""
		print "backend model." name
		print "    balance " balance
		print "    retry-on conn-failure empty-response response-timeout 502 503"
		print "    http-request disable-l7-retry if !{ method POST GET HEAD }"
		print "    timeout queue " queue_ms[name] "ms"
		n = split(place[name], list, " ")
		for (i = 1; i <= n; i++)
			server(list[i], per_node[name], "track nodes/" list[i])
	}
}
