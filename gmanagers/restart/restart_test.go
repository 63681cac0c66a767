package restart

import (
	"strings"
	"testing"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/gmm"
	"splitkernel/gmanagers/gpm"
	"splitkernel/gmanagers/gsm"
	"splitkernel/netlayer/taped/tapedtest"
	"splitkernel/netlayer/wire"
)

// TestAtMostMaxUnder: those beyond wait until another has ended.
func TestAtMostMaxUnder(t *testing.T) {
	d := New()
	var all []Stranded
	for pid := range wire.PID(MaxUnder + 3) {
		all = append(all, Stranded{Process: gpm.Process{PID: pid + 1, Epoch: 1, Node: "p1", Restart: true}})
	}
	first := d.Look(all)
	if len(first) != MaxUnder || len(d.Look(all)) != 0 {
		t.Fatalf("%d begin, then more; want %d, then none", len(first), MaxUnder)
	}
	if more := d.Done(first[0].Process.PID, first[0].Call, Outcome{}); len(more) != 0 {
		t.Fatalf("a placed process is looked at again, not %v", more)
	}
	if next := d.Look(all[1:]); len(next) != 1 || next[0].Process.PID != MaxUnder+1 {
		t.Fatalf("then begins %+v", next)
	}
	if err := d.CheckInvariants(); err != nil {
		t.Error(err)
	}
}

// TestAnUnknownState of a pComponent of another version is a failed restart, said so.
func TestAnUnknownState(t *testing.T) {
	d := New()
	e := d.Look([]Stranded{{Process: gpm.Process{PID: 1, Epoch: 4, Node: "p1", Restart: true, Restarting: true}, Current: true}})
	out := d.Done(1, e[0].Call, Outcome{Rep: wire.RestartRep{State: 77}})
	if len(out) != 1 || out[0].Kind != Report || !out[0].Failed || !strings.Contains(out[0].Text, "77") {
		t.Fatalf("%+v", out)
	}
}

// TestWhatTheBooksLackForGood: a process whose home died for good is given up by that name, within a bound; one that somebody takes over in time is not.
func TestWhatTheBooksLackForGood(t *testing.T) {
	gone := Outcome{Err: wire.Errorf(wire.KindUnavailable, "the home of process 1, m1, is lost"), Missing: true}
	for _, c := range []struct {
		name   string
		tries  int // until the home is there
		o      Outcome
		failed bool
	}{
		{"for good", MaxMissing + 1, gone, true},
		{"until it was taken over", MaxMissing - 1, gone, false},
	} {
		d := New()
		out := d.Look([]Stranded{{Process: gpm.Process{PID: 1, Epoch: 4, Node: "p1", Restart: true, Restarting: true}, Current: true}})
		for n := 0; len(out) == 1 && out[0].Kind == Order; n++ {
			if n > MaxMissing {
				t.Fatalf("%s: it asks without end", c.name)
			}
			o := c.o
			if n >= c.tries {
				o = Outcome{Rep: wire.RestartRep{State: wire.RestartRunning}}
			}
			out = d.Done(1, out[0].Call, o)
			if err := d.CheckInvariants(); err != nil {
				t.Fatal(err)
			}
		}
		if len(out) != 1 || out[0].Kind != Report || out[0].Failed != c.failed || c.failed && !strings.Contains(out[0].Text, "m1, is lost") {
			t.Errorf("%s: %+v", c.name, out)
		}
		if more := d.Done(1, out[0].Call, Outcome{}); len(more) != 0 || len(d.under) != 0 {
			t.Errorf("%s: then %+v", c.name, more)
		}
	}
	d := New() // a pComponent that cannot be reached is for membership to judge
	out := d.Look([]Stranded{{Process: gpm.Process{PID: 1, Epoch: 4, Node: "p1", Restart: true, Restarting: true}, Current: true}})
	if more := d.Done(1, out[0].Call, Outcome{Err: wire.Errorf(wire.KindTimeout, "no answer")}); len(more) != 0 {
		t.Errorf("unreachable: %+v", more)
	}
}

// TestRequest: what a pComponent is told is whole, or the error says what is missing.
func TestRequest(t *testing.T) {
	p := gpm.Process{PID: 7, Epoch: 4, Node: "p2", Volumes: []admission.Volume{{Volume: 3}, {Volume: 5}}}
	homes := []gmm.Process{{PID: 7, Home: "m1", HomeEpoch: 2}}
	volumes := []gsm.Volume{{Volume: 5, Epoch: 1, SizeBytes: 8192, Storage: "s1", Cache: "m2"}, {Volume: 3, Epoch: 6, SizeBytes: 4096, Storage: "s1", Cache: "m1"}}
	all := map[wire.NodeID]string{"m1": "unix:/m1", "m2": "unix:/m2", "s1": "unix:/s1"}
	addr := func(id wire.NodeID) string { return all[id] }
	q, err := Request(p, homes, volumes, addr)
	if err != nil || q.PID != 7 || q.Epoch != 4 || q.Home != (wire.Owner{Node: "m1", Addr: "unix:/m1", Epoch: 2}) || len(q.Volumes) != 2 {
		t.Fatalf("%+v, %v", q, err)
	}
	if v := q.Volumes[0]; v.Volume != 3 || v.Epoch != 6 || v.SizeBytes != 4096 || v.StorageAddr != "unix:/s1" || v.CacheAddr != "unix:/m1" {
		t.Errorf("the first volume: %+v", v)
	}
	if q.Volumes[1].Volume != 5 {
		t.Errorf("volumes are not in the order of the process: %+v", q.Volumes)
	}
	for _, c := range []struct {
		what    string
		homes   []gmm.Process
		volumes []gsm.Volume
		addr    func(wire.NodeID) string
		want    string
	}{
		{"no home", nil, volumes, addr, "has 0 homes"},
		{"a dead home", homes, volumes, func(id wire.NodeID) string { return "" }, "is not alive"},
		{"a volume too few", homes, volumes[:1], addr, "volume 3 of process 7 is not in the books"},
	} {
		if _, err := Request(p, c.homes, c.volumes, c.addr); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.what, err, c.want)
		}
	}
}

// TestSnapshotIsWhole: the random worlds do not come to each state.
func TestSnapshotIsWhole(t *testing.T) {
	d := New()
	d.begin(Effect{Kind: Report, After: PollInterval, Process: gpm.Process{PID: 3, Epoch: 4, Node: "p1", Restart: true, Restarting: true}, Failed: true, Text: "x", Missing: 3})
	tapedtest.Whole(t, d, New())
}
