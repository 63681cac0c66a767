package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"splitkernel/configs"
	"splitkernel/sim/calibrate"
)

// calibrateFlags are the flags of calibrate.
type calibrateFlags struct {
	transport string
	out       string
	seconds   float64
	serve     string
}

// calibration is what calibrate prints: what was measured, and what the model says for it.
type calibration struct {
	Host     string             `json:"host"`
	Profile  string             `json:"profile"`
	Measured calibrate.Measured `json:"measured"`
	Modelled calibrate.Measured `json:"modelled"`
}

func (a *app) calibrateCommand() *cobra.Command {
	var f calibrateFlags
	cmd := &cobra.Command{
		Use:   "calibrate",
		Short: "Measure this machine and write its hardware profile",
		Long: `calibrate measures, with the real components in two processes that are pinned to one processor, what messages, page faults,
references, memory and the disk cost here, and writes a hardware profile, this-machine, that simulate and predict take.`,
		Args: cobra.NoArgs,
		RunE: runs(func(cmd *cobra.Command, _ []string) error {
			if f.serve != "" {
				return calibrate.Serve(cmd.Context(), f.serve, a.stdin, a.stdout)
			}
			return a.calibrate(cmd.Context(), &f)
		}),
	}
	cmd.Flags().StringVar(&f.transport, "transport", configs.TransportUnix, "unix or tcp")
	cmd.Flags().StringVar(&f.out, "out", calibrate.ProfileName+".yaml", "file of the profile")
	cmd.Flags().Float64Var(&f.seconds, "seconds", 5, "how long to measure, about")
	cmd.Flags().StringVar(&f.serve, "serve", "", "be the second process, at this address")
	if err := cmd.Flags().MarkHidden("serve"); err != nil {
		panic(err) // it was defined above
	}
	return cmd
}

func (a *app) calibrate(ctx context.Context, f *calibrateFlags) (err error) {
	if err := checkMeasuring([]string{f.transport}, f.seconds); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(filepath.Dir(f.out), ".calibrate-") // where the profile goes is the disk that is measured
	if err != nil {
		return fmt.Errorf("make a folder beside the profile: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	o, err := measuring(dir, f.transport, f.seconds)
	if err != nil {
		return err
	}
	l, err := calibrate.Start(ctx, o)
	if err != nil {
		return err
	}
	m, err := l.Measure(ctx)
	if err = errors.Join(err, l.Close()); err != nil {
		return err
	}
	host := calibrate.Host()
	p := calibrate.Profile(&m, time.Now(), host)
	text, err := configs.HardwareYAML(p)
	if err != nil {
		return err
	}
	if err := os.WriteFile(f.out, text, 0o644); err != nil {
		return fmt.Errorf("write the profile: %w", err)
	}
	c := calibration{host, f.out, m, calibrate.Explain(&p.Hardware)}
	if err := a.print(c, c.table); err != nil {
		return err
	}
	a.say("profile: %s", f.out)
	return nil
}

// table prints what was measured beside what the model says.
func (c *calibration) table(w io.Writer) {
	m, x := &c.Measured, &c.Modelled
	fmt.Fprintf(w, "%s, %s\n", c.Host, m.Transport)
	fmt.Fprintf(w, "what\tmeasured\tmodel\n")
	for _, r := range []struct {
		what               string
		measured, modelled float64
	}{
		{"a message without body, there and back", m.Ping, x.Ping},
		{"the same, 16 in flight, processor time", m.Pings, x.Pings},
		{"a page written back, many in flight, processor time", m.Flushes, x.Flushes},
		{"a first touch", m.PLocal, x.PLocal},
		{"a first touch that evicts", m.Evict, x.Evict},
		{"a fetch", m.Fetch, x.Fetch},
		{"a fetch that evicts a dirty line", m.FetchDirty, x.FetchDirty},
		{"a reference that hits", m.Hit, x.Hit},
		{"a reference replayed", m.Replays, x.Replays},
		{"a page copied", m.Memory.Copy, x.Memory.Copy},
	} {
		fmt.Fprintf(w, "%s\t%.3f us\t%.3f us\n", r.what, r.measured/1000, r.modelled/1000)
	}
	fmt.Fprintf(w, "late fetches\t%.3f %%\t%.3f %%\nlate by\t%.1f us\t%.1f us\n", m.Late*100, x.Late*100, m.LateBy/1000, x.LateBy/1000)
	fmt.Fprintf(w, "share of the processor\t%.2f\t1.00\n", m.Share)
}

// measuring gives the options of a measurement.
func measuring(dir, transport string, seconds float64) (calibrate.Options, error) {
	exe, err := os.Executable()
	if err != nil {
		return calibrate.Options{}, fmt.Errorf("find this program: %w", err)
	}
	return calibrate.Options{Transport: transport, Dir: dir, Seconds: seconds, Executable: exe, Args: []string{"calibrate", "--serve"}}, nil
}

// checkMeasuring finds flags that no measurement can have.
func checkMeasuring(transports []string, seconds float64) error {
	for _, t := range transports {
		if t != configs.TransportUnix && t != configs.TransportTCP {
			return usage("--transport %q, want %s or %s", t, configs.TransportUnix, configs.TransportTCP)
		}
	}
	if !(seconds >= calibrate.MinSeconds && seconds <= calibrate.MaxSeconds) {
		return usage("--seconds %v, want %v to %v", seconds, calibrate.MinSeconds, calibrate.MaxSeconds)
	}
	return nil
}

// predictFlags are the flags of predict.
type predictFlags struct {
	transports []string
	rounds     int
	seconds    float64
	tolerance  float64
	hardware   string
	refs       uint64
}

func (a *app) predictCommand() *cobra.Command {
	var f predictFlags
	cmd := &cobra.Command{
		Use:   "predict [TRACE…]",
		Short: "Predict live replays on this machine in virtual time, and measure how far off that is",
		Long: `predict calibrates, replays traces live (default: the bundled ones, which calibration does not use) and in virtual time on the
profile, in turns, round after round, and prints medians: predicted, measured, error, of wall time and of the median latency of a fetch.
Each trace has the ExCache of the bundled workload, other traces one of a quarter of their pages. Block requests are left out.`,
		RunE: runs(func(cmd *cobra.Command, args []string) error {
			if f.tolerance < 0 || cmd.Flags().Changed("tolerance") && f.tolerance == 0 {
				return usage("--tolerance %v, want percent, more than 0", f.tolerance)
			}
			return a.predict(cmd.Context(), &f, args)
		}),
	}
	cmd.Flags().StringSliceVar(&f.transports, "transport", []string{configs.TransportUnix, configs.TransportTCP}, "unix, tcp or both")
	cmd.Flags().IntVar(&f.rounds, "rounds", 5, "how often; medians are compared")
	cmd.Flags().Float64Var(&f.seconds, "seconds", 3, "how long to calibrate in each round and transport, about: between all traces")
	cmd.Flags().Float64Var(&f.tolerance, "tolerance", 0, "exit with 1 if an error is more percent than this (default: no matter)")
	cmd.Flags().StringVar(&f.hardware, "hardware", "", "predict with this profile instead of one that is measured in each round")
	cmd.Flags().Uint64Var(&f.refs, "max-refs", 0, "only so many references of each trace (default: all)")
	return cmd
}

func (a *app) predict(ctx context.Context, f *predictFlags, args []string) (err error) {
	if err := checkMeasuring(f.transports, f.seconds); err != nil {
		return err
	}
	if f.rounds < 1 || f.rounds > calibrate.MaxRounds {
		return usage("--rounds %d, want 1 to %d", f.rounds, calibrate.MaxRounds)
	}
	dir, err := os.MkdirTemp("", "splitkernel-predict-")
	if err != nil {
		return fmt.Errorf("make a folder for the traces: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	o := calibrate.PredictOptions{Transports: f.transports, Rounds: f.rounds, Said: func(text string) { a.say("%s", text) }}
	if o.Options, err = measuring(dir, "", f.seconds); err != nil {
		return err
	}
	if f.hardware != "" {
		if o.Hardware, err = configs.LoadHardware(f.hardware); err != nil {
			return err
		}
		a.elsewhere(o.Hardware.Host)
	}
	if o.Cases, err = predicted(dir, args, f.refs); err != nil {
		return err
	}
	rows, err := calibrate.Predict(ctx, o)
	if err != nil {
		return err
	}
	if err := a.print(rows, func(w io.Writer) { predictions(w, rows) }); err != nil {
		return err
	}
	var off []string
	for i := range rows {
		if f.tolerance > 0 && rows[i].Worst()*100 > f.tolerance {
			off = append(off, fmt.Sprintf("%s over %s by %.1f %%", rows[i].Trace, rows[i].Transport, rows[i].Worst()*100))
		}
	}
	if len(off) > 0 {
		return fmt.Errorf("predictions are off by more than %v %%: %s", f.tolerance, strings.Join(off, ", "))
	}
	return nil
}

// elsewhere tells that a profile was measured on another machine.
func (a *app) elsewhere(host string) {
	if here := calibrate.Host(); host != "" && host != here {
		a.say("the profile was measured on another machine (%s), this one is %s: what it predicts is for that one", host, here)
	}
}

// predictedWorkload has the bundled traces and their ExCaches.
const predictedWorkload = "programs"

// predicted gives the traces to predict: those of paths, of names of bundled ones, or all bundled ones.
func predicted(dir string, args []string, refs uint64) (cases []calibrate.Case, err error) {
	w, err := configs.LoadWorkload(predictedWorkload, configs.Overrides{})
	if err != nil {
		return nil, err
	}
	bundled := map[string]configs.VNode{}
	var names []string
	for i := range w.Vnodes {
		v := w.Vnodes[i]
		if v.Trace, err = w.TracePath(&w.Vnodes[i], dir); err != nil {
			return nil, err
		}
		bundled[v.Name] = v
		names = append(names, v.Name)
	}
	if len(args) == 0 {
		args = names
	}
	for i, name := range args {
		v, ok := bundled[name]
		if !ok {
			if _, err := os.Stat(name); err != nil {
				return nil, usage("%s: no such trace, want a file or one of the bundled %s", name, strings.Join(names, ", "))
			}
			v = configs.DefaultVNode()
			v.Name, v.Trace = strings.TrimSuffix(filepath.Base(name), filepath.Ext(name)), name
			v.Excache.SharePercent = 25
		}
		if v.Trace, err = calibrate.WithoutBlocks(dir, fmt.Sprintf("%d", i), v.Trace, v.Format, refs); err != nil {
			return nil, usage("%s: %s", name, err)
		}
		v.Format, v.MaxRefs = "", refs
		cases = append(cases, calibrate.Case{Name: v.Name, VNode: v})
	}
	return cases, nil
}

func predictions(w io.Writer, rows []calibrate.Prediction) {
	fmt.Fprintln(w, "trace\ttransport\twall predicted\tmeasured\terror\tbusy predicted\tmeasured\terror\tfetch p50 predicted\tmeasured\terror\tfetches\tprocessor")
	for _, r := range rows {
		p, m := &r.Predicted, &r.Measured
		fmt.Fprintf(w, "%s\t%s\t%.3f s\t%.3f s\t%+.1f %%\t%.3f s\t%.3f s\t%+.1f %%\t%.2f us\t%.2f us\t%+.1f %%\t%d\t%.2f\n", r.Trace, r.Transport,
			p.WallSeconds, m.WallSeconds, r.WallError*100, p.BusySeconds, m.BusySeconds, r.BusyError*100, p.FetchP50US, m.FetchP50US, r.FetchError*100, m.Fetches, m.ProcessorShare)
	}
}
