package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"splitkernel/sim/replay"
)

const (
	// barWidth is the length of the bar in characters.
	barWidth = 30
	// leastShare is how much must be done before the time left is worth guessing.
	leastShare = 0.01
	// quiet is how long nothing at all is shown: most commands end before, and need no meter.
	quiet = 2 * time.Second
	// plainInterval is how often a line is written where there is no terminal.
	plainInterval = 2 * time.Second
	// drawInterval is how often a bar is drawn anew.
	drawInterval = 100 * time.Millisecond
)

// display is where it is shown how far something is: a bar that is redrawn on a terminal, else a line now and then, and nothing in
// the first seconds. It is talk, so it goes to stderr; whether to draw is asked of stdout too, for whoever redirects that wants no
// drawing.
type display struct {
	w        io.Writer
	terminal bool
	now      func() time.Time
	started  time.Time     // of what is shown now: rates and the time left are from then on
	quiet    time.Duration // of it, in which nothing is shown
	said     time.Time     // when something was shown last
	drawn    bool
}

func (a *app) newDisplay() display {
	now := time.Now()
	return display{w: a.stderr, terminal: isTerminal(a.stdout) && isTerminal(a.stderr), now: time.Now, started: now, quiet: quiet, said: now}
}

func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// due reports whether it is time to show something.
func (d *display) due(now time.Time) bool {
	switch {
	case now.Sub(d.started) < d.quiet:
		return false
	case !d.terminal:
		return now.Sub(d.said) >= plainInterval
	}
	return !d.drawn || now.Sub(d.said) >= drawInterval
}

// put shows a line, with a bar before it on a terminal. A share below 0 is unknown and has no bar.
func (d *display) put(now time.Time, share float64, line string) {
	d.said = now
	switch {
	case !d.terminal:
		fmt.Fprintln(d.w, line)
		return
	case share < 0:
		fmt.Fprintf(d.w, "\r\x1b[K%s", line)
	default:
		full := int(min(share, 1) * barWidth)
		fmt.Fprintf(d.w, "\r\x1b[K[%s%s] %s", strings.Repeat("#", full), strings.Repeat(".", barWidth-full), line)
	}
	d.drawn = true
}

// end leaves the last bar standing.
func (d *display) end() {
	if d.drawn {
		fmt.Fprintln(d.w)
		d.drawn = false
	}
}

// left guesses the time until all is done, "?" before enough is.
func (d *display) left(share float64, now time.Time) string {
	if share < leastShare {
		return "?"
	}
	share = min(share, 1)
	return time.Duration(float64(now.Sub(d.started)) * (1 - share) / share).Round(time.Second).String()
}

// progress shows how far a run is.
type progress struct{ display }

func (a *app) newProgress() *progress { return &progress{a.newDisplay()} }

// show is called by the run about ten times a second.
func (p *progress) show(r replay.Progress) {
	if now := p.now(); p.due(now) {
		p.put(now, shareOf(r.Done, r.Total), p.line(r, now))
	}
}

// line is share done, accesses/s, hit ratio and time left.
func (p *progress) line(r replay.Progress, now time.Time) string {
	share := max(shareOf(r.Done, r.Total), 0)
	return fmt.Sprintf("%5.1f %% done, %s accesses/s, %.2f %% hits, %s left", 100*share, siCount(r.AccessesPerSec), 100*r.HitRatio, p.left(share, now))
}

// shareOf is done of total, at most 1, or -1 where the total is unknown.
func shareOf(done, total uint64) float64 {
	if total == 0 {
		return -1
	}
	return min(float64(done)/float64(total), 1)
}

// meter shows how far a piece of work is whose steps can be counted. It may be used by several goroutines at once.
//
//	m := a.newMeter("reading sort.skt", "references", total) // total 0: unknown
//	for … { m.add(n) }                                       // once for each batch of steps: it asks for the time
//	m.end()
type meter struct {
	mu          sync.Mutex
	d           display
	title, unit string
	done, total uint64
}

// newMeter makes a meter. The unit is a plural: "references".
func (a *app) newMeter(title, unit string, total uint64) *meter {
	return &meter{d: a.newDisplay(), title: title, unit: unit, total: total}
}

// add says that n more steps are done.
func (m *meter) add(n uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.done += n
	m.show()
}

// set says how many steps are done, and of how many; a total of 0 is unknown.
func (m *meter) set(done, total uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.done, m.total = done, total
	m.show()
}

func (m *meter) show() {
	if now := m.d.now(); m.d.due(now) {
		m.d.put(now, shareOf(m.done, m.total), m.line(now))
	}
}

// again begins the next of several passes, each of which counts from 0. Work that goes on for long is shown, however short its passes are.
func (m *meter) again(title string, total uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.d.now()
	m.d.quiet = max(m.d.quiet-now.Sub(m.d.started), 0)
	m.title, m.done, m.total, m.d.started = title, 0, total, now
}

// end leaves the last state standing on a terminal. It says nothing of what was over soon.
func (m *meter) end() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.d.drawn {
		now := m.d.now()
		m.d.put(now, shareOf(m.done, m.total), m.line(now))
	}
	m.d.end()
}

// line is title, share done, rate and time left, or the number done and the time elapsed where the total is unknown.
func (m *meter) line(now time.Time) string {
	elapsed := now.Sub(m.d.started)
	rate := 0.0
	if elapsed > 0 {
		rate = float64(m.done) / elapsed.Seconds()
	}
	share := shareOf(m.done, m.total)
	if share < 0 {
		return fmt.Sprintf("%s: %s %s, %s/s, %s elapsed", m.title, siCount(float64(m.done)), m.unit, siCount(rate), elapsed.Round(time.Second))
	}
	return fmt.Sprintf("%s: %5.1f %% of %s %s, %s/s, %s left", m.title, 100*share, siCount(float64(m.total)), m.unit, siCount(rate), m.d.left(share, now))
}

// stopped tells the end of work by Ctrl-C, which keeps partial results, from its failure. Work that ctx ends returns what it has
// beside an error that wraps the context's cause. Its command shows that, marked partial, and ends with the error `stop`, which
// gives exit code 1:
//
//	res, err := work(ctx)               // res is what was done until then
//	stop, err := stopped(ctx, err)
//	if err != nil { return err }        // failed: there is nothing to show
//	res.Partial = stop != nil
//	if err := a.print(res, …); err != nil { return err }
//	return stop
func stopped(ctx context.Context, err error) (stop, failed error) {
	if err == nil || ctx.Err() == nil {
		return nil, err
	}
	if cause := context.Cause(ctx); errors.Is(err, cause) || errors.Is(err, ctx.Err()) {
		return fmt.Errorf("%w: what was printed is partial", cause), nil
	}
	return nil, err
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
