package page

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"splitkernel/netlayer/wire"
	"splitkernel/sim/report"
	"splitkernel/sim/report/plot"
)

// parsed is a page as strict XML reads it.
type parsed struct {
	text     string         // of what is shown
	elements map[string]int // by name
}

// parse reads a page strictly, and fails if anything in it could be loaded or run.
func parse(t testing.TB, html []byte) parsed {
	t.Helper()
	if len(html) > MaxBytes {
		t.Fatalf("%d bytes, want at most %d", len(html), MaxBytes)
	}
	p := parsed{elements: map[string]int{}}
	ids := map[string]bool{}
	var text strings.Builder
	d := xml.NewDecoder(strings.NewReader(string(html)))
	d.Strict = true
	in := ""
	for {
		token, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("%v", err)
		}
		switch e := token.(type) {
		case xml.StartElement:
			in = e.Name.Local
			p.elements[in]++
			if strings.Contains(" script iframe object embed link img image use base form audio video source foreignObject ", " "+in+" ") {
				t.Errorf("element %s", in)
			}
			for _, a := range e.Attr {
				name := a.Name.Local
				switch {
				case name == "href" && strings.HasPrefix(a.Value, "#"):
				case name == "href" || name == "src" || name == "srcset" || name == "action" || name == "style" || strings.HasPrefix(name, "on"), strings.Contains(a.Value, "://") && name != "aria-label":
					t.Errorf("%s %s=%q", in, name, a.Value)
				case name == "id" && ids[a.Value]:
					t.Errorf("id %q twice", a.Value)
				}
				if name == "id" {
					ids[a.Value] = true
				}
			}
		case xml.CharData:
			if in == "style" && (strings.Contains(string(e), "url(") || strings.Contains(string(e), "@import")) {
				t.Error("the style loads something")
			} else if in != "style" {
				text.Write(e)
				text.WriteByte(' ')
			}
		case xml.EndElement:
			in = ""
		}
	}
	p.text = strings.ReplaceAll(text.String(), space, " ")
	for _, m := range regexp.MustCompile(`(?:href="#|url\(#)([^")]+)`).FindAllStringSubmatch(string(html), -1) {
		if !ids[m[1]] {
			t.Errorf("a reference to %q, which is not there", m[1])
		}
	}
	return p
}

func (p parsed) want(t testing.TB, parts ...string) {
	t.Helper()
	for _, w := range parts {
		if !strings.Contains(p.text, w) {
			t.Errorf("no %q in the page", w)
		}
	}
}

func (p parsed) wantNot(t testing.TB, parts ...string) {
	t.Helper()
	for _, w := range parts {
		if strings.Contains(p.text, w) {
			t.Errorf("%q is in the page", w)
		}
	}
}

// sample is a virtual run with everything in it.
func sample() *Run {
	ms := 160.6
	fetch := report.Latency{Count: 90, P50: 10, P95: 13, P99: 200, Max: 12_345}
	c := report.Counters{Accesses: 1_234_567, Reads: 1_000_000, Writes: 234_567, Hits: 1_234_467, Misses: 100, PLocal: 10, Fetches: 90, Flushes: 7, FetchedBytes: 90 * 4096, FlushedBytes: 7 * 4096,
		PagesChecked: 1_234_567, SectorsChecked: 77, BlockReads: 5, FaultLatency: map[string]report.Latency{"fetch": fetch, "p_local": {Count: 10, P50: 1, P95: 1, P99: 1, Max: 1}}, BlockLatency: map[string]report.Latency{}}
	s := &report.Summary{
		Schema: report.SchemaSummary, Engine: "virtual", Workload: "sorting", Cluster: "rack", Seed: 42, Commit: "abc123", ConfigDigest: "cafe", WallSeconds: 1.25, AccessesPerSecond: 987_654,
		Total: c, Restarts: 2, LeaderChanges: 3,
		VNodes: []report.VNode{
			{Name: "sort", State: "done", Seconds: 1.38, LocalSeconds: 1, Slowdown: 1.38, Counters: c, Memory: &report.Memory{Replication: "primary-secondary", Copies: 2, Survives: 1, PagesPerPage: 2, FlushSends: 1},
				Restarts: []report.Restart{{From: "p1", To: "p2", Checkpoint: 4, LostAtSeconds: 0.5, BackAtSeconds: 0.75, AccessesRepeated: 1234}}},
			{Name: "even", State: "done", Seconds: 2, LocalSeconds: 2, Slowdown: 1, Counters: c},
		},
		Components: []report.Component{{ID: "m1", Role: "mcomponent", FetchShare: 0.6, Counters: c}, {ID: "p1", Role: "pcomponent", Counters: c}},
		Faults:     []report.Fault{{Fault: "at 30% kill m2", State: report.FaultDone, AtSeconds: 0.3, AtPercent: 30, What: "m2 was killed", Lost: []string{"vRegion 7"}}, {Fault: "at 99% kill m1", State: report.FaultNever}},
		Lost:       []string{"vRegion 7, by \"at 30% kill m2\""},
		Failures:   []report.Failure{{Component: "m2", Role: "mcomponent", Cause: "refused", AtSeconds: 0.4606, Detect: &ms}},
		Moves:      []report.Moves{{Kind: "vregion", Done: 2, Undone: 1, Bytes: 3 << 20, Pause: report.Latency{Count: 2, P50: 900, Max: 1500}}},
		Redundancy: &report.Redundancy{Sent: 4321, Rebuilt: 21},
		Warnings:   []string{"a warning"},
		Modelled:   &report.Modelled{Hardware: "legoos-cx3", Seconds: 1.25, Events: 9, Digest: "d1ge57", Stages: []report.Stage{{Name: "worker_queue", MeanUS: 2.5, TotalSeconds: 0.1}}},
	}
	tl := &report.Timeline{Schema: report.SchemaTimeline, Series: report.NewSeries(250 * time.Millisecond), Faults: map[string][]report.Bucket{
		"p_local": {{UnderUS: 1.1, Count: 10}}, "fetch": {{UnderUS: 9, Count: 40}, {UnderUS: 14, Count: 42}, {UnderUS: 210, Count: 7}, {UnderUS: 13_000, Count: 1}},
	}, Blocks: map[string][]report.Bucket{}, Events: []report.Event{{AtSeconds: 0.46, Manager: "gmm", Kind: "dead", Text: "dead node=m2: refused"}}, LeftOut: 17}
	tl.Series.Add(0, time.Duration(1.25*float64(time.Second)), report.Interval{Accesses: c.Accesses, Hits: c.Hits, Faults: c.Misses, Bytes: 97 * 4096})
	m := &report.Manifest{Schema: report.SchemaManifest, Seed: 42, Commit: "abc123", Version: "protocol 1", Command: []string{"SPLITKERNEL_X=a b", "splitkernel", "simulate", "my work.yaml", "--seed", "42"},
		Config: map[string]any{"region_bytes": "1 MiB", "manager.n": 3.0}, Traces: []report.Trace{{VNode: "sort", Name: "sort.skt", Format: "lackey", SHA256: "5ha", Refs: 1000}}}
	return &Run{Dir: "runs/x", Summary: s, Manifest: m, Timeline: tl}
}

func html(t testing.TB, d *Document) []byte {
	t.Helper()
	b, err := HTML(d)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestSentences: each number of the summary of a page is one of summary.json, or counted of timeline.json.
func TestSentences(t *testing.T) {
	r := sample()
	p := parse(t, html(t, OfRun(r)))
	p.want(t,
		"sorting was simulated in virtual time on the cluster rack with the modelled hardware legoos-cx3: 2 vNodes on 2 nodes made 1 234 567 accesses and 5 block requests in 1.25 s of modelled time.",
		"All 2 vNodes ended well.",
		"Every access was checked: 1 234 567 pages and 77 sectors, and none was wrong.",
		"99.99 % of the accesses were hits of the ExCache; 100 were faults.", // not all of them: not 100 %
		"92 % of 100 faults were served in under 14 µs, 99 % in under 210 µs (modelled); the slowest took 12.3 ms.",
		"91 % of the 90 faults that fetched a page from an mComponent took less than 14 µs (modelled).",
		"sort ran 1.38× slower than all-local on legoos-cx3 (1.38 s instead of 1 s, modelled).",
		"even ran as fast as all-local on legoos-cx3: 1.00× (2 s instead of 2 s, modelled).",
		"1 of 2 faults that were to be put in on purpose happened.",
		"1 component was declared dead (modelled): m2 at 461 ms (found 161 ms after its last sign of life).",
		"LOST: 1 thing is in nobody's hands any more: vRegion 7",
		"sort went on at p2 from its checkpoint 4, 250 ms after p1 was last heard of (modelled); 1 234 accesses were repeated.",
		"2 moves of kind vregion sent 3 MiB and paused what moved for 1.5 ms at most (modelled); 1 were given up and 0 lost with their taker.",
		"Memory that survives the loss of mComponents: sort (primary-secondary 2: 1 mComponent).",
		"4 321 copies and shares of pages were sent, 21 of them rebuilt",
		"The managers changed leaders 3 times.", "2 components were restarted.", "ended with losses",
		"There is 1 warning, below.",
		"a warning", "17 more left out.", "dead node=m2: refused", "at 99% kill m1", "never: the run ended before", "SPLITKERNEL_X='a b' splitkernel simulate 'my work.yaml' --seed 42",
		"5ha", "abc123", "cafe", "d1ge57", "region_bytes", "1 MiB", "Slowdown against all memory local (modelled)", "Hit ratio over time (modelled)", "Faults served within a time (modelled)",
	)
}

// TestRepeatedFaults: latencies of what a process did again are in no counter, and the sentence says so.
func TestRepeatedFaults(t *testing.T) {
	r := sample()
	r.Summary.Total.Misses = 60
	parse(t, html(t, OfRun(r))).want(t, "92 % of 100 faults, those included that were made again after a restart, were served in under 14 µs")
}

// TestALiveRunHasNoSlowdown, whatever its files say, and nothing in it is modelled.
func TestALiveRunHasNoSlowdown(t *testing.T) {
	r := sample()
	r.Summary.Engine = "live"
	p := parse(t, html(t, OfRun(r)))
	p.want(t, "sorting ran live, as real processes, on the cluster rack: 2 vNodes on 2 nodes made 1 234 567 accesses and 5 block requests in 1.25 s of wall time, 987 654 accesses a second.", "so it has no slowdown")
	p.wantNot(t, "slower than", "all-local", "modelled", "1.38×", "legoos-cx3")
	other := sample()
	other.Dir = "runs/y"
	p = parse(t, html(t, Compare([]*Run{r, other})))
	if n := strings.Count(p.text, "1.38× (modelled)"); n != 1 {
		t.Errorf("%d slowdowns in the comparison, want that of the virtual run only", n)
	}
}

// TestHostileNames: what comes from files is text wherever it stands.
func TestHostileNames(t *testing.T) {
	const bad = `</style></title><script>alert(1)</script><img src="http://evil.example/x" onerror='x'>{{.}}&amp;` + "\x00\x1b[31m\xff\u202e"
	r := sample()
	s := r.Summary
	s.Workload, s.Cluster, s.Commit, s.ConfigDigest = bad, bad, bad, bad
	s.Modelled.Hardware, s.Modelled.Digest, s.Modelled.Stages[0].Name = bad, bad, bad
	s.Failed, s.Integrity, s.Warnings, s.Lost = []string{bad}, []string{bad}, []string{bad}, []string{bad}
	s.VNodes[0].Name, s.VNodes[0].State, s.VNodes[0].Policy, s.VNodes[0].Home = bad, bad, bad, wire.NodeID(bad)
	s.VNodes[0].Memory.Replication, s.VNodes[0].Restarts[0].From = bad, wire.NodeID(bad)
	s.Components[0].ID, s.Components[1].Role = wire.NodeID(bad), bad
	s.Faults[0].Fault, s.Faults[0].What, s.Faults[1].Fault = bad, bad, bad
	s.Failures[0].Component, s.Failures[0].Cause, s.Failures[0].Note = wire.NodeID(bad), bad, bad
	s.Moves[0].Kind = bad
	r.Timeline.Events[0] = report.Event{Manager: bad, Kind: bad, Text: bad}
	r.Manifest.Command = []string{bad, bad}
	r.Manifest.Config = map[string]any{bad: bad, "list": []any{bad}}
	r.Manifest.Traces[0] = report.Trace{VNode: bad, Name: bad, Format: bad, SHA256: bad}
	r.Manifest.Host.CPU, r.Manifest.Version = bad, bad
	other := sample()
	other.Dir = "runs/" + strings.ToValidUTF8(bad, "")
	for name, d := range map[string]*Document{"run": OfRun(r), "comparison": Compare([]*Run{r, other})} {
		b := html(t, d)
		for _, never := range []string{"<script", "<img", "\x00", "\x1b", "\u202e", "&amp;amp;amp;"} {
			if strings.Contains(string(b), never) {
				t.Errorf("%s: %q is in the page", name, never)
			}
		}
		p := parse(t, b)
		p.want(t, "<script>alert(1)</script>", "{{.}}&amp;") // as text
	}
}

// TestBounds: a thousand components and ten times what may be shown stay under MaxBytes, and what is left out is counted.
func TestBounds(t *testing.T) {
	r := sample()
	long := strings.Repeat("<&µ", 80)
	r.Summary.Components, r.Summary.VNodes, r.Timeline.Events = nil, nil, nil
	for i := range MaxRows + 200 {
		c := report.Component{ID: wire.NodeID(fmt.Sprint(i, long)), Role: "mcomponent"}
		c.Fetches = uint64(i)
		r.Summary.Components = append(r.Summary.Components, c)
		r.Summary.VNodes = append(r.Summary.VNodes, report.VNode{Name: fmt.Sprint(i, long), Slowdown: 2})
		r.Summary.Failed = append(r.Summary.Failed, long)
		r.Manifest.Config[fmt.Sprint(i, long)] = long
		r.Timeline.Events = append(r.Timeline.Events, report.Event{Text: long})
	}
	b := html(t, OfRun(r))
	if len(b) > MaxBytes || len(b) < MaxBytes/2 {
		t.Errorf("%d bytes, want as many as %d allow", len(b), MaxBytes)
	}
	text := strings.ReplaceAll(string(b), space, " ")
	for _, want := range []string{"The 32 longest of 1200.", "more left out.", "… and 1101 more", "1192 more vNodes ran slower"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in the page", want)
		}
	}
	r = sample()
	for i := range 1000 {
		r.Summary.Components = append(r.Summary.Components, report.Component{ID: wire.NodeID(fmt.Sprintf("m%d", i)), Role: "mcomponent"})
	}
	if b := html(t, OfRun(r)); !strings.Contains(string(b), "<td>m997</td>") || strings.Contains(string(b), "<td>m998</td>") || len(b) > MaxBytes/4 {
		t.Errorf("a page of 1002 components of %d bytes, want 1000 of them", len(b))
	}
	many := &Document{Title: "t", Sections: []Section{{Title: "s", Tables: []Table{{Head: []string{"a"}, Rows: make([][]string, MaxRows+5)}}}}}
	parse(t, html(t, many)).want(t, "5 more left out.")
}

// TestChartsAreChecked: a chart that loads or runs something is refused, and names within charts do not meet.
func TestChartsAreChecked(t *testing.T) {
	for _, bad := range []string{
		"", "text", "<svg", "<div></div>", "<svg><script/></svg>", `<svg onload="x"/>`, `<svg><rect fill="url(http://x)"/></svg>`, `<svg><use href="#a"/></svg>`,
		`<svg><rect style="fill:url(x)"/></svg>`, `<!DOCTYPE x><svg/>`, `<svg><image src="x"/></svg>`, "<svg>" + strings.Repeat("<g/>", MaxSVG/4) + "</svg>",
	} {
		if _, err := HTML(&Document{Sections: []Section{{Charts: []Chart{{SVG: bad}}}}}); err == nil {
			t.Errorf("%.60q is taken over", bad)
		}
	}
	svg, err := plot.Bars(plot.Axes{}, []string{"a"}, []plot.Series{{Name: "x", Y: []float64{1}}, {Name: "y", Y: []float64{2}}})
	if err != nil {
		t.Fatal(err)
	}
	p := parse(t, html(t, &Document{Sections: []Section{{Charts: []Chart{{SVG: svg}, {SVG: svg}}}}}))
	if p.elements["svg"] != 2 || p.elements["pattern"] != 2 {
		t.Errorf("%v", p.elements)
	}
}

func TestCompare(t *testing.T) {
	a, b, c := sample(), sample(), sample()
	a.Dir, b.Dir, c.Dir = "runs/a", "runs/b", "runs/c"
	b.Manifest.Config["manager.n"] = 5.0
	b.Summary.Total.Misses, c.Summary.Total.Accesses = 150, 5
	c.Timeline, c.Manifest = nil, nil
	d := Compare([]*Run{a, b, c})
	p := parse(t, html(t, d))
	p.want(t, "b had 150 faults, +50.0 % of those of a.", "c made 5 accesses, a 1 234 567: they are not of one size.", "c: its configuration is not known.", "manager.n", "splitkernel report runs/a runs/b runs/c",
		"Faults served within a time (modelled)")
	p.wantNot(t, "region_bytes") // equal
	if got := Names([]string{"x/a", "y/a"}); got[0] != "x/a" || got[1] != "y/a" {
		t.Errorf("%v", got)
	}
}

func TestRead(t *testing.T) {
	dir := t.TempDir()
	wantErr := func(want string) {
		t.Helper()
		if _, err := Read(dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	wantErr("no summary.json, want the folder of a run or of a sweep")
	write("summary.json", "{")
	wantErr("want JSON of splitkernel.summary/1")
	write("summary.json", `{"schema":"splitkernel.summary/2","vnodes":"of another kind"}`)
	wantErr("schema splitkernel.summary/2 is newer than splitkernel.summary/1, which this program reads")
	write("summary.json", `{"schema":"something/9"}`)
	wantErr(`schema "something/9", want splitkernel.summary/1`)
	write("summary.json", `{"schema":"splitkernel.summary/1","vnodes":"x"}`)
	wantErr("want what splitkernel.summary/1 has")
	r := sample()
	r.Summary.Timeline = r.Timeline
	if err := report.WriteFiles(dir, r.Summary, r.Manifest); err != nil {
		t.Fatal(err)
	}
	path, err := WriteRun(dir)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r.Dir = dir
	if string(got) != string(html(t, OfRun(r))) {
		t.Error("the page of the files is not that of what was written to them")
	}
	write("timeline.json", `{"schema":"splitkernel.timeline/7"}`)
	wantErr("is newer than")
	// A run of before timelines, whose manifest is gone: it has a page nevertheless.
	for _, name := range []string{"timeline.json", "manifest.json"} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if r, err = Read(dir); err != nil {
		t.Fatal(err)
	}
	p := parse(t, html(t, OfRun(r)))
	p.want(t, "The run kept no timeline", "Of 90 fetches of a page half took at most 10 µs and 99 % at most 200 µs (modelled).", "splitkernel simulate sorting --cluster rack --seed 42 --hardware legoos-cx3", "did not keep its command line")
}

// TestEmpty: a run of which nothing is known but its name has a page.
func TestEmpty(t *testing.T) {
	s := &report.Summary{Schema: report.SchemaSummary, Engine: "virtual"}
	if err := json.Unmarshal([]byte(`{"schema":"splitkernel.summary/1"}`), s); err != nil {
		t.Fatal(err)
	}
	parse(t, html(t, OfRun(&Run{Summary: s})))
	parse(t, html(t, Compare([]*Run{{Summary: s, Dir: "a"}, {Summary: s, Dir: "b"}})))
}
