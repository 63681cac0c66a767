package plot

import (
	"encoding/xml"
	"io"
	"math"
	"strings"
	"testing"
)

// wellFormed reads a plot as XML and gives how many elements of each name it has.
func wellFormed(t *testing.T, svg string) map[string]int {
	t.Helper()
	n := map[string]int{}
	d := xml.NewDecoder(strings.NewReader(svg))
	for {
		tok, err := d.Token()
		if err == io.EOF {
			return n
		}
		if err != nil {
			t.Fatalf("%v\n%s", err, svg)
		}
		if e, ok := tok.(xml.StartElement); ok {
			n[e.Name.Local]++
		}
	}
}

func TestBars(t *testing.T) {
	svg, err := Bars(Axes{Title: "a < b & c", X: "threads", Y: "k/s"}, []string{"1", "4"}, []Series{{Name: "published", Y: []float64{1, 200}}, {Name: "ours", Y: []float64{2, math.NaN()}}})
	if err != nil {
		t.Fatal(err)
	}
	if n := wellFormed(t, svg); n["rect"] != 1+2+3 { // ground, legend, bars
		t.Errorf("%d rectangles, want 6:\n%s", n["rect"], svg)
	}
	for _, want := range []string{"a &lt; b &amp; c", ">threads<", ">k/s<", ">200<", ">published<", `<pattern id="h1"`, `fill="url(#h1)"`} {
		if !strings.Contains(svg, want) {
			t.Errorf("no %q in\n%s", want, svg)
		}
	}
}

func TestLines(t *testing.T) {
	svg, err := Lines(Axes{Title: "t", X: "pages", Y: "miss ratio", LogX: true}, []Series{{Name: "lru", X: []float64{1, 10, 1000}, Y: []float64{1, 0.5, 0}}})
	if err != nil {
		t.Fatal(err)
	}
	if n := wellFormed(t, svg); n["polyline"] != 1 || n["circle"] != 3 {
		t.Errorf("%v, want one line of three points", n)
	}
	for _, want := range []string{">1000<", ">10<", ">0.4<", ">1<"} {
		if !strings.Contains(svg, want) {
			t.Errorf("no tick %q in\n%s", want, svg)
		}
	}
}

func TestFaults(t *testing.T) {
	for _, c := range []struct {
		want string
		do   func() error
	}{
		{"no labels", func() error { _, err := Bars(Axes{}, nil, []Series{{Name: "a", Y: nil}}); return err }},
		{"1 values, want 2", func() error { _, err := Bars(Axes{}, []string{"x", "y"}, []Series{{Y: []float64{1}}}); return err }},
		{"0 series", func() error { _, err := Lines(Axes{}, nil); return err }},
		{"not finite", func() error {
			_, err := Lines(Axes{}, []Series{{X: []float64{1}, Y: []float64{math.Inf(1)}}})
			return err
		}},
		{"above 0", func() error {
			_, err := Lines(Axes{LogY: true}, []Series{{X: []float64{1}, Y: []float64{0}}})
			return err
		}},
	} {
		if err := c.do(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
}
