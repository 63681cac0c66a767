// Package plot writes plots as SVG: dark text on white, labelled axes with units, no script, no font of its own. Bars stand in groups,
// every second of one hatched, lines have points. It draws what it is given and knows nothing of runs; its callers are reports.
//
// Numbers are written with three digits at most, so one input gives one file, byte by byte. No goroutines.
package plot

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Series is one colour of a plot.
type Series struct {
	Name string
	// Y has a value for each label of Bars, and for each of X of Lines. NaN is none.
	Y []float64
	// X is for Lines.
	X []float64
}

// Axes say what is plotted.
type Axes struct {
	Title string
	X, Y  string // with units: "threads", "thousand accesses/s"
	// LogX and LogY are for Lines and for values above 0.
	LogX, LogY bool
}

// Bounds of plots.
const (
	MaxSeries = 12
	MaxPoints = 100_000
)

// Sizes and margins in pixels. Below and to the left there is more room if long labels are slanted.
const (
	plotW, plotH             = 840, 320
	left, right, top, bottom = 76, 24, 44, 76
	letter                   = 6.3  // of a slanted label
	slant                    = 50.0 // degrees
	slantedFrom              = 7    // labels
)

// colours that differ also in grey and for the colour-blind (after Okabe and Ito).
var colours = []string{"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000", "#8c6d31", "#7f7f7f", "#5254a3", "#a55194", "#bdb500"}

// Bars draws groups of bars from 0: one group for each label, one bar in it for each series.
func Bars(a Axes, labels []string, series []Series) (string, error) {
	if len(labels) == 0 {
		return "", fmt.Errorf("plot %q: no labels", a.Title)
	}
	if err := check(series, len(labels), false); err != nil {
		return "", fmt.Errorf("plot %q: %w", a.Title, err)
	}
	most := 0.0
	for _, s := range series {
		for _, y := range s.Y {
			if !math.IsNaN(y) {
				most = max(most, y)
			}
		}
	}
	c := canvas{left: left, bottom: bottom, bars: len(series)}
	group := float64(plotW) / float64(len(labels))
	slanted := len(labels) >= slantedFrom
	if slanted {
		for i, label := range labels {
			n := letter * float64(len([]rune(label)))
			c.bottom = max(c.bottom, bottom+n*math.Sin(slant*math.Pi/180)-10)
			c.left = max(c.left, n*math.Cos(slant*math.Pi/180)-group*(float64(i)+0.5)+8)
		}
	}
	c.begin(a)
	ys := scaleOf(0, most, false)
	c.yAxis(a, ys)
	bar := group * 0.8 / float64(len(series))
	for i, label := range labels {
		x := c.left + group*float64(i)
		for k, s := range series {
			if y := s.Y[i]; !math.IsNaN(y) {
				h := ys.at(max(y, 0)) * plotH
				c.add(`<rect x="%s" y="%s" width="%s" height="%s" fill="%s"><title>%s, %s: %s</title></rect>`, num(x+group*0.1+bar*float64(k)), num(top+plotH-h), num(bar*0.92), num(h), c.fill(k), text(label), text(s.Name), num(y))
			}
		}
		c.label(x+group/2, label, slanted)
	}
	c.end(a, series)
	return c.String(), nil
}

// Lines draws lines with points, in the order that they are given.
func Lines(a Axes, series []Series) (string, error) {
	if err := check(series, 0, true); err != nil {
		return "", fmt.Errorf("plot %q: %w", a.Title, err)
	}
	x0, x1, y0, y1 := math.Inf(1), math.Inf(-1), math.Inf(1), math.Inf(-1)
	for _, s := range series {
		for i, y := range s.Y {
			if math.IsNaN(y) {
				continue
			}
			if a.LogX && s.X[i] <= 0 || a.LogY && y <= 0 {
				return "", fmt.Errorf("plot %q: %s: (%v, %v) on a logarithmic axis, want it above 0", a.Title, s.Name, s.X[i], y)
			}
			x0, x1, y0, y1 = min(x0, s.X[i]), max(x1, s.X[i]), min(y0, y), max(y1, y)
		}
	}
	if !a.LogY {
		y0 = min(y0, 0)
	}
	c := canvas{left: left, bottom: bottom}
	c.begin(a)
	xs, ys := scaleOf(x0, x1, a.LogX), scaleOf(y0, y1, a.LogY)
	c.yAxis(a, ys)
	for _, t := range xs.ticks {
		x := c.left + xs.at(t)*plotW
		c.add(`<line x1="%s" y1="%d" x2="%s" y2="%d" stroke="#222"/>`, num(x), top+plotH, num(x), top+plotH+5)
		c.label(x, num(t), false)
	}
	for k, s := range series {
		var path strings.Builder
		for i, y := range s.Y {
			if math.IsNaN(y) {
				continue
			}
			x, y := num(c.left+xs.at(s.X[i])*plotW), num(top+plotH-ys.at(y)*plotH)
			path.WriteString(x + "," + y + " ")
			if len(s.Y) <= 64 {
				c.add(`<circle cx="%s" cy="%s" r="3" fill="%s"/>`, x, y, colours[k])
			}
		}
		c.add(`<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>`, strings.TrimSpace(path.String()), colours[k])
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
		some := false
		for i, y := range s.Y {
			if math.IsInf(y, 0) || lines && (math.IsInf(s.X[i], 0) || math.IsNaN(s.X[i])) {
				errs = append(errs, fmt.Errorf("series %s: value %d is not finite", s.Name, i))
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

// canvas is an SVG in the making.
type canvas struct {
	strings.Builder
	left, bottom float64
	bars         int // series of bars
}

// fill is how a series of bars is filled: every second one is hatched, so that no one needs to tell colours apart.
func (c *canvas) fill(k int) string {
	if c.bars > 0 && k%2 == 1 {
		return fmt.Sprintf("url(#h%d)", k)
	}
	return colours[k]
}

func (c *canvas) add(format string, args ...any) {
	fmt.Fprintf(c, format+"\n", args...)
}

func (c *canvas) height() float64 { return top + plotH + c.bottom }

func (c *canvas) begin(a Axes) {
	w, h := num(c.left+plotW+right), num(c.height())
	c.add(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %s %s" width="%s" height="%s" font-family="sans-serif" font-size="13" fill="#222">`, w, h, w, h)
	c.add(`<rect width="%s" height="%s" fill="#fff"/>`, w, h)
	for k := 1; k < c.bars; k += 2 {
		c.add(`<pattern id="h%d" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><path d="M0 0h6v6h-6z" fill="%s"/><path d="M0 0h2v6h-2z" fill="#fff"/></pattern>`, k, colours[k])
	}
	c.add(`<text x="%s" y="26" font-size="17" font-weight="bold">%s</text>`, num(c.left), text(a.Title))
}

func (c *canvas) yAxis(a Axes, s scale) {
	x0, x1 := num(c.left), num(c.left+plotW)
	for _, t := range s.ticks {
		y := num(top + plotH - s.at(t)*plotH)
		c.add(`<line x1="%s" y1="%s" x2="%s" y2="%s" stroke="#ddd"/>`, x0, y, x1, y)
		c.add(`<text x="%s" y="%s" text-anchor="end" dominant-baseline="middle">%s</text>`, num(c.left-8), y, num(t))
	}
	c.add(`<line x1="%s" y1="%d" x2="%s" y2="%d" stroke="#222"/>`, x0, top, x0, top+plotH)
	c.add(`<text transform="translate(%s %d) rotate(-90)" text-anchor="middle">%s</text>`, num(c.left-56), top+plotH/2, text(a.Y))
}

func (c *canvas) label(x float64, s string, slanted bool) {
	if slanted {
		c.add(`<text transform="translate(%s %d) rotate(%s)" text-anchor="end" font-size="11">%s</text>`, num(x), top+plotH+14, num(-slant), text(s))
		return
	}
	c.add(`<text x="%s" y="%d" text-anchor="middle" font-size="11">%s</text>`, num(x), top+plotH+19, text(s))
}

func (c *canvas) end(a Axes, series []Series) {
	c.add(`<line x1="%s" y1="%d" x2="%s" y2="%d" stroke="#222"/>`, num(c.left), top+plotH, num(c.left+plotW), top+plotH)
	c.add(`<text x="%s" y="%s" text-anchor="middle">%s</text>`, num(c.left+plotW/2), num(c.height()-34), text(a.X))
	x := c.left
	for k, s := range series {
		c.add(`<rect x="%s" y="%s" width="12" height="12" fill="%s"/><text x="%s" y="%s">%s</text>`, num(x), num(c.height()-23), c.fill(k), num(x+17), num(c.height()-12), text(s.Name))
		x += 34 + 8*float64(len([]rune(s.Name)))
	}
	c.WriteString("</svg>\n")
}

var escape = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;")

func text(s string) string { return escape.Replace(s) }

// num writes a number with three digits after the point at most.
func num(x float64) string {
	return strconv.FormatFloat(math.Round(x*1000)/1000, 'f', -1, 64)
}
