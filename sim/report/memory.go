package report

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"splitkernel/gmanagers/admission"
	"splitkernel/netlayer/wire"
)

// Memory is what the memory of a vNode survives, by its policy, and what that costs.
type Memory struct {
	Replication string `json:"replication"`
	Copies      uint32 `json:"copies,omitempty"`
	LogFull     string `json:"log_full,omitempty"`
	Data        uint32 `json:"data,omitempty"`
	Parity      uint32 `json:"parity,omitempty"`
	// Survives is how many mComponents that have a vRegion may be lost before redundancy is restored; of shares, the owner beside them.
	Survives int `json:"survives"`
	// PagesPerPage is how many pages of memory one that was flushed takes in all, what a log has in its file included.
	PagesPerPage float64 `json:"pages_per_page"`
	// FlushSends is how many messages the owner sends for a flush, each with a copy of the page or a share, and MissAsks how many it sends
	// for a miss of a page that was flushed.
	FlushSends int `json:"flush_sends"`
	MissAsks   int `json:"miss_asks"`
}

// MemoryOf describes a policy; nil for one that survives nothing.
func MemoryOf(p wire.MemoryPolicy) *Memory {
	n := p.Holders()
	m := &Memory{
		Replication: p.Kind.String(), Copies: p.Copies, Data: p.Data, Parity: p.Parity, Survives: admission.Survives(p),
		PagesPerPage: float64(1 + n), FlushSends: n,
	}
	switch p.Kind {
	case wire.MemoryNone:
		return nil
	case wire.MemoryErasure: // the owner has no page of it
		m.PagesPerPage, m.MissAsks = float64(n)/float64(p.Data), int(p.Data)
	case wire.MemoryLog:
		if m.LogFull = "skip"; p.LogBlock {
			m.LogFull = "block"
		}
	}
	return m
}

// Text is the policy in words.
func (m *Memory) Text() string {
	switch {
	case m.Data > 0:
		return fmt.Sprintf("%s %d + %d", m.Replication, m.Data, m.Parity)
	case m.LogFull != "":
		return fmt.Sprintf("%s %d, %s", m.Replication, m.Copies, m.LogFull)
	}
	return fmt.Sprintf("%s %d", m.Replication, m.Copies)
}

// Redundancy is what mComponents did so that memory survives, each since it was started.
type Redundancy struct {
	Sent     uint64 `json:"sent"`      // copies of pages, and shares, to holders
	Rebuilt  uint64 `json:"rebuilt"`   // of them those to holders that had to be filled, as another was lost or left
	Made     uint64 `json:"made"`      // pages that were made of shares
	Computed uint64 `json:"computed"`  // of them those of which a data share was missing
	Saved    uint64 `json:"log_saved"` // pages that logs wrote to their backup files
	Full     uint64 `json:"log_full"`  // pages that came while a log was full
	Skipped  uint64 `json:"log_skipped"`
}

// SetRedundancy sums up the counters of mComponents by their names, if a vNode's memory survives something.
func (s *Summary) SetRedundancy() {
	some := false
	for i := range s.VNodes {
		some = some || s.VNodes[i].Memory != nil
	}
	if !some {
		return
	}
	r := &Redundancy{}
	for i := range s.Components {
		o := s.Components[i].Other
		for _, x := range []struct {
			to   *uint64
			name string
		}{
			{&r.Sent, "replica_sent"}, {&r.Rebuilt, "replica_filled"}, {&r.Made, "share_reads"}, {&r.Computed, "share_reads_computed"},
			{&r.Saved, "held_saved"}, {&r.Full, "held_log_full"}, {&r.Skipped, "held_skipped"},
		} {
			*x.to += uint64(max(0, o[x.name]))
		}
	}
	s.Redundancy = r
}

// redundancy prints what memory survives, at what cost.
func redundancy(b *strings.Builder, s *Summary) {
	if s.Redundancy == nil {
		return
	}
	tw := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "memory\treplication\tsurvives\tmemory\ta flush sends\ta miss asks\tfetch p50 µs\tp99 µs")
	shares, logs := false, false
	for i := range s.VNodes {
		v := &s.VNodes[i]
		m := v.Memory
		if m == nil {
			continue
		}
		survives, sends, asks, fetch := fmt.Sprintf("%d of %d", m.Survives, m.FlushSends+1), fmt.Sprintf("%d pages", m.FlushSends), "-", v.FaultLatency["fetch"]
		if m.Data > 0 {
			shares = true
			survives, sends = fmt.Sprintf("%d of %d and the owner", m.Survives, m.FlushSends), fmt.Sprintf("%d shares of 1/%d", m.FlushSends, m.Data)
			asks = fmt.Sprintf("%d shares", m.MissAsks)
		}
		logs = logs || m.LogFull != ""
		fmt.Fprintf(tw, "%s\t%s\t%s\t%.4gx\t%s\t%s\t%.1f\t%.1f\n", v.Name, m.Text(), survives, m.PagesPerPage, sends, asks, fetch.P50, fetch.P99)
	}
	tw.Flush()
	r := s.Redundancy
	fmt.Fprintf(b, "%s copies and shares sent, %s of them rebuilt at other holders", count(r.Sent), count(r.Rebuilt))
	if shares {
		fmt.Fprintf(b, "; %s pages made of shares, %s of them with a parity share", count(r.Made), count(r.Computed))
	}
	if logs {
		fmt.Fprintf(b, "; logs wrote %s pages to files, were full for %s and skipped %s", count(r.Saved), count(r.Full), count(r.Skipped))
	}
	b.WriteString("\n\n")
}
