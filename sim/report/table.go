package report

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// WriteTable prints a summary for people.
func WriteTable(w io.Writer, s *Summary) error {
	var b strings.Builder
	t := &s.Total
	fmt.Fprintf(&b, "%s on %s: %s accesses in %.1f s (%s/s), seed %d, commit %s\n", s.Workload, s.Cluster, count(t.Accesses), s.WallSeconds, count(uint64(s.AccessesPerSecond)), s.Seed, short(s.Commit))
	fmt.Fprintf(&b, "%.2f %% hits; %s misses: %s p-local, %s fetched (%s), %s coalesced, %s from the victim cache\n", percent(t.Hits, t.Accesses),
		count(t.Misses), count(t.PLocal), count(t.Fetches), bytes(t.FetchedBytes), count(t.Coalesced), count(t.VictimHits))
	fmt.Fprintf(&b, "%s pages checked, %s sectors checked, %s wrong\n\n", count(t.PagesChecked), count(t.SectorsChecked), count(t.IntegrityErrors))

	tw := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "vNode\ton\thome\tstate\tlines\taccesses\thit %\tmisses\tp-local\tfetches\tflushes\tpiggyb.\tseconds")
	for i := range s.VNodes {
		v := &s.VNodes[i]
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%d\t%s\t%.2f\t%s\t%s\t%s\t%s\t%s\t%.1f\n", v.Name, v.PComponent, v.Home, v.State, v.Lines, count(v.Accesses), percent(v.Hits, v.Accesses),
			count(v.Misses), count(v.PLocal), count(v.Fetches), count(v.Flushes), count(v.Piggybacked), v.Seconds)
	}
	tw.Flush()
	b.WriteByte('\n')
	latencies(&b, "faults", t.FaultLatency, FaultKinds)
	latencies(&b, "block requests", t.BlockLatency, BlockKinds)

	tw = tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "component\trole\tfetches\tshare %\tflushes\tfetched\tflushed\tblock reads\twrites\tflushes")
	for i := range s.Components {
		c := &s.Components[i]
		share := "-"
		if c.Role == "mcomponent" {
			share = fmt.Sprintf("%.1f", 100*c.FetchShare)
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", c.ID, c.Role, count(c.Fetches), share, count(c.Flushes+c.FinalFlushes), bytes(c.FetchedBytes), bytes(c.FlushedBytes),
			count(c.BlockReads), count(c.BlockWrites), count(c.BlockFlushes))
	}
	tw.Flush()
	b.WriteByte('\n')
	prefetched(&b, s)
	redundancy(&b, s)
	restarted(&b, s)
	moved(&b, s)
	wrong(&b, s)
	failures(&b, s)
	modelled(&b, s)
	for _, part := range []struct {
		head string
		list []string
	}{{"failed", s.Failed}, {"WRONG PAGES", s.Integrity}, {fmt.Sprintf("LOST (%d)", len(s.Lost)), s.Lost}, {"warnings", s.Warnings}} {
		if len(part.list) > 0 {
			fmt.Fprintf(&b, "\n%s:\n", part.head)
			for _, l := range part.list {
				fmt.Fprintf(&b, "  %s\n", l)
			}
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func latencies(b *strings.Builder, head string, m map[string]Latency, order []string) {
	tw := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	rows := 0
	for _, k := range order {
		if l := m[k]; l.Count > 0 {
			if rows++; rows == 1 {
				fmt.Fprintf(tw, "%s\tcount\tp50 µs\tp95 µs\tp99 µs\tmax µs\n", head)
			}
			fmt.Fprintf(tw, "%s\t%s\t%.1f\t%.1f\t%.1f\t%.1f\n", k, count(l.Count), l.P50, l.P95, l.P99, l.Max)
		}
	}
	tw.Flush()
	if rows > 0 {
		b.WriteByte('\n')
	}
}

func percent(part, whole uint64) float64 {
	if whole == 0 {
		return 0
	}
	return 100 * float64(part) / float64(whole)
}

// count prints a number with thin groups of three.
func count(n uint64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + " " + s[i:]
	}
	return s
}

func bytes(n uint64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.2f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%d B", n)
}

func short(commit string) string {
	if len(commit) > 12 {
		return commit[:12]
	}
	return commit
}
