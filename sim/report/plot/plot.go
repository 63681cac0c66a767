// Package plot writes plots as SVG, lines also as PNG: dark text on white, labelled axes with units, no script, no font of its own in
// SVG. Bars stand in groups, every second of one hatched; lines differ in dashes and in the shape of their points, not in colour only.
// It draws what it is given and knows nothing of runs; its callers are reports.
//
// Numbers are written with three digits at most, so one input gives one file, byte by byte. No goroutines.
//
//	svg, err := plot.Lines(plot.Axes{Title: "Misses", X: "pages", Y: "miss ratio", LogX: true}, []plot.Series{{Name: "lru", X: x, Y: y}})
package plot

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
)

// Series is one colour of a plot.
type Series struct {
	Name string // without names there is no legend
	// Y has a value for each label of Bars, and for each of X of Lines. NaN is none.
	Y []float64
	// X is for Lines.
	X []float64
	// Half is half of the interval of confidence of each value, drawn as a whisker; nil or NaN is none.
	Half []float64
}

// half of the interval of a value, 0 if there is none.
func (s *Series) half(i int) float64 {
	if i >= len(s.Half) || math.IsNaN(s.Half[i]) {
		return 0
	}
	return s.Half[i]
}

// Mark is a moment of Lines that a dashed line across shows.
type Mark struct {
	X    float64
	Name string
}

// Axes say what is plotted.
type Axes struct {
	Title string
	X, Y  string // with units: "threads", "thousand accesses/s"
	// LogX and LogY are for Lines and for values above 0.
	LogX, LogY bool
	// Width and Height of the area between the axes in pixels; 0 is 840 and 320.
	Width, Height int
	// YMax is where the axis of Y ends at least, as 100 for percent.
	YMax  float64
	Step  bool   // Lines rise at their values and not before: staircases from 0
	Marks []Mark // of Lines, at most MaxMarks are drawn
}

// Bounds of plots.
const (
	MaxSeries = 16
	MaxPoints = 100_000
	MaxMarks  = 24
	maxLabel  = 40 // letters of a label of a bar; longer ones are cut
	maxName   = 48 // of a series
)

// Sizes and margins in pixels. Below and to the left there is more room if long labels are slanted.
const (
	plotW, plotH        = 840, 320
	left, right, bottom = 76, 24, 76
	titled, untitled    = 44, 14 // above the plot
	digit               = 8.0    // of a number at an axis
	gridColour          = "#ddd"
	letter              = 6.3  // of a slanted label
	slant               = 50.0 // degrees
	slantedFrom         = 7    // labels
)

// colours that differ also in grey and for the colour-blind (after Okabe and Ito).
var colours = []string{"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000", "#8c6d31", "#7f7f7f", "#5254a3", "#a55194", "#bdb500", "#117733", "#882255", "#44aa99", "#999933"}

// Bars draws groups of bars from 0: one group for each label, one bar in it for each series.
func Bars(a Axes, labels []string, series []Series) (string, error) {
	if len(labels) == 0 {
		return "", fmt.Errorf("plot %q: no labels", a.Title)
	}
	if err := check(series, len(labels), false); err != nil {
		return "", fmt.Errorf("plot %q: %w", a.Title, err)
	}
	most := a.YMax
	for _, s := range series {
		for i, y := range s.Y {
			if !math.IsNaN(y) {
				most = max(most, y+s.half(i))
			}
		}
	}
	c := newCanvas(a, series)
	c.bars = len(series)
	legend := legendRow * float64(c.legendRows(series)-1)
	c.bottom += legend
	group := c.w / float64(len(labels))
	slanted := len(labels) >= slantedFrom
	for i := range labels {
		slanted = slanted || a.Width > 0 && letter*float64(len([]rune(cut(labels[i], maxLabel)))) > group
	}
	if slanted {
		for i, label := range labels {
			label = cut(label, maxLabel)
			n := letter * float64(len([]rune(label)))
			c.bottom = max(c.bottom, legend+bottom+n*math.Sin(slant*math.Pi/180)-10)
			c.left = max(c.left, n*math.Cos(slant*math.Pi/180)-group*(float64(i)+0.5)+8)
		}
	}
	ys := scaleOf(0, most, false)
	c.widen(ys)
	c.begin(a)
	c.yAxis(a, ys)
	bar := group * 0.8 / float64(len(series))
	for i, label := range labels {
		x := c.left + group*float64(i)
		for k, s := range series {
			if y := s.Y[i]; !math.IsNaN(y) {
				h := ys.at(max(y, 0)) * c.h
				c.svg(`<rect class="s%d" x="%s" y="%s" width="%s" height="%s" fill="%s"><title>%s: %s</title></rect>`, k, num(x+group*0.1+bar*float64(k)), num(c.top+c.h-h), num(bar*0.92), num(h), c.fill(k), text(strings.TrimSuffix(label+", "+s.Name, ", ")), num(y))
				c.whisker(x+group*0.1+bar*(float64(k)+0.46), y, s.half(i), ys)
			}
		}
		c.label(x+group/2, cut(label, maxLabel), slanted)
	}
	c.end(a, series)
	return c.String(), nil
}

func check(series []Series, labels int, lines bool) error {
	var errs []error
	if len(series) < 1 || len(series) > MaxSeries {
		errs = append(errs, fmt.Errorf("%d series, want 1 to %d", len(series), MaxSeries))
	}
	for _, s := range series {
		want := labels
		if lines {
			want = len(s.X)
		}
		if len(s.Y) != want || want > MaxPoints {
			errs = append(errs, fmt.Errorf("series %s has %d values, want %d, at most %d", s.Name, len(s.Y), want, MaxPoints))
			continue
		}
		if s.Half != nil && len(s.Half) != want {
			errs = append(errs, fmt.Errorf("series %s has %d intervals of confidence, want %d", s.Name, len(s.Half), want))
		}
		some := false
		for i, y := range s.Y {
			if math.IsInf(y, 0) || lines && (math.IsInf(s.X[i], 0) || math.IsNaN(s.X[i])) {
				errs = append(errs, fmt.Errorf("series %s: value %d is not finite", s.Name, i))
			}
			if s.Half != nil && len(s.Half) == want && (math.IsInf(s.Half[i], 0) || s.Half[i] < 0) {
				errs = append(errs, fmt.Errorf("series %s: the interval of value %d is %v", s.Name, i, s.Half[i]))
			}
			some = some || !math.IsNaN(y)
		}
		if !some {
			errs = append(errs, fmt.Errorf("series %s has no value", s.Name))
		}
	}
	return errors.Join(errs...)
}

// scale maps values to 0…1.
type scale struct {
	from, to float64
	log      bool
	ticks    []float64
}

// scaleOf gives a scale with round ticks that holds both.
func scaleOf(from, to float64, log bool) scale {
	s := scale{log: log}
	if log {
		a, b := math.Floor(math.Log10(from)), math.Ceil(math.Log10(to))
		if a == b {
			b++
		}
		s.from, s.to = a, b
		for e := a; e <= b; e++ {
			s.ticks = append(s.ticks, math.Pow(10, e))
		}
		return s
	}
	if to <= from {
		to = from + 1
	}
	step := math.Pow(10, math.Floor(math.Log10((to-from)/4)))
	for _, m := range []float64{1, 2, 5, 10} {
		if (to-from)/(m*step) <= 7 {
			step *= m
			break
		}
	}
	s.from, s.to = math.Floor(from/step)*step, math.Ceil(to/step-1e-9)*step
	for i := 0; s.from+float64(i)*step <= s.to+step/2; i++ {
		s.ticks = append(s.ticks, s.from+float64(i)*step)
	}
	return s
}

func (s *scale) at(x float64) float64 {
	if s.log {
		x = math.Log10(x)
	}
	return (x - s.from) / (s.to - s.from)
}

var escape = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;")

// text is what stands between elements or in an attribute. What XML cannot have becomes U+FFFD.
func text(s string) string {
	clean := strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r == 0xfffe || r == 0xffff || unicode.Is(unicode.Bidi_Control, r) {
			return unicode.ReplacementChar
		}
		return r
	}, strings.ToValidUTF8(s, string(unicode.ReplacementChar)))
	return escape.Replace(clean)
}

// num writes a number with three digits after the point at most.
func num(x float64) string {
	return strconv.FormatFloat(math.Round(x*1000)/1000, 'f', -1, 64)
}
