package plot

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"math"
	"regexp"
	"slices"
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
	if n := wellFormed(t, svg); n["polyline"] != 1+1 || n["circle"] != 3+1 { // and those of the legend
		t.Errorf("%v, want one line of three points", n)
	}
	for _, want := range []string{">1000<", ">10<", ">0.4<", ">1<"} {
		if !strings.Contains(svg, want) {
			t.Errorf("no tick %q in\n%s", want, svg)
		}
	}
}

// TestSmall: a plot of its own size with intervals, marks, cut labels and a legend of several rows.
func TestSmall(t *testing.T) {
	a := Axes{X: "x", Y: "y", Width: 200, Height: 100, YMax: 100, Marks: []Mark{{X: 2, Name: "m1 <died>\x00"}, {X: 99, Name: "beyond"}}}
	half := []float64{0, 2, math.NaN()}
	var series []Series
	for _, n := range []string{"a long name of a series", "another long name of one", strings.Repeat("z", 100)} {
		series = append(series, Series{Name: n, X: []float64{1, 2, 3}, Y: []float64{5, 6, 7}, Half: half})
	}
	svg, err := Lines(a, series)
	if err != nil {
		t.Fatal(err)
	}
	wellFormed(t, svg)
	if n := strings.Count(svg, `class="whisker"`); n != 3 {
		t.Errorf("%d whiskers, want one a series", n)
	}
	if n := strings.Count(svg, `class="mark"`); n != 1 || !strings.Contains(svg, "m1 &lt;died&gt;\ufffd") {
		t.Errorf("%d marks, want one:\n%s", n, svg)
	}
	for _, want := range []string{`viewBox="0 0 300 226"`, ">100<", strings.Repeat("z", maxName-1) + "…"} { // three rows of names
		if !strings.Contains(svg, want) {
			t.Errorf("no %q in\n%s", want, svg)
		}
	}
	if svg, err = Bars(a, []string{strings.Repeat("l", 60), "b", "c"}, series); err != nil || !strings.Contains(svg, strings.Repeat("l", maxLabel-1)+"…") || strings.Count(svg, `class="whisker"`) != 3 {
		t.Errorf("%v\n%s", err, svg)
	}
	wellFormed(t, svg)
}

// TestStep: a staircase stays until the next value, begins at the foot, and a series without a name has no legend.
func TestStep(t *testing.T) {
	svg, err := Lines(Axes{Step: true, Width: 100, Height: 100, YMax: 100}, []Series{{X: []float64{0, 1}, Y: []float64{50, 100}}})
	if err != nil {
		t.Fatal(err)
	}
	if n := wellFormed(t, svg); n["polyline"] != 1 || n["rect"] != 1 || !strings.Contains(svg, `points="76,114 76,64 176,64 176,14"`) {
		t.Errorf("%v\n%s", n, svg)
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
		{"2 intervals of confidence, want 1", func() error {
			_, err := Lines(Axes{}, []Series{{X: []float64{1}, Y: []float64{1}, Half: []float64{1, 2}}})
			return err
		}},
		{"the interval of value 0 is -1", func() error {
			_, err := Bars(Axes{}, []string{"a"}, []Series{{Y: []float64{1}, Half: []float64{-1}}})
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

// manyLines are as many series as there may be, the long ones with more points than get a mark each.
func manyLines() (series []Series) {
	for k := range MaxSeries {
		s := Series{Name: strings.Repeat("name", k%3+1)}
		for i := range 40 + 60*(k%2) {
			s.X, s.Y = append(s.X, float64(i+1)), append(s.Y, float64(k)/float64(i+1))
		}
		series = append(series, s)
	}
	return series
}

// TestLinesDiffer: no two lines have the same colour, nor two neighbours the same dashes or marks; a legend that is too long for a row
// goes on in the next.
func TestLinesDiffer(t *testing.T) {
	svg, err := Lines(Axes{Title: "t", X: "pages", Y: "miss ratio"}, manyLines())
	if err != nil {
		t.Fatal(err)
	}
	n := wellFormed(t, svg)
	if n["polyline"] != 2*MaxSeries || n["polygon"] < 100 || n["polygon"] > 3*MaxSeries/4*45 {
		t.Errorf("%v", n)
	}
	seen := map[string]bool{}
	for k := range MaxSeries {
		if seen[colours[k]] {
			t.Errorf("colour %s is there twice", colours[k])
		}
		seen[colours[k]] = true
	}
	rows := map[string]bool{}
	for _, m := range regexp.MustCompile(`y="([0-9.]+)">(?:name)+<`).FindAllStringSubmatch(svg, -1) {
		rows[m[1]] = true
	}
	if len(rows) < 2 {
		t.Errorf("the legend has %d rows, want more", len(rows))
	}
}

// TestPNG: the raster is that of the SVG: white ground, every colour of a line, dark text.
func TestPNG(t *testing.T) {
	axes := Axes{Title: "Misses", X: "pages", Y: "miss ratio", LogX: true}
	const some = 5
	b, err := LinesPNG(axes, manyLines()[:some])
	if err != nil {
		t.Fatal(err)
	}
	img, err := png.Decode(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	count := map[color.RGBA]int{}
	for pix := range slices.Chunk(img.(*image.RGBA).Pix, 4) {
		count[color.RGBA{pix[0], pix[1], pix[2], pix[3]}]++
	}
	all := img.Bounds().Dx() * img.Bounds().Dy()
	if white := count[color.RGBA{255, 255, 255, 255}]; white < all/2 {
		t.Errorf("%d of %d pixels are white, want most", white, all)
	}
	for k := range some {
		if count[colourOf(colours[k])] < 100 {
			t.Errorf("colour %s of line %d is on %d pixels, want some", colours[k], k, count[colourOf(colours[k])])
		}
	}
	if text := count[colourOf("#222")]; text < 1000 {
		t.Errorf("%d pixels of text and axes, want more", text)
	}
	if _, err := LinesPNG(axes, nil); err == nil {
		t.Error("nothing was drawn")
	}
}

func TestDashes(t *testing.T) {
	pieces := dashed([]point{{0, 0}, {10, 0}, {10, 10}}, []float64{6, 2})
	want := [][]point{{{0, 0}, {6, 0}}, {{8, 0}, {10, 0}, {10, 4}}, {{10, 6}, {10, 10}}}
	if fmt.Sprint(pieces) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", pieces, want)
	}
}
