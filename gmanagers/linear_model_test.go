package gmanagers_test

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"splitkernel/netlayer/wire"
)

// verb is what a client asked.
type verb string

const (
	register verb = "register" // a component: its next epoch
	epoch    verb = "epoch"    // of a component, read
	place    verb = "place"    // a vNode at GPM, a home at GMM, a volume at GSM
	activate verb = "activate" // a vRegion at GMM
	free     verb = "free"     // what was placed
	look     verb = "look"     // at what was placed, and at its vRegions
)

// asked is the input of an operation. Operations of one key concern one component or one process at one manager, and no
// other: each key has a history of its own.
type asked struct {
	verb    verb
	manager wire.Manager
	key     string
	region  wire.RegionNo
}

// answered is its output.
type answered struct {
	unknown bool      // nobody knows whether it was carried out: it may be, at any time after it was asked
	refused wire.Kind // by the manager; KindNone if it was carried out
	epoch   wire.Epoch
	there   bool   // look: it is placed
	at      string // where it is placed; of activate, the owner
	regions string // look: "region=owner …", ascending
}

// anywhere is a place that was chosen and never told.
const anywhere = "?"

// lastEpoch is the state of a component's key: its last epoch.
type lastEpoch wire.Epoch

// placed is the state of a process's key.
type placed struct {
	phase   phase
	at      string
	regions string // as in answered, anywhere included
}

type phase uint8

const (
	never phase = iota
	held
	freed // and never placed again
)

// managers is what the three managers promise, key by key: as if each operation was carried out at one moment between its
// call and its return, or, if it was not answered, at some later moment or never.
var managerModel = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		keys := map[string][]porcupine.Operation{}
		for _, o := range history {
			in := o.Input.(asked)
			key := fmt.Sprint(in.manager, in.verb == register || in.verb == epoch, in.key)
			keys[key] = append(keys[key], o)
		}
		out := make([][]porcupine.Operation, 0, len(keys))
		for _, k := range slices.Sorted(maps.Keys(keys)) {
			out = append(out, keys[k])
		}
		return out
	},
	Init: func() any { return nil },
	Step: func(state, input, output any) (bool, any) {
		in, out := input.(asked), output.(answered)
		if in.verb == register || in.verb == epoch {
			s, _ := state.(lastEpoch)
			return stepComponent(s, in, out)
		}
		s, _ := state.(placed)
		return stepPlaced(s, in, out)
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v → %+v", input, output) },
	DescribeState:     func(state any) string { return fmt.Sprintf("%+v", state) },
}

func stepComponent(s lastEpoch, in asked, out answered) (bool, any) {
	if in.verb == register {
		s++
	}
	return out.unknown || lastEpoch(out.epoch) == s, s
}

func stepPlaced(s placed, in asked, out answered) (bool, any) {
	switch in.verb {
	case place:
		switch {
		case out.unknown && s.phase == never:
			return true, placed{phase: held, at: anywhere}
		case out.unknown:
			return true, s
		case out.refused != wire.KindNone:
			return out.refused == wire.KindStale && s.phase == freed, s
		case s.phase == never:
			return true, placed{phase: held, at: out.at}
		}
		at, ok := same(s.at, out.at)
		return s.phase == held && ok, placed{held, at, s.regions}
	case activate:
		if s.phase != held {
			return out.unknown || out.refused == wire.KindNotFound, s
		}
		owner := out.at
		if out.unknown {
			owner = anywhere
		}
		regions, ok := with(s.regions, in.region, owner)
		return out.unknown || ok && out.refused == wire.KindNone, placed{held, s.at, regions}
	case free:
		gone := placed{phase: freed}
		switch {
		case out.unknown || out.refused == wire.KindNone:
			return true, gone
		}
		return out.refused == wire.KindNotFound && s.phase != held, s
	case look:
		if !out.there || s.phase != held {
			return !out.there && s.phase != held, s
		}
		at, ok := same(s.at, out.at)
		regions, ok2 := agree(s.regions, out.regions)
		return ok && ok2, placed{held, at, regions}
	}
	return false, s
}

// same compares what the model knows with what was told, and returns what is known then.
func same(known, told string) (string, bool) {
	switch {
	case known == anywhere:
		return told, true
	case told == anywhere:
		return known, true
	case recached(known, told):
		return told, true
	}
	return known, known == told
}

// recached reports whether a volume of GSM may have been given another buffer cache between the two, as GSM does by itself when its mComponent
// has registered again: under an epoch that is 3 higher each time, and the volume is where it was.
func recached(known, told string) bool {
	var a, b struct {
		volume, epoch int
		rest          string
	}
	na, _ := fmt.Sscanf(known, "%d@%d:%s", &a.volume, &a.epoch, &a.rest)
	nb, _ := fmt.Sscanf(told, "%d@%d:%s", &b.volume, &b.epoch, &b.rest)
	if na != 3 || nb != 3 {
		return false
	}
	was, _, _ := strings.Cut(a.rest, ":")
	is, _, _ := strings.Cut(b.rest, ":")
	return a.volume == b.volume && was == is && b.epoch > a.epoch && (b.epoch-a.epoch)%3 == 0
}

// with enters the owner of a vRegion, which must be the one that it has, if any.
func with(regions string, r wire.RegionNo, owner string) (string, bool) {
	list := strings.Fields(regions)
	name := fmt.Sprintf("%04d=", r)
	i, ok := slices.BinarySearchFunc(list, name, func(have, name string) int { return cmp.Compare(have[:len(name)], name) })
	if !ok {
		return strings.Join(slices.Insert(list, i, name+owner), " "), true
	}
	known, ok := same(list[i][len(name):], owner)
	list[i] = name + known
	return strings.Join(list, " "), ok
}

// agree compares the vRegions that the model knows with those that were told.
func agree(known, told string) (string, bool) {
	a, b := strings.Fields(known), strings.Fields(told)
	if len(a) != len(b) {
		return known, false
	}
	for i := range a {
		if _, ok := same(a[i][5:], b[i][5:]); !ok || a[i][:5] != b[i][:5] {
			return known, false
		}
	}
	return told, true
}

// checkTime bounds a check; a history of one key is short, so this is never near.
const checkTime = 30 * time.Second

// linearizable reports whether a history is one of the model.
func linearizable(history []porcupine.Operation) porcupine.CheckResult {
	return porcupine.CheckOperationsTimeout(managerModel, history, checkTime)
}

// TestModelTellsRightFromWrong: the model takes what may happen and refuses what may not. Each line of a history is one
// operation with the times of its call and its return.
func TestModelTellsRightFromWrong(t *testing.T) {
	const ever = math.MaxInt64
	type line struct {
		call, ret int64
		in        asked
		out       answered
	}
	reg := func(e wire.Epoch) (asked, answered) { return asked{verb: register}, answered{epoch: e} }
	read := func(e wire.Epoch) (asked, answered) { return asked{verb: epoch}, answered{epoch: e} }
	op := func(call, ret int64, in asked, out answered) line { return line{call, ret, in, out} }
	regAt := func(call, ret int64, e wire.Epoch) line { in, out := reg(e); return op(call, ret, in, out) }
	readAt := func(call, ret int64, e wire.Epoch) line { in, out := read(e); return op(call, ret, in, out) }
	lostReg := func(call int64) line { return op(call, ever, asked{verb: register}, answered{unknown: true}) }
	placeAt := func(call, ret int64, at string) line { return op(call, ret, asked{verb: place}, answered{at: at}) }
	actAt := func(call, ret int64, r wire.RegionNo, at string) line {
		return op(call, ret, asked{verb: activate, region: r}, answered{at: at})
	}
	lookAt := func(call, ret int64, at, regions string) line {
		return op(call, ret, asked{verb: look}, answered{there: true, at: at, regions: regions})
	}
	nothing := func(call, ret int64) line { return op(call, ret, asked{verb: look}, answered{}) }
	freeAt := func(call, ret int64) line { return op(call, ret, asked{verb: free}, answered{}) }
	for name, c := range map[string]struct {
		good, bad []line
	}{
		"an epoch is given once": {
			[]line{regAt(1, 4, 1), regAt(2, 3, 2)},
			[]line{regAt(1, 4, 1), regAt(2, 3, 1)},
		},
		"a read sees what was answered before": {
			[]line{regAt(1, 2, 1), regAt(3, 6, 2), readAt(4, 5, 1)},
			[]line{regAt(1, 2, 1), regAt(3, 4, 2), readAt(5, 6, 1)},
		},
		"reads do not go back": {
			[]line{regAt(1, 9, 1), readAt(2, 3, 0), readAt(4, 5, 1)},
			[]line{regAt(1, 9, 1), readAt(2, 3, 1), readAt(4, 5, 0)},
		},
		"an unanswered command acts once": {
			[]line{lostReg(1), readAt(2, 3, 0), readAt(4, 5, 1)},
			[]line{lostReg(1), readAt(2, 3, 1), readAt(4, 5, 2)},
		},
		"a place does not change": {
			[]line{placeAt(1, 4, "m1"), placeAt(2, 3, "m1"), lookAt(5, 6, "m1", "")},
			[]line{placeAt(1, 4, "m1"), placeAt(2, 3, "m2")},
		},
		"a vRegion has one owner": {
			[]line{placeAt(1, 2, "m1"), actAt(3, 6, 7, "m2"), actAt(4, 5, 7, "m2"), lookAt(7, 8, "m1", "0007=m2")},
			[]line{placeAt(1, 2, "m1"), actAt(3, 6, 7, "m2"), actAt(4, 5, 7, "m1")},
		},
		"a vRegion that was answered is listed": {
			[]line{placeAt(1, 2, "m1"), actAt(3, 4, 7, "m2"), actAt(5, 9, 3, "m1"), lookAt(6, 7, "m1", "0003=m1 0007=m2")},
			[]line{placeAt(1, 2, "m1"), actAt(3, 4, 7, "m2"), lookAt(6, 7, "m1", "")},
		},
		"the owner that an unanswered activation chose stays": {
			[]line{placeAt(1, 2, "m1"), op(3, ever, asked{verb: activate, region: 7}, answered{unknown: true}), lookAt(4, 5, "m1", "0007=m2"), actAt(6, 7, 7, "m2")},
			[]line{placeAt(1, 2, "m1"), op(3, ever, asked{verb: activate, region: 7}, answered{unknown: true}), lookAt(4, 5, "m1", "0007=m2"), actAt(6, 7, 7, "m1")},
		},
		"what is freed is gone": {
			[]line{placeAt(1, 2, "m1"), freeAt(3, 6), lookAt(4, 5, "m1", ""), nothing(7, 8)},
			[]line{placeAt(1, 2, "m1"), freeAt(3, 4), lookAt(5, 6, "m1", "")},
		},
		"what is freed is not placed again": {
			[]line{placeAt(1, 2, "m1"), freeAt(3, 4), op(5, 6, asked{verb: place}, answered{refused: wire.KindStale})},
			[]line{placeAt(1, 2, "m1"), freeAt(3, 4), placeAt(5, 6, "m1")},
		},
		"a volume may be given another buffer cache under a newer epoch": {
			[]line{placeAt(1, 2, "5@1:s1:x1"), lookAt(3, 4, "5@4:s1:x2", ""), lookAt(5, 6, "5@10:s1:x1", "")},
			[]line{placeAt(1, 2, "5@1:s1:x1"), lookAt(3, 4, "5@4:s1:x2", ""), lookAt(5, 6, "5@1:s1:x1", "")},
		},
		"and stays where it is stored": {
			[]line{placeAt(1, 2, "5@1:s1:x1"), lookAt(3, 4, "5@1:s1:x1", "")},
			[]line{placeAt(1, 2, "5@1:s1:x1"), lookAt(3, 4, "5@4:s2:x1", "")},
		},
		"and has another epoch then": {
			[]line{placeAt(1, 2, "5@1:s1:x1"), lookAt(3, 4, "5@1:s1:x1", "")},
			[]line{placeAt(1, 2, "5@1:s1:x1"), lookAt(3, 4, "5@1:s1:x2", "")},
		},
		"what was answered is there": {
			[]line{nothing(1, 3), placeAt(2, 4, "m1")},
			[]line{placeAt(1, 2, "m1"), nothing(3, 4)},
		},
	} {
		for want, lines := range map[porcupine.CheckResult][]line{porcupine.Ok: c.good, porcupine.Illegal: c.bad} {
			var history []porcupine.Operation
			for i, l := range lines {
				history = append(history, porcupine.Operation{ClientId: i, Input: l.in, Call: l.call, Output: l.out, Return: l.ret})
			}
			if got := linearizable(history); got != want {
				t.Errorf("%s: %s, want %s: %+v", name, got, want, lines)
			}
		}
	}
}
