package apart

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"splitkernel/netlayer/wire"
)

// place is where one thing is.
type place struct {
	m    Member
	node wire.NodeID
	rack string
}

var racks = map[wire.NodeID]string{"n1": "r1", "n2": "r1", "n3": "r2", "n4": ""}

// near says in the plainest way that two things are not apart.
func near(a, b place) bool {
	return a.m.Rule.Group == b.m.Rule.Group && a.m.ID != b.m.ID && (a.node == b.node || a.rack == b.rack && (a.m.Rule.Level == Rack || b.m.Rule.Level == Rack))
}

// TestIndex: what Avoid and Why say of a component is what the plain rule says of all that is there, whatever came and went; who
// keeps to it is apart, and who does not is found.
func TestIndex(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := New()
		var there []place
		wild, broken := rapid.Bool().Draw(t, "wild"), false
		levels := map[string]Level{}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch what := rapid.IntRange(0, 9).Draw(t, "what"); {
			case what == 0:
				node := rapid.SampledFrom([]wire.NodeID{"n1", "n2", "n3", "n4"}).Draw(t, "lost")
				x.Forget(node)
				there = slices.DeleteFunc(there, func(p place) bool { return p.node == node })
				continue
			case what < 4 && len(there) > 0:
				i := rapid.IntRange(0, len(there)-1).Draw(t, "gone")
				p := there[i]
				x.Add([]Member{p.m}, p.node, p.rack, ^uint64(0))
				there = slices.Delete(there, i, i+1)
				continue
			}
			m := Member{Rule{rapid.SampledFrom([]string{"g", "h"}).Draw(t, "group"), 0}, rapid.Uint64Range(1, 4).Draw(t, "member")}
			key := fmt.Sprint(m) // a member has one level
			if levels[key] == 0 {
				levels[key] = Level(rapid.IntRange(1, 2).Draw(t, "level"))
			}
			m.Rule.Level = levels[key]
			node := rapid.SampledFrom([]wire.NodeID{"n1", "n2", "n3", "n4"}).Draw(t, "node")
			p := place{m, node, racks[node]}
			is := slices.ContainsFunc(there, func(o place) bool { return near(p, o) })
			nodes, rs := x.Avoid([]Member{m})
			if !slices.IsSorted(nodes) || !slices.IsSorted(rs) || (slices.Contains(nodes, node) || slices.Contains(rs, p.rack)) != is {
				t.Fatalf("%+v among %+v: avoids %v and %v", p, there, nodes, rs)
			}
			if why := x.Why([]Member{m}, node, p.rack); (why != "") != is || is && !strings.Contains(why, `of group "`+m.Rule.Group+`"`) {
				t.Fatalf("%+v among %+v: %q", p, there, why)
			}
			if is && !wild {
				continue
			}
			there = append(there, p)
			x.Add([]Member{m}, node, p.rack, 1)
			if got := x.Only([]Member{m}).groups[m.Rule.Group]; !slices.Equal(got, x.groups[m.Rule.Group]) {
				t.Fatalf("only %+v: %+v", m, got)
			}
		}
		for i, p := range there {
			broken = broken || slices.ContainsFunc(there[:i], func(o place) bool { return near(p, o) })
		}
		if err := x.Check(); (err != nil) != broken {
			t.Fatalf("%+v: %v", there, err)
		}
		again := New()
		for _, p := range there {
			again.Add([]Member{p.m}, p.node, p.rack, 1)
		}
		if err := x.Same(again); err != nil {
			t.Fatal(err)
		}
	})
}

func TestRenamedRack(t *testing.T) {
	x := New()
	ms := Volume(Rule{}, 7, Rule{"g", Rack}, 3)
	x.Add(ms, "s1", "r1", 1)
	x.Add(Process(Rule{"h", Component}, 7), "s2", "r1", 1)
	if !x.Has("s1") || x.Has("s2") || x.Has("s3") {
		t.Error("s1 has something of a group by racks, s2 of one by components")
	}
	x.Rename("s1", "r2")
	other := Volume(Rule{}, 8, Rule{"g", Rack}, 4)
	if why := x.Why(other, "s9", "r2"); why != `is in rack "r2" with s1, which has volume 3 of group "g"` {
		t.Error(why)
	}
	if why := x.Why(other, "s9", "r1"); why != "" {
		t.Error(why)
	}
}

func TestRules(t *testing.T) {
	for _, c := range []struct {
		group, level, want string
	}{
		{"", "", ""},
		{"web.1_a-b", "", ""},
		{"web", "rack", ""},
		{"", "rack", "bad request: key: \"rack\" without a group"},
		{"web", "row", "bad request: key: \"row\", want component or rack"},
		{"a/b", "", "key: group \"a/b\", want 1 to 64 letters, digits, '-', '_' and '.'"},
		{strings.Repeat("x", 65), "", "key: group"},
	} {
		r, err := Parse(c.group, c.level, "key")
		if err == nil {
			err = r.Check("key")
		}
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q by %q: %v, want %q", c.group, c.level, err, c.want)
		}
	}
	r := Rule{"web", Rack}.Of("a/b")
	if group, level := r.Name(); r.Group != "a/b/web" || group != "web" || level != "rack" || (Rule{}).Of("a") != (Rule{}) {
		t.Errorf("%+v is %q by %q", r, group, level)
	}
	if err := (Rule{Group: strings.Repeat("x", 300), Level: Rack}).CheckQualified(); err == nil {
		t.Error("a group of 300 bytes passes")
	}
}
