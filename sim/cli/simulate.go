package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"splitkernel/configs"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/replay"
)

// defaultHardware is the profile of a simulation that names none.
const defaultHardware = configs.DefaultHardware

// simulateFlags are the flags of simulate.
type simulateFlags struct {
	configFlags
	faultFlags
	hardware string
	out      string
	seed     uint64
	digest   bool
	placed   string
	noLocal  bool
	replayed bool
	fromRun  string
	until    string
}

func (a *app) simulateCommand() *cobra.Command {
	var f simulateFlags
	cmd := &cobra.Command{
		Use:   "simulate [WORKLOAD]",
		Short: "Run a workload in virtual time on modelled hardware, and report",
		Long: `simulate runs in one process what run runs live: the same cores, wired on an event clock with models of processors, links
and devices (--hardware: a file, or the name of a bundled profile). The report is that of run, and all its times are modelled; one
seed gives one result, byte by byte. --digest prints one hexadecimal line and nothing else.

--from-run re-executes a run that was recorded (run --record): every core is told what it was told live, in the same order, and each
effect must be the recorded one. With --hardware the program of that run is simulated on other hardware instead.`,
		Args: cobra.MaximumNArgs(1),
		RunE: runs(func(cmd *cobra.Command, args []string) error {
			if f.fromRun != "" || f.until != "" {
				return a.fromRun(cmd, &f, args)
			}
			if cmd.Flags().Changed("seed") {
				f.set = append(f.set, "workload.seed="+strconv.FormatUint(f.seed, 10))
			}
			return a.simulate(cmd.Context(), &f, workloadArg(args))
		}),
	}
	f.configFlags.add(cmd)
	f.faultFlags.add(cmd)
	cmd.Flags().StringVar(&f.hardware, "hardware", defaultHardware, "hardware profile: a file, or one of "+strings.Join(configs.BundledHardware(), ", "))
	cmd.Flags().StringVar(&f.out, "out", "", "folder of the run (default: runs/WORKLOAD-TIME)")
	cmd.Flags().Uint64Var(&f.seed, "seed", 0, "seed of the run (default: the workload's)")
	cmd.Flags().BoolVar(&f.digest, "digest", false, "print the digest of what happened, and write nothing")
	cmd.Flags().StringVar(&f.placed, "placement", "", "manifest.json of another run: every vNode, vRegion and volume goes where it was then")
	cmd.Flags().StringVar(&f.fromRun, "from-run", "", "folder of a run that was recorded: re-execute it; with --hardware simulate its program")
	cmd.Flags().StringVar(&f.until, "until", "", "with --from-run: stop after this event, as in p1:1234, and print the state of the cores")
	cmd.Flags().BoolVar(&f.noLocal, "no-local", false, "leave out the runs with all memory local, and with them the slowdowns")
	cmd.Flags().BoolVar(&f.replayed, "as-replay", false, "predict the live replay of the traces, not their programs: a reference costs processor.reference of the profile in place of its instructions")
	return cmd
}

func (a *app) simulate(ctx context.Context, f *simulateFlags, workload string) (err error) {
	c, w, err := a.loadBoth(&f.configFlags, workload)
	h, hErr := configs.LoadHardware(f.hardware)
	if err := errors.Join(err, hErr); err != nil {
		return err
	}
	if err := a.addFaults(&f.faultFlags, workload, w, c); err != nil {
		return err
	}
	if f.replayed && h.Processor.Reference == 0 {
		return usage("--as-replay: processor.reference of %s is 0, want a profile that `splitkernel calibrate` wrote", f.hardware)
	}
	a.elsewhere(h.Host)
	temp, err := os.MkdirTemp("", "splitkernel-traces-")
	if err != nil {
		return fmt.Errorf("make a folder for the bundled traces: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(temp)) }()
	traces, err := replay.ReadTraces(ctx, w, temp)
	if err != nil {
		if ctx.Err() != nil {
			return err
		}
		return usage("%s: %s", workload, strings.ReplaceAll(err.Error(), "\n", "\n"+workload+": ")) // one line each
	}
	o := replay.VirtualOptions{
		Workload: w, Cluster: c, Hardware: h.Hardware, HardwareName: h.Name, Traces: traces, Replayed: f.replayed, Local: !f.noLocal && !f.digest,
		ConfigDigest: configs.SimulationDigest(c, w, h), Config: configs.Flat(c, w, h), Commit: commit(), Version: fmt.Sprintf("protocol %d", wire.Version),
		Command: a.command(),
	}
	if f.placed != "" {
		if o.Placement, err = replay.ReadPlacement(f.placed); err != nil {
			return usage("--placement: %s", err)
		}
	}
	if !f.digest {
		if o.OutDir, err = makeOut(f.out, w.Name); err != nil {
			return err
		}
	}
	m := a.newMeter("simulating "+w.Name, "accesses", 0)
	o.Progress = m.set
	sum, err := replay.RunVirtual(ctx, o)
	m.end()
	if sum != nil {
		if f.digest {
			_, printErr := fmt.Fprintln(a.stdout, sum.Modelled.Digest)
			err = errors.Join(err, printErr)
		} else if printErr := a.printSummary(sum, o.OutDir); printErr != nil {
			err = errors.Join(err, printErr)
		}
	}
	return outcome(sum, err)
}

// engines are what run can run on.
const (
	engineLive    = configs.EngineLive
	engineVirtual = configs.EngineVirtual
)

// onEngine reads --engine of run: a virtual one is simulate.
func (a *app) onEngine(ctx context.Context, f *runFlags, engine, hardware, workload string) error {
	switch engine {
	case engineLive:
		if hardware != "" {
			return usage("--hardware %s: a live run has the hardware that it runs on, want --engine virtual", hardware)
		}
		return a.run(ctx, f, workload)
	case engineVirtual:
		for _, g := range []struct {
			name string
			set  bool
		}{{"--on", f.on != ""}, {"--keep", f.keep}, {"--name", f.name != ""}, {"--record", f.record != ""}, {"--dashboard", f.dashboardFlags.addr != ""}, {"--prometheus", f.watchAt != ""}} {
			if g.set {
				return usage("%s and --engine virtual: a simulation starts no cluster, want one of them", g.name)
			}
		}
		if hardware == "" {
			hardware = defaultHardware
		}
		return a.simulate(ctx, &simulateFlags{configFlags: f.configFlags, faultFlags: f.faultFlags, hardware: hardware, out: f.out}, workload)
	}
	return usage("--engine %q, want %s or %s", engine, engineLive, engineVirtual)
}
