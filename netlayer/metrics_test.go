package netlayer_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
)

func TestMetrics(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	m, err := netlayer.NewMetrics(reg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := netlayer.NewMetrics(reg); err == nil {
		t.Error("the same metrics are registered twice")
	}
	s, addr := serve(t, newStore(), nil)
	m.AddServer(s)
	o := peerOptions()
	o.Metrics = m
	p := netlayer.NewPeer(addr, o) // counted from here
	for range 3 {
		c := &netlayer.Call{Op: wire.OpMiss, Body: wire.Miss{}.Append(nil), Into: make([]byte, wire.PageSize)}
		if err := p.Do(c); err != nil {
			t.Fatal(err)
		}
	}
	// What a side has sent is counted when its write returns, which may be after the other side has read it.
	open := m.Usage()
	for deadline := time.Now().Add(10 * time.Second); open.InBytes != open.OutBytes && time.Now().Before(deadline); open = m.Usage() {
		runtime.Gosched()
	}
	// The peer's side alone: what it sent went to the one address, with a hello each way.
	miss, page := uint64(wire.HeaderLen+wire.MissLen), uint64(wire.HeaderLen+wire.PageSize)
	if l := m.Links(); len(l) != 1 || l[0].Addr != addr || l[0].In+l[0].Out != open.InBytes || l[0].In < 3*page+wire.HeaderLen || l[0].Out < 3*miss+wire.HeaderLen {
		t.Errorf("links %+v, want one to %s with 3 × %d bytes from it and 3 × %d to it, and hellos", l, addr, page, miss)
	}
	p.Close()
	p.Close() // what it counted stays, once
	if l := m.Links(); len(l) != 0 {
		t.Errorf("links %+v after the only peer was closed", l)
	}
	if u := m.Usage(); u.InBytes != open.InBytes || u.OutBytes != open.OutBytes {
		t.Errorf("%+v with the peer, %+v after its end", open, u)
	}
	// Both ends are in this process, so what one sends the other receives: three misses, three pages and two hellos.
	if hellos := open.InBytes - 3*(miss+page); open.InBytes != open.OutBytes || hellos < 2*wire.HeaderLen || hellos > 1024 {
		t.Errorf("%+v, want the same in both directions and 3 × (%d + %d) bytes and two hellos", open, miss, page)
	}
	want := `
		# HELP splitkernel_netlayer_peer_connects_total Connections that peers have made.
		# TYPE splitkernel_netlayer_peer_connects_total counter
		splitkernel_netlayer_peer_connects_total 1
		# HELP splitkernel_netlayer_server_hellos_accepted_total Connections that were accepted.
		# TYPE splitkernel_netlayer_server_hellos_accepted_total counter
		splitkernel_netlayer_server_hellos_accepted_total 1
	`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "splitkernel_netlayer_peer_connects_total", "splitkernel_netlayer_server_hellos_accepted_total"); err != nil {
		t.Error(err)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, f := range families {
		if f.GetName() != "splitkernel_netlayer_frames_total" {
			continue
		}
		for _, x := range f.GetMetric() {
			l := map[string]string{}
			for _, pair := range x.GetLabel() {
				l[pair.GetName()] = pair.GetValue()
			}
			if l["side"] == "peer" && l["direction"] == "in" && l["kind"] == "page" {
				found = x.GetCounter().GetValue() == 3
			}
		}
	}
	if !found {
		t.Error("the three pages are not in frames_total")
	}
	problems, err := testutil.GatherAndLint(reg)
	if err != nil {
		t.Fatal(err)
	}
	for _, pr := range problems {
		t.Errorf("%s: %s", pr.Metric, pr.Text)
	}
}

// TestSeriesDoNotGrowWithThePeers: a component of a cluster of a thousand has as many series as one of two, those of peers that failed included.
func TestSeriesDoNotGrowWithThePeers(t *testing.T) {
	count := func(peers int) int {
		reg := prometheus.NewPedanticRegistry()
		m, err := netlayer.NewMetrics(reg)
		if err != nil {
			t.Fatal(err)
		}
		o := peerOptions()
		o.Metrics, o.Slots = m, 1
		for i := range peers {
			p := netlayer.NewPeer(netlayer.Addr(fmt.Sprintf("inproc:nobody%d", i)), o)
			if i%100 == 0 { // a call to nobody leaves its traces in the counters
				if err := p.Do(&netlayer.Call{Op: wire.OpMiss, Body: wire.Miss{}.Append(nil), Into: make([]byte, wire.PageSize)}); err == nil {
					t.Fatal("nobody answered")
				}
			}
			defer p.Close()
		}
		n, err := testutil.GatherAndCount(reg)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if one, thousand := count(1), count(1000); one != thousand || one == 0 {
		t.Errorf("%d series with one peer, %d with a thousand", one, thousand)
	}
}
