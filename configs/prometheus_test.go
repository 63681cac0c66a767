package configs

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// promtool runs Debian's promtool in the folder of the rules.
func promtool(t *testing.T, args ...string) {
	t.Helper()
	exe, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("no promtool on the PATH: the rules of Prometheus were not tested; install it with `apt-get install --no-install-recommends prometheus`")
	}
	cmd := exec.Command(exe, args...)
	cmd.Dir = "prometheus"
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func TestPrometheusConfig(t *testing.T) {
	promtool(t, "check", "config", "prometheus.yml")
	promtool(t, "check", "rules", "rules.yml", "alerts.yml")
}

func TestPrometheusRules(t *testing.T) {
	promtool(t, "test", "rules", "rules_test.yml", "alerts_test.yml")
}

// TestEveryRuleIsTested: a rule without a test of its own is one that nobody has seen fire. It also says what to do.
func TestEveryRuleIsTested(t *testing.T) {
	for _, name := range []string{"rules", "alerts"} {
		text, err := os.ReadFile(filepath.Join("prometheus", name+".yml"))
		if err != nil {
			t.Fatal(err)
		}
		tests, err := os.ReadFile(filepath.Join("prometheus", name+"_test.yml"))
		if err != nil {
			t.Fatal(err)
		}
		var file struct {
			Groups []struct {
				Rules []struct {
					Record, Alert, Expr string
					Labels, Annotations map[string]string
				}
			}
		}
		if err := yaml.Unmarshal(text, &file); err != nil {
			t.Fatal(err)
		}
		rules := 0
		for _, g := range file.Groups {
			for _, r := range g.Rules {
				rules++
				seen := fmt.Appendf(nil, "'%s{", r.Record) // what a test expects of it
				if r.Alert != "" {
					seen = fmt.Appendf(nil, `alertname="%s"`, r.Alert)
					if r.Labels["severity"] == "" || r.Annotations["summary"] == "" || r.Annotations["action"] == "" {
						t.Errorf("alert %s has no severity, summary or action", r.Alert)
					}
					if bytes.Contains(tests, []byte("alertname: "+r.Alert+"\n")) {
						continue // with its annotations
					}
				}
				if !bytes.Contains(tests, seen) && !bytes.Contains(tests, []byte("expr: "+r.Record)) {
					t.Errorf("%s%s has no test in %s_test.yml", r.Record, r.Alert, name)
				}
			}
		}
		if rules < 10 {
			t.Errorf("%s.yml has only %d rules", name, rules)
		}
	}
}

var updatePages = flag.Bool("update", false, "write the table of alerts in docs/dashboards.md anew")

const (
	alertsBegin = "<!-- alerts: made by go test ./configs -run TestAlertsPage -update -->\n"
	alertsEnd   = "<!-- alerts: end -->\n"
)

// TestAlertsPage: the table of alerts in docs/dashboards.md is that of alerts.yml.
func TestAlertsPage(t *testing.T) {
	var file struct {
		Groups []struct {
			Rules []struct {
				Alert, For          string
				Labels, Annotations map[string]string
			}
		}
	}
	if err := yaml.Unmarshal(Prometheus(0)["alerts.yml"], &file); err != nil {
		t.Fatal(err)
	}
	want := "| alert | severity | after | says | action |\n|---|---|---|---|---|\n"
	plain := strings.NewReplacer("{{ $labels.", "*", "{{ $value", "*value", " | humanizePercentage", "", " | humanizeDuration", "", " }}", "*") // {{ $labels.node }} is *node*
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			wait := r.For
			if wait == "" {
				wait = "at once"
			}
			want += fmt.Sprintf("| `%s` | %s | %s | %s | %s |\n", r.Alert, r.Labels["severity"], wait, plain.Replace(r.Annotations["summary"]), r.Annotations["action"])
		}
	}
	path := filepath.Join("..", "docs", "dashboards.md")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := strings.Cut(string(text), alertsBegin)
	is, after, ok2 := strings.Cut(rest, alertsEnd)
	if !ok1 || !ok2 {
		t.Fatalf("%s lacks the comments round the table", path)
	}
	if is == want {
		return
	}
	if !*updatePages {
		t.Fatal("the table of docs/dashboards.md is not that of alerts.yml: run go test ./configs -run TestAlertsPage -update")
	}
	if err := os.WriteFile(path, []byte(before+alertsBegin+want+alertsEnd+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestPrometheusInterval: what is written into a cluster's folder is the bundled configuration, at another pace if one is wanted.
func TestPrometheusInterval(t *testing.T) {
	type config struct {
		Global map[string]string
		Rules  []string `yaml:"rule_files"`
		Scrape []struct {
			Job string `yaml:"job_name"`
			SD  []struct {
				Files    []string
				Interval string `yaml:"refresh_interval"`
			} `yaml:"file_sd_configs"`
		} `yaml:"scrape_configs"`
	}
	for interval, want := range map[time.Duration]string{0: "1s", 250 * time.Millisecond: "250ms", 10 * time.Second: "10000ms"} {
		files := Prometheus(interval)
		var c config
		if err := yaml.Unmarshal(files["prometheus.yml"], &c); err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{"scrape_interval", "scrape_timeout", "evaluation_interval"} {
			if c.Global[key] != want {
				t.Errorf("%v: %s is %q, want %s", interval, key, c.Global[key], want)
			}
		}
		if len(c.Scrape) != 1 || c.Scrape[0].Job != "splitkernel" || len(c.Scrape[0].SD) != 1 || fmt.Sprint(c.Scrape[0].SD[0].Files) != "[targets.json]" || c.Scrape[0].SD[0].Interval != want {
			t.Errorf("%v: what is scraped: %+v", interval, c.Scrape)
		}
		for _, name := range c.Rules {
			if files[name] == nil {
				t.Errorf("the rules %s are not written beside it", name)
			}
		}
	}
}
