package membership

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"splitkernel/netlayer/wire"
)

// TestStates: whatever is done with members, an id never gets an epoch again, only an active one may be chosen, what is
// current is registered and not dead, one is always left active unless it died, turns grow, and a snapshot is the same
// table.
func TestStates(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tab := NewTable(wire.RoleMemory)
		last, turns := map[wire.NodeID]wire.Epoch{}, uint64(0)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			id := wire.NodeID(rapid.SampledFrom([]string{"m1", "m2", "m3", "m4"}).Draw(t, "id"))
			before, was := tab.Entry(id)
			active := tab.active()
			switch rapid.SampledFrom([]string{"register", "register", "dead", "drain", "undrain", "remove", "remove"}).Draw(t, "op") {
			case "register":
				e, err := tab.Register(memory(string(id)))
				if err != nil || e <= last[id] {
					t.Fatalf("%s: epoch %d after %d, %v", id, e, last[id], err)
				}
				last[id] = e
				if now, _ := tab.Entry(id); now.Dead || now.Drain != (was && before.Drain) {
					t.Fatalf("%+v was %+v", now, before)
				}
			case "dead":
				epoch := last[id] - wire.Epoch(rapid.IntRange(0, 3).Draw(t, "older")/3)
				changed, err := tab.DeclareDead(id, epoch)
				switch now, ok := tab.Entry(id); {
				case !was:
					if !errors.Is(err, wire.ErrNotFound) {
						t.Fatal(err)
					}
				case before.Member.Epoch != epoch:
					if !errors.Is(err, wire.ErrStale) || now != before {
						t.Fatalf("%+v was %+v, %v", now, before, err)
					}
				case err != nil || !ok || !now.Dead || changed == before.Dead || tab.Current(id, epoch) || tab.Standing(id, epoch) != wire.StandingFenced:
					t.Fatalf("%+v was %+v, %v", now, before, err)
				}
			case "drain":
				changed, err := tab.Act(id, Drain, nil)
				if last := was && before.State() == Active && active == 1; last != errors.Is(err, wire.ErrNoRoom) {
					t.Fatalf("%+v: %v", before, err)
				}
				if changed && tab.active() != active-1 {
					t.Fatal("draining closed another")
				}
			case "undrain":
				if changed, err := tab.Act(id, Undrain, nil); changed && (err != nil || before.State() != Draining || tab.active() != active+1) {
					t.Fatalf("%+v: %v", before, err)
				}
			case "remove":
				has := rapid.SampledFrom([]string{"", "", "3 vRegions"}).Draw(t, "owned")
				changed, err := tab.Act(id, Remove, func() string { return has })
				if changed != (was && before.State() != Active && has == "") || changed != (err == nil) {
					t.Fatalf("%+v with %q: %v", before, has, err)
				}
				if changed && (tab.Standing(id, last[id]) != wire.StandingRemoved || !tab.Was(id, last[id]) || tab.Was(id, last[id]+1)) {
					t.Fatalf("%s is %v after its removal", id, tab.Standing(id, last[id]))
				}
			}
			if err := tab.CheckInvariants(); err != nil {
				t.Fatal(err)
			}
			if tab.turn < turns {
				t.Fatal("turns fell")
			}
			turns = tab.turn
			for i, m := range tab.View() {
				st := tab.StateAt(i)
				if tab.Placeable(i) != (st == Active) || tab.Current(m.ID, m.Epoch) != (st != Dead) {
					t.Fatalf("%s is %v", m.ID, st)
				}
			}
			again, err := Load(wire.RoleMemory, tab.Save())
			if err != nil || !reflect.DeepEqual(again.Save(), tab.Save()) {
				t.Fatalf("%+v, %v", again, err)
			}
		}
	})
}

// TestTombstonesAreBounded: who returns after its tombstone was forgotten has a higher epoch nevertheless.
func TestTombstonesAreBounded(t *testing.T) {
	tab := NewTable(wire.RoleMemory)
	register := func(id string) wire.Epoch {
		e, err := tab.Register(memory(id))
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	register("keeps")
	remove := func(id wire.NodeID) {
		if _, err := tab.SetDrain(id, true); err != nil {
			t.Fatal(err)
		}
		if err := tab.Remove(id); err != nil {
			t.Fatal(err)
		}
	}
	for range 5 {
		register("first")
	}
	remove("first")
	for i := range MaxTombstones {
		id := fmt.Sprint("m", i)
		register(id)
		remove(wire.NodeID(id))
	}
	if len(tab.Gone()) != MaxTombstones || tab.LastEpoch("first") != 0 {
		t.Fatalf("%d tombstones, of first %d", len(tab.Gone()), tab.LastEpoch("first"))
	}
	if e := register("first"); e != 6 {
		t.Errorf("first returns under epoch %d", e)
	}
	if e := register("m7"); e != 2 {
		t.Errorf("m7 returns under epoch %d", e)
	}
	if err := tab.CheckInvariants(); err != nil {
		t.Error(err)
	}
}

// TestUnknownIDsAreAnsweredWithThoseThatExist, of which a bounded number is named.
func TestUnknownIDsAreAnsweredWithThoseThatExist(t *testing.T) {
	tab := NewTable(wire.RoleStorage)
	if _, err := tab.SetDrain("s1", true); !errors.Is(err, wire.ErrNotFound) || !strings.Contains(err.Error(), `no sComponent "s1": none is registered`) {
		t.Error(err)
	}
	tab = NewTable(wire.RoleMemory)
	for i := range 20 {
		if _, err := tab.Register(memory(fmt.Sprintf("m%02d", i))); err != nil {
			t.Fatal(err)
		}
	}
	_, err := tab.Act("x", Remove, nil)
	if want := `no mComponent "x": there are m00, m01, m02, m03, m04, m05, m06, m07, m08, m09, m10, m11, m12, m13, m14, m15 and 4 more`; err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Error(err)
	}
	if _, err := tab.Act("m00", 9, nil); !errors.Is(err, wire.ErrBadRequest) {
		t.Error(err)
	}
	if err := tab.CheckNote(wire.Member{ID: "m00", Epoch: 1}, 9); !errors.Is(err, wire.ErrBadRequest) {
		t.Error(err)
	}
}

func TestStateHasAName(t *testing.T) {
	b, err := json.Marshal([]State{Active, Draining, Dead})
	if err != nil || string(b) != `["active","draining","dead"]` {
		t.Error(string(b), err)
	}
	var s []State
	if err := json.Unmarshal(b, &s); err != nil || len(s) != 3 || s[2] != Dead {
		t.Error(s, err)
	}
	if err := json.Unmarshal([]byte(`["asleep"]`), &s); err == nil {
		t.Error("a state that is none was read")
	}
}

func TestOwnedInWords(t *testing.T) {
	var o Owned
	o.Add(0, "home", "homes")
	if o.String() != "" {
		t.Error(o)
	}
	o.Add(3, "vRegion", "vRegions")
	o.Add(1, "home", "homes")
	o.Add(2, "buffer cache", "buffer caches")
	if got := o.String(); got != "3 vRegions, 1 home and 2 buffer caches" {
		t.Error(got)
	}
}
