package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"splitkernel/sim/replay"
)

const (
	// barWidth is the length of the bar in characters.
	barWidth = 30
	// leastShare is how much must be done before the time left is worth guessing.
	leastShare = 0.01
	// plainInterval is how often a line is written where there is no terminal.
	plainInterval = 2 * time.Second
)

// progress shows how far a run is: a bar that is redrawn on a terminal, else a line now and then. It is talk, so it goes to
// stderr; whether to draw is asked of stdout too, for whoever redirects that wants no drawing.
type progress struct {
	w        io.Writer
	terminal bool
	now      func() time.Time
	started  time.Time
	said     time.Time // of the last plain line
	drawn    bool
}

func (a *app) newProgress() *progress {
	now := time.Now()
	return &progress{w: a.stderr, terminal: isTerminal(a.stdout) && isTerminal(a.stderr), now: time.Now, started: now, said: now}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// show is called by the run about ten times a second.
func (p *progress) show(r replay.Progress) {
	now := p.now()
	if !p.terminal {
		if now.Sub(p.said) >= plainInterval {
			p.said = now
			fmt.Fprintln(p.w, p.line(r, now))
		}
		return
	}
	share := 0.0
	if r.Total > 0 {
		share = min(float64(r.Done)/float64(r.Total), 1)
	}
	full := int(share * barWidth)
	fmt.Fprintf(p.w, "\r\x1b[K[%s%s] %s", strings.Repeat("#", full), strings.Repeat(".", barWidth-full), p.line(r, now))
	p.drawn = true
}

// end leaves the last bar standing.
func (p *progress) end() {
	if p.drawn {
		fmt.Fprintln(p.w)
	}
}

// line is share done, accesses/s, hit ratio and time left.
func (p *progress) line(r replay.Progress, now time.Time) string {
	share, left := 0.0, "?"
	if r.Total > 0 {
		share = min(float64(r.Done)/float64(r.Total), 1)
	}
	if elapsed := now.Sub(p.started); share >= leastShare {
		left = time.Duration(float64(elapsed) * (1 - share) / share).Round(time.Second).String()
	}
	return fmt.Sprintf("%5.1f %% done, %s accesses/s, %.2f %% hits, %s left", 100*share, siCount(r.AccessesPerSec), 100*r.HitRatio, left)
}

// siCount prints a rate shortly: 12.3 M.
func siCount(v float64) string {
	switch {
	case v >= 1e9:
		return fmt.Sprintf("%.1f G", v/1e9)
	case v >= 1e6:
		return fmt.Sprintf("%.1f M", v/1e6)
	case v >= 1e3:
		return fmt.Sprintf("%.1f k", v/1e3)
	}
	return fmt.Sprintf("%.0f", v)
}
