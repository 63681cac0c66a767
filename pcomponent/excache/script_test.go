package excache

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// TestScripts runs the scripts of testdata: what the cache decides, in the words
// of the domain. Run with -rewrite after a change that was meant. The commands:
//
//	new [lines=N] [ways=N] [policy=P] [mechanism=M] [victim-lines=N] [flush-frames=N]
//	events, one a line:
//	  r PAGE, w PAGE        an access; it stops where it must wait
//	  filled LINE           its fetch has come
//	  plocal LINE           it is filled with zeros instead of a fetch
//	  failed LINE           its fetch has failed
//	  complete LINE [w]     the access that waited is made
//	  unpin LINE            the access that waited is given up
//	  ack ID                a flush is acknowledged
//	  drop FIRST LAST       the range is unmapped
//	  next-dirty LINE       a step of the final write-back
//	  pending PAGE          the newest flush of a page
//	  panics EVENT...       the event is a mistake of the caller
//	stats
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		var c *Cache
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "new":
				o := DefaultOptions()
				o.Lines, o.Ways, o.FlushFrames, o.VictimLines = 2, 0, 4, 1
				d.MaybeScanArgs(t, "lines", &o.Lines)
				d.MaybeScanArgs(t, "ways", &o.Ways)
				d.MaybeScanArgs(t, "policy", &o.Policy)
				d.MaybeScanArgs(t, "prefetcher", &o.Prefetcher)
				d.MaybeScanArgs(t, "mechanism", &o.Mechanism)
				d.MaybeScanArgs(t, "victim-lines", &o.VictimLines)
				d.MaybeScanArgs(t, "flush-frames", &o.FlushFrames)
				var err error
				if c, err = New(o); err != nil {
					return err.Error()
				}
				return fmt.Sprintf("%d frames", c.Frames())
			case "events":
				var out strings.Builder
				for event := range strings.Lines(d.Input) {
					event = strings.TrimSpace(event)
					fmt.Fprintf(&out, "%s: %s\n", event, runEvent(t, c, event))
					if err := c.CheckInvariants(); err != nil {
						t.Fatalf("%s: %s: %v", d.Pos, event, err)
					}
				}
				return out.String()
			case "stats":
				// What concerns prefetches is left out where there are none.
				return strings.Replace(fmt.Sprintf("%+v", c.Stats()), noPrefetches, "}", 1)
			}
			t.Fatalf("%s: unknown command %q", d.Pos, d.Cmd)
			return ""
		})
	})
}

const noPrefetches = " PrefetchIssued:0 PrefetchUseful:0 PrefetchLate:0 PrefetchWasted:0 PrefetchDropped:0 PrefetchRefused:0}"

func runEvent(t *testing.T, c *Cache, event string) string {
	verb, rest, _ := strings.Cut(event, " ")
	if verb == "panics" {
		return panicOf(func() { runEvent(t, c, rest) })
	}
	var a, b uint64
	var more string
	switch {
	case verb == "drop":
		scan(t, event, rest, &a, &b)
	case strings.HasSuffix(rest, " w"):
		scan(t, event, rest, &a, &more)
	default:
		scan(t, event, rest, &a)
	}
	switch line := uint32(a); verb {
	case "r", "w":
		return describe(c, a, verb == "w")
	case "prefetch":
		line, frame, ok := c.Prefetch(a)
		if !ok {
			return "refused"
		}
		return fmt.Sprintf("line %d frame %d", line, frame)
	case "prefetch-failed":
		c.PrefetchFailed(line)
	case "filled", "plocal":
		if c.lines[line].unclassified {
			c.CountFill(line, verb == "plocal")
		}
		c.Filled(line)
	case "failed":
		c.FillFailed(line)
	case "complete":
		return fmt.Sprintf("frame %d", c.Complete(line, more == "w"))
	case "unpin":
		c.Unpin(line)
	case "ack":
		c.FlushAcked(a)
	case "drop":
		var pages []uint64
		c.Drop(a, b, func(page uint64) { pages = append(pages, page) })
		return fmt.Sprintf("pages %v", pages)
	case "next-dirty":
		w := c.NextDirty(line)
		switch w.Kind {
		case WritebackFlush:
			return fmt.Sprintf("%s, next %d", flushText(w.Flush), w.Next)
		case WritebackStallFlush:
			return fmt.Sprintf("wait for flush %d, next %d", w.StallOn, w.Next)
		case WritebackStallLine:
			return fmt.Sprintf("wait for line %d", w.Next)
		}
		return "done"
	case "pending":
		if o, ok := c.PendingFlush(a); ok {
			return flushText(o)
		}
		return "none"
	default:
		t.Fatalf("unknown event %q", event)
	}
	return "ok"
}

func scan(t *testing.T, event, args string, into ...any) {
	if _, err := fmt.Sscan(args, into...); err != nil {
		t.Fatalf("event %q: %v", event, err)
	}
}

func describe(c *Cache, page uint64, write bool) string {
	if frame, ok := c.Hit(page, write); ok {
		return fmt.Sprintf("hit in frame %d", frame)
	}
	m := c.Miss(page, write)
	switch m.Kind {
	case StallFlush:
		return fmt.Sprintf("%s on flush %d", m.Kind, m.StallOn)
	case StallLine:
		return m.Kind.String()
	case StallPrefetch:
		return fmt.Sprintf("%s on line %d", m.Kind, m.Line)
	}
	text := fmt.Sprintf("%s line %d frame %d", m.Kind, m.Line, m.Frame)
	if m.Copy {
		text += fmt.Sprintf(" copied from frame %d", m.CopyFrom)
	}
	if m.Evicted {
		text += fmt.Sprintf(", page %d leaves", m.EvictedPage)
	}
	if m.HasFlush {
		text += ", " + flushText(m.Flush)
	}
	return text
}

func flushText(o FlushOrder) string {
	text := fmt.Sprintf("flush %d of page %d from frame %d", o.ID, o.Page, o.Frame)
	if o.MustAckFirst {
		text += ", ack first"
	}
	return text
}

func panicOf(f func()) (text string) {
	defer func() { text = fmt.Sprint(recover()) }()
	f()
	return
}
