package cli

import (
	"fmt"
	"os"
	"path/filepath"

	"splitkernel/sim/report/plot"
)

// checkPlot checks the value of --plot; empty is no plot.
func checkPlot(path string) error {
	switch filepath.Ext(path) {
	case ".svg", ".png":
		return nil
	}
	if path == "" {
		return nil
	}
	return usage("--plot: %s, want a name that ends with .svg or .png", path)
}

// drawLines writes a plot as its name says.
func drawLines(path string, axes plot.Axes, series []plot.Series) error {
	var picture []byte
	var err error
	if filepath.Ext(path) == ".png" {
		picture, err = plot.LinesPNG(axes, series)
	} else {
		var svg string
		svg, err = plot.Lines(axes, series)
		picture = []byte(svg)
	}
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, picture, 0o644); err != nil {
		return fmt.Errorf("write the plot: %w", err)
	}
	return nil
}
