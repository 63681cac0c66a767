package configs

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// TestTheManualHasEveryKey compares docs/configuration.md with the code: each key stands there with its default.
func TestTheManualHasEveryKey(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "docs", "configuration.md"))
	if err != nil {
		t.Fatal(err)
	}
	c, w, v := DefaultCluster(), DefaultWorkload(), DefaultVNode()
	rows := append(defaults(reflect.ValueOf(c), ""), defaults(reflect.ValueOf(w), "")...)
	rows = append(rows, defaults(reflect.ValueOf(v), "")...)
	if len(rows) < 60 {
		t.Fatalf("%d keys found in the code, want them all", len(rows))
	}
	for _, r := range rows {
		if !strings.Contains(string(text), r) {
			t.Errorf("docs/configuration.md has no row that begins with %s", r)
		}
	}
}

// defaults gives the beginning of the table row of every scalar.
func defaults(v reflect.Value, prefix string) []string {
	var rows []string
	for _, f := range fieldsOf(v.Type()) {
		value := v.FieldByIndex(f.index)
		switch value.Kind() {
		case reflect.Struct:
			rows = append(rows, defaults(value, prefix+f.key+".")...)
		case reflect.Slice:
		default:
			shown := fmt.Sprintf("`%v`", value.Interface())
			switch {
			case isBytes(f.key) && value.CanUint():
				shown = "`" + FormatBytes(value.Uint()) + "`"
			case isBytes(f.key):
				shown = "`" + FormatBytes(uint64(value.Int())) + "`"
			case f.key == "format" && value.IsZero():
				shown = "recognised"
			case value.Kind() == reflect.String && value.IsZero():
				shown = "–"
			}
			rows = append(rows, fmt.Sprintf("| `%s` | %s |", prefix+f.key, shown))
		}
	}
	return rows
}

// TestTheManualHasEveryKeyOfASweep, and shows the bundled one as it is.
func TestTheManualHasEveryKeyOfASweep(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "docs", "experiments.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keysOf(fieldsOf(reflect.TypeFor[Sweep]())) {
		if !strings.Contains(string(text), "| `"+key+"` | ") {
			t.Errorf("docs/experiments.md has no row of %s", key)
		}
	}
	bundled, err := os.ReadFile(filepath.Join("experiments", "excache-size.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	_, body, _ := strings.Cut(string(bundled), "\nname: ")
	if !strings.Contains(string(text), "```yaml\nname: "+body+"```") {
		t.Error("docs/experiments.md shows another excache-size.yaml")
	}
}
