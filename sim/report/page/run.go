package page

import (
	"fmt"
	"path/filepath"

	"splitkernel/sim/report"
)

// OfRun makes the document of a run.
func OfRun(r *Run) *Document {
	s := r.Summary
	d := &Document{Kind: "live run", Title: fmt.Sprintf("%s on %s", s.Workload, s.Cluster), Verdict: "ended well", Sentences: r.sentences()}
	if r.virtual() {
		d.Kind = "virtual run, modelled on " + s.Modelled.Hardware
	}
	if len(s.Lost) > 0 {
		d.Verdict, d.Bad = "ended with losses", true
	}
	switch s.ExitCode() {
	case 3:
		d.Verdict, d.Bad = "wrong data", true
	case 1:
		d.Verdict, d.Bad = "failed", true
	}
	d.Sections = []Section{
		r.overTime(),
		r.latencies(),
		{Title: "vNodes", Tables: []Table{r.vnodes(), r.prefetchTable(), r.slowdownTable()}, Charts: r.slowdownChart()},
		{Title: "Components", Tables: []Table{r.components()}, Charts: r.componentChart()},
		{Title: "Faults and recovery", Tables: []Table{r.faultTable(), r.failureTable(), r.restartTable()}, List: lost(s)},
		{Title: "Memory that survives", Tables: []Table{r.memoryTable()}},
		{Title: "Moves and balance", Tables: []Table{r.moveTable(), r.balanceTable()}},
		{Title: "What went wrong", List: append(append(append([]string(nil), s.Failed...), s.Integrity...), s.Warnings...)},
		r.events(),
		{Title: "Digests", Tables: r.digests()},
		{Title: "Configuration", Tables: r.configuration(), Folded: true},
	}
	r.repeat(d)
	r.limits(d)
	return d
}

func lost(s *report.Summary) (out []string) {
	for _, l := range s.Lost {
		out = append(out, "lost: "+l)
	}
	return out
}

// repeat says how to make the run again.
func (r *Run) repeat(d *Document) {
	s := r.Summary
	if r.Manifest != nil && len(r.Manifest.Command) > 0 {
		d.Repeat = []string{CommandLine(r.Manifest.Command)}
	} else {
		words := []string{"splitkernel", "run", s.Workload, "--cluster", s.Cluster, "--seed", fmt.Sprint(s.Seed)}
		if r.virtual() {
			words[1] = "simulate"
			words = append(words, "--hardware", s.Modelled.Hardware)
		}
		d.Repeat = []string{CommandLine(words)}
		d.RepeatNotes = append(d.RepeatNotes, "The run did not keep its command line, so this one is put together from names; settings that were changed are in the configuration above.")
	}
	d.RepeatNotes = append(d.RepeatNotes, fmt.Sprintf("With the program of commit %s, the files that the command names as they were, and traces of the digests above; the seed is %d.", s.Commit, s.Seed))
	if r.virtual() {
		d.RepeatNotes = append(d.RepeatNotes, fmt.Sprintf("Everything that happens is then the same, in the same order: splitkernel simulate … --digest prints %s.", s.Modelled.Digest))
	} else {
		d.RepeatNotes = append(d.RepeatNotes, "The logical counters are then the same where the order of accesses is that of the trace; times and rates are the machine's.")
	}
}

// limits say what the numbers do not.
func (r *Run) limits(d *Document) {
	say := func(format string, args ...any) { d.Limits = append(d.Limits, fmt.Sprintf(format, args...)) }
	if r.virtual() {
		say("All times, rates and latencies are modelled: virtual time on the hardware profile %s, not measured on such a machine. A slowdown compares two modelled times of a vNode: in this run, and alone with all its memory local.", r.Summary.Modelled.Hardware)
	} else {
		say("Times and rates are those of this machine while this run was on it. A live run replays the accesses of programs without their computing, so it has no slowdown.")
	}
	say("It is one run: there is no interval of confidence. `splitkernel sweep` makes several seeds.")
	if r.Timeline == nil {
		say("The run kept no timeline (%s), so there are no charts over time and no shares of faults by their time; quantiles are of the summary.", report.TimelineName)
	} else {
		every := "what happened between two questions every 100 ms is taken to have happened evenly"
		if r.virtual() {
			every = "what a process did in a few hundred accesses is taken to have happened evenly"
		}
		say("Charts over time have intervals of %s: %s. What a process did again after it went on from a checkpoint is in them, and in no table.", seconds(r.Timeline.Series.IntervalSeconds), every)
		say("Shares of faults by their time are rounded against the run: times up to the next number of two digits, shares down. Quantiles in tables have two to three digits that matter.")
	}
	say("summary.json and manifest.json in %s have everything, with more digits.", filepath.Base(r.Dir))
}
