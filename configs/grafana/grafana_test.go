package grafana

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

var update = flag.Bool("update", false, "write the dashboards anew")

// TestDashboards: the files are those of the description, and no others lie there.
func TestDashboards(t *testing.T) {
	var want []string
	for _, d := range Dashboards() {
		path := filepath.Join("dashboards", d.Name+".json")
		want = append(want, path)
		if *update {
			if err := os.WriteFile(path, d.JSON(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		is, err := os.ReadFile(path)
		if err != nil || !bytes.Equal(is, d.JSON()) {
			t.Errorf("%s is not that of the description (%v): run go test ./configs/grafana -run Dashboards -update", path, err)
		}
	}
	is, err := filepath.Glob("dashboards/*")
	slices.Sort(want)
	if err != nil || !slices.Equal(is, want) {
		t.Errorf("files %v, %v, want %v", is, err, want)
	}
}

// read is what Grafana looks at.
type read struct {
	UID        string
	Title      string
	Templating struct {
		List []struct{ Name, Query string }
	}
	Panels []struct {
		ID          int
		Type, Title string
		GridPos     struct{ X, Y, W, H int }
		Targets     []struct {
			RefID, Expr string
			Datasource  struct{ Type, UID string }
		}
		FieldConfig struct {
			Defaults struct {
				Unit  string
				Links []struct{ URL string }
			}
		}
	}
}

func all(t *testing.T) (list []read) {
	t.Helper()
	files, err := filepath.Glob("dashboards/*.json")
	if err != nil || len(files) < 7 {
		t.Fatalf("%d dashboards, %v", len(files), err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		var d read
		if err := json.Unmarshal(text, &d); err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		list = append(list, d)
	}
	return list
}

// TestStructure: ids, places, units, variables and links are such that Grafana shows them.
func TestStructure(t *testing.T) {
	dashboards := all(t)
	uids := map[string]bool{}
	for _, d := range dashboards {
		if uids[d.UID] || !strings.HasPrefix(d.UID, uidPrefix) || len(d.UID) > 40 {
			t.Errorf("uid %q: twice, too long, or without its prefix", d.UID)
		}
		uids[d.UID] = true
	}
	links := 0
	for _, d := range dashboards {
		fault := func(format string, args ...any) { t.Errorf(d.Title+": "+format, args...) }
		vars := map[string]bool{"__rate_interval": true}
		for i, v := range d.Templating.List {
			if i == 0 && v.Name != "cluster" {
				fault("the first variable is %q", v.Name)
			}
			for _, used := range variables(v.Query) {
				if !vars[used] {
					fault("variable %s needs $%s before it", v.Name, used)
				}
			}
			vars[v.Name] = true
		}
		ids, taken := map[int]bool{}, map[[2]int]string{}
		for _, p := range d.Panels {
			if ids[p.ID] {
				fault("two panels of id %d", p.ID)
			}
			ids[p.ID] = true
			for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
				for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
					if other, is := taken[[2]int{x, y}]; is || x >= pageWidth {
						fault("%q lies over %q or beside the page", p.Title, other)
					}
					taken[[2]int{x, y}] = p.Title
				}
			}
			if p.Type == "row" {
				continue
			}
			if p.Title == "" || len(p.Targets) == 0 || p.FieldConfig.Defaults.Unit == "" {
				fault("panel %d, %q: no title, query or unit", p.ID, p.Title)
			}
			refs := map[string]bool{}
			for _, q := range p.Targets {
				if refs[q.RefID] || q.Datasource.UID != datasource || q.Datasource.Type != "prometheus" || !strings.Contains(q.Expr, `cluster="$cluster"`) {
					fault("%q, query %s: %s", p.Title, q.RefID, q.Expr)
				}
				refs[q.RefID] = true
				for _, used := range variables(q.Expr) {
					if !vars[used] {
						fault("%q: no variable $%s", p.Title, used)
					}
				}
			}
			for _, l := range p.FieldConfig.Defaults.Links {
				uid, _, _ := strings.Cut(strings.TrimPrefix(l.URL, "/d/"), "?")
				if links++; !uids[uid] {
					fault("%q leads to %q, which is none", p.Title, l.URL)
				}
			}
		}
	}
	if links == 0 {
		t.Error("no panel leads to another dashboard")
	}
}

var variable = regexp.MustCompile(`\$\{?([a-zA-Z_]+)`)

func variables(text string) (names []string) {
	for _, m := range variable.FindAllStringSubmatch(text, -1) {
		names = append(names, m[1])
	}
	return names
}

// TestProvisioning: the data source is the one that panels name, at the address that compose.yaml gives it, and the folders are those that it mounts.
func TestProvisioning(t *testing.T) {
	parse := func(path string, into any) {
		t.Helper()
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := yaml.Unmarshal(text, into); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
	}
	var sources struct {
		Datasources []struct{ UID, Type, URL string }
	}
	parse("provisioning/datasources/splitkernel.yaml", &sources)
	if len(sources.Datasources) != 1 || sources.Datasources[0].UID != datasource || sources.Datasources[0].Type != "prometheus" || sources.Datasources[0].URL != "$PROMETHEUS_URL" {
		t.Errorf("data sources %+v", sources)
	}
	var providers struct {
		Providers []struct {
			Type    string
			Options struct{ Path string }
		}
	}
	parse("provisioning/dashboards/splitkernel.yaml", &providers)
	var compose struct {
		Services map[string]struct {
			Image       string
			NetworkMode string `yaml:"network_mode"`
			Command     []string
			Environment map[string]string
			Volumes     []string
		}
	}
	parse("compose.yaml", &compose)
	g, p := compose.Services["grafana"], compose.Services["prometheus"]
	for name, s := range compose.Services {
		if s.NetworkMode != "host" || s.Image == "" {
			t.Errorf("%s: image %q on network %q, want the host's: nodes are on loopback", name, s.Image, s.NetworkMode)
		}
	}
	if g.Environment["PROMETHEUS_URL"] != "${PROMETHEUS_URL:-http://127.0.0.1:9090}" || !slices.Contains(p.Command, "--web.listen-address=127.0.0.1:9090") || g.Environment["GF_SERVER_HTTP_ADDR"] != "127.0.0.1" {
		t.Errorf("addresses: %v, %v", g.Environment, p.Command)
	}
	if len(providers.Providers) != 1 || !slices.Contains(g.Volumes, "./dashboards:"+providers.Providers[0].Options.Path+":ro") || !slices.Contains(g.Volumes, "./provisioning:/etc/grafana/provisioning:ro") {
		t.Errorf("dashboards are looked for in %+v, and mounted are %v", providers.Providers, g.Volumes)
	}
	home := g.Environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
	if _, err := os.Stat(filepath.Join("dashboards", filepath.Base(home))); err != nil || filepath.Dir(home) != providers.Providers[0].Options.Path {
		t.Errorf("home %q: %v", home, err)
	}
	if fmt.Sprint(p.Volumes) != "[${RUN:-.}:/run/splitkernel:ro]" || !slices.Contains(p.Command, "--config.file=/run/splitkernel/prometheus.yml") {
		t.Errorf("Prometheus reads %v of %v", p.Command, p.Volumes)
	}
}
