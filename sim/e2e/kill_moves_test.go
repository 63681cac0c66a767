package e2e

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/balance"
	"splitkernel/gmanagers/httpapi"
	"splitkernel/gmanagers/movelist"
	"splitkernel/gmanagers/moves"
	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent/handover"
	"splitkernel/scomponent/iosched"
	"splitkernel/scomponent/migrate"
	"splitkernel/scomponent/volume"
)

// moveSteps are those of a move at the manager that ordered it: it is recorded and nobody was told; the giver was told; it has
// said that the move has ended; the end is recorded; the giver has forgotten the move; the list has.
var moveSteps = []string{"start", "start answered", "poll answered", "propose answered", "forget answered", "drop answered"}

// ended waits until a move is not listed any more, and returns it.
func (k *deathbed) ended(id wire.MoveID) (m movelist.Move) {
	k.t.Helper()
	eventually(k.t, fmt.Sprintf("move %d of %v ends", id.No, id.Manager), func() bool {
		list, err := k.cl.Moves(background(k.t), id.Manager)
		if err != nil {
			k.t.Fatal(err)
		}
		i := slices.IndexFunc(list, func(m movelist.Move) bool { return m.Req.Move == id })
		if i >= 0 {
			m = list[i]
		}
		return i >= 0 && m.Ended()
	})
	return m
}

// show is `vnode show`.
func (k *deathbed) show(pid wire.PID) (d httpapi.VNodeDetail) {
	k.t.Helper()
	got := k.sk("vnode", "show", strconv.FormatUint(uint64(pid), 10), "-o", "json")
	if err := json.Unmarshal([]byte(got.stdout), &d); err != nil || got.code != codeDone {
		k.t.Fatalf("vnode show: exit code %d, %v, %s%s", got.code, err, got.stdout, got.stderr)
	}
	return d
}

// works waits until the process of a vNode has done more of everything.
func (k *deathbed) works(what string, pid wire.PID) {
	k.t.Helper()
	before := k.show(pid).Progress
	if before == nil {
		k.t.Fatalf("%s: process %d has no progress", what, pid)
	}
	eventually(k.t, what+": the process goes on", func() bool {
		p := k.show(pid).Progress
		if p == nil || p.Ended || p.Error != "" {
			k.t.Fatalf("%s: %+v", what, p)
		}
		return p.References > before.References && p.BlockRequests > before.BlockRequests
	})
}

// TestKill9AtEveryStepOfAMove: while a process runs that uses memory and a volume, a vRegion of it, the process and its volume move
// to and fro. The real process of the manager that leads the move is killed at each step, by itself with SIGKILL, and is started
// again. Each move is carried out, once; the books agree with each other and with what the components hold; and what moved works.
func TestKill9AtEveryStepOfAMove(t *testing.T) {
	t.Parallel() // it waits for elections most of the time
	k := newDeathbed(t, "killmoves")
	path, err := filepath.Abs("../../configs/traces/sqlite.skt")
	if err != nil {
		t.Fatal(err)
	}
	got := k.sk("vnode", "create", "--trace", path, "--repeat", "1000000", "--excache", "1MiB", "-o", "json")
	var v httpapi.VNode
	if err := json.Unmarshal([]byte(got.stdout), &v); err != nil || got.code != codeDone || len(v.Volumes) == 0 {
		t.Fatalf("vnode create: exit code %d, %v, %s%s", got.code, err, got.stdout, got.stderr)
	}
	k.works("at first", v.PID)
	for _, thing := range []movelist.Thing{
		{Kind: wire.MoveRegion, PID: v.PID, Region: k.show(v.PID).Regions[0].Region}, {Kind: wire.MoveProcess, PID: v.PID}, {Kind: wire.MoveVolume, Volume: v.Volumes[0].Volume},
	} {
		for _, s := range moveSteps {
			name, then, _ := strings.Cut(s, " ")
			step := strings.TrimSpace(fmt.Sprintf("%s %v %s", name, movelist.ManagerOf(thing.Kind), then))
			what := fmt.Sprintf("%v, %s", thing, step)
			var id wire.MoveID
			if err := k.killAt(step, 0, func() (err error) { id, err = k.cl.Move(background(t), thing, ""); return err }); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			if m := k.ended(id); m.State != wire.MoveDone || m.Thing() != thing {
				t.Fatalf("%s: %+v", what, m)
			}
			k.audit(what)
		}
		k.works(thing.String(), v.PID)
	}
	if got := k.sk("vnode", "delete", strconv.FormatUint(uint64(v.PID), 10)); got.code != codeDone {
		t.Fatalf("vnode delete: exit code %d, %s", got.code, got.stderr)
	}
	k.exact("in the end")
	t.Logf("killed: %v", k.kills)
	r := k.reexecuted(path)
	for _, kind := range []string{
		admission.TapeKind, moves.TapeKind, balance.TapeKind, handover.GiverTapeKind, handover.TakerTapeKind, volume.TapeKind, iosched.TapeKind, migrate.GiverTapeKind, migrate.TakerTapeKind,
	} {
		r.has(t, kind, 1)
	}
}
