package cli

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"splitkernel/configs"
	"splitkernel/sim/experiment"
	"splitkernel/sim/report/page"
)

// comparisonName is the page of several folders, in the current one.
const comparisonName = "comparison.html"

func (a *app) reportCommand() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "report DIR...",
		Short: "Make report.html of a run or a sweep anew, or one page that compares several",
		Long: `report makes report.html of the folder of a run or of a sweep anew, from the files that are in it. Of several folders, all of runs or all of
sweeps, it makes one page that puts them beside each other: main figures, differences in configuration, charts with a series each. Pages need
no other file and no network.`,
		Args: cobra.RangeArgs(1, page.MaxCompared),
		RunE: runs(func(cmd *cobra.Command, args []string) error {
			return a.report(args, out)
		}),
	}
	cmd.Flags().StringVar(&out, "out", "", "the file (default: report.html in the folder; of several folders "+comparisonName+" here)")
	return cmd
}

func (a *app) report(dirs []string, out string) error {
	sweeps := 0
	for _, dir := range dirs {
		if experiment.IsSweep(dir) {
			sweeps++
		} else if !page.Has(dir) {
			return usage("%s: no summary.json and no sweep.json, want the folder of a run or of a sweep", dir)
		}
	}
	if sweeps > 0 && sweeps < len(dirs) {
		return usage("%d of these folders are of sweeps and %d of runs, want all of a kind", sweeps, len(dirs)-sweeps)
	}
	d, err := pageOf(dirs, sweeps > 0)
	if err != nil {
		return err
	}
	if out == "" {
		if out = comparisonName; len(dirs) == 1 {
			out = filepath.Join(dirs[0], page.Name)
		}
	}
	return a.tellPage(out, page.WriteFile(out, d))
}

func pageOf(dirs []string, sweeps bool) (*page.Document, error) {
	if sweeps {
		return experiment.PageOf(dirs)
	}
	var all []*page.Run
	faults := &configs.FaultsError{}
	for _, dir := range dirs {
		r, err := page.Read(dir)
		if err != nil {
			faults.Faults = append(faults.Faults, err.Error())
			continue
		}
		all = append(all, r)
	}
	switch {
	case len(faults.Faults) > 0:
		return nil, faults
	case len(all) == 1:
		return page.OfRun(all[0]), nil
	}
	return page.Compare(all), nil
}

// tellPage says where a page is: to people as talk, so that what programs read stays as it is.
func (a *app) tellPage(path string, err error) error {
	if err != nil {
		return fmt.Errorf("the page: %w", err)
	}
	if full, err := filepath.Abs(path); err == nil {
		path = full
	}
	a.say("page: %s", path)
	return nil
}

// command is the command line as it goes into manifests, with the settings of the environment before it. Of a token only that there is one.
func (a *app) command() (words []string) {
	secret := func(assignment string) string {
		rest, flag := strings.CutPrefix(assignment, "--set=")
		name, _, ok := strings.Cut(rest, "=")
		if !ok || !strings.Contains(strings.ToLower(name), "token") {
			return assignment
		}
		if name += "=(set)"; flag {
			return "--set=" + name
		}
		return name
	}
	for _, e := range a.env {
		if strings.HasPrefix(e, configs.EnvPrefix) {
			words = append(words, secret(e))
		}
	}
	words = append(words, "splitkernel")
	for _, w := range a.args {
		words = append(words, secret(w))
	}
	return words
}

// withoutFlag leaves out a flag that has a value.
func withoutFlag(words []string, flag string) (out []string) {
	for i := 0; i < len(words); i++ {
		switch {
		case words[i] == flag:
			i++
		case !strings.HasPrefix(words[i], flag+"="):
			out = append(out, words[i])
		}
	}
	return out
}
