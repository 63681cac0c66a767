package replay

import (
	"fmt"
	"strings"

	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent"
)

// Names of limits.
const (
	// HistoryEvents is how many events of a process are remembered, to log what happened to a page that is wrong.
	HistoryEvents = 1 << 14
	// HistoryShown bounds the events that are logged for one wrong page.
	HistoryShown = 32
	// IntegrityShown bounds the wrong pages of a process that are described; all are counted.
	IntegrityShown = 20
)

// history remembers the last events of a process.
type history struct {
	ring []pcomponent.Event
	next int
}

func (h *history) add(e pcomponent.Event) {
	if len(h.ring) < HistoryEvents {
		h.ring = append(h.ring, e)
		return
	}
	h.ring[h.next] = e
	h.next = (h.next + 1) % HistoryEvents
}

// of tells what happened to a page, oldest first.
func (h *history) of(page wire.PageNo) string {
	var lines []string
	for i := range h.ring {
		e := &h.ring[(h.next+i)%len(h.ring)]
		if e.Page != page {
			continue
		}
		s := fmt.Sprintf("%.6fs %s", e.At.Seconds(), e.What)
		if e.Version != 0 {
			s += fmt.Sprintf(" version %d", e.Version)
		}
		if e.Node != "" {
			s += " " + string(e.Node)
		}
		lines = append(lines, s)
	}
	if n := len(lines) - HistoryShown; n > 0 {
		lines = append([]string{fmt.Sprintf("(%d earlier)", n)}, lines[n:]...)
	}
	if len(lines) == 0 {
		return "no event is remembered"
	}
	return strings.Join(lines, ", ")
}
