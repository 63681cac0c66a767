package page

import (
	"encoding/xml"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"
)

// What a chart may have: what sim/report/plot draws, and nothing that loads or runs.
var (
	svgElements = []string{"svg", "g", "rect", "line", "text", "tspan", "circle", "ellipse", "polyline", "polygon", "path", "pattern", "title", "desc", "defs"}
	svgBanned   = []string{"href", "style", "src"}
)

// namespace is a name, nobody loads it; inline it is not needed.
const namespace = ` xmlns="http://www.w3.org/2000/svg"`

// inline checks a chart and makes it part of the page; no names it within the page, for the names in it must be the only ones.
func inline(svg string, no int) (template.HTML, error) {
	if len(svg) > MaxSVG {
		return "", fmt.Errorf("%d bytes of SVG, want at most %d", len(svg), MaxSVG)
	}
	d := xml.NewDecoder(strings.NewReader(svg))
	elements := 0
	for {
		token, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			return "", fmt.Errorf("no SVG: %w", err)
		}
		switch e := token.(type) {
		case xml.StartElement:
			if elements++; elements == 1 && e.Name.Local != "svg" || !slices.Contains(svgElements, e.Name.Local) {
				return "", fmt.Errorf("SVG: element %s, want those of a plot", e.Name.Local)
			}
			for _, a := range e.Attr {
				name, value := strings.ToLower(a.Name.Local), strings.ToLower(a.Value)
				if strings.HasPrefix(name, "on") || slices.Contains(svgBanned, name) || strings.Contains(strings.ReplaceAll(value, "url(#", ""), "url(") {
					return "", fmt.Errorf("SVG: attribute %s=%q, want those of a plot", a.Name.Local, a.Value)
				}
			}
		case xml.ProcInst, xml.Directive:
			return "", fmt.Errorf("SVG: %T, want elements only", token)
		}
	}
	if elements == 0 {
		return "", fmt.Errorf("SVG: empty")
	}
	own := fmt.Sprintf("c%d-", no)
	svg = strings.Replace(svg, namespace, "", 1)
	svg = strings.NewReplacer(` id="`, ` id="`+own, "url(#", "url(#"+own).Replace(svg)
	return template.HTML(svg), nil
}
