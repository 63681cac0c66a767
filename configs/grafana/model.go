package grafana

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// Dashboard is one page of Grafana.
type Dashboard struct {
	Name  string // of the file, and after a prefix the uid: "overview"
	Title string
	About string
	Vars  []Var
	Rows  []Row
}

// Var is a choice at the head of a page: the values of a label.
type Var struct {
	Name, Label string
	Values      string // label_values(SELECTOR, LABEL)
	Multi       bool   // several, or all: queries match it with =~
}

// Row is a heading with panels.
type Row struct {
	Title  string
	Panels []Panel
}

// Panel is one picture.
type Panel struct {
	Title   string
	About   string
	Kind    string // of Grafana; empty is timeseries
	Unit    string // of Grafana: "s", "Bps", "percentunit"; empty is a number
	Queries []Query
	Width   int     // of 24; 0 is a third of the page, a stat an eighth
	Max     float64 // of the axis; 0 is open
	Stack   bool
	Link    string   // name of the dashboard to which a series leads that has the label node
	Map     []string // texts for the values 0, 1, ...
}

// Query is one question to Prometheus.
type Query struct {
	Expr   string
	Legend string
}

const (
	uidPrefix     = "splitkernel-"
	datasource    = "splitkernel" // as in provisioning
	schemaVersion = 39            // of Grafana 11
	panelHeight   = 8
	statHeight    = 4
	pageWidth     = 24
)

type obj = map[string]any

// JSON is the dashboard as Grafana reads it. The same description gives the same bytes.
func (d Dashboard) JSON() []byte {
	source := obj{"type": "prometheus", "uid": datasource}
	vars := []obj{}
	for _, v := range d.Vars {
		x := obj{
			"name": v.Name, "label": v.Label, "type": "query", "datasource": source, "query": v.Values, "definition": v.Values,
			"refresh": 2 /* whenever the times change */, "sort": 1, "multi": v.Multi, "includeAll": v.Multi, "hide": 0,
		}
		if v.Multi {
			x["current"] = obj{"text": "All", "value": "$__all"}
		}
		vars = append(vars, x)
	}
	panels, id, y := []obj{}, 0, 0
	for _, r := range d.Rows {
		id++
		panels = append(panels, obj{"id": id, "type": "row", "title": r.Title, "collapsed": false, "panels": []obj{}, "gridPos": obj{"x": 0, "y": y, "w": pageWidth, "h": 1}})
		y++
		x, high := 0, 0
		for _, p := range r.Panels {
			id++
			w, h := p.size()
			if x+w > pageWidth {
				x, y, high = 0, y+high, 0
			}
			panels = append(panels, p.json(id, obj{"x": x, "y": y, "w": w, "h": h}, source))
			x, high = x+w, max(high, h)
		}
		y += high
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false) // queries have > and &
	e.SetIndent("", " ")
	if err := e.Encode(obj{
		"uid": uidPrefix + d.Name, "title": d.Title, "description": d.About, "tags": []string{"splitkernel"},
		"schemaVersion": schemaVersion, "version": 1, "editable": false, "graphTooltip": 1 /* one cross-hair for all */, "refresh": "5s", "timezone": "browser",
		"time":       obj{"from": "now-5m", "to": "now"},
		"timepicker": obj{"refresh_intervals": []string{"1s", "5s", "10s", "30s", "1m"}},
		"templating": obj{"list": vars},
		"links":      []obj{{"type": "dashboards", "title": "splitkernel", "tags": []string{"splitkernel"}, "asDropdown": false, "includeVars": true, "keepTime": true, "targetBlank": false, "icon": "external link", "tooltip": "", "url": ""}},
		"annotations": obj{"list": []obj{{
			"name": "alerts", "enable": true, "iconColor": "red", "datasource": source,
			"expr": `ALERTS{cluster="$cluster", alertstate="firing"}`, "titleFormat": "{{alertname}}", "textFormat": "{{node}}", "step": "1s",
		}}},
		"panels": panels,
	}); err != nil {
		panic(err) // only maps, slices, texts and numbers
	}
	return out.Bytes()
}

func (p Panel) size() (w, h int) {
	w, h = 8, panelHeight
	if p.Kind == "stat" {
		w, h = 3, statHeight
	}
	if p.Width > 0 {
		w = p.Width
	}
	return w, h
}

func (p Panel) json(id int, at, source obj) obj {
	targets := []obj{}
	for i, q := range p.Queries {
		targets = append(targets, obj{
			"refId": string(rune('A' + i)), "datasource": source, "expr": strings.Join(strings.Fields(q.Expr), " "), "legendFormat": q.Legend,
			"range": true, "instant": false, "editorMode": "code",
		})
	}
	defaults := obj{"unit": orShort(p.Unit), "min": 0, "color": obj{"mode": "palette-classic"}}
	if p.Max > 0 {
		defaults["max"] = p.Max
	}
	if p.Link != "" {
		defaults["links"] = []obj{{
			"title": "${__field.labels.node}", "url": fmt.Sprintf("/d/%s%s?var-cluster=${cluster}&var-node=${__field.labels.node}&${__url_time_range}", uidPrefix, p.Link),
		}}
	}
	if len(p.Map) > 0 {
		texts := obj{}
		for i, text := range p.Map {
			texts[fmt.Sprint(i)] = obj{"text": text, "index": i, "color": []string{"red", "green"}[min(i, 1)]}
		}
		defaults["mappings"] = []obj{{"type": "value", "options": texts}}
	}
	kind := p.Kind
	var options obj
	switch kind {
	case "":
		kind = "timeseries"
		custom := obj{"fillOpacity": 10, "showPoints": "never", "spanNulls": false, "lineWidth": 1}
		if p.Stack {
			custom["stacking"] = obj{"mode": "normal", "group": "A"}
			custom["fillOpacity"] = 40
		}
		defaults["custom"] = custom
		options = obj{"legend": obj{"displayMode": "list", "placement": "bottom", "showLegend": true, "calcs": []string{}}, "tooltip": obj{"mode": "multi", "sort": "desc"}}
	case "stat":
		defaults["color"] = obj{"mode": "fixed", "fixedColor": "text"}
		options = obj{"reduceOptions": obj{"calcs": []string{"lastNotNull"}, "fields": "", "values": false}, "graphMode": "area", "colorMode": "value", "textMode": "value"}
	case "state-timeline":
		defaults["custom"] = obj{"fillOpacity": 70, "lineWidth": 0}
		options = obj{"mergeValues": true, "showValue": "never", "rowHeight": 0.9, "legend": obj{"displayMode": "list", "placement": "bottom", "showLegend": true, "calcs": []string{}}}
	default:
		panic("no such kind of panel: " + kind)
	}
	return obj{
		"id": id, "type": kind, "title": p.Title, "description": p.About, "datasource": source, "gridPos": at, "targets": targets,
		"fieldConfig": obj{"defaults": defaults, "overrides": []obj{}}, "options": options,
	}
}

func orShort(unit string) string {
	if unit == "" {
		return "short"
	}
	return unit
}
