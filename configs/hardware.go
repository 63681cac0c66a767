package configs

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"splitkernel/sim/hardware"
	"splitkernel/sim/units"
)

// ParseHardware reads a hardware profile from text; faults name it by label. What HardwareYAML wrote is read back the same.
//
// Every key must be there, each as {value: 1.2 us, source: "where it comes from"}. A profile has no defaults: a cost that it leaves
// out would be a constant in the code.
func ParseHardware(label string, text []byte) (*hardware.Profile, error) {
	return parseHardware(label, text, nil)
}

// changedValue is the value that a key of a profile has instead of that of the file.
type changedValue struct {
	key    string // as in link.latency
	value  any
	origin string
}

// changedSource is the source of such a value.
const changedSource = "set by a sweep"

// changeHardware writes other values into what the file says.
func changeHardware(fs *faults, raw map[string]any, changes []changedValue) {
	for _, c := range changes {
		if known := HardwareKeys(); !slices.Contains(known, c.key) {
			fs.list = append(fs.list, c.origin+": "+suggest(c.key, known))
			continue
		}
		if err := setPath(raw, strings.Split(c.key, "."), map[string]any{"value": c.value, "source": changedSource}); err != nil {
			fs.list = append(fs.list, c.origin+": "+err.Error())
			continue
		}
		fs.origins[c.key], fs.origins[c.key+".value"] = c.origin, c.origin
	}
}

func parseHardware(label string, text []byte, changes []changedValue) (*hardware.Profile, error) {
	fs := newFaults(label)
	raw, err := parseYAML(fs, text)
	if err != nil {
		return nil, err
	}
	changeHardware(fs, raw, changes)
	p := &hardware.Profile{}
	for _, k := range []struct {
		key  string
		into *string
	}{{"name", &p.Name}, {"description", &p.Description}} {
		s, ok := raw[k.key].(string)
		if !ok || s == "" {
			fs.add(k.key, "%s, want text", show(raw[k.key]))
		}
		*k.into = s
		delete(raw, k.key)
	}
	if host, ok := raw["host"]; ok {
		if p.Host, ok = host.(string); !ok || p.Host == "" || len(p.Host) > hardware.MaxSource {
			fs.add("host", "%s, want text of 1 to %d bytes, or no such key", show(host), hardware.MaxSource)
		}
		delete(raw, "host")
	}
	readQuantities(fs, p, raw, "", reflect.ValueOf(&p.Hardware).Elem())
	if len(fs.list) == 0 {
		checkName(fs, "name", p.Name)
		fs.addErr("", p.Validate())
	}
	if err := fs.err(); err != nil {
		return nil, err
	}
	return p, nil
}

// readQuantities reads the section raw into v and its sources into p.
func readQuantities(fs *faults, p *hardware.Profile, raw map[string]any, prefix string, v reflect.Value) {
	fields := fieldsOf(v.Type())
	known := []string{}
	if prefix == "" {
		known = append(known, "name", "description", "host")
	}
	known = append(known, keysOf(fields)...)
	for _, k := range sortedKeys(raw) {
		if !hasKey(fields, k) {
			fs.unknown(prefix, k, known)
		}
	}
	for _, f := range fields {
		key, value := prefix+f.key, v.FieldByIndex(f.index)
		m, ok := raw[f.key].(map[string]any)
		q, leaf := value.Addr().Interface().(units.Parser)
		switch {
		case ok && leaf:
			readQuantity(fs, p, m, key, q)
		case ok:
			readQuantities(fs, p, m, key+".", value)
		case leaf:
			fs.add(key, "%s, want {value: …, source: …}", show(raw[f.key]))
		default:
			fs.add(key, "%s, want a section of keys", show(raw[f.key]))
		}
	}
}

// readQuantity reads one {value, source}.
func readQuantity(fs *faults, p *hardware.Profile, m map[string]any, key string, q units.Parser) {
	for _, k := range sortedKeys(m) {
		if k != "value" && k != "source" {
			fs.unknown(key+".", k, []string{"value", "source"})
		}
	}
	switch v := m["value"].(type) {
	case string:
		if err := q.Parse(v); err != nil {
			fs.add(key+".value", "%s", err)
		}
	case float64:
		if err := q.Parse(strconv.FormatFloat(v, 'f', -1, 64)); err != nil {
			fs.add(key+".value", "%s", err)
		}
	case int, int64, uint64:
		if err := q.Parse(fmt.Sprint(v)); err != nil {
			fs.add(key+".value", "%s", err)
		}
	default:
		want := "a number and one of " + q.Units()
		if q.Units() == "" {
			want = "a number"
		}
		fs.add(key+".value", "%s, want %s", show(v), want)
	}
	source, ok := m["source"].(string)
	source = strings.TrimSpace(source)
	if !ok || source == "" || len(source) > hardware.MaxSource {
		fs.add(key+".source", "%s, want text of 1 to %d bytes that says where the value comes from", show(m["source"]), hardware.MaxSource)
		return
	}
	p.SetSource(key, source)
}

// HardwareYAML writes a profile as a file that is read back the same. A value without source is a fault of who made the profile.
func HardwareYAML(p *hardware.Profile) ([]byte, error) {
	fs := newFaults(p.Name)
	n := &yaml.Node{Kind: yaml.MappingNode}
	n.Content = append(n.Content, yamlText("name"), yamlText(p.Name), yamlText("description"), yamlText(p.Description))
	if p.Description == "" {
		fs.add("description", "missing, want text")
	}
	checkName(fs, "name", p.Name)
	fs.addErr("", p.Validate())
	if p.Host != "" {
		n.Content = append(n.Content, yamlText("host"), yamlText(p.Host))
	}
	n.Content = append(n.Content, quantities(fs, p, "", reflect.ValueOf(&p.Hardware).Elem()).Content...)
	if err := fs.err(); err != nil {
		return nil, err
	}
	return toYAML(n), nil
}

// quantities is the section of v as YAML.
func quantities(fs *faults, p *hardware.Profile, prefix string, v reflect.Value) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	for _, f := range fieldsOf(v.Type()) {
		key, value := prefix+f.key, v.FieldByIndex(f.index)
		n.Content = append(n.Content, yamlText(f.key))
		q, leaf := value.Interface().(units.Quantity)
		if !leaf {
			n.Content = append(n.Content, quantities(fs, p, key+".", value))
			continue
		}
		source := p.Source(key)
		if source == "" || len(source) > hardware.MaxSource {
			fs.add(key+".source", "%d bytes, want 1 to %d", len(source), hardware.MaxSource)
		}
		// A bare number is a number: only what has no unit is written without quotes, and both are read.
		text := &yaml.Node{Kind: yaml.ScalarNode, Value: q.String()}
		n.Content = append(n.Content, &yaml.Node{
			Kind: yaml.MappingNode, Style: yaml.FlowStyle, Content: []*yaml.Node{yamlText("value"), text, yamlText("source"), yamlText(source)},
		})
	}
	return n
}

// HardwareKeys are the dotted keys of the values of a profile, in the order of the file.
func HardwareKeys() []string {
	var keys []string
	var walk func(t reflect.Type, prefix string)
	walk = func(t reflect.Type, prefix string) {
		for _, f := range fieldsOf(t) {
			if reflect.PointerTo(f.typ).Implements(reflect.TypeFor[units.Parser]()) {
				keys = append(keys, prefix+f.key)
			} else {
				walk(f.typ, prefix+f.key+".")
			}
		}
	}
	walk(reflect.TypeFor[hardware.Hardware](), "")
	return keys
}

// BundledHardware are the names of the profiles that come with the program.
func BundledHardware() []string { return bundledNames("hardware") }

// flatHardware gives every value by its key, with its unit.
func flatHardware(p *hardware.Profile) map[string]any {
	out := map[string]any{}
	var walk func(v reflect.Value, prefix string)
	walk = func(v reflect.Value, prefix string) {
		for _, f := range fieldsOf(v.Type()) {
			value := v.FieldByIndex(f.index)
			if q, leaf := value.Interface().(units.Quantity); leaf {
				out[prefix+f.key] = q.String()
			} else {
				walk(value, prefix+f.key+".")
			}
		}
	}
	walk(reflect.ValueOf(p.Hardware), hardwarePrefix)
	return out
}
