package grafana

import "strings"

// Units of Grafana.
const (
	seconds   = "s"
	bytesIEC  = "bytes"
	bytesRate = "binBps"
	perSecond = "ops"
	share     = "percentunit"
)

var clusterVar = Var{Name: "cluster", Label: "cluster", Values: "label_values(splitkernel_node_ready, cluster)"}

// nodeVar chooses nodes of a role.
func nodeVar(role string) Var {
	return Var{Name: "node", Label: "node", Values: `label_values(splitkernel_node_ready{cluster="$cluster", role="` + role + `"}, node)`, Multi: true}
}

// q is a query. In it C stands for the cluster that was chosen, N for the nodes, and W for the window of rates.
func q(expr, legend string) Query {
	return Query{Expr: strings.NewReplacer("{C", `{cluster="$cluster"`, "{N", `{cluster="$cluster", node=~"$node"`, "[W]", "[$__rate_interval]").Replace(expr), Legend: legend}
}

func one(title, unit, expr, legend string) Panel {
	return Panel{Title: title, Unit: unit, Queries: []Query{q(expr, legend)}}
}

func stat(title, unit, about, expr string) Panel {
	return Panel{Title: title, Unit: unit, About: about, Kind: "stat", Queries: []Query{q(expr, "")}}
}

func (p Panel) about(text string) Panel  { p.About = text; return p }
func (p Panel) stacked() Panel           { p.Stack = true; return p }
func (p Panel) upTo(most float64) Panel  { p.Max = most; return p }
func (p Panel) wide(columns int) Panel   { p.Width = columns; return p }
func (p Panel) leads(to string) Panel    { p.Link = to; return p }
func (p Panel) and(qs ...Query) Panel    { p.Queries = append(p.Queries, qs...); return p }
func (p Panel) states(m ...string) Panel { p.Kind, p.Map = "state-timeline", m; return p }

// quantile is that of a histogram by labels.
func quantile(of, name, by, selector string) string {
	return "histogram_quantile(" + of + ", sum by (" + by + ", le) (rate(" + name + "_bucket" + selector + "[W]))) >= 0"
}

// perNode is a rate of each node.
func perNode(name, selector string) string { return "sum by (node) (rate(" + name + selector + "[W]))" }

// common are panels that every role has.
func common(about string) Row {
	return Row{Title: "Process", Panels: []Panel{
		one("Processors", share, "splitkernel_node_processor_utilisation_ratio{N}", "{{node}}").about(about),
		one("Link in", bytesRate, perNode("splitkernel_node_link_transferred_bytes_total", `{N, direction="in"}`), "{{node}}").about("Bytes of frames, headers included."),
		one("Link out", bytesRate, perNode("splitkernel_node_link_transferred_bytes_total", `{N, direction="out"}`), "{{node}}").about("Bytes of frames, headers included."),
		one("Workers taken", share, "splitkernel_node_worker_utilisation_ratio{N}", "{{node}}").about("A request that waits for a disk, for Raft or for another component holds its worker."),
		one("Requests that wait", "", "splitkernel_netlayer_server_requests_queued{N}", "{{node}} queued").and(q("splitkernel_netlayer_server_requests_deferred{N}", "{{node}} answered later")),
		one("Memory of the process", bytesIEC, "process_resident_memory_bytes{N}", "{{node}}"),
	}}
}

// Dashboards are all of them, in the order of the menu.
func Dashboards() []Dashboard {
	return []Dashboard{overview(), pComponents(), mComponents(), sComponents(), managers(), oneVNode(), failures()}
}

func overview() Dashboard {
	const faults = "splitkernel_pcomponent_fault_duration_seconds"
	return Dashboard{
		Name: "overview", Title: "splitkernel: overview", About: "One cluster: what it has, what is used, how fast faults are served, who is amiss.",
		Vars: []Var{clusterVar},
		Rows: []Row{
			{Title: "Now", Panels: []Panel{
				stat("Nodes up", "", "", `sum(up{C, job="splitkernel"})`),
				stat("Nodes down", "", "Known to the cluster and not answering.", `sum(1 - up{C, job="splitkernel"})`),
				stat("Processes", "", "That run.", "sum(splitkernel_pcomponent_processes{C})"),
				stat("vNodes waiting", "", "In GPM's queue.", "max(splitkernel_manager_queue_waiting{C})"),
				stat("Hit ratio", share, "Accesses that the ExCaches served, over 15 s.", "cluster:splitkernel_hits:ratio{C}"),
				stat("Fetch p99", seconds, "99 of 100 fetches of a page take less, over 15 s.", `cluster_kind:splitkernel_fault_duration_seconds:quantile{C, quantile="0.99", kind="fetch"}`),
				stat("At risk", "", "Things that the loss of one more component would destroy.", "sum(cluster_thing:splitkernel_redundancy_at_risk:count{C})"),
				stat("Alerts", "", "That fire.", `count(ALERTS{C, alertstate="firing"}) or vector(0)`),
			}},
			{Title: "Use", Panels: []Panel{
				one("Use by kind of resource", share, "cluster_resource:splitkernel_utilisation:ratio{C}", "{{resource}}").upTo(1).about("Processors of pComponents; ExCache given to processes; pages and blocks that are there; the busier direction of all links."),
				one("Processors by role", share, "role:splitkernel_processor_utilisation:ratio{C}", "{{role}}").upTo(1),
				one("Traffic by kind", bytesRate, `sum by (kind) (rate(splitkernel_netlayer_transferred_bytes_total{C, side="server"}[W]))`, "{{kind}}").stacked().about("Both directions, counted at servers."),
			}},
			{Title: "Faults", Panels: []Panel{
				one("Accesses", perSecond, "sum by (op) (rate(splitkernel_pcomponent_accesses_total{C}[W]))", "{{op}}").stacked(),
				one("Faults", perSecond, "sum by (kind) (rate(splitkernel_pcomponent_faults_total{C}[W]))", "{{kind}}").stacked(),
				one("Latency of a fetch", seconds, quantile("0.5", faults, "cluster", `{C, kind="fetch"}`), "p50").and(
					q(quantile("0.95", faults, "cluster", `{C, kind="fetch"}`), "p95"), q(quantile("0.99", faults, "cluster", `{C, kind="fetch"}`), "p99")),
			}},
			{Title: "Balance", Panels: []Panel{
				one("Imbalance of processors", "", "cluster_role:splitkernel_imbalance:ratio{C}", "{{role}}").about("Coefficient of variation: 0 when all nodes of a role bear the same."),
				one("Spread that the managers see", "", "cluster_thing:splitkernel_spread:ratio{C}", "{{thing}}"),
				one("Moves", perSecond, "sum by (thing) (max by (thing, outcome) (rate(splitkernel_manager_moves_total{C}[W])))", "{{thing}}"),
			}},
			{Title: "Components", Panels: []Panel{
				one("pComponents: processors", share, `splitkernel_node_processor_utilisation_ratio{C, role="pcomponent"}`, "{{node}}").leads("pcomponents"),
				one("mComponents: memory held", share, "splitkernel_mcomponent_memory_resident_ratio{C}", "{{node}}").leads("mcomponents").upTo(1),
				one("sComponents: blocks stored", share, "splitkernel_scomponent_resident_ratio{C}", "{{node}}").leads("scomponents").upTo(1),
				one("Leaders", "", `max by (manager, node) (splitkernel_manager_leads{C})`, "{{manager}} {{node}}").states("follows", "leads").wide(12).leads("managers"),
				one("Nodes", "", `min by (node) (up{C, job="splitkernel"})`, "{{node}}").states("down", "up").wide(12),
			}},
		},
	}
}

func pComponents() Dashboard {
	const p = "splitkernel_pcomponent_"
	return Dashboard{
		Name: "pcomponents", Title: "splitkernel: pComponents", About: "Compute components: accesses, the ExCache, faults.",
		Vars: []Var{clusterVar, nodeVar("pcomponent")},
		Rows: []Row{
			{Title: "Work", Panels: []Panel{
				one("Accesses", perSecond, perNode(p+"accesses_total", "{N}"), "{{node}}"),
				one("Hit ratio", share, "sum by (node) (rate("+p+"hits_total{N}[W])) / sum by (node) (rate("+p+"accesses_total{N}[W])) >= 0", "{{node}}").upTo(1),
				one("Processes and threads", "", p+"processes{N}", "{{node}} processes").and(q(p+"threads{N}", "{{node}} threads")),
				one("vNodes: busy threads", "", "sum by (vnode) (rate("+p+"vnode_busy_seconds_total{N}[W]))", "{{vnode}}").stacked().about("Threads that do not wait, of each vNode."),
				one("Block requests", perSecond, perNode(p+"block_requests_total", "{N}"), "{{node}}"),
				one("Moves away", perSecond, "sum by (node, outcome) (rate("+p+"moves_total{N}[W]))", "{{node}} {{outcome}}"),
			}},
			{Title: "Faults", Panels: []Panel{
				one("Faults by kind", perSecond, "sum by (kind) (rate("+p+"faults_total{N}[W]))", "{{kind}}").stacked(),
				one("Latency of a fetch, p50", seconds, quantile("0.5", p+"fault_duration_seconds", "node", `{N, kind="fetch"}`), "{{node}}"),
				one("Latency of a fetch, p99", seconds, quantile("0.99", p+"fault_duration_seconds", "node", `{N, kind="fetch"}`), "{{node}}"),
				one("Latency of all kinds, p99", seconds, quantile("0.99", p+"fault_duration_seconds", "kind", "{N}"), "{{kind}}"),
				one("Stalls", perSecond, "sum by (reason) (rate("+p+"stalls_total{N}[W]))", "{{reason}}").about("Faults that could not begin. flush_frames and line are bounds; page_flush is the write-back of the page itself."),
				one("Redirects and retries", perSecond, perNode(p+"redirects_total", "{N}"), "{{node}} redirects").and(q(perNode(p+"retries_total", "{N}"), "{{node}} retries")),
			}},
			{Title: "ExCache", Panels: []Panel{
				one("ExCache", bytesIEC, p+"excache_reserved_bytes{N}", "{{node}} given").and(q(p+"excache_resident_bytes{N}", "{{node}} taken"), q(p+"excache_capacity_bytes{N}", "{{node}} capacity")),
				one("Evictions", perSecond, perNode(p+"evictions_total", "{N}"), "{{node}}"),
				one("Flushes", perSecond, perNode(p+"flushes_total", "{N}"), "{{node}} flushed").and(q(perNode(p+"piggybacked_total", "{N}"), "{{node}} with a miss")),
			}},
			common("Thread time not waiting over the cores that it offers; above 1 more threads ran than those."),
		},
	}
}

func mComponents() Dashboard {
	const m = "splitkernel_mcomponent_"
	return Dashboard{
		Name: "mcomponents", Title: "splitkernel: mComponents", About: "Memory components: pages, homes, buffer caches, redundancy.",
		Vars: []Var{clusterVar, nodeVar("mcomponent")},
		Rows: []Row{
			{Title: "Memory", Panels: []Panel{
				one("Memory held", share, m+"memory_resident_ratio{N}", "{{node}}").upTo(1),
				one("Memory promised", share, m+"memory_reserved_ratio{N}", "{{node}}").about("Mapped bytes over capacity; above 1 more is promised than there is."),
				one("vRegions and homes", "", m+"owned_regions{N}", "{{node}} vRegions").and(q(m+"home_processes{N}", "{{node}} homes")),
				one("Pages sent", perSecond, perNode(m+"pages_fetched_total", "{N}"), "{{node}}"),
				one("Flushes applied", perSecond, perNode(m+"pages_flushed_total", "{N}"), "{{node}}"),
				one("Pages made by a first fault", perSecond, perNode(m+"pages_zero_filled_total", "{N}"), "{{node}}"),
				one("Refused", perSecond, perNode(m+"refused_not_owner_total", "{N}"), "{{node}} not owner").and(
					q(perNode(m+"refused_stale_total", "{N}"), "{{node}} stale"), q(perNode(m+"refused_unmapped_total", "{N}"), "{{node}} unmapped"), q(perNode(m+"refused_no_memory_total", "{N}"), "{{node}} no memory")),
				one("Calls of homes", perSecond, perNode(m+"home_calls_total", "{N}"), "{{node}}"),
				one("Asks for an owner, p99", seconds, "histogram_quantile(0.99, sum by (le) ("+m+"region_activation_duration_seconds_bucket{N}))", "since the start").about("Time of an ask to GMM for the owner of a vRegion."),
			}},
			{Title: "Buffer cache", Panels: []Panel{
				one("Blocks held", bytesIEC, m+"buffer_cache_used_bytes{N}", "{{node}} held").and(q(m+"buffer_cache_dirty_bytes{N}", "{{node}} dirty")),
				one("Bytes of blocks", bytesRate, perNode(m+"block_read_bytes_total", "{N}"), "{{node}} read").and(q(perNode(m+"block_written_bytes_total", "{N}"), "{{node}} written")),
				one("Reads", perSecond, perNode(m+"block_hits_total", "{N}"), "{{node}} hits").and(q(perNode(m+"block_misses_total", "{N}"), "{{node}} misses")),
				one("Latency of block operations, p99", seconds, quantile("0.99", m+"block_operation_duration_seconds", "op", "{N}"), "{{op}}"),
				one("Latency of sComponents, p99", seconds, quantile("0.99", m+"storage_operation_duration_seconds", "op", "{N}"), "{{op}}").about("As the buffer cache sees it, retries included."),
				one("Waits and errors", perSecond, perNode(m+"block_waits_total", "{N}"), "{{node}} waited for a block").and(
					q(perNode(m+"block_refused_total", "{N}"), "{{node}} refused"), q(perNode(m+"block_errors_total", "{N}"), "{{node}} errors"), q(perNode(m+"storage_errors_total", "{N}"), "{{node}} storage errors")),
			}},
			{Title: "Moves and redundancy", Panels: []Panel{
				one("Moves given away", perSecond, "sum by (kind, outcome) (rate("+m+"moves_total{N}[W]))", "{{kind}} {{outcome}}"),
				one("Bytes moved", bytesRate, "sum by (node, kind) (rate("+m+"moved_bytes_total{N}[W]))", "{{node}} {{kind}}"),
				one("Pages held for others", "", m+"held_pages{N}", "{{node}}"),
				one("Pages sent to holders", perSecond, perNode(m+"replica_pages_sent_total", "{N}"), "{{node}}"),
				one("At risk", "", m+"recovering_regions{N}", "{{node}} vRegions that recover").and(
					q(m+"replica_pages_unprotected{N}", "{{node}} pages unprotected"), q(m+"replica_pages_lost{N}", "{{node}} pages lost"), q(m+"copies_behind{N}", "{{node}} copies behind")),
				one("Repairs of copies", perSecond, perNode(m+"copies_blocks_repaired_total", "{N}"), "{{node}} repaired").and(
					q(perNode(m+"copies_writes_missed_total", "{N}"), "{{node}} writes missed"), q(perNode(m+"copies_blocks_corrupt_total", "{N}"), "{{node}} corrupt")),
			}},
			common("Time that the kernel ran threads of the process, over the processors that it may use."),
		},
	}
}

func sComponents() Dashboard {
	const s = "splitkernel_scomponent_"
	return Dashboard{
		Name: "scomponents", Title: "splitkernel: sComponents", About: "Storage components: volumes, block operations, disks.",
		Vars: []Var{clusterVar, nodeVar("scomponent")},
		Rows: []Row{
			{Title: "Volumes", Panels: []Panel{
				one("Promised", share, s+"reserved_ratio{N}", "{{node}}").upTo(1),
				one("Stored", share, s+"resident_ratio{N}", "{{node}}").upTo(1),
				one("Volumes", "", s+"volumes{N}", "{{node}}").and(q(s+"incoming_volumes{N}", "{{node}} coming")),
			}},
			{Title: "Blocks", Panels: []Panel{
				one("Read", bytesRate, perNode(s+"read_bytes_total", "{N}"), "{{node}}"),
				one("Written", bytesRate, perNode(s+"written_bytes_total", "{N}"), "{{node}}"),
				one("Operations", perSecond, "sum by (op) (rate("+s+"block_operation_duration_seconds_count{N}[W]))", "{{op}}"),
				one("Latency, p50", seconds, quantile("0.5", s+"block_operation_duration_seconds", "op", "{N}"), "{{op}}"),
				one("Latency, p99", seconds, quantile("0.99", s+"block_operation_duration_seconds", "op", "{N}"), "{{op}}"),
				one("Flushes", perSecond, perNode(s+"syncs_total", "{N}"), "{{node}} fdatasync").and(q(perNode(s+"flushes_refused_total", "{N}"), "{{node}} refused")),
			}},
			{Title: "Trouble and moves", Panels: []Panel{
				one("Errors", perSecond, perNode(s+"block_errors_total", "{N}"), "{{node}} errors").and(
					q(perNode(s+"checksum_errors_total", "{N}"), "{{node}} checksums"), q(perNode(s+"no_space_errors_total", "{N}"), "{{node}} no space"), q(perNode(s+"stale_refused_total", "{N}"), "{{node}} stale")),
				one("Flushes that wait", "", s+"flushes_waiting{N}", "{{node}}"),
				one("Moves", bytesRate, perNode(s+"moved_out_bytes_total", "{N}"), "{{node}} out").and(q(perNode(s+"moved_in_bytes_total", "{N}"), "{{node}} in")),
			}},
			common("Time that the kernel ran threads of the process, over the processors that it may use."),
		},
	}
}

func managers() Dashboard {
	const g = "splitkernel_manager_"
	return Dashboard{
		Name: "managers", Title: "splitkernel: managers", About: "GPM, GMM and GSM: leaders, commands, admission, balance.",
		Vars: []Var{clusterVar, nodeVar("manager")},
		Rows: []Row{
			{Title: "Raft", Panels: []Panel{
				one("Leaders", "", "max by (manager, node) ("+g+"leads{N})", "{{manager}} {{node}}").states("follows", "leads"),
				one("Terms", "", "max by (manager) ("+g+"term{N})", "{{manager}}"),
				one("Leader changes", "", "max by (manager) (increase("+g+"leader_changes_total{N}[W]))", "{{manager}}"),
				one("Commands applied", perSecond, "max by (manager) (rate("+g+"applied_commands_total{N}[W]))", "{{manager}}"),
				one("Proposals", perSecond, "sum by (manager, outcome) (rate("+g+"proposals_total{N}[W]))", "{{manager}} {{outcome}}"),
				one("Messages of Raft", perSecond, "sum by (event) (rate("+g+"raft_messages_total{N}[W]))", "{{event}}"),
			}},
			{Title: "Admission", Panels: []Panel{
				one("vNodes", perSecond, "sum by (outcome) (rate("+g+"vnodes_total{N}[W]))", "{{outcome}}"),
				one("Admissions", "", "sum("+g+"admissions_open{N})", "driven").and(q("sum("+g+"admissions_waiting{N})", "waiting"), q("max("+g+"queue_waiting{N})", "in the queue")),
				one("Refused by resource", perSecond, "max by (resource) (rate("+g+"vnodes_refused_total{N}[W]))", "{{resource}}"),
			}},
			{Title: "Membership and balance", Panels: []Panel{
				one("Heartbeats", perSecond, perNode(g+"heartbeats_total", "{N}"), "{{node}}"),
				one("Declared dead", "", "sum(increase("+g+"components_declared_dead_total{N}[W]))", "declared dead").and(q("sum(increase("+g+"probes_total{N}[W]))", "probes")),
				one("Questions", perSecond, "sum by (manager) (rate("+g+"queries_total{N}[W]))", "{{manager}}"),
				one("Spread", "", "max by (thing) ("+g+"spread_ratio{N})", "{{thing}}"),
				one("Fairness", "", "max by (thing) ("+g+"fairness_ratio{N})", "{{thing}}").upTo(1),
				one("Moves", "", "max by (manager) ("+g+"moves_open{N})", "{{manager}} under way").and(q("max by (thing, outcome) (increase("+g+"moves_total{N}[W]))", "{{thing}} {{outcome}}")),
			}},
			common("Time that the kernel ran threads of the process, over the processors that it may use."),
		},
	}
}

func oneVNode() Dashboard {
	const (
		v     = "splitkernel_pcomponent_vnode_"
		of    = `{C, vnode="$vnode"}`
		there = " * on (cluster, node) group_left () max by (cluster, node) (" + v + "threads" + of + " > bool 0)"
	)
	fetches := func(of string) string {
		return "histogram_quantile(" + of + `, sum by (le) (rate(splitkernel_pcomponent_fault_duration_seconds_bucket{C, kind="fetch"}[W])` + there + ")) >= 0"
	}
	return Dashboard{
		Name: "vnode", Title: "splitkernel: one vNode", About: "The processes of one name, wherever they run. A pComponent has series of its first 32 vNodes; others are together under (others).",
		Vars: []Var{clusterVar, {Name: "vnode", Label: "vNode", Values: `label_values(` + v + `threads{cluster="$cluster"}, vnode)`}},
		Rows: []Row{
			{Title: "Progress", Panels: []Panel{
				one("Where its threads are", "", "sum by (node) ("+v+"threads"+of+")", "{{node}}").stacked().leads("pcomponents"),
				one("Accesses", perSecond, "sum by (node) (rate("+v+"accesses_total"+of+"[W]))", "{{node}}").stacked(),
				one("Busy threads", "", "sum(rate("+v+"busy_seconds_total"+of+"[W]))", "busy").and(q("sum("+v+"threads"+of+")", "all")).about("Threads that do not wait for a page or a lock."),
				one("Done", share, "sum("+v+"steps"+of+") / sum("+v+"steps_planned"+of+")", "of its traces").upTo(1).about("References and block requests that were replayed, of those whose number is known."),
				one("Time left", seconds, "(sum("+v+"steps_planned"+of+") - sum("+v+"steps"+of+")) / (sum(deriv("+v+"steps"+of+"[W])) > 0)", "left").about("At the pace of the window."),
			}},
			{Title: "Memory", Panels: []Panel{
				one("Hit ratio", share, "sum(rate("+v+"hits_total"+of+"[W])) / sum(rate("+v+"accesses_total"+of+"[W])) >= 0", "hits").upTo(1),
				one("Faults", perSecond, "sum by (kind) (rate("+v+"faults_total"+of+"[W]))", "{{kind}}").stacked(),
				one("Flushes", perSecond, "sum(rate("+v+"flushes_total"+of+"[W]))", "flushes"),
				one("ExCache", bytesIEC, "sum("+v+"excache_reserved_bytes"+of+")", "given"),
				one("Latency of a fetch where it runs", seconds, fetches("0.5"), "p50").and(q(fetches("0.99"), "p99")).about("Of all processes of those pComponents: latencies are not kept by vNode."),
				one("Block requests", perSecond, "sum(rate("+v+"block_requests_total"+of+"[W]))", "requests"),
			}},
		},
	}
}

func failures() Dashboard {
	return Dashboard{
		Name: "failures", Title: "splitkernel: failures", About: "What went wrong, what was done to it, which bounds were reached.",
		Vars: []Var{clusterVar},
		Rows: []Row{
			{Title: "Nodes", Panels: []Panel{
				one("Nodes", "", `min by (node) (up{C, job="splitkernel"})`, "{{node}}").states("down", "up").wide(12),
				one("Alerts", "", `sum by (alertname, alertstate) (ALERTS{C})`, "{{alertname}} {{alertstate}}").wide(12).about("None is no data."),
				one("Starts of nodes", "", "sum by (node) (changes(process_start_time_seconds{C}[5m]))", "{{node}}").about("Within five minutes, those after the first that was seen."),
				one("Declared dead", "", "sum(increase(splitkernel_manager_components_declared_dead_total{C}[W]))", "components"),
				one("Leader changes", "", "max by (manager) (increase(splitkernel_manager_leader_changes_total{C}[W]))", "{{manager}}"),
				one("Faults put in on purpose", perSecond, "sum by (kind) (rate(splitkernel_node_faults_injected_total{C}[W]))", "{{kind}}").about("`splitkernel fault`."),
			}},
			{Title: "Redundancy and data", Panels: []Panel{
				one("At risk", "", "cluster_thing:splitkernel_redundancy_at_risk:count{C}", "{{thing}}").about("Things that the loss of one more component would destroy, and pages that are lost."),
				one("vNodes lost", "", `sum(increase(splitkernel_manager_vnodes_total{C, outcome="lost"}[W]))`, "vNodes").and(q("max(increase(splitkernel_manager_vnodes_preempted_total{C}[W]))", "ended for others")),
				one("Damaged bytes", "", "sum(increase(splitkernel_pcomponent_damaged_pages_total{C}[W]))", "pages").and(
					q("sum(increase(splitkernel_netlayer_server_corrupt_payloads_total{C}[W]))", "messages"),
					q("sum(increase(splitkernel_mcomponent_copies_blocks_corrupt_total{C}[W]))", "blocks of copies"),
					q("sum(increase(splitkernel_scomponent_checksum_errors_total{C}[W]))", "sectors")),
			}},
			{Title: "Connections", Panels: []Panel{
				one("Connections lost", perSecond, perNode("splitkernel_netlayer_peer_connections_lost_total", "{C}"), "{{node}}"),
				one("Calls that failed", perSecond, "sum(rate(splitkernel_netlayer_peer_calls_unavailable_total{C}[W]))", "with their connection").and(
					q("sum(rate(splitkernel_netlayer_peer_calls_timed_out_total{C}[W]))", "no reply in time"), q("sum(rate(splitkernel_netlayer_peer_dial_failures_total{C}[W]))", "no connection"), q("sum(rate(splitkernel_netlayer_peer_retries_total{C}[W]))", "sent again")),
				one("Refused connections", perSecond, "sum by (reason) (rate(splitkernel_netlayer_server_connections_refused_total{C}[W]))", "{{reason}}"),
			}},
			{Title: "Bounds that were reached", Panels: []Panel{
				one("Queues", perSecond, perNode("splitkernel_netlayer_server_queue_full_total", "{C}"), "{{node}} full").and(q(perNode("splitkernel_netlayer_peer_room_waits_total", "{C}"), "{{node}} waits for room")),
				one("mComponents", perSecond, "sum(rate(splitkernel_mcomponent_refused_no_memory_total{C}[W]))", "no memory").and(
					q("sum(rate(splitkernel_mcomponent_home_refused_busy_total{C}[W]))", "homes busy"), q("sum(rate(splitkernel_mcomponent_block_refused_total{C}[W]))", "blocks refused"), q("sum(rate(splitkernel_mcomponent_worker_waits_total{C}[W]))", "waits for a worker")),
				one("pComponents and sComponents", perSecond, `sum(rate(splitkernel_pcomponent_stalls_total{C, reason=~"flush_frames|line"}[W]))`, "stalls").and(
					q("sum(rate(splitkernel_scomponent_flushes_refused_total{C}[W]))", "flushes refused"), q("sum(rate(splitkernel_scomponent_no_space_errors_total{C}[W]))", "no space")),
			}},
		},
	}
}
