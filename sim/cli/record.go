package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"splitkernel/configs"
	"splitkernel/sim/node"
	"splitkernel/sim/record"
	"splitkernel/sim/replay"
)

// The folder of a record, within that of its run. It has the tapes of the nodes, and what the run was made of.
const (
	recordDir      = "record"
	recordCluster  = "cluster.yaml"
	recordWorkload = "workload.yaml"
	recordTraces   = "traces.json"
	// recordSchema is of recordTraces.
	recordSchema = "splitkernel/record/1"
	// recordToken stands for a cluster's token in a record.
	recordToken = "recorded"
)

// recordedTraces are the traces of a recorded run, by vNode in the order of the workload.
type recordedTraces struct {
	Schema string   `json:"schema"`
	SHA256 []string `json:"sha256"`
}

// recordRun begins the record of a run: the configurations and the traces that it is made of, so that the record is enough
// to re-execute it. Traces that came with the program are copied, others are where they are.
func recordRun(ctx context.Context, out string, c *configs.Cluster, w *configs.Workload) (*node.Record, error) {
	dir, err := filepath.Abs(filepath.Join(out, recordDir))
	if err != nil {
		return nil, fmt.Errorf("the folder of the record: %w", err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "traces"), 0o755); err != nil {
		return nil, fmt.Errorf("make the folder of the record: %w", err)
	}
	if old, _ := filepath.Glob(filepath.Join(dir, "*"+record.Suffix)); len(old) > 0 {
		return nil, usage("--record: %s has a record already, want another --out", out)
	}
	traces, err := replay.ReadTraces(ctx, w, filepath.Join(dir, "traces"))
	if err != nil {
		return nil, err
	}
	cluster, workload, list := *c, *w, recordedTraces{Schema: recordSchema}
	if cluster.Token != "" {
		cluster.Token = recordToken
	}
	workload.Vnodes = slices.Clone(w.Vnodes)
	for i := range workload.Vnodes {
		if strings.HasPrefix(w.Vnodes[i].Trace, "generator:") {
			list.SHA256 = append(list.SHA256, traces[i].Digest)
			continue // its rule is all there is, seed included
		}
		workload.Vnodes[i].Trace = traces[i].Path
		if w.Bundled() {
			workload.Vnodes[i].Trace = filepath.Join("traces", filepath.Base(traces[i].Path))
		}
		list.SHA256 = append(list.SHA256, traces[i].Digest)
	}
	text, err := json.MarshalIndent(&list, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode the traces of the record: %w", err)
	}
	for name, text := range map[string][]byte{recordCluster: cluster.YAML(), recordWorkload: workload.YAML(), recordTraces: append(text, '\n')} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			return nil, fmt.Errorf("write the record: %w", err)
		}
	}
	return &node.Record{Dir: dir, Commit: commit(), ConfigDigest: configs.RunDigest(c, w)}, nil
}

// fromRun re-executes a recorded run, or simulates its program on other hardware.
func (a *app) fromRun(cmd *cobra.Command, f *simulateFlags, args []string) error {
	if f.fromRun == "" {
		return usage("--until %s: it is an event of a recorded run, want --from-run DIR", f.until)
	}
	dir := filepath.Join(f.fromRun, recordDir)
	if st, err := os.Stat(dir); err != nil || !st.IsDir() {
		return usage("--from-run %s: it has no folder %s, want the folder of a run that was made with --record", f.fromRun, recordDir)
	}
	if len(args) > 0 || cmd.Flags().Changed("cluster") {
		return usage("--from-run and a workload or --cluster: the recorded run has them, want one of them")
	}
	other := cmd.Flags().Changed("hardware")
	if !other {
		for _, name := range []string{"set", "seed", "out", "digest", "no-local", "placement"} {
			if cmd.Flags().Changed(name) {
				return usage("--from-run and --%s: what is re-executed is as it was, want --hardware, too, or none", name)
			}
		}
		return a.reexecute(cmd.Context(), dir, f.until)
	}
	if f.until != "" {
		return usage("--until and --hardware: on other hardware there are other events, want one of them")
	}
	if cmd.Flags().Changed("seed") {
		f.set = append(f.set, "workload.seed="+strconv.FormatUint(f.seed, 10))
	}
	if manifest := filepath.Join(f.fromRun, "manifest.json"); f.placed == "" {
		if _, err := os.Stat(manifest); err == nil { // a run that was killed has none
			f.placed = manifest
		}
	}
	f.cluster = filepath.Join(dir, recordCluster)
	return a.simulate(cmd.Context(), f, filepath.Join(dir, recordWorkload))
}

// tapeRow is the outcome of one tape.
type tapeRow struct {
	Tape    string              `json:"tape"`
	Node    string              `json:"node"`
	Commit  string              `json:"commit"`
	Events  uint64              `json:"events"`
	Effects uint64              `json:"effects"`
	Hits    uint64              `json:"hits"`
	End     string              `json:"end"`
	Last    string              `json:"last"`
	Cores   []record.CoreResult `json:"cores,omitempty"`
}

// reexecute verifies every tape of a record.
func (a *app) reexecute(ctx context.Context, dir, until string) error {
	tapes, err := filepath.Glob(filepath.Join(dir, "*"+record.Suffix))
	if err != nil || len(tapes) == 0 {
		return usage("%s has no tapes: no pComponent of that run was started", dir)
	}
	o := record.ExecuteOptions{}
	if o.Accesses, err = recordedAccesses(ctx, dir); err != nil {
		return err
	}
	missing := missingTapes(dir, tapes)
	if until != "" {
		if tapes, o.Until, err = untilEvent(tapes, until); err != nil {
			return err
		}
	}
	rows := []tapeRow{}
	var faults []error
	for _, path := range tapes {
		res, err := record.Execute(ctx, path, o)
		if ctx.Err() != nil {
			return err
		}
		if err != nil {
			faults = append(faults, err)
		}
		if res != nil {
			rows = append(rows, a.tapeRow(path, res, err, o.Until > 0))
		}
	}
	if err := a.print(rows, func(out io.Writer) {
		fmt.Fprintln(out, "TAPE\tCORES\tEVENTS\tEFFECTS\tHITS\tEND")
		for _, r := range rows {
			fmt.Fprintf(out, "%s\t%d\t%d\t%d\t%d\t%s\n", r.Tape, len(r.Cores), r.Events, r.Effects, r.Hits, r.End)
		}
		for _, r := range rows {
			if o.Until > 0 || len(faults) > 0 {
				showCores(out, r)
			}
		}
	}); err != nil {
		return err
	}
	return errors.Join(append(faults, missing)...)
}

func showCores(out io.Writer, r tapeRow) {
	fmt.Fprintf(out, "\n%s after event %d: %s\n", r.Node, r.Events, r.Last)
	for _, c := range r.Cores {
		fmt.Fprintf(out, "core %d: %s, %d events\n", c.Number, c.Name, c.Events)
		for line := range strings.Lines(c.State) {
			fmt.Fprintf(out, "  %s", line)
		}
	}
}

func (a *app) tapeRow(path string, res *record.Result, err error, state bool) tapeRow {
	r := tapeRow{
		Tape: filepath.Base(path), Node: res.Head.Node, Commit: res.Head.Commit, Events: res.Events, Effects: res.Effects, Hits: res.Hits,
		Last: res.Last, Cores: res.Cores,
	}
	if res.Head.Commit != commit() {
		a.say("%s was recorded by commit %s, this is %s: where they differ, effects may", r.Tape, res.Head.Commit, commit())
	}
	switch {
	case err != nil:
		r.End = "FAILED"
	case res.Stopped:
		r.End = "stopped"
	case res.Ended == nil:
		r.End = "the node was killed; verified as far as it was recorded"
	case res.Ended.Full != "":
		r.End = fmt.Sprintf("record full, %d records were dropped: %s", res.Ended.Dropped, res.Ended.Full)
	default:
		r.End = "whole"
	}
	return r
}

// untilEvent reads --until: an event, of a tape if the run has several.
func untilEvent(tapes []string, until string) ([]string, uint64, error) {
	name, number, named := strings.Cut(until, ":")
	if !named {
		name, number = "", until
	}
	n, err := strconv.ParseUint(number, 10, 64)
	if err != nil || n == 0 {
		return nil, 0, usage("--until %s: want NODE:EVENT, such as p1:1234, with events counted from 1", until)
	}
	var known []string
	for _, t := range tapes {
		base := strings.TrimSuffix(filepath.Base(t), record.Suffix)
		if known = append(known, base); named && base == name || !named && len(tapes) == 1 {
			return []string{t}, n, nil
		}
	}
	return nil, 0, usage("--until %s: want NODE:EVENT with one of %s", until, strings.Join(known, ", "))
}

// recordedAccesses finds the traces of a recorded run: they must be those that it replayed.
func recordedAccesses(ctx context.Context, dir string) (func([]byte) (record.Accesses, error), error) {
	w, err := configs.LoadWorkload(filepath.Join(dir, recordWorkload), configs.Overrides{})
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, recordTraces)
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the record: %w", err)
	}
	var list recordedTraces
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if list.Schema != recordSchema || len(list.SHA256) != len(w.Vnodes) {
		return nil, fmt.Errorf("%s: schema %q with %d traces, want %q and %d, as the workload beside it", file, list.Schema, len(list.SHA256), recordSchema, len(w.Vnodes))
	}
	traces, err := replay.ReadTraces(ctx, w, "")
	if err != nil {
		return nil, err
	}
	paths := map[string]string{}
	for i := range w.Vnodes {
		if traces[i].Digest != list.SHA256[i] {
			return nil, fmt.Errorf("%s: its SHA-256 is %s, that of the run was %s: want the trace as it was", traces[i].Path, traces[i].Digest, list.SHA256[i])
		}
		paths[w.Vnodes[i].Name] = traces[i].Path
	}
	return func(program []byte) (record.Accesses, error) {
		return replay.NewReferences(program, func(s replay.Spec) (string, error) {
			if p, ok := paths[s.Name]; ok {
				return p, nil
			}
			return "", fmt.Errorf("the workload of the record has no vNode %s", s.Name)
		})
	}, nil
}
