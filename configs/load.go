package configs

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/go-viper/mapstructure/v2"
	"github.com/spf13/viper"

	"splitkernel/sim/hardware"
)

// bundled holds the files that come with the program.
//
//go:embed clusters workloads hardware experiments traces prometheus
var bundled embed.FS

// LoadCluster reads a cluster by path or by the name of a bundled one. The error is a *FaultsError with every fault.
func LoadCluster(name string, over Overrides) (*Cluster, error) {
	src, err := openSource("clusters", name)
	if err != nil {
		return nil, err
	}
	return ParseCluster(src.label, src.text, over)
}

// ParseCluster reads a cluster from text; faults name it by label. What Cluster.YAML wrote is read without overrides.
func ParseCluster(label string, text []byte, over Overrides) (*Cluster, error) {
	fs := newFaults(label)
	raw, err := parseYAML(fs, text)
	if err != nil {
		return nil, err
	}
	apply(fs, raw, over.forFile(fs, false, leaves(reflect.TypeFor[Cluster](), "", nil)))
	c := DefaultCluster()
	top := checkSection(fs, "", raw, reflect.TypeFor[Cluster](), "nodes")
	fs.decode(top, &c)
	c.Nodes = loadNodes(fs, &c, raw["nodes"])
	if len(fs.list) == 0 { // bounds are only worth telling of values that could be read
		c.validate(fs)
	}
	if err := fs.err(); err != nil {
		return nil, err
	}
	return &c, nil
}

// LoadWorkload reads a workload by path or by the name of a bundled one. The error is a *FaultsError with every fault.
func LoadWorkload(name string, over Overrides) (*Workload, error) {
	src, err := openSource("workloads", name)
	if err != nil {
		return nil, err
	}
	fs := newFaults(src.label)
	raw, err := parseYAML(fs, src.text)
	if err != nil {
		return nil, err
	}
	apply(fs, raw, over.forFile(fs, true, leaves(reflect.TypeFor[Workload](), "", nil)))
	w := DefaultWorkload()
	w.dir, w.files = src.dir, src.files
	top := checkSection(fs, "", raw, reflect.TypeFor[Workload](), "vnodes")
	fs.decode(top, &w)
	w.Vnodes = loadVnodes(fs, raw["vnodes"])
	if len(fs.list) == 0 {
		w.validate(fs)
	}
	if err := fs.err(); err != nil {
		return nil, err
	}
	return &w, nil
}

// LoadHardware reads a hardware profile by path or by the name of a bundled one. The error is a *FaultsError with every fault.
func LoadHardware(name string) (*hardware.Profile, error) {
	return loadHardware(name, nil)
}

func loadHardware(name string, changes []changedValue) (*hardware.Profile, error) {
	src, err := openSource("hardware", name)
	if err != nil {
		return nil, err
	}
	return parseHardware(src.label, src.text, changes)
}

// LoadSweep reads a sweep by path or by the name of a bundled one. The error is a *FaultsError with every fault of the file itself;
// those of its runs are told by Runs.
func LoadSweep(name string) (*Sweep, error) {
	src, err := openSource("experiments", name)
	if err != nil {
		return nil, err
	}
	fs := newFaults(src.label)
	raw, err := parseYAML(fs, src.text)
	if err != nil {
		return nil, err
	}
	s := DefaultSweep()
	s.label, s.dir, s.bundled = src.label, src.dir, src.files != nil
	fs.decode(checkSection(fs, "", raw, reflect.TypeFor[Sweep](), "seeds", "matrix", "exclude", "only"), &s)
	s.read(fs, raw, src.text)
	if err := fs.err(); err != nil {
		return nil, err
	}
	return &s, nil
}

// source is a configuration file and where the paths in it start.
type source struct {
	label string // how faults name the file
	text  []byte
	files fs.FS  // the bundled files, or nil for the machine's
	dir   string // folder of the file
}

// openSource finds a configuration: a bare name is a bundled file unless a file of that name lies in the current folder.
func openSource(kind, name string) (source, error) {
	text, err := os.ReadFile(name)
	if err == nil {
		return source{label: filepath.Base(name), text: text, dir: filepath.Dir(name)}, nil
	}
	if !strings.ContainsAny(name, `/\.`) {
		if text, err := bundled.ReadFile(kind + "/" + name + ".yaml"); err == nil {
			return source{label: name + ".yaml", text: text, files: bundled, dir: kind}, nil
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		what := kind
		switch kind {
		case "hardware":
			what = "hardware profiles"
		case "experiments":
			what = "sweeps"
		}
		return source{}, &FaultsError{[]string{fmt.Sprintf("%s: no such file, want a path or one of the bundled %s: %s",
			name, what, strings.Join(bundledNames(kind), ", "))}}
	}
	return source{}, &FaultsError{[]string{fmt.Sprintf("%s: cannot be read: %s", name, err)}}
}

func bundledNames(kind string) []string {
	entries, err := bundled.ReadDir(kind)
	if err != nil {
		panic(err) // the folder is embedded
	}
	var names []string
	for _, e := range entries {
		if n, ok := strings.CutSuffix(e.Name(), ".yaml"); ok {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	return names
}

// decode writes checked values over the defaults in into. checkSection has seen every key and type before, so an error
// here is a fault of the program that would otherwise lose a setting silently.
func (f *faults) decode(checked map[string]any, into any) {
	v := viper.NewWithOptions(viper.KeyDelimiter("\x00")) // keys are never split: a dot in a name is a dot
	if err := v.MergeConfigMap(checked); err != nil {
		f.add("", "%s", err)
		return
	}
	err := v.UnmarshalExact(into, func(c *mapstructure.DecoderConfig) {
		c.TagName = "yaml"
		c.WeaklyTypedInput = false
		c.DecodeHook = nil // viper's own would make 5 ns of `timeout: 5`
		c.MatchName = func(key, name string) bool { return key == name || key == snake(name) }
	})
	if err != nil {
		f.add("", "%s", err)
	}
}

// Prometheus gives the bundled configuration of Prometheus, by the name of the file: prometheus.yml, which reads targets.json beside it,
// and the rules that it names. An interval above 0 is that of scrapes and rules instead of the file's own.
func Prometheus(interval time.Duration) map[string][]byte {
	files := map[string][]byte{}
	for _, name := range []string{"prometheus.yml", "rules.yml", "alerts.yml"} {
		text, err := bundled.ReadFile("prometheus/" + name)
		if err != nil {
			panic(err) // the file is embedded
		}
		files[name] = text
	}
	if interval > 0 {
		files["prometheus.yml"] = prometheusInterval.ReplaceAll(files["prometheus.yml"], fmt.Appendf(nil, "${1}%dms", interval.Milliseconds()))
	}
	return files
}

// prometheusInterval are the intervals of prometheus.yml.
var prometheusInterval = regexp.MustCompile(`(?m)^( *(?:scrape_interval|scrape_timeout|evaluation_interval|refresh_interval): )\S+`)
