package httpapi_test

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// contract is the description of the interface, with the part of JSON Schema 2020-12 that it uses. A keyword that the
// checker does not know is a fault: it would hold nothing.
type contract struct{ doc map[string]any }

func readContract(t testing.TB, text []byte) *contract {
	t.Helper()
	var doc map[string]any
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	return &contract{doc}
}

// at follows keys; nil if there is none.
func at(v any, keys ...string) any {
	for _, k := range keys {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[k]
	}
	return v
}

// resolve follows references.
func (c *contract) resolve(v any) map[string]any {
	for {
		m, ok := v.(map[string]any)
		if !ok {
			panic(fmt.Sprintf("openapi.yaml: %v, want an object", v))
		}
		ref, ok := m["$ref"].(string)
		if !ok {
			return m
		}
		v = at(c.doc, strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
		if v == nil {
			panic("openapi.yaml: no " + ref)
		}
	}
}

// operations are "METHOD path" of all paths.
func (c *contract) operations() []string {
	var out []string
	for path, item := range c.doc["paths"].(map[string]any) {
		for method := range item.(map[string]any) {
			if method != "parameters" {
				out = append(out, strings.ToUpper(method)+" "+path)
			}
		}
	}
	slices.Sort(out)
	return out
}

// operation finds one, with the parameters of its path.
func (c *contract) operation(method, path string) (op map[string]any, parameters []any) {
	item := at(c.doc, "paths", path)
	op, _ = at(item, strings.ToLower(method)).(map[string]any)
	shared, _ := at(item, "parameters").([]any)
	own, _ := op["parameters"].([]any)
	return op, append(slices.Clone(shared), own...)
}

// response finds the description of an answer.
func (c *contract) response(op map[string]any, status int) (map[string]any, error) {
	r := at(op, "responses", fmt.Sprint(status))
	if r == nil && status >= 400 {
		r = at(op, "responses", "default")
	}
	if r == nil {
		return nil, fmt.Errorf("status %d is not described", status)
	}
	return c.resolve(r), nil
}

// keywords are those that the checker knows; true has no effect on what fits.
var keywords = map[string]bool{
	"type": false, "enum": false, "pattern": false, "minimum": false, "maximum": false, "maxLength": false, "maxItems": false, "items": false,
	"properties": false, "required": false, "additionalProperties": false, "allOf": false, "format": false,
	"description": true, "default": true,
}

// check reports where v does not fit a schema.
func (c *contract) check(where string, schema, v any) (faults []string) {
	s := c.resolve(schema)
	bad := func(format string, args ...any) { faults = append(faults, where+": "+fmt.Sprintf(format, args...)) }
	for k := range s {
		if _, ok := keywords[k]; !ok {
			bad("keyword %s, which this checker does not know", k)
		}
	}
	all, _ := s["allOf"].([]any)
	for _, e := range all {
		faults = append(faults, c.check(where, e, v)...)
	}
	if want, ok := s["type"].(string); ok && !hasType(want, v) {
		bad("%v, want a value of type %s", v, want)
		return faults
	}
	if enum, ok := s["enum"].([]any); ok && !slices.Contains(enum, v) {
		bad("%v, want one of %v", v, enum)
	}
	switch v := v.(type) {
	case string:
		if p, ok := s["pattern"].(string); ok && !regexp.MustCompile(p).MatchString(v) {
			bad("%q, want a match of %s", v, p)
		}
		if n, ok := s["maxLength"].(float64); ok && float64(len([]rune(v))) > n {
			bad("%d characters, want at most %v", len([]rune(v)), n)
		}
		if s["format"] == "date-time" {
			if _, err := time.Parse(time.RFC3339Nano, v); err != nil {
				bad("%v", err)
			}
		}
	case float64:
		if n, ok := s["minimum"].(float64); ok && v < n {
			bad("%v, want at least %v", v, n)
		}
		if n, ok := s["maximum"].(float64); ok && v > n {
			bad("%v, want at most %v", v, n)
		}
	case []any:
		if n, ok := s["maxItems"].(float64); ok && float64(len(v)) > n {
			bad("%d elements, want at most %v", len(v), n)
		}
		for i, e := range v {
			if s["items"] != nil {
				faults = append(faults, c.check(fmt.Sprintf("%s[%d]", where, i), s["items"], e)...)
			}
		}
	case map[string]any:
		required, _ := s["required"].([]any)
		for _, k := range required {
			if _, ok := v[k.(string)]; !ok {
				bad("no %v", k)
			}
		}
		properties, _ := s["properties"].(map[string]any)
		for k, e := range v {
			if p, ok := properties[k]; ok {
				faults = append(faults, c.check(where+"."+k, p, e)...)
			} else if s["additionalProperties"] == false {
				bad("%s, which the schema does not have", k)
			}
		}
	}
	return faults
}

func hasType(want string, v any) bool {
	switch v := v.(type) {
	case nil:
		return want == "null"
	case bool:
		return want == "boolean"
	case string:
		return want == "string"
	case float64:
		return want == "number" || want == "integer" && v == math.Trunc(v)
	case []any:
		return want == "array"
	case map[string]any:
		return want == "object"
	}
	return false
}

// undescribed reports properties of v, at any depth, that no schema names: where a schema is made of parts, none of them may
// forbid what the others have, so this is asked of the whole.
func (c *contract) undescribed(where string, schema, v any) (faults []string) {
	switch v := v.(type) {
	case []any:
		items := c.find(schema, "items")
		for i, e := range v {
			if items == nil {
				return nil
			}
			faults = append(faults, c.undescribed(fmt.Sprintf("%s[%d]", where, i), items, e)...)
		}
	case map[string]any:
		if !c.closed(schema) {
			return nil
		}
		for k, e := range v {
			p := c.property(schema, k)
			if p == nil {
				faults = append(faults, fmt.Sprintf("%s.%s: not described", where, k))
				continue
			}
			faults = append(faults, c.undescribed(where+"."+k, p, e)...)
		}
	}
	return faults
}

// closed reports whether a schema or a part of it names properties.
func (c *contract) closed(schema any) bool { return c.find(schema, "properties") != nil }

func (c *contract) find(schema any, keyword string) any {
	s := c.resolve(schema)
	if v := s[keyword]; v != nil {
		return v
	}
	all, _ := s["allOf"].([]any)
	for _, e := range all {
		if v := c.find(e, keyword); v != nil {
			return v
		}
	}
	return nil
}

func (c *contract) property(schema any, name string) any {
	s := c.resolve(schema)
	if v := at(s, "properties", name); v != nil {
		return v
	}
	all, _ := s["allOf"].([]any)
	for _, e := range all {
		if v := c.property(e, name); v != nil {
			return v
		}
	}
	return nil
}

// TestTheCheckerCanFail: what does not fit is found.
func TestTheCheckerCanFail(t *testing.T) {
	c := readContract(t, []byte(`{"components": {"schemas": {
		"A": {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer", "minimum": 1, "maximum": 5}, "s": {"type": "string", "pattern": "^a", "maxLength": 2},
			"e": {"enum": ["x"]}, "t": {"type": "string", "format": "date-time"}, "l": {"type": "array", "maxItems": 2, "items": {"type": "boolean"}}}},
		"B": {"allOf": [{"$ref": "#/components/schemas/A"}, {"required": ["m"], "properties": {"m": {"type": "null"}}}]},
		"C": {"type": "object", "additionalProperties": false, "properties": {}},
		"D": {"oneOf": []}}}}`))
	for _, tc := range []struct {
		schema, value string
		faults        int
	}{
		{"A", `{"n": 3, "s": "ab", "e": "x", "t": "2026-01-02T03:04:05Z", "l": [true]}`, 0},
		{"A", `{}`, 1}, {"A", `[]`, 1}, {"A", `{"n": 0}`, 1}, {"A", `{"n": 6}`, 1}, {"A", `{"n": 1.5}`, 1}, {"A", `{"n": "1"}`, 1},
		{"A", `{"n": 1, "s": "babble"}`, 2}, {"A", `{"n": 1, "e": "y"}`, 1}, {"A", `{"n": 1, "t": "now"}`, 1}, {"A", `{"n": 1, "l": [true, 1, false]}`, 2},
		{"A", `{"n": 1, "other": 1}`, 1},
		{"B", `{"n": 1, "m": null}`, 0}, {"B", `{"n": 1}`, 1}, {"B", `{"m": null}`, 1}, {"B", `{"n": 1, "m": null, "k": 2}`, 1},
		{"C", `{}`, 0}, {"C", `{"a": 1}`, 2},
		{"D", `{}`, 1},
	} {
		var v any
		if err := json.Unmarshal([]byte(tc.value), &v); err != nil {
			t.Fatal(err)
		}
		ref := map[string]any{"$ref": "#/components/schemas/" + tc.schema}
		if faults := append(c.check("", ref, v), c.undescribed("", ref, v)...); len(faults) != tc.faults {
			t.Errorf("%s of %s: %q, want %d", tc.value, tc.schema, faults, tc.faults)
		}
	}
}
