package node

import (
	"context"
	"runtime"
	"sync"
	"syscall"
	"time"

	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
)

// usageWindow is over how long utilisation is taken: wire.LoadMS. It does not depend on who asks, so
// two scrapers do not spoil each other's figures.
const usageWindow = wire.LoadMS * time.Millisecond

// sample is what a node has used since its start, as of a moment.
type sample struct {
	at   time.Time
	busy time.Duration // of processors
	net  netlayer.Usage
}

// rates are means over one window.
type rates struct {
	window            time.Duration // 0: none has ended yet
	cores             float64       // processors kept busy
	workers           float64       // of the server, likewise
	inBytes, outBytes float64       // per second
}

// between gives the rates from a to b, which is later.
func between(a, b sample) rates {
	window := b.at.Sub(a.at)
	s := window.Seconds()
	return rates{
		window: window, cores: (b.busy - a.busy).Seconds() / s, workers: (b.net.WorkerBusy - a.net.WorkerBusy).Seconds() / s,
		inBytes: float64(b.net.InBytes-a.net.InBytes) / s, outBytes: float64(b.net.OutBytes-a.net.OutBytes) / s,
	}
}

// usage watches what a node uses of what it has.
type usage struct {
	processors float64 // that it offers, or may use
	link       float64 // bytes per second in each direction; 0 is unknown
	busy       func() time.Duration
	net        func() netlayer.Usage

	mu   sync.Mutex
	last sample
	now  rates
}

func newUsage(cfg *Config, pt *part) *usage {
	u := &usage{processors: float64(runtime.GOMAXPROCS(0)), link: float64(cfg.Node.Netlayer.LinkBytesPerSecond), busy: processTime, net: cfg.metrics.Usage}
	if pt.busy != nil {
		u.processors, u.busy = float64(pt.processors), pt.busy
	}
	return u
}

// take reads the counters as of a moment.
func (u *usage) take(at time.Time) sample { return sample{at, u.busy(), u.net()} }

// step ends a window and begins the next.
func (u *usage) step(at time.Time) {
	s := u.take(at)
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.last.at.IsZero() && at.After(u.last.at) {
		u.now = between(u.last, s)
	}
	u.last = s
}

// rates gives those of the last window that has ended.
func (u *usage) rates() rates {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.now
}

// busyCores is what a heartbeat reports.
func (u *usage) busyCores() float64 { return u.rates().cores }

// run ends windows until ctx ends.
func (u *usage) run(ctx context.Context) error {
	tick := time.NewTicker(usageWindow)
	defer tick.Stop()
	for {
		u.step(time.Now())
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// processTime is the time that this process's threads have run, that of the kernel for them included: threads that wait do
// not run.
func processTime() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0 // which only a bad pointer makes
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
