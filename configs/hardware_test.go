package configs

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"splitkernel/sim/hardware"
	"splitkernel/sim/units"
)

// TestBundledHardware: every profile loads, says of every value where it comes from, and is written and read back the same.
func TestBundledHardware(t *testing.T) {
	names := BundledHardware()
	for _, want := range []string{"cxl", "legoos-cx3", "local-hdd", "local-nvme", "rdma-100g", "tcp-25g"} {
		if !slices.Contains(names, want) {
			t.Errorf("no profile %s among %v", want, names)
		}
	}
	for _, name := range names {
		p, err := LoadHardware(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if p.Name != name {
			t.Errorf("%s calls itself %q", name, p.Name)
		}
		var got []string
		for _, s := range p.Sources() {
			got = append(got, s.Key)
		}
		want := HardwareKeys()
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: sources of %v, want of %v", name, got, want)
		}
		sameAgain(t, p)
	}
}

type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

func sameAgain(t failer, p *hardware.Profile) {
	t.Helper()
	text, err := HardwareYAML(p)
	if err != nil {
		t.Fatalf("%s cannot be written: %v", p.Name, err)
	}
	again, err := ParseHardware("again", text)
	if err != nil {
		t.Fatalf("what was written is not read: %v\n%s", err, text)
	}
	if !reflect.DeepEqual(again, p) {
		t.Fatalf("%s is read back as\n%+v, want\n%+v", p.Name, again, p)
	}
}

// TestHardwareIsWrittenAndReadBack whatever the values and sources.
func TestHardwareIsWrittenAndReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := &hardware.Profile{Name: "this-machine", Description: rapid.StringMatching(`[ -~]{1,60}`).Draw(t, "description"), Hardware: hardware.DefaultOptions()}
		p.Link.Latency = units.Picos(rapid.Int64Range(0, int64(units.Millisecond)).Draw(t, "latency"))
		p.Link.Bandwidth = units.Rate(rapid.Uint64Range(1, 1<<40).Draw(t, "bandwidth"))
		p.Link.Loss = units.Share(rapid.Int64Range(0, int64(units.Whole)).Draw(t, "loss"))
		p.Endpoint.SocketPerKiB = units.PerKiB(rapid.Int64Range(0, 1<<30).Draw(t, "per"))
		p.Processor.CPI = units.Ratio(rapid.Int64Range(1, 1<<29).Draw(t, "cpi"))
		p.Device.Capacity = units.Size(rapid.Uint64Range(512, 1<<60).Draw(t, "capacity"))
		source := strings.TrimSpace(rapid.StringMatching(`[!-~µ→' ]{1,30}x`).Draw(t, "source"))
		for i, k := range HardwareKeys() {
			p.SetSource(k, fmt.Sprint(source, i))
		}
		if strings.TrimSpace(p.Description) == "" {
			p.Description = "x"
		}
		sameAgain(t, p)
	})
}

func TestAProfileWithoutSourcesIsNotWritten(t *testing.T) {
	p := &hardware.Profile{Name: "this machine", Hardware: hardware.DefaultOptions()}
	p.Link.Bandwidth = 0
	for _, k := range HardwareKeys()[1:] {
		p.SetSource(k, "measured")
	}
	_, err := HardwareYAML(p)
	want := []string{
		"this machine: description: missing, want text",
		`this machine: name: "this machine", want 1 to 32 letters, digits, - or _`,
		"this machine: link.bandwidth: 0 B/s, want more than 0",
		"this machine: link.latency.source: 0 bytes, want 1 to 1000",
	}
	if got := faultsOf(t, err); !slices.Equal(got, want) {
		t.Errorf("faults:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestBadHardware changes one line of a good profile at a time; each gives exactly one fault, by key.
func TestBadHardware(t *testing.T) {
	good, err := os.ReadFile(filepath.Join("hardware", "local-nvme.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	line := func(key string) string {
		for l := range strings.Lines(string(good)) {
			if strings.HasPrefix(strings.TrimSpace(l), key+": {") {
				return l
			}
		}
		t.Fatalf("no %s in the profile", key)
		return ""
	}
	for _, c := range []struct{ name, old, new, want string }{
		{"missing", line("jitter"), "", "bad.yaml: link.jitter: missing, want {value: …, source: …}"},
		{"no unit", line("jitter"), "  jitter: {value: 5, source: x}\n", `bad.yaml: link.jitter.value: "5" has no unit, want a number and one of s, ms, us, ns, ps`},
		{"negative", line("jitter"), "  jitter: {value: -5 ns, source: x}\n", `bad.yaml: link.jitter.value: "-5 ns" is negative, want at least 0`},
		{"another unit", line("bandwidth"), "  bandwidth: {value: 5 ns, source: x}\n", `bad.yaml: link.bandwidth.value: "5 ns", want a number and one of GB/s, Gbit/s, MB/s, Mbit/s, B/s`},
		{"zero", line("bandwidth"), "  bandwidth: {value: 0 GB/s, source: x}\n", "bad.yaml: link.bandwidth: 0 B/s, want more than 0"},
		{"a unit too many", line("channels"), "  channels: {value: 5 ns, source: x}\n", `bad.yaml: device.channels.value: "5 ns", want a number without unit`},
		{"half a thing", line("channels"), "  channels: {value: 1.5, source: x}\n", `bad.yaml: device.channels.value: "1.5" is too fine, want a multiple of 1`},
		{"no source", line("jitter"), "  jitter: {value: 5 ns}\n", "bad.yaml: link.jitter.source: missing, want text of 1 to 1000 bytes that says where the value comes from"},
		{"empty source", line("jitter"), "  jitter: {value: 5 ns, source: \" \"}\n", `bad.yaml: link.jitter.source: " ", want text of 1 to 1000 bytes that says where the value comes from`},
		{"no value", line("jitter"), "  jitter: {source: x}\n", "bad.yaml: link.jitter.value: missing, want a number and one of s, ms, us, ns, ps"},
		{"bare value", line("jitter"), "  jitter: 5 ns\n", `bad.yaml: link.jitter: "5 ns", want {value: …, source: …}`},
		{"unknown key", line("jitter"), line("jitter") + "  jittr: {value: 5 ns, source: x}\n", "bad.yaml: link.jittr: unknown key, did you mean jitter?"},
		{"unknown part", line("jitter"), "  jitter: {value: 5 ns, source: x, sauce: y}\n", "bad.yaml: link.jitter.sauce: unknown key, did you mean source?"},
		{"unknown section", "device:\n", "devise:\n", ""},
		{"no name", "name: local-nvme\n", "", "bad.yaml: name: missing, want text"},
		{"bad name", "name: local-nvme\n", "name: a b\n", `bad.yaml: name: "a b", want 1 to 32 letters, digits, - or _`},
		{"section is no section", "processor:\n", "processor: 5\nx:\n", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := strings.Replace(string(good), c.old, c.new, 1)
			if text == string(good) {
				t.Fatal("nothing was changed")
			}
			_, err := ParseHardware("bad.yaml", []byte(text))
			if err == nil {
				t.Fatal("loaded, want a fault")
			}
			got := faultsOf(t, err)
			if c.want == "" { // an unknown section, and the one that is then missing
				if len(got) != 2 {
					t.Errorf("faults %q, want two", got)
				}
			} else if !slices.Equal(got, []string{c.want}) {
				t.Errorf("faults %q, want %q", got, c.want)
			}
		})
	}
	if _, err := LoadHardware("nowhere"); err == nil || !strings.Contains(err.Error(), "want a path or one of the bundled hardware profiles: cxl, legoos-cx3") {
		t.Errorf("%v, want the bundled profiles listed", err)
	}
}

// TestModelsAreDocumented: every key of a profile stands in docs/models.md.
func TestModelsAreDocumented(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "docs", "models.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range HardwareKeys() {
		if !strings.Contains(string(text), "`"+k+"`") {
			t.Errorf("docs/models.md does not mention `%s`", k)
		}
	}
}

func FuzzParseHardware(f *testing.F) {
	for _, name := range BundledHardware() {
		text, err := bundled.ReadFile("hardware/" + name + ".yaml")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if p, err := ParseHardware("fuzz", text); err == nil {
			sameAgain(t, p)
		}
	})
}
