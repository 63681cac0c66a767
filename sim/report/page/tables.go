package page

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"splitkernel/sim/report"
)

// rowsOf adds no more than MaxRows rows and counts the others.
func rowsOf[T any](t Table, of []T, row func(*T) []string) Table {
	for i := range of {
		if i == MaxRows {
			t.LeftOut += uint64(len(of) - i)
			break
		}
		t.Rows = append(t.Rows, row(&of[i]))
	}
	return t
}

func (r *Run) vnodes() Table {
	t := Table{Head: []string{"vNode", "state", "on", "home", "threads", "lines", "policy", "accesses", "hits", "faults", "p-local", "fetched", "coalesced", "victim", "flushed", "time" + r.modelled()}}
	return rowsOf(t, r.Summary.VNodes, func(v *report.VNode) []string {
		return []string{
			v.Name, v.State, string(v.PComponent), string(v.Home), fmt.Sprint(v.Threads), count(uint64(max(v.Lines, 0))), v.Policy, count(v.Accesses), percent(v.Hits, v.Accesses), count(v.Misses),
			count(v.PLocal), count(v.Fetches), count(v.Coalesced), count(v.VictimHits), count(v.Flushes + v.FinalFlushes), seconds(v.Seconds),
		}
	})
}

// prefetchTable is of runs in which something was prefetched, or would have been.
func (r *Run) prefetchTable() Table {
	t := Table{Caption: "Prefetched pages: useful and wasted ones, and those that did not come; and guesses that were not followed", Head: []string{"by", "issued", "useful", "of issued", "late", "wasted", "dropped", "refused"}}
	return rowsOf(t, r.Summary.Prefetchers(), func(p *report.Prefetcher) []string {
		return []string{
			p.Name, count(p.PrefetchIssued), count(p.PrefetchUseful), percent(p.PrefetchUseful, p.PrefetchIssued), count(p.PrefetchLate), count(p.PrefetchWasted),
			count(p.PrefetchDropped), count(p.PrefetchRefused),
		}
	})
}

// slowdownTable is of virtual runs only.
func (r *Run) slowdownTable() Table {
	t := Table{Caption: "Slowdown against all memory local (modelled)", Head: []string{"vNode", "time", "all-local", "slowdown"}}
	if !r.virtual() {
		return t
	}
	return rowsOf(t, slowed(r.Summary), func(v **report.VNode) []string {
		return []string{(*v).Name, seconds((*v).Seconds), seconds((*v).LocalSeconds), slowdown((*v).Slowdown) + "×"}
	})
}

func (r *Run) components() Table {
	t := Table{Head: []string{"component", "role", "epoch", "pages fetched", "share of fetches", "pages flushed", "fetched", "flushed", "block reads", "block writes", "block flushes", "retries"}}
	if r.virtual() {
		t.Head = append(t.Head, "busy (modelled)")
	}
	return rowsOf(t, r.Summary.Components, func(c *report.Component) []string {
		share := "-"
		if c.Role == "mcomponent" {
			share = fmt.Sprintf("%.1f%s%%", 100*c.FetchShare, space)
		}
		row := []string{
			string(c.ID), c.Role, fmt.Sprint(c.Epoch), count(c.Fetches), share, count(c.Flushes + c.FinalFlushes), size(c.FetchedBytes), size(c.FlushedBytes),
			count(c.BlockReads), count(c.BlockWrites), count(c.BlockFlushes), count(c.Retries),
		}
		if r.virtual() {
			busy := "-"
			if b, ok := c.Other["busy_seconds"]; ok {
				busy = seconds(b)
			}
			row = append(row, busy)
		}
		return row
	})
}

// latencyTable has a row for each kind that occurred.
func latencyTable(caption string, kinds []string, of map[string]report.Latency) Table {
	t := Table{Caption: caption, Head: []string{"kind", "count", "p50", "p95", "p99", "max"}}
	for _, k := range kinds {
		if l := of[k]; l.Count > 0 {
			t.Rows = append(t.Rows, []string{strings.ReplaceAll(k, "_", " "), count(l.Count), micros(l.P50), micros(l.P95), micros(l.P99), micros(l.Max)})
		}
	}
	return t
}

func (r *Run) stages() Table {
	t := Table{Caption: "A fetch, by stage (modelled)", Head: []string{"stage", "mean", "in all"}}
	if !r.virtual() {
		return t
	}
	return rowsOf(t, r.Summary.Modelled.Stages, func(x *report.Stage) []string {
		return []string{strings.ReplaceAll(x.Name, "_", " "), micros(x.MeanUS), seconds(x.TotalSeconds)}
	})
}

// maxSlow is how many of the slowest faults are on a page.
const maxSlow = 8

// slowest are the faults that took longest, with the stages that took most of their time.
func (r *Run) slowest() Table {
	t := Table{Caption: "The slowest faults" + r.modelled() + "; splitkernel explain fault prints more", Head: []string{"process", "on", "kind", "owner", "at", "took", "where the time went"}}
	if r.Slowest == nil {
		return t
	}
	return rowsOf(t, r.Slowest.Faults[:min(len(r.Slowest.Faults), maxSlow)], func(f *report.SlowFault) []string {
		stages := slices.Clone(f.Stages)
		slices.SortStableFunc(stages, func(a, b report.FaultStage) int { return cmp.Compare(b.Micros, a.Micros) })
		var parts []string
		for _, g := range stages[:min(len(stages), 3)] {
			parts = append(parts, strings.ReplaceAll(g.Name, "_", " ")+" "+micros(g.Micros))
		}
		owner := string(f.Owner)
		if owner == "" {
			owner = "-"
		}
		return []string{fmt.Sprintf("%s, thread %d", f.Process, f.Thread), string(f.PComponent), strings.ReplaceAll(f.Kind, "_", " "), owner, seconds(f.AtSeconds), micros(f.Micros), strings.Join(parts, ", ")}
	})
}

func (r *Run) faultTable() Table {
	t := Table{Caption: "Put in on purpose", Head: []string{"fault", "at", "of the run", "what happened"}}
	return rowsOf(t, r.Summary.Faults, func(f *report.Fault) []string {
		switch f.State {
		case report.FaultNever:
			return []string{f.Fault, "-", "-", "never: the run ended before"}
		case report.FaultFailed:
			return []string{f.Fault, seconds(f.AtSeconds), fmt.Sprintf("%.1f%s%%", f.AtPercent, space), "could not happen: " + f.Error}
		}
		return []string{f.Fault, seconds(f.AtSeconds), fmt.Sprintf("%.1f%s%%", f.AtPercent, space), f.What}
	})
}

func (r *Run) failureTable() Table {
	t := Table{Caption: "Declared dead; times since the last sign of life" + r.modelled(), Head: []string{"component", "role", "at", "cause", "detected", "fenced", "first access", "redundant again", "served by others", "note"}}
	ms := func(v *float64) string {
		if v == nil {
			return "-"
		}
		return micros(*v * 1e3)
	}
	return rowsOf(t, r.Summary.Failures, func(f *report.Failure) []string {
		return []string{string(f.Component), f.Role, seconds(f.AtSeconds), f.Cause, ms(f.Detect), ms(f.Fence), ms(f.Access), ms(f.Redundant), count(f.Others), f.Note}
	})
}

func (r *Run) restartTable() Table {
	t := Table{Caption: "Went on from checkpoints" + r.modelled(), Head: []string{"vNode", "from", "to", "checkpoint", "lost at", "back at", "accesses repeated", "block requests repeated"}}
	type restart struct {
		name string
		report.Restart
	}
	var all []restart
	for i := range r.Summary.VNodes {
		for _, x := range r.Summary.VNodes[i].Restarts {
			all = append(all, restart{r.Summary.VNodes[i].Name, x})
		}
	}
	return rowsOf(t, all, func(x *restart) []string {
		return []string{x.name, string(x.From), string(x.To), count(x.Checkpoint), seconds(x.LostAtSeconds), seconds(x.BackAtSeconds), count(x.AccessesRepeated), count(x.RequestsRepeated)}
	})
}

func (r *Run) memoryTable() Table {
	t := Table{Head: []string{"vNode", "policy", "mComponents that may be lost", "pages of memory a page", "a flush sends", "a miss asks"}}
	var some []*report.VNode
	for i := range r.Summary.VNodes {
		if r.Summary.VNodes[i].Memory != nil {
			some = append(some, &r.Summary.VNodes[i])
		}
	}
	return rowsOf(t, some, func(v **report.VNode) []string {
		m := (*v).Memory
		return []string{(*v).Name, m.Text(), fmt.Sprint(m.Survives), short(m.PagesPerPage), fmt.Sprint(m.FlushSends), fmt.Sprint(m.MissAsks)}
	})
}

func (r *Run) moveTable() Table {
	t := Table{Caption: "Moves" + r.modelled(), Head: []string{"kind", "done", "undone", "lost", "sent", "pause p50", "pause p99", "pause max", "took p50", "took max"}}
	return rowsOf(t, r.Summary.Moves, func(m *report.Moves) []string {
		return []string{
			strings.ReplaceAll(m.Kind, "_", " "), fmt.Sprint(m.Done), fmt.Sprint(m.Undone), fmt.Sprint(m.Lost), size(m.Bytes),
			micros(m.Pause.P50), micros(m.Pause.P99), micros(m.Pause.Max), micros(m.Took.P50), micros(m.Took.Max),
		}
	})
}

func (r *Run) balanceTable() Table {
	t := Table{Caption: "Spread over the components of a role, before anything moved and after the last move (CoV: 0 if all are equal; Jain: 1)", Head: []string{"role", "measure", "CoV before", "CoV after", "Jain before", "Jain after"}}
	if len(r.Summary.Moves) == 0 {
		return t
	}
	return rowsOf(t, r.Summary.Balance, func(b *report.Balance) []string {
		f := func(v float64) string { return fmt.Sprintf("%.2f", v) }
		return []string{b.Role, b.Measure, f(b.Before.CoV), f(b.After.CoV), f(b.Before.Jain), f(b.After.Jain)}
	})
}

func (r *Run) events() Section {
	s := Section{Title: "Events"}
	if r.Timeline == nil || len(r.Timeline.Events) == 0 {
		return s
	}
	t := rowsOf(Table{Caption: "Decisions of the managers; times since the start" + r.modelled(), Head: []string{"at", "manager", "what and why"}, LeftOut: r.Timeline.LeftOut}, r.Timeline.Events, func(e *report.Event) []string {
		return []string{fmt.Sprintf("%.3f%ss", e.AtSeconds, space), e.Manager, e.Text}
	})
	s.Tables, s.Folded = []Table{t}, len(t.Rows) > 30
	return s
}

// digests identify what ran.
func (r *Run) digests() []Table {
	s := r.Summary
	t := Table{Head: []string{"what", "value"}}
	add := func(name, value string) { t.Rows = append(t.Rows, []string{name, value}) }
	add("commit of the program", s.Commit)
	add("seed", fmt.Sprint(s.Seed))
	add("configuration, SHA-256", s.ConfigDigest)
	if r.virtual() {
		add("everything that happened, in order", s.Modelled.Digest)
	}
	if !s.Started.IsZero() {
		add("started", s.Started.Format("2006-01-02 15:04:05 MST"))
	}
	if r.Manifest == nil {
		return []Table{t}
	}
	add("protocol", r.Manifest.Version)
	h := r.Manifest.Host
	of := "machine"
	if r.virtual() {
		of = "machine that simulated (no figure depends on it)"
	}
	add(of, fmt.Sprintf("%s/%s, %d processors, %s, kernel %s, %s", h.OS, h.Arch, h.CPUs, h.CPU, h.Kernel, h.Go))
	traces := rowsOf(Table{Caption: "Traces", Head: []string{"vNode", "trace", "format", "references", "SHA-256"}}, r.Manifest.Traces, func(x *report.Trace) []string {
		return []string{x.VNode, x.Name, x.Format, count(x.Refs), x.SHA256}
	})
	return []Table{t, traces}
}

// configuration lists the effective one by key.
func (r *Run) configuration() []Table {
	if r.Manifest == nil {
		return nil
	}
	return []Table{rowsOf(Table{Caption: "Effective, by key as --set takes it", Head: []string{"key", "value"}}, slices.Sorted(maps.Keys(r.Manifest.Config)), func(k *string) []string {
		return []string{*k, value(r.Manifest.Config[*k])}
	})}
}

// value shows a value of a configuration.
func value(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	if v == nil {
		return "-"
	}
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}
