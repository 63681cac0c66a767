package plot

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// point is a place in pixels from the upper left corner.
type point struct{ x, y float64 }

// canvas is an SVG in the making; what a raster needs is also kept as shapes.
type canvas struct {
	strings.Builder
	w, h, top    float64
	left, bottom float64
	wider        float64 // for long numbers at the axis of Y
	bars         int     // series of bars
	lines        bool    // else bars
	nameless     bool    // no series has a name: there is no legend
	shapes       []shape
}

func newCanvas(a Axes, series []Series) *canvas {
	c := &canvas{w: plotW, h: plotH, top: titled, left: left, bottom: bottom}
	if a.Width > 0 {
		c.w = float64(a.Width)
	}
	if a.Height > 0 {
		c.h = float64(a.Height)
	}
	if a.Title == "" {
		c.top = untitled
	}
	if c.nameless = !slices.ContainsFunc(series, func(s Series) bool { return s.Name != "" }); c.nameless {
		c.bottom -= legendRow
	}
	return c
}

// leastWhisker is how many pixels long an interval is that can be seen behind its point.
const leastWhisker = 3

// widen makes room for long numbers at the axis of Y.
func (c *canvas) widen(ys scale) {
	longest := 0
	for _, t := range ys.ticks {
		longest = max(longest, len(num(t)))
	}
	c.wider = max(0, digit*float64(longest)-(left-36))
	c.left += c.wider
}

// whisker draws an interval of confidence.
func (c *canvas) whisker(x, y, half float64, ys scale) {
	if half <= 0 || ys.log && y-half <= 0 || (ys.at(y+half)-ys.at(y-half))*c.h < leastWhisker {
		return
	}
	low, high := c.top+c.h-max(ys.at(y-half), 0)*c.h, c.top+c.h-ys.at(y+half)*c.h
	c.svg(`<path class="whisker" d="M%s %sV%sM%s %sh8M%s %sh8" fill="none" stroke="#222" stroke-width="1.5"/>`, num(x), num(low), num(high), num(x-4), num(low), num(x-4), num(high))
	for _, l := range [][]point{{{x, low}, {x, high}}, {{x - 4, low}, {x + 4, low}}, {{x - 4, high}, {x + 4, high}}} {
		c.shapes = append(c.shapes, shape{points: l, stroke: "#222", width: 1.5})
	}
}

// moment is a dashed line across.
func (c *canvas) moment(x float64, name string) {
	path := []point{{x, c.top}, {x, c.top + c.h}}
	c.svg(`<line class="mark" x1="%s" y1="%s" x2="%s" y2="%s" stroke="#b00020" stroke-dasharray="4 3"><title>%s</title></line>`, num(x), num(path[0].y), num(x), num(path[1].y), text(name))
	c.shapes = append(c.shapes, shape{points: path, stroke: "#b00020", width: 1, dashes: []float64{4, 3}})
}

// cut shortens a text.
func cut(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}

// shape is what was drawn: a filled area, a line, or text.
type shape struct {
	points []point
	fill   string // of an area or text, "" = a line
	stroke string
	width  float64
	dashes []float64
	text   string // at points[0]
	size   float64
	bold   bool
	anchor float64 // of text: 0 begins at the point, 0.5 is centred, 1 ends there
	turned bool    // by 90° to the left
}

// dashes of lines, by series; nil is a whole line.
var dashes = [][]float64{nil, {8, 4}, {2, 3}, {10, 3, 2, 3}, {5, 2}, {12, 4, 2, 4, 2, 4}}

func dashesOf(k int) []float64 { return dashes[k%len(dashes)] }

// legendRow is the height of a row of the legend.
const legendRow = 18.0

// fill is how a series of bars is filled: every second one is hatched, so that no one needs to tell colours apart.
func (c *canvas) fill(k int) string {
	if c.bars > 0 && k%2 == 1 {
		return fmt.Sprintf("url(#h%d)", k)
	}
	return colours[k]
}

func (c *canvas) svg(format string, args ...any) {
	fmt.Fprintf(c, format+"\n", args...)
}

func (c *canvas) height() float64 { return c.top + c.h + c.bottom }

func (c *canvas) width() float64 { return c.left + c.w + right }

func (c *canvas) line(from, to point, stroke string) {
	class := "axis"
	if stroke == gridColour {
		class = "grid"
	}
	c.svg(`<line class="%s" x1="%s" y1="%s" x2="%s" y2="%s" stroke="%s"/>`, class, num(from.x), num(from.y), num(to.x), num(to.y), stroke)
	c.shapes = append(c.shapes, shape{points: []point{from, to}, stroke: stroke, width: 1})
}

// polyline is that of a series.
func (c *canvas) polyline(path []point, k int) {
	var b strings.Builder
	for i, p := range path {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(num(p.x) + "," + num(p.y))
	}
	dash := ""
	if d := dashesOf(k); d != nil {
		dash = fmt.Sprintf(` stroke-dasharray="%s"`, strings.Trim(fmt.Sprint(d), "[]"))
	}
	c.svg(`<polyline class="l%d" points="%s" fill="none" stroke="%s" stroke-width="2"%s/>`, k, b.String(), colours[k], dash)
	c.shapes = append(c.shapes, shape{points: path, stroke: colours[k], width: 2, dashes: dashesOf(k)})
}

// mark is the point of a series: a circle, a square, a diamond or a triangle.
func (c *canvas) mark(p point, k int) {
	const r = 3.5
	var corners []point
	switch k % 4 {
	case 0:
		c.svg(`<circle class="s%d" cx="%s" cy="%s" r="3.5" fill="%s"/>`, k, num(p.x), num(p.y), colours[k])
		c.shapes = append(c.shapes, shape{points: circle(p, r), fill: colours[k]})
		return
	case 1:
		corners = []point{{p.x - r, p.y - r}, {p.x + r, p.y - r}, {p.x + r, p.y + r}, {p.x - r, p.y + r}}
	case 2:
		corners = []point{{p.x, p.y - 1.4*r}, {p.x + 1.4*r, p.y}, {p.x, p.y + 1.4*r}, {p.x - 1.4*r, p.y}}
	default:
		corners = []point{{p.x, p.y - 1.3*r}, {p.x + 1.2*r, p.y + r}, {p.x - 1.2*r, p.y + r}}
	}
	var b strings.Builder
	for _, q := range corners {
		b.WriteString(num(q.x) + "," + num(q.y) + " ")
	}
	c.svg(`<polygon class="s%d" points="%s" fill="%s"/>`, k, strings.TrimSpace(b.String()), colours[k])
	c.shapes = append(c.shapes, shape{points: corners, fill: colours[k]})
}

// circle in as many corners as nobody sees.
func circle(at point, r float64) (corners []point) {
	for i := range 24 {
		sin, cos := math.Sincos(float64(i) * math.Pi / 12)
		corners = append(corners, point{at.x + r*cos, at.y + r*sin})
	}
	return corners
}

// write writes text; the attributes say what the shape does.
func (c *canvas) write(s shape, attributes string) {
	at := fmt.Sprintf(`x="%s" y="%s"`, num(s.points[0].x), num(s.points[0].y))
	if s.turned {
		at = fmt.Sprintf(`transform="translate(%s %s) rotate(-90)"`, num(s.points[0].x), num(s.points[0].y))
	}
	c.svg(`<text%s %s>%s</text>`, attributes, at, text(s.text))
	s.fill = "#222"
	if s.size == 0 {
		s.size = 13
	}
	c.shapes = append(c.shapes, s)
}

func (c *canvas) begin(a Axes) {
	w, h := num(c.width()), num(c.height())
	c.svg(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %s %s" width="%s" height="%s" font-family="sans-serif" font-size="13" fill="#222">`, w, h, w, h)
	c.svg(`<rect class="ground" width="%s" height="%s" fill="#fff"/>`, w, h)
	for k := 1; k < c.bars; k += 2 {
		c.svg(`<pattern id="h%d" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><path class="s%d" d="M0 0h6v6h-6z" fill="%s"/><path class="ground" d="M0 0h2v6h-2z" fill="#fff"/></pattern>`, k, k, colours[k])
	}
	if a.Title == "" {
		return
	}
	c.write(shape{points: []point{{c.left, 26}}, text: a.Title, size: 17, bold: true}, ` font-size="17" font-weight="bold"`)
}

func (c *canvas) yAxis(a Axes, s scale) {
	for _, t := range s.ticks {
		y := c.top + c.h - s.at(t)*c.h
		c.line(point{c.left, y}, point{c.left + c.w, y}, gridColour)
		c.write(shape{points: []point{{c.left - 8, y + 4.5}}, text: num(t), anchor: 1}, ` text-anchor="end"`)
	}
	c.line(point{c.left, c.top}, point{c.left, c.top + c.h}, "#222")
	c.write(shape{points: []point{{c.left - 56 - c.wider, c.top + c.h/2}}, text: a.Y, anchor: 0.5, turned: true}, ` text-anchor="middle"`)
}

func (c *canvas) label(x float64, s string, slanted bool) {
	if slanted {
		c.svg(`<text class="slanted" transform="translate(%s %s) rotate(%s)" text-anchor="end" font-size="11">%s</text>`, num(x), num(c.top+c.h+14), num(-slant), text(s))
		return
	}
	c.write(shape{points: []point{{x, c.top + c.h + 19}}, text: s, size: 11, anchor: 0.5}, ` text-anchor="middle" font-size="11"`)
}

// legendWidth is what an entry of the legend takes.
func (c *canvas) legendWidth(s Series) float64 {
	w := 34 + 8*float64(len([]rune(cut(s.Name, maxName))))
	if c.lines {
		w += 22 // a piece of the line instead of a square
	}
	return w
}

// legendRows is how many rows the legend has.
func (c *canvas) legendRows(series []Series) int {
	rows, x := 1, 0.0
	for _, s := range series {
		if x > 0 && x+c.legendWidth(s) > c.w {
			rows, x = rows+1, 0
		}
		x += c.legendWidth(s)
	}
	return rows
}

func (c *canvas) end(a Axes, series []Series) {
	c.line(point{c.left, c.top + c.h}, point{c.left + c.w, c.top + c.h}, "#222")
	rows := c.legendRows(series)
	if c.nameless {
		rows = 0
	}
	y := c.height() - 12 - legendRow*float64(rows-1) // the base of the first row
	c.write(shape{points: []point{{c.left + c.w/2, y - 22}}, text: a.X, anchor: 0.5}, ` text-anchor="middle"`)
	x := c.left
	for k, s := range series {
		if c.nameless {
			break
		}
		if x > c.left && x+c.legendWidth(s) > c.left+c.w {
			x, y = c.left, y+legendRow
		}
		if c.lines {
			c.polyline([]point{{x, y - 4.5}, {x + 34, y - 4.5}}, k)
			c.mark(point{x + 17, y - 4.5}, k)
			c.write(shape{points: []point{{x + 39, y}}, text: cut(s.Name, maxName)}, ` class="key"`)
		} else {
			c.svg(`<rect class="s%d" x="%s" y="%s" width="12" height="12" fill="%s"/><text class="key" x="%s" y="%s">%s</text>`, k, num(x), num(y-11), c.fill(k), num(x+17), num(y), text(cut(s.Name, maxName)))
		}
		x += c.legendWidth(s)
	}
	c.WriteString("</svg>\n")
}
