package plot

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"math"
	"strconv"
	"strings"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"
	"golang.org/x/image/vector"
)

// zoom is how many pixels of a raster stand for one of the SVG.
const zoom = 2

// raster draws shapes.
type raster struct {
	img   *image.RGBA
	fonts map[string]font.Face // by size and weight; for look-ups only
}

// png draws the shapes of the canvas. Hatched bars and slanted labels have none.
func (c *canvas) png() ([]byte, error) {
	r := &raster{img: image.NewRGBA(image.Rect(0, 0, int(math.Ceil(c.width()*zoom)), int(math.Ceil(c.height()*zoom)))), fonts: map[string]font.Face{}}
	draw.Draw(r.img, r.img.Bounds(), image.White, image.Point{}, draw.Src)
	for _, s := range c.shapes {
		switch {
		case s.text != "":
			if err := r.text(s); err != nil {
				return nil, err
			}
		case s.fill != "":
			r.area(s.points, s.fill)
		default:
			for _, piece := range dashed(s.points, s.dashes) {
				r.stroke(piece, s.width, s.stroke)
			}
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, r.img); err != nil {
		return nil, fmt.Errorf("encode the plot: %w", err)
	}
	return b.Bytes(), nil
}

// colourOf reads #rgb or #rrggbb.
func colourOf(s string) color.RGBA {
	hex := strings.TrimPrefix(s, "#")
	if len(hex) == 3 {
		hex = string([]byte{hex[0], hex[0], hex[1], hex[1], hex[2], hex[2]})
	}
	v, err := strconv.ParseUint(hex, 16, 32)
	if err != nil {
		panic(fmt.Sprintf("plot: colour %q, want #rrggbb", s))
	}
	return color.RGBA{uint8(v >> 16), uint8(v >> 8), uint8(v), 255}
}

// area fills a polygon.
func (r *raster) area(points []point, fill string) { r.fill([][]point{points}, fill) }

// stroke draws a line with round corners.
func (r *raster) stroke(points []point, width float64, stroke string) {
	var parts [][]point
	h := width / 2
	for i, p := range points {
		if i > 0 && i < len(points)-1 {
			parts = append(parts, circle(p, h))
		}
		if i == 0 {
			continue
		}
		q := points[i-1]
		dx, dy := p.x-q.x, p.y-q.y
		l := math.Hypot(dx, dy)
		if l == 0 {
			continue
		}
		nx, ny := -dy/l*h, dx/l*h
		parts = append(parts, []point{{q.x - nx, q.y - ny}, {p.x - nx, p.y - ny}, {p.x + nx, p.y + ny}, {q.x + nx, q.y + ny}})
	}
	r.fill(parts, stroke)
}

// fill fills polygons that turn the same way: where they lie on each other it is no darker. Only the part of the picture in which they
// lie is looked at.
func (r *raster) fill(parts [][]point, fill string) {
	from, to := point{math.Inf(1), math.Inf(1)}, point{math.Inf(-1), math.Inf(-1)}
	for _, part := range parts {
		for _, p := range part {
			from, to = point{min(from.x, p.x), min(from.y, p.y)}, point{max(to.x, p.x), max(to.y, p.y)}
		}
	}
	if from.x > to.x {
		return
	}
	box := image.Rect(int(math.Floor(from.x*zoom)), int(math.Floor(from.y*zoom)), int(math.Ceil(to.x*zoom))+1, int(math.Ceil(to.y*zoom))+1)
	z := vector.NewRasterizer(box.Dx(), box.Dy())
	for _, part := range parts {
		for i, p := range part {
			x, y := float32(p.x*zoom-float64(box.Min.X)), float32(p.y*zoom-float64(box.Min.Y))
			if i == 0 {
				z.MoveTo(x, y)
			} else {
				z.LineTo(x, y)
			}
		}
		z.ClosePath()
	}
	z.Draw(r.img, box, image.NewUniform(colourOf(fill)), image.Point{})
}

// dashed cuts a line into its dashes.
func dashed(points []point, dashes []float64) (pieces [][]point) {
	if len(dashes) == 0 || len(points) < 2 {
		return [][]point{points}
	}
	piece := []point{points[0]}
	k, left := 0, dashes[0] // of the dash, or of the gap if k is odd
	for i := 1; i < len(points); i++ {
		from, to := points[i-1], points[i]
		l := math.Hypot(to.x-from.x, to.y-from.y)
		at := 0.0
		for l-at > left {
			at += left
			cut := point{from.x + (to.x-from.x)*at/l, from.y + (to.y-from.y)*at/l}
			if k%2 == 0 {
				pieces = append(pieces, append(piece, cut))
			}
			piece = []point{cut}
			k = (k + 1) % len(dashes)
			left = dashes[k]
		}
		left -= l - at
		piece = append(piece, to)
	}
	if k%2 == 0 {
		pieces = append(pieces, piece)
	}
	return pieces
}

// face gives the letters of a size.
func (r *raster) face(size float64, bold bool) (font.Face, error) {
	key := fmt.Sprint(size, bold)
	if f, ok := r.fonts[key]; ok {
		return f, nil
	}
	ttf := goregular.TTF
	if bold {
		ttf = gobold.TTF
	}
	parsed, err := opentype.Parse(ttf)
	if err != nil {
		return nil, fmt.Errorf("read the letters: %w", err)
	}
	f, err := opentype.NewFace(parsed, &opentype.FaceOptions{Size: size * zoom, DPI: 72, Hinting: font.HintingFull})
	if err != nil {
		return nil, fmt.Errorf("read the letters: %w", err)
	}
	r.fonts[key] = f
	return f, nil
}

func (r *raster) text(s shape) error {
	face, err := r.face(s.size, s.bold)
	if err != nil {
		return err
	}
	d := font.Drawer{Dst: r.img, Src: image.NewUniform(colourOf(s.fill)), Face: face}
	width := d.MeasureString(s.text)
	back := fixed.Int26_6(s.anchor * float64(width))
	at := fixed.Point26_6{X: fixed.Int26_6(s.points[0].x * zoom * 64), Y: fixed.Int26_6(s.points[0].y * zoom * 64)}
	if !s.turned {
		d.Dot = at.Sub(fixed.Point26_6{X: back})
		d.DrawString(s.text)
		return nil
	}
	// Drawn level first, then turned to the left about its base.
	m := face.Metrics()
	above, w := m.Ascent.Ceil(), width.Ceil()
	level := image.NewAlpha(image.Rect(0, 0, w, above+m.Descent.Ceil()))
	ld := font.Drawer{Dst: level, Src: image.Opaque, Face: face, Dot: fixed.P(0, above)}
	ld.DrawString(s.text)
	x0, y0 := at.X.Round()-above, at.Y.Round()+back.Round()
	turned := image.NewAlpha(image.Rect(0, 0, level.Rect.Dy(), w))
	for y := range level.Rect.Dy() {
		for x := range w {
			turned.SetAlpha(y, w-1-x, level.AlphaAt(x, y))
		}
	}
	draw.DrawMask(r.img, turned.Rect.Add(image.Pt(x0, y0-w)), d.Src, image.Point{}, turned, image.Point{}, draw.Over)
	return nil
}
