package dashboard

import (
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"splitkernel/sim/observe"
)

// hello is what a page gets first.
type hello struct {
	Control  bool              `json:"control"`
	Samples  []observe.Sample  `json:"samples"` // before that of the snapshot, oldest first
	Snapshot *observe.Snapshot `json:"snapshot"`
}

// page is one browser that listens.
type page struct {
	queue   chan []byte   // frames
	dropped chan struct{} // closed when it was too far behind
	greeted bool
}

// hub has the pages that are open.
type hub struct {
	mu    sync.Mutex
	pages map[*page]struct{}
	last  *observe.Snapshot // nil before the first
}

// frame is a server-sent event. JSON has no line ends.
func frame(kind string, data any) []byte {
	text, err := json.Marshal(data)
	if err != nil {
		panic(err) // no type of these can fail
	}
	out := make([]byte, 0, len(kind)+len(text)+16)
	out = append(out, "event: "+kind+"\ndata: "...)
	out = append(out, text...)
	return append(out, "\n\n"...)
}

// trimmed is a snapshot with the events after a number, and no more links than a page draws.
func trimmed(s *observe.Snapshot, after uint64) *observe.Snapshot {
	t := *s
	t.Links = t.Links[:min(len(t.Links), maxLinks)]
	t.Events = s.EventsAfter(after)
	if t.Events == nil {
		t.Events = []observe.Event{} // JSON [] and not null
	}
	return &t
}

// publish queues a snapshot for every page, all of it for those that have nothing yet, and drops pages that are too far behind; it tells how many.
func (h *hub) publish(s *observe.Snapshot, greet func(*observe.Snapshot) []byte) (dropped int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var seen uint64
	if h.last != nil && len(h.last.Events) > 0 {
		seen = h.last.Events[len(h.last.Events)-1].Seq
	}
	h.last = s
	var first, tick []byte // made once for all
	for p := range h.pages {
		text := &tick
		if !p.greeted {
			text = &first
		}
		switch {
		case *text != nil:
		case p.greeted:
			tick = frame("tick", trimmed(s, seen))
		default:
			first = greet(s)
		}
		p.greeted = true
		select {
		case p.queue <- *text:
		default:
			close(p.dropped)
			delete(h.pages, p)
			dropped++
		}
	}
	return dropped
}

// join adds a page; nil if there are too many.
func (h *hub) join(greet func(*observe.Snapshot) []byte) *page {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.pages) >= MaxPages {
		return nil
	}
	p := &page{queue: make(chan []byte, queueFrames), dropped: make(chan struct{})}
	if h.last != nil {
		p.greeted = true
		p.queue <- greet(h.last)
	}
	h.pages[p] = struct{}{}
	return p
}

// leave forgets a page, unless it was dropped.
func (h *hub) leave(p *page) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.pages, p)
}

// hello is the first frame of a page.
func (s *Server) hello(snap *observe.Snapshot) []byte {
	samples := s.o.Feed.Series()
	samples = samples[max(0, len(samples)-maxPoints):]
	return frame("hello", hello{s.o.Control != nil, samples, trimmed(snap, 0)})
}

// events streams to a page until it goes, is dropped, or the server ends.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	p := s.hub.join(s.hello)
	if p == nil {
		w.Header().Set("Retry-After", "5")
		http.Error(w, "too many pages are open, close one of them", http.StatusServiceUnavailable)
		return
	}
	defer s.hub.leave(p)
	w.Header().Set("Content-Type", "text/event-stream")
	out := http.NewResponseController(w)
	// What net/http bounds for a whole answer is bounded here for each write, as this answer has no end.
	if out.SetReadDeadline(time.Time{}) != nil {
		return
	}
	write := func(text []byte) bool {
		if out.SetWriteDeadline(time.Now().Add(writeTimeout)) != nil {
			return false
		}
		if _, err := w.Write(text); err != nil {
			return false
		}
		return out.Flush() == nil
	}
	if !write([]byte(": splitkernel\n\n")) {
		return
	}
	for {
		select {
		case text := <-p.queue:
			if !write(text) {
				return
			}
		case <-p.dropped:
			return
		case <-r.Context().Done():
			return
		}
	}
}

// open is how many pages listen.
func (s *Server) open() int {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	return len(s.hub.pages)
}
