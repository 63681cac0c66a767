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

// runRecord is the record of a run.
type runRecord struct {
	out  string // folder of the run
	dir  string // of the record; empty: none
	mode string
	tape *node.Record // what its nodes get
	keep bool         // also a tail, whatever the outcome
}

// beginRecord begins the record of a run on a cluster of its own, as its recorder section says: with the configurations and the traces that it is
// made of, so that the record is enough to re-execute it. It gives the traces of the run, which the nodes may read where they are: those that
// came with the program are unpacked in the record, others are where they were.
func beginRecord(ctx context.Context, out string, c *configs.Cluster, w *configs.Workload, known []replay.Trace) (*runRecord, []replay.Trace, error) {
	r := &runRecord{out: out, mode: c.Recorder.Mode}
	if r.mode == configs.RecordOff {
		return r, known, nil
	}
	dir, err := filepath.Abs(filepath.Join(out, recordDir))
	if err != nil {
		return nil, nil, fmt.Errorf("the folder of the record: %w", err)
	}
	if old, _ := record.Tapes(dir); len(old) > 0 {
		return nil, nil, usage("--out %s: it has a record already, want another --out, or --record=off", out)
	}
	if known, err = writeRecord(ctx, dir, c, w, known); err != nil {
		return nil, nil, err
	}
	r.dir = dir
	r.tape = &node.Record{Dir: dir, MaxBytes: c.Recorder.Bytes(), Tail: r.mode == configs.RecordTail, Commit: commit(), ConfigDigest: configs.RunDigest(c, w)}
	return r, known, nil
}

// writeRecord writes all of a record but its tapes.
func writeRecord(ctx context.Context, dir string, c *configs.Cluster, w *configs.Workload, traces []replay.Trace) ([]replay.Trace, error) {
	if err := os.MkdirAll(filepath.Join(dir, "traces"), 0o755); err != nil {
		return nil, fmt.Errorf("make the folder of the record: %w", err)
	}
	if traces == nil {
		var err error
		if traces, err = replay.ReadTraces(ctx, w, filepath.Join(dir, "traces")); err != nil {
			return nil, err
		}
	}
	cluster, workload, list := *c, *w, recordedTraces{Schema: recordSchema}
	if cluster.Token != "" {
		cluster.Token = recordToken
	}
	workload.Vnodes = slices.Clone(w.Vnodes)
	for i := range workload.Vnodes {
		list.SHA256 = append(list.SHA256, traces[i].Digest)
		if strings.HasPrefix(w.Vnodes[i].Trace, "generator:") {
			continue // its rule is all there is, seed included
		}
		workload.Vnodes[i].Trace = traces[i].Path
		if w.Bundled() {
			workload.Vnodes[i].Trace = filepath.Join("traces", filepath.Base(traces[i].Path))
		}
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
	return traces, nil
}

// adopt makes the record of a run on a cluster that stays up, from what its nodes have on their tapes: that may be of other runs, too.
func (r *runRecord) adopt(ctx context.Context, out string, t *target, w *configs.Workload, traces []replay.Trace) error {
	tapes, err := record.Tapes(t.tapes)
	if errors.Is(err, os.ErrNotExist) || len(tapes) == 0 {
		return nil // its nodes have none
	}
	dir, absErr := filepath.Abs(filepath.Join(out, recordDir))
	if err := errors.Join(err, absErr); err != nil {
		return err
	}
	if old, _ := record.Tapes(dir); len(old) > 0 {
		return fmt.Errorf("what the nodes did last is not kept: %s has a record already", out)
	}
	if _, err := writeRecord(ctx, dir, t.cluster, w, traces); err != nil {
		return err
	}
	for _, tape := range tapes {
		if err := record.Link(tape, dir); err != nil {
			return err
		}
	}
	r.out, r.dir, r.mode = out, dir, configs.RecordTail
	return nil
}

// upRecord is what the nodes of a cluster that is to stay up record, and where. Nil: nothing.
func upRecord(out string, c *configs.Cluster) (*node.Record, error) {
	if c.Recorder.Mode == configs.RecordOff {
		return nil, nil
	}
	dir, err := filepath.Abs(filepath.Join(out, recordDir))
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err != nil {
		return nil, fmt.Errorf("make the folder of the record: %w", err)
	}
	if old, _ := record.Tapes(dir); len(old) > 0 {
		return nil, usage("--out %s: it has a record already, want another --out, or --set recorder.mode=off", out)
	}
	return &node.Record{Dir: dir, MaxBytes: c.Recorder.Bytes(), Tail: c.Recorder.Mode == configs.RecordTail, Commit: commit(), ConfigDigest: c.Digest()}, nil
}

// end ends the record of a run whose cluster has stopped, and says what to do with it if it is kept. A tail is deleted if no page was
// wrong and no node died of its own: why a vNode was refused, or an input was bad, is in the report.
func (r *runRecord) end(a *app, err error, died []string) error {
	if r.dir == "" {
		return nil
	}
	tapes, listErr := record.Tapes(r.dir)
	if none := listErr == nil && len(tapes) == 0; r.mode == configs.RecordTail && (none || !wrongPage(err) && len(died) == 0 && !r.keep) {
		if err := os.RemoveAll(r.dir); err != nil {
			return fmt.Errorf("delete the record of a run in which nothing went wrong: %w", err)
		}
		return nil
	}
	if len(tapes) == 0 {
		return listErr // no node came so far
	}
	switch {
	case r.mode == configs.RecordFull:
		a.say("this run was recorded; to re-execute it: %s", howToReplay(r.out))
	case len(died) > 0:
		a.say("%s died; what the nodes did last was kept; to re-execute it: %s", strings.Join(died, ", "), howToReplay(r.out))
	default:
		a.say("what the nodes did last was kept; to re-execute it: %s", howToReplay(r.out))
	}
	return nil
}

// howToReplay is the command that re-executes the run of a folder.
func howToReplay(out string) string { return "splitkernel simulate --from-run " + quoted(out) }

// quoted is a word as a shell takes it.
func quoted(s string) string {
	if s != "" && !strings.ContainsAny(s, " \t\n'\"\\$&|;<>()*?[]#~`!") {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
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
	Before  uint64              `json:"before"` // events that have been deleted
	Passed  uint64              `json:"passed"` // events of cores that cannot go on
	Events  uint64              `json:"events"` // re-executed
	Number  uint64              `json:"number"` // of the last event
	Effects uint64              `json:"effects"`
	Hits    uint64              `json:"hits"`
	End     string              `json:"end"`
	Last    string              `json:"last"`
	Cores   []record.CoreResult `json:"cores,omitempty"`
}

// reexecute verifies every tape of a record.
func (a *app) reexecute(ctx context.Context, dir, until string) error {
	tapes, err := record.Tapes(dir)
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
	fmt.Fprintf(out, "\n%s after event %d: %s\n", r.Node, r.Number, r.Last)
	for _, c := range r.Cores {
		fmt.Fprintf(out, "core %d: %s, %d events\n", c.Number, c.Name, c.Events)
		for line := range strings.Lines(c.State) {
			fmt.Fprintf(out, "  %s", line)
		}
	}
}

func (a *app) tapeRow(path string, res *record.Result, err error, state bool) tapeRow {
	r := tapeRow{
		Tape: filepath.Base(path), Node: res.Head.Node, Commit: res.Head.Commit, Before: res.Before, Passed: res.Skipped, Number: res.Events, Events: res.Events - res.Before - res.Skipped, Effects: res.Effects, Hits: res.Hits,
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
		r.End = "the node was killed, or runs on; verified as far as it was recorded"
	case res.Ended.Full != "":
		r.End = fmt.Sprintf("record full, %d records were dropped: %s", res.Ended.Dropped, res.Ended.Full)
	default:
		r.End = "whole"
	}
	if res.Ended != nil && res.Ended.Held > 0 && err == nil {
		r.End += fmt.Sprintf("; a wrong page was seen after event %d", res.Ended.Held)
	}
	if res.Before > 0 && err == nil {
		r.End += fmt.Sprintf("; from event %d on", res.Before+1)
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
	if _, err := os.Stat(filepath.Join(dir, recordWorkload)); errors.Is(err, os.ErrNotExist) {
		return accessesAtHome, nil
	}
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
			if p, ok := paths[s.Name]; ok && filepath.Base(p) == filepath.Base(s.Trace) {
				return p, nil
			}
			return "", fmt.Errorf("the workload of the record has no vNode %s: %w", s.Name, record.ErrOther)
		})
	}, nil
}

// accessesAtHome finds the trace of a process where it was when it ran, of a cluster that was up for whatever runs: those that came with
// the program are gone by then.
func accessesAtHome(program []byte) (record.Accesses, error) {
	return replay.NewReferences(program, func(s replay.Spec) (string, error) {
		if _, err := os.Stat(s.Trace); err != nil && !strings.HasPrefix(s.Trace, "generator:") {
			return "", fmt.Errorf("%w, %w", err, record.ErrOther)
		}
		return s.Trace, nil
	})
}
