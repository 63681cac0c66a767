package plot

import (
	"fmt"
	"math"
)

// Lines draws lines with points, in the order that they are given, as SVG.
func Lines(a Axes, series []Series) (string, error) {
	c, err := lines(a, series)
	if err != nil {
		return "", err
	}
	return c.String(), nil
}

// LinesPNG draws the same as PNG, two pixels for each of the SVG's.
func LinesPNG(a Axes, series []Series) ([]byte, error) {
	c, err := lines(a, series)
	if err != nil {
		return nil, err
	}
	return c.png()
}

// markedPoints is how many points of a line get a mark each; of a line with more, about markedOf do, so that it can be told apart.
const (
	markedPoints = 64
	markedOf     = 12
)

func lines(a Axes, series []Series) (*canvas, error) {
	if err := check(series, 0, true); err != nil {
		return nil, fmt.Errorf("plot %q: %w", a.Title, err)
	}
	x0, x1, y0, y1 := math.Inf(1), math.Inf(-1), math.Inf(1), math.Inf(-1)
	for _, s := range series {
		for i, y := range s.Y {
			if math.IsNaN(y) {
				continue
			}
			if a.LogX && s.X[i] <= 0 || a.LogY && y <= 0 {
				return nil, fmt.Errorf("plot %q: %s: (%v, %v) on a logarithmic axis, want it above 0", a.Title, s.Name, s.X[i], y)
			}
			low, high := y-s.half(i), y+s.half(i)
			if a.LogY && low <= 0 {
				low = y
			}
			x0, x1, y0, y1 = min(x0, s.X[i]), max(x1, s.X[i]), min(y0, low), max(y1, high)
		}
	}
	if !a.LogY {
		y0 = min(y0, 0)
	}
	y1 = max(y1, a.YMax)
	c := newCanvas(a, series)
	c.lines = true
	c.bottom += legendRow * float64(c.legendRows(series)-1)
	xs, ys := scaleOf(x0, x1, a.LogX), scaleOf(y0, y1, a.LogY)
	c.widen(ys)
	c.begin(a)
	c.yAxis(a, ys)
	for _, t := range xs.ticks {
		x := c.left + xs.at(t)*c.w
		c.line(point{x, c.top + c.h}, point{x, c.top + c.h + 5}, "#222")
		c.label(x, num(t), false)
	}
	for i, m := range a.Marks {
		if at := xs.at(m.X); i < MaxMarks && at >= 0 && at <= 1 {
			c.moment(c.left+at*c.w, m.Name)
		}
	}
	for k, s := range series {
		var path, values []point
		before := c.top + c.h
		for i, y := range s.Y {
			if !math.IsNaN(y) {
				c.whisker(c.left+xs.at(s.X[i])*c.w, y, s.half(i), ys)
				path = append(path, point{c.left + xs.at(s.X[i])*c.w, c.top + c.h - ys.at(y)*c.h})
				if values = append(values, path[len(path)-1]); a.Step {
					at := values[len(values)-1]
					path = append(path[:len(path)-1], point{at.x, before}, at)
					before = at.y
				}
			}
		}
		c.polyline(path, k)
		every := 1
		if len(values) > markedPoints || a.Step {
			every = len(values)/markedOf + 1
		}
		if c.nameless && len(values) > markedPoints {
			continue // there is nothing to tell apart
		}
		// Lines that lie on each other have their marks in different places.
		for i := (k * every / len(series)) % every; i < len(values); i += every {
			c.mark(values[i], k)
		}
	}
	c.end(a, series)
	return c, nil
}
