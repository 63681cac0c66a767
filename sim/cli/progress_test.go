package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"
)

// testMeter is a meter with a clock of the test's own.
func testMeter(out io.Writer, total uint64) (m *meter, clock *time.Time) {
	now := time.Unix(0, 0)
	d := display{w: out, now: func() time.Time { return now }, started: now, quiet: quiet, said: now}
	return &meter{d: d, title: "reading a.skt", unit: "references", total: total}, &now
}

func TestMeterPlain(t *testing.T) {
	var out bytes.Buffer
	m, now := testMeter(&out, 40_000_000)
	for range 19 { // 1.9 s
		*now = now.Add(100 * time.Millisecond)
		m.add(1_000_000)
	}
	if out.Len() != 0 {
		t.Fatalf("before two seconds it says %q, want nothing", out.String())
	}
	for range 19 { // 3.8 s
		*now = now.Add(100 * time.Millisecond)
		m.add(1_000_000)
	}
	m.end()
	if got, want := out.String(), "reading a.skt:  50.0 % of 40.0 M references, 10.0 M/s, 2s left\n"; got != want {
		t.Errorf("%q, want one line, %q", got, want)
	}
}

func TestMeterOfUnknownTotal(t *testing.T) {
	var out bytes.Buffer
	m, now := testMeter(&out, 0)
	*now = now.Add(4 * time.Second)
	m.add(8000)
	m.end()
	if got, want := out.String(), "reading a.skt: 8.0 k references, 2.0 k/s, 4s elapsed\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	out.Reset()
	*now = now.Add(4 * time.Second)
	m.set(1, 1000)
	if got, want := out.String(), "reading a.skt:   0.1 % of 1.0 k references, 0/s, ? left\n"; got != want {
		t.Errorf("%q, want %q: too little is done for a guess", got, want)
	}
}

func TestMeterBar(t *testing.T) {
	var out bytes.Buffer
	m, now := testMeter(&out, 100)
	m.d.terminal = true
	*now = now.Add(1999 * time.Millisecond)
	m.set(10, 100)
	m.end()
	if out.Len() != 0 {
		t.Fatalf("what was over in less than two seconds left %q", out.String())
	}
	*now = now.Add(time.Second)
	m.set(50, 100)
	m.set(60, 100) // at once: not drawn
	m.set(120, 100)
	m.end()
	m.end() // twice is once
	want := "\r\x1b[K[###############...............] reading a.skt:  50.0 % of 100 references, 17/s, 3s left" +
		"\r\x1b[K[##############################] reading a.skt: 100.0 % of 100 references, 40/s, 0s left\n"
	if got := out.String(); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	out.Reset()
	*now = now.Add(time.Second)
	m.set(5, 0)
	if got := out.String(); strings.Contains(got, "#") || !strings.HasPrefix(got, "\r\x1b[Kreading") {
		t.Errorf("%q, want no bar where the total is unknown", got)
	}
}

// TestMeterOfPasses: passes that are short each are shown when they have taken long together, and each has its own rate and time left.
func TestMeterOfPasses(t *testing.T) {
	var out bytes.Buffer
	m, now := testMeter(&out, 0)
	for pass := range 5 {
		if pass > 0 {
			m.again(fmt.Sprintf("pass %d", pass+1), 100)
		}
		for range 2 {
			*now = now.Add(500 * time.Millisecond)
			m.add(50)
		}
	}
	want := "pass 2: 100.0 % of 100 references, 100/s, 0s left\npass 4: 100.0 % of 100 references, 100/s, 0s left\n"
	if out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
}

func TestMeterOfManyGoroutines(t *testing.T) {
	a := &app{stdout: io.Discard, stderr: io.Discard}
	m := a.newMeter("counting", "steps", 0)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 100 {
				m.add(2)
			}
		})
	}
	all.Wait()
	if m.done != 800 {
		t.Errorf("%d done, want 800", m.done)
	}
}

func TestStopped(t *testing.T) {
	failure := errors.New("the disk is full")
	ctx, cancel := context.WithCancelCause(context.Background())
	if stop, err := stopped(ctx, failure); stop != nil || err != failure {
		t.Errorf("a failure is (%v, %v)", stop, err)
	}
	if stop, err := stopped(ctx, nil); stop != nil || err != nil {
		t.Errorf("success is (%v, %v)", stop, err)
	}
	cause := errors.New("stopped by a signal (interrupt)")
	cancel(cause)
	for _, err := range []error{fmt.Errorf("a.skt: %w", cause), context.Canceled} {
		stop, failed := stopped(ctx, err)
		if failed != nil || !errors.Is(stop, cause) {
			t.Errorf("%v is (%v, %v), want a stop", err, stop, failed)
		}
		a := &app{stderr: &bytes.Buffer{}}
		if code := a.exitCode(&ranError{stop}); code != exitFailed {
			t.Errorf("a stop ends with exit code %d, want %d", code, exitFailed)
		}
	}
	if stop, err := stopped(ctx, failure); stop != nil || err != failure {
		t.Errorf("a failure after Ctrl-C is (%v, %v)", stop, err)
	}
	if stop, err := stopped(ctx, nil); stop != nil || err != nil {
		t.Errorf("what was done in time is (%v, %v)", stop, err)
	}
}
