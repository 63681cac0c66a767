package page

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"splitkernel/sim/report"
)

// Bounds of what a sentence names.
const (
	shownNames     = 5
	shownSlowdowns = 8
)

// virtual reports whether all times of a run are modelled.
func (r *Run) virtual() bool { return r.Summary.Engine == "virtual" && r.Summary.Modelled != nil }

// modelled is put behind times of a virtual run.
func (r *Run) modelled() string {
	if r.virtual() {
		return " (modelled)"
	}
	return ""
}

// sentences are the summary of a run.
func (r *Run) sentences() (out []string) {
	s := r.Summary
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	say("%s", r.what())
	r.ending(say)
	t := &s.Total
	if t.Accesses > 0 {
		say("%s of the accesses were hits of the ExCache; %s.", percent(t.Hits, t.Accesses), counted(t.Misses, "was a fault", "were faults"))
	}
	r.faults(say)
	r.slowdowns(say)
	r.wrong(say)
	r.moves(say)
	r.survived(say)
	if s.LeaderChanges > 0 {
		say("The managers changed leaders %s.", times(s.LeaderChanges))
	}
	if s.Restarts > 0 {
		say("%s restarted.", counted(uint64(s.Restarts), "component was", "components were"))
	}
	if n := len(s.Warnings); n > 0 {
		say("There %s, below.", either(uint64(n), "is 1 warning", "are %s warnings"))
	}
	return out
}

func either(n uint64, one, many string) string {
	if n == 1 {
		return one
	}
	return fmt.Sprintf(many, count(n))
}

func times(n uint64) string { return either(n, "once", "%s times") }

// what was run.
func (r *Run) what() string {
	s := r.Summary
	who := fmt.Sprintf("%s on %s", counted(uint64(len(s.VNodes)), "vNode", "vNodes"), counted(uint64(len(s.Components)), "node", "nodes"))
	made := counted(s.Total.Accesses, "access", "accesses")
	if n := s.Total.BlockReads + s.Total.BlockWrites + s.Total.BlockFlushes; n > 0 {
		made += " and " + counted(n, "block request", "block requests")
	}
	if r.virtual() {
		return fmt.Sprintf("%s was simulated in virtual time on the cluster %s with the modelled hardware %s: %s made %s in %s of modelled time.",
			s.Workload, s.Cluster, s.Modelled.Hardware, who, made, seconds(s.WallSeconds))
	}
	return fmt.Sprintf("%s ran live, as real processes, on the cluster %s: %s made %s in %s of wall time, %s accesses a second.",
		s.Workload, s.Cluster, who, made, seconds(s.WallSeconds), digits(s.AccessesPerSecond))
}

// ending says how it ended.
func (r *Run) ending(say func(string, ...any)) {
	s := r.Summary
	if n := len(s.Failed); n > 0 {
		say("%d of %s did not end well: %s.", n, counted(uint64(len(s.VNodes)), "vNode", "vNodes"), list(s.Failed, shownNames))
	} else if len(s.VNodes) == 1 {
		say("Its vNode ended well.")
	} else {
		say("All %d vNodes ended well.", len(s.VNodes))
	}
	t := &s.Total
	switch {
	case t.IntegrityErrors > 0:
		say("WRONG DATA: %s seen, of %s that were compared.", counted(t.IntegrityErrors, "wrong page or sector was", "wrong pages or sectors were"), compared(t))
	case t.PagesChecked+t.SectorsChecked > 0:
		say("Every access was checked: %s, and none was wrong.", compared(t))
	}
}

func compared(t *report.Counters) string {
	text := counted(t.PagesChecked, "page", "pages")
	if t.SectorsChecked > 0 {
		text += " and " + counted(t.SectorsChecked, "sector", "sectors")
	}
	return text
}

// quantileFrom is the least share of faults that a sentence takes for many: it names the smallest round time in which so many were served.
const quantileFrom = 0.9

// faults says in which time they were served.
func (r *Run) faults(say func(string, ...any)) {
	all := r.all()
	if n, us := under(all, quantileFrom); us > 0 {
		total := totalOf(all)
		most := ""
		if m, far := under(all, 0.99); far > us {
			most = fmt.Sprintf(", %s in under %s", wholePercent(m, total), micros(far))
		}
		again := ""
		if total != r.Summary.Total.Misses {
			again = ", those included that were made again after a restart,"
		}
		say("%s of %s%s were served in under %s%s%s; the slowest took %s.", wholePercent(n, total), counted(total, "fault", "faults"), again, micros(us), most, r.modelled(), micros(slowest(&r.Summary.Total)))
	}
	fetch, has := r.Summary.Total.FaultLatency["fetch"]
	if !has || fetch.Count == 0 {
		return
	}
	if r.Timeline != nil {
		own := r.Timeline.Faults["fetch"]
		if n, us := under(own, quantileFrom); us > 0 && len(r.Timeline.Faults) > 1 {
			say("%s of the %s that fetched a page from an mComponent took less than %s%s.", wholePercent(n, fetch.Count), counted(fetch.Count, "fault", "faults"), micros(us), r.modelled())
		}
		return
	}
	say("Of %s of a page half took at most %s and 99 %% at most %s%s.", counted(fetch.Count, "fetch", "fetches"), micros(fetch.P50), micros(fetch.P99), r.modelled())
}

func slowest(t *report.Counters) (us float64) {
	for _, kind := range report.FaultKinds {
		us = max(us, t.FaultLatency[kind].Max)
	}
	return us
}

// all are the faults of all kinds, one distribution.
func (r *Run) all() (out []report.Bucket) {
	if r.Timeline == nil {
		return nil
	}
	for _, kind := range report.FaultKinds {
		out = append(out, r.Timeline.Faults[kind]...)
	}
	slices.SortStableFunc(out, func(a, b report.Bucket) int { return cmp.Compare(a.UnderUS, b.UnderUS) })
	merged := out[:0]
	for _, b := range out {
		if n := len(merged); n > 0 && merged[n-1].UnderUS == b.UnderUS {
			merged[n-1].Count += b.Count
		} else {
			merged = append(merged, b)
		}
	}
	return merged
}

func totalOf(bs []report.Bucket) (n uint64) {
	for _, b := range bs {
		n += b.Count
	}
	return n
}

// under gives the smallest time of a distribution that at least a share of it stays under, and how many do; 0 if it is empty.
func under(bs []report.Bucket, share float64) (n uint64, us float64) {
	want := share * float64(totalOf(bs))
	for _, b := range bs {
		if n += b.Count; float64(n) >= want {
			return n, b.UnderUS
		}
	}
	return 0, 0
}

// wholePercent is a share rounded down, so that it is not said of more than it is true of; small parts after 99 are told.
func wholePercent(part, whole uint64) string {
	if whole == 0 || part >= whole {
		return "100" + space + "%"
	}
	p := 100 * float64(part) / float64(whole)
	if p >= 99 {
		return short(math.Floor(p*100)/100) + space + "%"
	}
	return fmt.Sprintf("%d%s%%", int(p), space)
}

// slowdowns are said of virtual runs only: a live run has no compute time of its programs, so nothing of it is slower than all memory local.
func (r *Run) slowdowns(say func(string, ...any)) {
	if !r.virtual() {
		return
	}
	vs := slowed(r.Summary)
	hardware := r.Summary.Modelled.Hardware
	for i, v := range vs {
		if i == shownSlowdowns {
			last := vs[len(vs)-1]
			say("%d more vNodes ran slower than all-local too, by factors down to %s× (%s), modelled.", len(vs)-i, slowdown(last.Slowdown), last.Name)
			return
		}
		times := fmt.Sprintf("%s instead of %s, modelled", seconds(v.Seconds), seconds(v.LocalSeconds))
		switch text := slowdown(v.Slowdown); {
		case text == "1.00":
			say("%s ran as fast as all-local on %s: 1.00× (%s).", v.Name, hardware, times)
		case v.Slowdown < 1:
			say("%s ran faster than all-local on %s: %s× its time (%s).", v.Name, hardware, text, times)
		default:
			say("%s ran %s× slower than all-local on %s (%s).", v.Name, text, hardware, times)
		}
	}
}

func slowdown(v float64) string { return fmt.Sprintf("%.2f", v) }

// slowed are the vNodes of which the slowdown is known, the slowest first.
func slowed(s *report.Summary) (out []*report.VNode) {
	for i := range s.VNodes {
		if s.VNodes[i].Slowdown > 0 {
			out = append(out, &s.VNodes[i])
		}
	}
	slices.SortStableFunc(out, func(a, b *report.VNode) int { return cmp.Compare(b.Slowdown, a.Slowdown) })
	return out
}

// wrong says what went wrong, on purpose and otherwise, and what was lost.
func (r *Run) wrong(say func(string, ...any)) {
	s := r.Summary
	done := uint64(0)
	for _, f := range s.Faults {
		if f.State == report.FaultDone {
			done++
		}
	}
	if len(s.Faults) > 0 {
		say("%d of %s put in on purpose happened.", done, counted(uint64(len(s.Faults)), "fault that was to be", "faults that were to be"))
	}
	if n := uint64(len(s.Failures)); n > 0 {
		var names []string
		for _, f := range s.Failures {
			text := fmt.Sprintf("%s at %s", f.Component, seconds(f.AtSeconds))
			if f.Detect != nil {
				text += fmt.Sprintf(" (found %s after its last sign of life)", micros(*f.Detect*1e3))
			}
			names = append(names, text)
		}
		say("%s declared dead%s: %s.", counted(n, "component was", "components were"), r.modelled(), list(names, shownNames))
	}
	switch n := len(s.Lost); {
	case n > 0:
		say("LOST: %s: %s.", counted(uint64(n), "thing is in nobody's hands any more", "things are in nobody's hands any more"), list(s.Lost, shownNames))
	case done > 0 || len(s.Failures) > 0:
		say("Nothing was lost.")
	}
	for i := range s.VNodes {
		v := &s.VNodes[i]
		for _, x := range v.Restarts {
			if len(v.Restarts) <= shownNames && len(s.VNodes) <= shownNames {
				say("%s went on at %s from its checkpoint %d, %s after %s was last heard of%s; %s repeated.", v.Name, x.To, x.Checkpoint,
					seconds(x.BackAtSeconds-x.LostAtSeconds), x.From, r.modelled(), counted(x.AccessesRepeated, "access was", "accesses were"))
			}
		}
	}
}

// moves says what moved.
func (r *Run) moves(say func(string, ...any)) {
	for _, m := range r.Summary.Moves {
		text := fmt.Sprintf("%s of kind %s", counted(uint64(m.Done), "move", "moves"), strings.ReplaceAll(m.Kind, "_", " "))
		if m.Done > 0 {
			text += fmt.Sprintf(" sent %s and paused what moved for %s at most%s", size(m.Bytes), micros(m.Pause.Max), r.modelled())
		} else {
			text += " ended well"
		}
		if m.Undone+m.Lost > 0 {
			text += fmt.Sprintf("; %d were given up and %d lost with their taker", m.Undone, m.Lost)
		}
		say("%s.", text)
	}
}

// survived says which memory would outlive its owner.
func (r *Run) survived(say func(string, ...any)) {
	s := r.Summary
	var names []string
	for i := range s.VNodes {
		if m := s.VNodes[i].Memory; m != nil {
			names = append(names, fmt.Sprintf("%s (%s: %s)", s.VNodes[i].Name, m.Text(), counted(uint64(m.Survives), "mComponent", "mComponents")))
		}
	}
	if len(names) > 0 {
		say("Memory that survives the loss of mComponents: %s.", list(names, shownNames))
	}
	if x := s.Redundancy; x != nil {
		say("For that %s sent, %s of them rebuilt elsewhere after a loss.", counted(x.Sent, "copy or share of a page was", "copies and shares of pages were"), count(x.Rebuilt))
	}
}
