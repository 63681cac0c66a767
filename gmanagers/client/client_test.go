package client

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/gmm"
	"splitkernel/gmanagers/internal/dedup"
	"splitkernel/gmanagers/membership"
	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
)

// fake is a manager process that answers from one pure state shared by all, as the test tells it to.
type fake struct {
	id    wire.NodeID
	addr  netlayer.Addr
	serve func(f *fake, req *netlayer.Request, rep *netlayer.Reply) error
}

func (f *fake) Inline(wire.Op) bool { return false }
func (f *fake) Serve(_ context.Context, req *netlayer.Request, rep *netlayer.Reply) error {
	return f.serve(f, req, rep)
}

var names atomic.Int64

// run starts n fakes and a client of them.
func run(t *testing.T, n int, serve func(f *fake, req *netlayer.Request, rep *netlayer.Reply) error) *Client {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	o := DefaultOptions()
	o.CallTimeoutMS = 200
	o.Net.Cluster, o.Net.Role, o.Net.Node = "test", wire.RoleClient, "c"
	var servers sync.WaitGroup
	for i := 1; i <= n; i++ {
		f := &fake{id: wire.NodeID(fmt.Sprint("g", i)), addr: netlayer.Addr(fmt.Sprintf("inproc:client-%d", names.Add(1))), serve: serve}
		so := netlayer.DefaultServerOptions()
		so.Cluster, so.Role, so.Node = "test", wire.RoleManager, f.id
		l, err := netlayer.Listen(f.addr)
		if err != nil {
			t.Fatal(err)
		}
		servers.Add(1)
		go func() {
			defer servers.Done()
			if err := netlayer.NewServer(f, so).Serve(ctx, l); err != nil {
				t.Error(err)
			}
		}()
		o.Managers = append(o.Managers, Manager{ID: f.id, Addr: f.addr})
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		cancel()
		servers.Wait()
	})
	return c
}

// reply answers a proposal with a result.
func reply(rep *netlayer.Reply, r gmm.Result) error {
	rep.SetControl(wire.ProposeRep{Result: r.Encode()})
	return nil
}

func proposal(req *netlayer.Request) wire.ProposeReq {
	var p wire.ProposeReq
	if err := wire.Unmarshal(req.Body, &p); err != nil {
		panic(err)
	}
	return p
}

// TestFollowsTheLeader: a redirection is followed at once and remembered.
func TestFollowsTheLeader(t *testing.T) {
	var asked [4]atomic.Int64
	c := run(t, 3, func(f *fake, req *netlayer.Request, rep *netlayer.Reply) error {
		asked[f.id[1]-'0'].Add(1)
		if f.id != "g3" {
			return &wire.Error{Kind: wire.KindNotLeader, Text: "g3"}
		}
		return reply(rep, gmm.Result{Owner: wire.Owner{Node: "m1", Epoch: 1}})
	})
	for range 5 {
		if o, err := c.ActivateRegion(context.Background(), 1, 2); err != nil || o.Node != "m1" {
			t.Fatalf("%+v, %v", o, err)
		}
	}
	if a, b, l := asked[1].Load(), asked[2].Load(), asked[3].Load(); a != 1 || b != 0 || l != 5 {
		t.Errorf("g1, g2 and g3 were asked %d, %d and %d times, want 1, 0 and 5", a, b, l)
	}
}

// TestKeepsItsSequence: whatever goes wrong on the way, retries carry the same (client, sequence), and the next command
// another.
func TestKeepsItsSequence(t *testing.T) {
	var mu sync.Mutex
	var seen []wire.ProposeReq
	faults := []error{wire.ErrUnavailable, wire.ErrBusy, wire.ErrUnknownState, wire.ErrTimeout, &wire.Error{Kind: wire.KindNotLeader}, &wire.Error{Kind: wire.KindNotLeader, Text: "g2"}, &wire.Error{Kind: wire.KindNotLeader, Text: "nobody"}}
	c := run(t, 3, func(f *fake, req *netlayer.Request, rep *netlayer.Reply) error {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, proposal(req))
		if n := len(seen); n <= len(faults) {
			return faults[n-1]
		}
		return reply(rep, gmm.Result{})
	})
	for range 2 {
		if err := free(context.Background(), c, 1); err != nil {
			t.Fatal(err)
		}
	}
	n := len(faults) + 2
	if len(seen) != n {
		t.Fatalf("%d attempts, want %d", len(seen), n)
	}
	for i, p := range seen {
		want := uint64(1)
		if i == n-1 {
			want = 2
		}
		if p.Client == 0 || p.Client != seen[0].Client || p.Seq != want || p.Manager != wire.GMM {
			t.Errorf("attempt %d: client %d sequence %d of %v, want client %d sequence %d of gmm", i, p.Client, p.Seq, p.Manager, seen[0].Client, want)
		}
	}
}

// free has GMM free a process.
func free(ctx context.Context, c *Client, pid wire.PID) error {
	_, err := c.gmm(ctx, gmm.Request{Op: gmm.OpSteps, Steps: []admission.Step{{Verb: admission.Free, PID: pid}}})
	return err
}

func TestRefusalsAreNotRetried(t *testing.T) {
	var asked atomic.Int64
	c := run(t, 3, func(_ *fake, _ *netlayer.Request, rep *netlayer.Reply) error {
		if asked.Add(1) == 1 {
			return wire.Errorf(wire.KindBadRequest, "no")
		}
		return reply(rep, gmm.Result{Kind: wire.KindNoRoom, Text: "vregions: none"})
	})
	if err := free(context.Background(), c, 1); !errors.Is(err, wire.ErrBadRequest) {
		t.Error(err)
	}
	if err := free(context.Background(), c, 1); !errors.Is(err, wire.ErrNoRoom) || err.Error() != "no room: vregions: none" {
		t.Error(err)
	}
	if asked.Load() != 2 {
		t.Errorf("asked %d times, want 2", asked.Load())
	}
}

func TestEndsWithItsContext(t *testing.T) {
	c := run(t, 3, func(*fake, *netlayer.Request, *netlayer.Reply) error { return wire.ErrUnavailable })
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := free(ctx, c, 1); !errors.Is(err, wire.ErrTimeout) || !strings.Contains(err.Error(), "gmm: no manager of 3 answered in time") {
		t.Error(err)
	}
	if _, err := c.Members(ctx, wire.GMM); !errors.Is(err, wire.ErrTimeout) {
		t.Error(err)
	}
	if _, err := c.Members(ctx, 9); !errors.Is(err, wire.ErrBadRequest) {
		t.Error(err)
	}
}

func TestCloseEndsCalls(t *testing.T) {
	entered := make(chan struct{}, 1)
	c := run(t, 1, func(*fake, *netlayer.Request, *netlayer.Reply) error {
		select {
		case entered <- struct{}{}:
		default:
		}
		return wire.ErrUnavailable
	})
	failed := make(chan error, 1)
	go func() { failed <- free(context.Background(), c, 1) }()
	<-entered
	c.Close()
	if err := <-failed; err == nil {
		t.Error("a call survived its client")
	}
	if _, err := c.Heartbeat(context.Background(), wire.Member{}, wire.Load{}); !errors.Is(err, wire.ErrUnavailable) {
		t.Error(err)
	}
	if _, err := c.Status(context.Background()); !errors.Is(err, wire.ErrUnavailable) {
		t.Error(err)
	}
}

// TestHeartbeatVotes: only a majority that answers and knows nothing of the member makes it unknown; that it is fenced or
// removed may any of them say.
func TestHeartbeatVotes(t *testing.T) {
	const yes, no, dead, fenced, removed = 'y', 'n', 'd', 'f', 'r'
	member, unknown := wire.StandingMember, wire.StandingUnknown
	for votes, want := range map[string]wire.Standing{
		"yyy": member, "ynn": member, "nnn": unknown, "nnd": unknown, "ndd": member, "ydd": member,
		"yyf": wire.StandingFenced, "ndf": wire.StandingFenced, "frn": wire.StandingRemoved,
	} {
		c := run(t, 3, func(f *fake, _ *netlayer.Request, rep *netlayer.Reply) error {
			switch votes[f.id[1]-'1'] {
			case dead:
				return wire.ErrUnavailable
			case yes:
				rep.SetControl(wire.HeartbeatRep{Standing: wire.StandingMember})
			case no:
				rep.SetControl(wire.HeartbeatRep{Standing: wire.StandingUnknown})
			case fenced:
				rep.SetControl(wire.HeartbeatRep{Standing: wire.StandingFenced})
			case removed:
				rep.SetControl(wire.HeartbeatRep{Standing: wire.StandingRemoved})
			}
			return nil
		})
		if got, err := c.Heartbeat(context.Background(), wire.Member{ID: "m1", Role: wire.RoleMemory}, wire.Load{}); err != nil || got != want {
			t.Errorf("%s: %v, %v, want %v", votes, got, err, want)
		}
	}
	c := run(t, 3, func(*fake, *netlayer.Request, *netlayer.Reply) error { return wire.ErrUnavailable })
	if _, err := c.Heartbeat(context.Background(), wire.Member{}, wire.Load{}); !errors.Is(err, wire.ErrUnavailable) {
		t.Errorf("nobody answers: %v", err)
	}
}

func TestStatusMerges(t *testing.T) {
	c := run(t, 3, func(f *fake, req *netlayer.Request, rep *netlayer.Reply) error {
		var q wire.QueryReq
		if err := wire.Unmarshal(req.Body, &q); err != nil {
			return err
		}
		st := membership.GroupStatus{Manager: q.Manager, Node: f.id, Leader: "g1", Term: 3, LeaderChanges: 1}
		switch f.id {
		case "g2":
			return wire.ErrUnavailable
		case "g3":
			st.Leader, st.Term, st.LeaderChanges = "g3", 4, 2
		}
		rep.SetControl(wire.QueryRep{Result: membership.EncodeAnswer(st)})
		return nil
	})
	gs, err := c.Status(context.Background())
	if err != nil || len(gs) != 3 {
		t.Fatalf("%+v, %v", gs, err)
	}
	for i, g := range gs {
		if g.Manager != wire.Manager(i+1) || g.Leader != "g3" || g.Term != 4 || g.LeaderChanges != 2 || len(g.Replicas) != 2 || g.Replicas[0].Node != "g1" {
			t.Errorf("%+v", g)
		}
	}
}

// TestLane: sequences in use stay within the window, are given once, and none is lost.
func TestLane(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := newLane()
		var used []uint64
		given := map[uint64]bool{}
		full, cancel := context.WithCancel(context.Background())
		cancel() // begin fails at once where it would wait
		for range rapid.IntRange(1, 400).Draw(t, "steps") {
			if len(used) == 0 || rapid.IntRange(0, 2).Draw(t, "begin") > 0 {
				seq, err := l.begin(full)
				if err != nil {
					if len(used) == 0 {
						t.Fatal("the window is full with nothing in use")
					}
					continue
				}
				if given[seq] || seq == 0 {
					t.Fatalf("sequence %d was given twice", seq)
				}
				given[seq] = true
				used = append(used, seq)
				for _, u := range used {
					if seq >= u+dedup.Window {
						t.Fatalf("sequences %d and %d are in use together", u, seq)
					}
				}
			} else {
				i := rapid.IntRange(0, len(used)-1).Draw(t, "end")
				l.end(used[i])
				used = append(used[:i], used[i+1:]...)
			}
		}
	})
}

func TestLaneWaits(t *testing.T) {
	l := newLane()
	for range dedup.Window {
		if _, err := l.begin(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	next := make(chan uint64)
	go func() {
		seq, _ := l.begin(context.Background())
		next <- seq
	}()
	l.end(2) // makes no room: 1 is in use
	l.end(1)
	if got := <-next; got != dedup.Window+1 {
		t.Errorf("sequence %d, want %d", got, dedup.Window+1)
	}
}

func TestValidate(t *testing.T) {
	o := DefaultOptions()
	o.Net.Cluster = "test"
	o.Managers = []Manager{{"g1", "inproc:a"}, {"g1", "what"}}
	o.CallTimeoutMS, o.TimeoutMS, o.RetryBaseMS, o.RetryMaxMS = 0, -1, 5, 4
	err := o.Validate()
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{
		`managers[1].id: "g1"`, `managers[1].addr: address "what"`, "call_timeout_ms: 0, want 1 to", "timeout_ms: -1", "retry_max_ms: 4, want 5 to",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nlacks %q", err, want)
		}
	}
	if _, err := New(DefaultOptions()); err == nil || !strings.Contains(err.Error(), "managers: 0, want 1 to 16") {
		t.Error(err)
	}
}

// TestSaysWhatManagersAnsweredLast: the end of the caller's time is no reason of theirs.
func TestSaysWhatManagersAnsweredLast(t *testing.T) {
	for _, tc := range []struct {
		err  error
		want string
	}{{&wire.Error{Kind: wire.KindNotLeader}, "last: no leader"}, {wire.Errorf(wire.KindUnavailable, "g stops"), "last: unavailable: g stops"}} {
		c := run(t, 3, func(*fake, *netlayer.Request, *netlayer.Reply) error { return tc.err })
		ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
		_, err := c.ActivateRegion(ctx, 1, 2)
		cancel()
		if !errors.Is(err, wire.ErrTimeout) || !strings.HasSuffix(err.Error(), tc.want) {
			t.Errorf("%v, want a timeout that ends with %q", err, tc.want)
		}
	}
}
