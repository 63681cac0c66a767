package study

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"
	"os"

	"go.yaml.in/yaml/v3"

	"splitkernel/sim/study/cost"
	"splitkernel/sim/study/mttf"
	"splitkernel/sim/study/packing"
)

//go:embed models/*.yaml
var bundled embed.FS

// MaxModelBytes bounds a model file.
const MaxModelBytes = 1 << 20

// MaxDesigns bounds the designs of a file of devices.
const MaxDesigns = 1000

// load reads a file, or the bundled one of a name, onto to; unknown keys are faults.
func load(path, name string, to any) error {
	var text []byte
	var err error
	if path == "" {
		path = "bundled " + name
		text, err = bundled.ReadFile("models/" + name)
	} else {
		var f *os.File
		if f, err = os.Open(path); err == nil {
			defer f.Close()
			text, err = io.ReadAll(io.LimitReader(f, MaxModelBytes+1))
		}
	}
	if err != nil {
		return fmt.Errorf("cannot read a model: %w", err)
	}
	if len(text) > MaxModelBytes {
		return fmt.Errorf("%s: more than %d bytes", path, MaxModelBytes)
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(to); err == io.EOF {
		return fmt.Errorf("%s: the file is empty, expected a model as docs/studies.md has them", path)
	} else if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// Bundled is the text of a bundled model: power.yaml, prices.yaml, legoos.yaml.
func Bundled(name string) ([]byte, error) { return bundled.ReadFile("models/" + name) }

// Power reads a model of power; "" is the bundled example.
func Power(path string) (p packing.Power, err error) {
	if err = load(path, "power.yaml", &p); err == nil {
		err = named(path, "power.yaml", p.Validate())
	}
	return p, err
}

// Prices reads prices; "" is the bundled example.
func Prices(path string) (p cost.Prices, err error) {
	if err = load(path, "prices.yaml", &p); err == nil {
		err = named(path, "prices.yaml", p.Validate())
	}
	return p, err
}

// Designs reads lists of devices; "" is the LegoOS paper's.
func Designs(path string) ([]mttf.Design, error) {
	var file struct {
		Designs []mttf.Design `yaml:"designs"`
	}
	if err := load(path, "legoos.yaml", &file); err != nil {
		return nil, err
	}
	var errs []error
	if n := len(file.Designs); n == 0 || n > MaxDesigns {
		errs = append(errs, fmt.Errorf("designs: %d, want 1 to %d", n, MaxDesigns))
	}
	for _, d := range file.Designs {
		errs = append(errs, d.Validate())
	}
	return file.Designs, named(path, "legoos.yaml", errors.Join(errs...))
}

// named puts the file before the faults.
func named(path, name string, err error) error {
	if err == nil {
		return nil
	}
	if path == "" {
		path = "bundled " + name
	}
	return fmt.Errorf("%s:\n%w", path, err)
}
