package faults

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"splitkernel/netlayer/wire"
)

var cluster = []Node{
	{"g1", wire.RoleManager}, {"g2", wire.RoleManager}, {"g3", wire.RoleManager}, {"p1", wire.RoleCompute}, {"p2", wire.RoleCompute},
	{"m1", wire.RoleMemory}, {"m2", wire.RoleMemory}, {"s1", wire.RoleStorage},
}

func TestSentences(t *testing.T) {
	for text, want := range map[string]string{
		"at 30% kill m2":                                 "",
		"at 5s partition p1 | m1,m2 for 3s":              "",
		"at 5s partition p1|m1 , m2 for 3000ms":          "at 5s partition p1 | m1,m2 for 3s",
		"partition p1->m1":                               "partition p1 -> m1",
		"at 0.05% restart any m":                         "",
		"at migrating kill m2":                           "",
		"at recovering 3 kill m2":                        "",
		"at admitting+2ms lose 1% for 1s":                "at admitting +2ms lose 1% for 1s",
		"at checkpointing 12 + 1500us restart s1":        "at checkpointing 12 +1500us restart s1",
		"at 0s pause gpm-leader for 1m30s":               "at 0s pause gpm-leader for 90s",
		"kill any pcomponent for 1h":                     "kill any p for 1h",
		"delay 20ms":                                     "",
		"delay p1 | m1 20ms jitter 1.5ms":                "delay p1 | m1 20ms jitter 1500us",
		"delay 20ms jitter 5ms between p1 -> all for 2s": "delay p1 -> all 20ms jitter 5ms for 2s",
		"delay 20ms | 5s 1s":                             "", // components may be called so
		"lose 1%":                                        "",
		"lose 100.0% between all | m1 for 2s":            "lose 100% between all | m1 for 2s",
		"duplicate 12.3456%":                             "",
		"reorder 1%":                                     "reorder 1% by 5ms",
		"reorder 1% by 1µs between p1 | any m":           "reorder 1% by 1us between p1 | any m",
		"slow-disk s1 10x":                               "",
		"slow-disk any s 1.5x for 1s":                    "",
		"slow-disk s1 +20ms":                             "",
		"corrupt-block s1":                               "corrupt-block s1 random",
		"corrupt-block s1 3/17":                          "",
		"at 99.9999% disk-full s1 for 999999999ns":       "",
		"at 100% kill 5s":                                "", // a component of this name
	} {
		f, err := Parse(text)
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		if want == "" {
			want = text
		}
		if f.String() != want {
			t.Errorf("%q prints as %q, want %q", text, f, want)
		}
	}
}

func TestSyntaxErrors(t *testing.T) {
	for _, c := range []struct {
		text   string
		column int
		want   string
	}{
		{"", 1, "the end, want at and a moment, or one of kill, restart"},
		{"kil m1", 1, `"kil", want at and a moment, or one of kill,`},
		{"at 30% kil m1", 8, `"kil", want one of kill,`},
		{"at", 3, "want a part of the run from 0% to 100%, or a time"},
		{"at 101% kill m1", 4, `"101%", want a part of the run`},
		{"at 0.00001% kill m1", 4, "want a part"},
		{"at -5s kill m1", 4, `"-5s", want`},
		{"at idle kill m1", 4, `"idle", want a part of the run from 0% to 100%, or a time since its start, as in 5s, or one of migrating, recovering,`},
		{"at migrating 0 kill m1", 14, `"0", want for which time, 1 to`},
		{"at migrating +0s kill m1", 15, `"0s", want a duration, as in 2ms, above 0`},
		{"at migrating 2", 15, `the end, want one of kill,`},
		{"at 5 kill m1", 4, `"5", want`},
		{"at 2000h kill m1", 4, "at most 1000h"},
		{"at 5s kill", 11, "the end, want a component, as in m2, any m or gpm-leader"},
		{"kill for", 6, `"for", want a component`},
		{"kill all", 6, `"all", want a component`},
		{"kill any x", 10, `"x", want one of p, m, s, g`},
		{"kill m1 m2", 9, `"m2", want for and a duration, or the end`},
		{"kill m1 for 0s", 13, `"0s", want a duration, as in 3s or 500ms, above 0`},
		{"restart m1 for 3s", 12, `"for", want the end`},
		{"partition p1", 13, "want | (both directions), -> (one way), or a comma"},
		{"partition p1 | ", 16, "the end, want a component, as in m2, any m or gpm-leader, or all"},
		{"partition all | all", 17, "want components: all is what the other side leaves"},
		{"delay", 6, "the end, want a duration, or two sides as in p1 | m1"},
		{"delay 11s", 7, "want a duration above 0 to 10s"},
		{"delay p1 | m1", 14, "want a duration above 0 to 10s"},
		{"lose 0%", 6, "want a share above 0% to 100%"},
		{"lose 1", 6, "want a share above 0% to 100%"},
		{"lose 1% p1", 9, `"p1", want for and a duration, or the end`},
		{"reorder 1% by 0s", 15, "want a duration above 0"},
		{"slow-disk s1", 13, "want a factor above 1x to 1000x, or what is added"},
		{"slow-disk s1 1x", 14, "want a factor"},
		{"corrupt-block s1 3", 19, "want / and a block"},
		{"corrupt-block s1 0/1", 18, "want volume/block"},
		{"corrupt-block s1 3/x", 20, "want the number of a block"},
		{"kill m1 ü", 9, `"ü", want`},
		{"ü kill", 1, `"ü", want`},
		{"kill m1 für", 9, `"f", want`},
	} {
		_, err := Parse(c.text)
		var syntax *SyntaxError
		if !errors.As(err, &syntax) {
			t.Errorf("%q: %v, want a syntax error", c.text, err)
			continue
		}
		if syntax.Column != c.column || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v\nwant column %d and %q", err, c.column, c.want)
		}
	}
	if _, err := Parse(strings.Repeat(" ", MaxText) + "kill m1"); err == nil || !strings.Contains(err.Error(), "at most 1024 bytes") {
		t.Errorf("a long sentence: %v", err)
	}
}

func TestLists(t *testing.T) {
	list, errs := ParseList("faults", []string{"at 1s kill m1", "kill m1", "at x", "at 2s kill m1"})
	if len(list) != 2 || len(errs) != 2 || !strings.Contains(errs[0].Error(), `faults[1]: "kill m1": column 1: "kill", want at and a moment`) ||
		!strings.Contains(errs[1].Error(), "faults[2]: ") {
		t.Errorf("%v, %v", list, errs)
	}
	if _, errs := ParseList("faults", make([]string, MaxList+1)); len(errs) != 1 || !strings.Contains(errs[0].Error(), "4097, want at most 4096") {
		t.Errorf("too many: %v", errs)
	}
}

func TestCheck(t *testing.T) {
	for text, want := range map[string]string{
		"kill m2":                      "",
		"kill m9":                      `"kill m9": "m9" is no component, want one of g1, g2, g3, p1, p2, m1, m2, s1`,
		"partition p1,p9 | m1,m8":      `"p9" is no component`,
		"partition p1 | all":           "",
		"partition p1,p2 | m1,p1":      `"p1" is on both sides`,
		"slow-disk m1 10x":             "slow-disk: m1 is no scomponent, want one of s1",
		"disk-full any m":              "disk-full: any m is no scomponent",
		"kill gsm-leader":              "",
		"lose 1% between any g | s1":   "",
		"lose 1% between x -> p1":      `"x" is no component`,
		"corrupt-block s1 1/1":         "",
		"corrupt-block gpm-leader 1/1": "gpm-leader is no scomponent",
	} {
		f, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		switch err := Check(f, cluster); {
		case want == "" && err != nil:
			t.Errorf("%q: %v", text, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
	f, _ := Parse("kill any s")
	if err := Check(f, cluster[:5]); err == nil || !strings.Contains(err.Error(), "any s: there is no scomponent") {
		t.Errorf("a role that is not there: %v", err)
	}
	err := CheckList("faults", []Fault{f, {Kind: Kill, Node: Who{ID: "m9"}}}, cluster)
	if err == nil || !strings.HasPrefix(err.Error(), `faults[1]: "kill m9": `) {
		t.Errorf("a list: %v", err)
	}
}

func TestResolve(t *testing.T) {
	f, err := Parse("partition any m | any m,gpm-leader")
	if err != nil {
		t.Fatal(err)
	}
	drawn := map[string]bool{}
	for seed := range uint64(30) {
		a, b := Resolve(f, cluster, Stream(seed, 1)), Resolve(f, cluster, Stream(seed, 1))
		if a.String() != b.String() {
			t.Fatalf("one seed, two draws: %v and %v", a, b)
		}
		if a.Link.A[0].ID == a.Link.B[0].ID {
			t.Fatalf("%v: one component twice, and there are two", a)
		}
		drawn[a.String()] = true
	}
	if len(drawn) != 2 {
		t.Errorf("30 seeds drew %v, want both orders", drawn)
	}
	if !f.HasLeader() {
		t.Error("a leader is not seen")
	}
	got := Leads(Resolve(f, cluster, Stream(1, 1)), func(m wire.Manager) wire.NodeID { return "g2" })
	if got.HasLeader() || got.Link.B[1].ID != "g2" {
		t.Errorf("the leader is %v", got)
	}
}

func TestPairs(t *testing.T) {
	for text, want := range map[string]int{
		"partition p1 | m1,m2": 4, "partition p1 -> m1,m2": 2, "partition p1 | all": 14, "partition all -> p1,p2": 12, "lose 1%": 56,
	} {
		f, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		ps := f.Pairs(cluster)
		seen := map[Pair]bool{}
		for _, p := range ps {
			if seen[p] || p.From == p.To || p.From == "" || p.To == "" {
				t.Errorf("%q: the pair %v", text, p)
			}
			seen[p] = true
		}
		if len(ps) != want {
			t.Errorf("%q: %d pairs, want %d", text, len(ps), want)
		}
	}
}

func TestPromise(t *testing.T) {
	p := Promise{Lease: 2 * time.Second, Patience: 20 * time.Second, CallTimeout: 5 * time.Second, Nodes: cluster}
	for text, want := range map[string]string{
		"at 1s kill m1":                              "the memory of m1 is lost",
		"at 1s kill m1 for 1s":                       "the memory of m1 is lost",
		"at 1s restart any m":                        "the memory of any m is lost",
		"at 1s kill p1":                              "the processes of p1 end",
		"at 1s kill s1":                              "the volumes of s1 are out of reach",
		"at 1s kill s1; at 2s restart s1":            "",
		"at 1s kill s1; at 30s restart s1":           "the volumes of s1",
		"at 1% kill s1; at 2% restart s1":            "",
		"at 1s kill s1 for 2s":                       "",
		"at 1s kill s1 for 15s":                      "the volumes of s1",
		"at 1s restart s1":                           "",
		"at 1s kill g1":                              "", // managers are off the data path
		"at 1s pause m1 for 1s":                      "",
		"at 1s pause m1 for 2s":                      "m1 is declared dead",
		"at 1s pause m1":                             "m1 is declared dead",
		"at 1s pause gpm-leader":                     "",
		"at 1s partition p1 | m1 for 3s":             "",
		"at 1s partition p1 | m1 for 15s":            "give up after 20s",
		"at 1s partition p1 -> m1":                   "give up after 20s",
		"at 1s partition p1 | g1,g2 for 1h":          "",
		"at 1s partition p1 | g1,g2,g3 for 3s":       "no manager hears p1",
		"at 1s partition g1,g2,g3 -> p1 for 3s":      "",
		"at 1s partition g1 | all":                   "",
		"at 1s partition gpm-leader | m1 for 1h":     "",
		"at 1s partition m1 | all for 1s":            "",
		"at 1s partition m1 | all for 2s":            "no manager hears m1",
		"at 1s lose 100% between p1 | m1 for 15s":    "give up after 20s",
		"at 1s lose 50%":                             "",
		"at 1s delay 2s":                             "",
		"at 1s delay 2s jitter 600ms":                "no call is answered",
		"at 1s corrupt-block s1":                     "what the block of s1 held is lost",
		"at 1s disk-full s1; at 1s slow-disk s1 10x": "",
	} {
		list, errs := ParseList("faults", strings.Split(text, "; "))
		if errs != nil {
			t.Fatal(errs)
		}
		got := p.Breaches(list)
		switch {
		case want == "" && len(got) != 0:
			t.Errorf("%s: %v", text, got)
		case want != "" && (len(got) != 1 || !strings.Contains(got[0].String(), want)):
			t.Errorf("%s: %v, want %s", text, got, want)
		}
	}
}

// drawnFault is any fault that can be said.
func drawnFault(t *rapid.T) Fault {
	short := func(label string) time.Duration {
		return time.Duration(rapid.Int64Range(1, int64(MaxDelay)).Draw(t, label))
	}
	who := func() Who {
		switch rapid.IntRange(0, 3).Draw(t, "who") {
		case 0:
			return Who{Any: rapid.SampledFrom([]wire.Role{wire.RoleCompute, wire.RoleMemory, wire.RoleStorage, wire.RoleManager}).Draw(t, "any")}
		case 1:
			return Who{Leader: rapid.SampledFrom([]wire.Manager{wire.GPM, wire.GMM, wire.GSM}).Draw(t, "leader")}
		}
		id := rapid.StringMatching(`[a-z0-9_][a-zA-Z0-9_-]{0,6}`).Filter(isName).Filter(func(s string) bool { return leaders[s] == 0 }).Draw(t, "id")
		return Who{ID: wire.NodeID(id)}
	}
	side := func() []Who {
		if rapid.IntRange(0, 5).Draw(t, "all") == 0 {
			return []Who{{All: true}}
		}
		return rapid.SliceOfN(rapid.Custom(func(*rapid.T) Who { return who() }), 1, 4).Draw(t, "side")
	}
	f := Fault{Kind: Kind(rapid.IntRange(int(Kill), int(DiskFull)).Draw(t, "kind"))}
	switch rapid.IntRange(0, 3).Draw(t, "at") {
	case 1:
		f.At = Moment{Given: true, Progress: true, Share: Share(rapid.Uint32Range(0, uint32(Whole)).Draw(t, "share"))}
	case 2:
		f.At = Moment{Given: true, After: time.Duration(rapid.Int64Range(0, int64(MaxDuration)).Draw(t, "after"))}
	case 3:
		f.At = Moment{Given: true, Phase: Phase(rapid.IntRange(1, Phases-1).Draw(t, "phase")), Nth: rapid.Uint32Range(0, MaxNth).Draw(t, "nth"), After: time.Duration(rapid.Int64Range(0, int64(MaxDuration)).Draw(t, "later"))}
	}
	if f.Kind.Lasts() && rapid.Bool().Draw(t, "lasts") {
		f.For = time.Duration(rapid.Int64Range(1, int64(MaxDuration)).Draw(t, "for"))
	}
	if f.Kind.Network() && (f.Kind == Partition || rapid.Bool().Draw(t, "linked")) {
		f.Link = Link{A: side(), B: side(), OneWay: rapid.Bool().Draw(t, "one_way")}
		if f.Link.A[0].All && f.Link.B[0].All {
			f.Link.A = []Who{who()}
		}
	}
	switch f.Kind {
	case Delay:
		if f.By = short("by"); rapid.Bool().Draw(t, "jittered") {
			f.Jitter = short("jitter")
		}
	case Lose, Duplicate, Reorder:
		if f.Part = Share(rapid.Uint32Range(1, uint32(Whole)).Draw(t, "part")); f.Kind == Reorder {
			f.By = short("late")
		}
	case SlowDisk:
		if f.Node = who(); rapid.Bool().Draw(t, "added") {
			f.By = short("added by")
		} else {
			f.Times = rapid.Uint32Range(1001, MaxTimes).Draw(t, "times")
		}
	case CorruptBlock:
		if f.Node = who(); rapid.Bool().Draw(t, "which") {
			f.Volume, f.Block = wire.VolumeID(rapid.Uint32Range(1, 1<<32-1).Draw(t, "volume")), rapid.Uint64Range(0, 1<<51-1).Draw(t, "block")
		}
	case Partition:
	default:
		f.Node = who()
	}
	return f
}

// TestWhatIsPrintedParses: parse(print(x)) is x.
func TestWhatIsPrintedParses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := drawnFault(t)
		g, err := Parse(f.String())
		if err != nil {
			t.Fatalf("%#v prints as %q: %v", f, f, err)
		}
		if !equal(f, g) {
			t.Fatalf("%q:\n%#v\n%#v", f, f, g)
		}
	})
}

func equal(f, g Fault) bool {
	same := func(a, b []Who) bool {
		if len(a) != len(b) {
			return false
		}
		for i := range a {
			if a[i] != b[i] {
				return false
			}
		}
		return true
	}
	if !same(f.Link.A, g.Link.A) || !same(f.Link.B, g.Link.B) || f.Link.OneWay != g.Link.OneWay {
		return false
	}
	f.Link, g.Link = Link{}, Link{}
	return f.At == g.At && f.Kind == g.Kind && f.For == g.For && f.Node == g.Node && f.Part == g.Part && f.By == g.By && f.Jitter == g.Jitter &&
		f.Times == g.Times && f.Volume == g.Volume && f.Block == g.Block
}

// FuzzParse: whatever parses prints to what parses to the same; nothing panics, and every error has a column within the text.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"at 30% kill m2", "at 5s partition p1 | m1,m2 for 3s", "delay p1->m1 20ms jitter 1ms", "lose 1% between a | b", "reorder 0.5% by 5ms", "slow-disk s1 +20ms for 1h",
		"slow-disk s1 1.5x", "corrupt-block any s 3/17", "kill any g for 1m30s", "pause gsm-leader", "duplicate 100% between all -> x", "at 1000h disk-full s1", "partition - | µ",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, err := Parse(text)
		if err != nil {
			var syntax *SyntaxError
			if !errors.As(err, &syntax) || syntax.Column < 1 || syntax.Want == "" || len(text) <= MaxText && syntax.Column > len([]rune(text))+1 {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		b, err := Parse(a.String())
		if err != nil || !equal(a, b) {
			t.Fatalf("%q prints as %q, which is %#v, %v", text, a, b, err)
		}
	})
}

// TestCopiesKeepThePromise: what every policy survives costs nothing, what comes too close together or takes the last one does.
func TestCopiesKeepThePromise(t *testing.T) {
	nodes := []Node{{"m1", wire.RoleMemory}, {"m2", wire.RoleMemory}, {"m3", wire.RoleMemory}, {"p1", wire.RoleCompute}, {"g1", wire.RoleManager}}
	for _, c := range []struct {
		outlives int
		list     []string
		breaks   []int
	}{
		{0, []string{"at 30% kill m1"}, []int{0}},
		{1, []string{"at 30% kill m1"}, nil},
		{1, []string{"at 5s restart m1", "at 1m restart m2"}, nil},
		{1, []string{"at 5s kill m1 for 1s", "at 10s kill m2 for 1s"}, []int{1}},
		{2, []string{"at 5s kill m1 for 1s", "at 10s kill m2 for 1s"}, nil},
		{1, []string{"at 10% kill m1", "at 20% kill m2"}, []int{1}},
		{1, []string{"at 10% kill m1", "at 60% kill m2"}, nil},
		{1, []string{"at 10% kill m1", "at 5s kill m2"}, []int{1}},
		{1, []string{"at 5s kill m1", "at 1m kill m2", "at 2m kill m3"}, []int{0, 1, 2}},
		{1, []string{"at 30% pause m1 for 10s"}, nil},
		{0, []string{"at 30% pause m1 for 10s"}, []int{0}},
		{1, []string{"at 30% kill p1"}, []int{0}},
		{1, []string{"at 10% kill g1", "at 30% kill m1"}, []int{1}}, // the only manager
		{1, []string{"at 30% kill m1 for 1s", "at 80% kill g1"}, []int{0}},
		{1, []string{"at 10% kill g1", "at 20% restart g1", "at 30% kill m1"}, nil},
		{1, []string{"at 10% kill g1 for 3s", "at 30% kill m1"}, nil},
		{1, []string{"at 10% kill g1", "at 30% pause m1 for 1s"}, nil},
	} {
		p := Promise{Lease: 2 * time.Second, Patience: 20 * time.Second, CallTimeout: 5 * time.Second, Nodes: nodes, Outlives: c.outlives}
		list, errs := ParseList("faults", c.list)
		if len(errs) > 0 {
			t.Fatal(errs)
		}
		var got []int
		for _, b := range p.Breaches(list) {
			got = append(got, b.Index)
		}
		if !slices.Equal(got, c.breaks) {
			t.Errorf("%v with copies that outlive %d: breaks %v, want %v", c.list, c.outlives, got, c.breaks)
		}
	}
}

// TestLostKnowsOfCopies: what others have is not lost.
func TestLostKnowsOfCopies(t *testing.T) {
	had := wire.Holdings{Homes: []wire.HeldHome{{PID: 1}, {PID: 2}}, Regions: []wire.HeldRegion{{PID: 1, Region: 3}, {PID: 1, Region: 4}, {PID: 2, Region: 3}}}
	got := Lost("m1", had, func(pid wire.PID, home bool, region wire.RegionNo) bool { return pid == 2 || !home && region == 3 })
	if want := []string{"the memory map of process 1 at m1", "1 vRegion of process 1 at m1"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
