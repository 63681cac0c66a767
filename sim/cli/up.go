package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"splitkernel/configs"
	"splitkernel/sim/launcher"
	"splitkernel/sim/node"
	"splitkernel/sim/observe"
)

// upFlags are the flags of up; supervise is given the same.
type upFlags struct {
	configFlags
	dashboardFlags
	prometheusFlags
	name  string
	out   string
	level string
}

func (f *upFlags) add(cmd *cobra.Command) {
	f.configFlags.add(cmd)
	f.dashboardFlags.add(cmd)
	f.prometheusFlags.add(cmd)
	cmd.Flags().StringVar(&f.name, "name", "", "name of the running cluster (default: the name in the cluster file)")
	cmd.Flags().StringVar(&f.out, "out", "", "folder for logs and Prometheus targets (default: runs/NAME-TIME)")
	cmd.Flags().StringVar(&f.level, "log-level", node.DefaultLogLevel, "level of the nodes' logs at their start: "+strings.Join(node.LogLevels, ", "))
}

func (a *app) upCommand() *cobra.Command {
	var f upFlags
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Start a cluster and leave it running; returns when it is ready",
		Args:  cobra.NoArgs,
		RunE: runs(func(cmd *cobra.Command, _ []string) error {
			if err := f.dashboardFlags.check(); err != nil {
				return err
			}
			st, err := a.up(cmd.Context(), &f)
			if err != nil {
				return err
			}
			a.say("cluster %s is up: `splitkernel run --on %s`, `splitkernel down %s`", st.Name, st.Name, st.Name)
			return a.printStates([]launcher.State{*st})
		}),
	}
	f.add(cmd)
	return cmd
}

// superviseFD is where supervise tells up how the start went.
const superviseFD = 3

// superviseReport is what it tells.
type superviseReport struct {
	Error string
	Code  int
}

// up starts a supervisor, a process of its own session that outlives this one, and waits until its cluster is ready.
func (a *app) up(ctx context.Context, f *upFlags) (*launcher.State, error) {
	c, err := configs.LoadCluster(f.cluster, a.overrides(&f.configFlags)) // here too: its faults need no supervisor
	if err == nil {
		err = c.Live()
	}
	if err != nil {
		return nil, err
	}
	if err := f.prometheusFlags.check(); err != nil { // here too: nothing was started yet
		return nil, err
	}
	if _, err := node.ParseLogLevel(f.level); err != nil {
		return nil, usage("--log-level: %w", err)
	}
	if f.name == "" {
		f.name = c.Name
	}
	if f.out, err = makeOut(f.out, f.name); err != nil {
		return nil, err
	}
	exe, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program's own file: %w", err)
	}
	logPath := filepath.Join(f.out, "supervisor.log")
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the supervisor's log: %w", err)
	}
	defer log.Close()
	reports, report, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("pipe from the supervisor: %w", err)
	}
	defer reports.Close()
	args := []string{"supervise", "--cluster", f.cluster, "--name", f.name, "--out", f.out, "--log-level", f.level}
	for _, s := range f.set {
		args = append(args, "--set", s)
	}
	args = append(args, f.prometheusFlags.args()...)
	args = append(args, f.dashboardFlags.args()...)
	super := exec.Command(exe, args...)
	super.Stdout, super.Stderr = log, log
	super.ExtraFiles = []*os.File{report}
	super.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = super.Start()
	report.Close()
	if err != nil {
		return nil, fmt.Errorf("start the supervisor: %w", err)
	}
	stopped := context.AfterFunc(ctx, func() { super.Process.Signal(syscall.SIGTERM) })
	defer stopped()
	line, err := bufio.NewReader(reports).ReadBytes('\n')
	if err != nil {
		super.Wait()
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, fmt.Errorf("the supervisor ended while starting (%s), see %s", super.ProcessState, logPath)
	}
	var r superviseReport
	if err := json.Unmarshal(line, &r); err != nil {
		return nil, fmt.Errorf("the supervisor's report: %w", err)
	}
	if r.Error != "" {
		super.Wait()
		return nil, &codeError{r.Code, errors.New(r.Error)}
	}
	st, err := launcher.Find(f.name)
	if err != nil { // what cannot be asked now could not be stopped later
		super.Process.Signal(syscall.SIGTERM)
		super.Wait()
		return nil, fmt.Errorf("the supervisor does not answer and was stopped, see %s: %w", logPath, err)
	}
	if err := super.Process.Release(); err != nil {
		return nil, fmt.Errorf("leave the supervisor alone: %w", err)
	}
	a.sayDashboard(&f.dashboardFlags, st.Dashboard)
	return st, nil
}

// superviseCommand is the process behind `up`.
func (a *app) superviseCommand() *cobra.Command {
	var f upFlags
	cmd := &cobra.Command{
		Use:    "supervise",
		Short:  "Own a cluster (`up` starts it)",
		Args:   cobra.NoArgs,
		Hidden: true,
		RunE: runs(func(cmd *cobra.Command, _ []string) error {
			report := os.NewFile(superviseFD, "report")
			if report == nil {
				return usage("supervise is started by `splitkernel up`")
			}
			syscall.CloseOnExec(superviseFD) // the nodes must not keep up waiting
			page, err := a.listenDashboard(&f.dashboardFlags, f.name)
			var sup *launcher.Supervisor
			if err == nil {
				sup, err = a.supervise(cmd.Context(), &f)
			}
			if err != nil {
				err = errors.Join(err, page.close())
			} else if page != nil {
				sup.Dashboard = page.server.URL()
			}
			r := superviseReport{}
			if err != nil {
				r = superviseReport{err.Error(), a.exitCode(&ranError{err})}
			}
			line, jsonErr := json.Marshal(r)
			_, writeErr := report.Write(append(line, '\n'))
			if err := errors.Join(err, jsonErr, report.Close()); err != nil {
				return err
			}
			if writeErr != nil && cmd.Context().Err() == nil { // up was killed meanwhile: nobody knows of this cluster
				a.say("up has gone: %v", writeErr)
			}
			unshow := page.show(cmd.Context(), observe.Owned(sup))
			sup.Stopped = func(err error) error { return errors.Join(a.dropTail(&f, sup, err), unshow()) }
			return sup.Serve(cmd.Context())
		}),
	}
	f.add(cmd)
	return cmd
}

func (a *app) supervise(ctx context.Context, f *upFlags) (*launcher.Supervisor, error) {
	c, err := configs.LoadCluster(f.cluster, a.overrides(&f.configFlags))
	if err != nil {
		return nil, err
	}
	tapes, err := upRecord(f.out, c)
	if err != nil {
		return nil, err
	}
	level, err := node.ParseLogLevel(f.level)
	if err != nil {
		return nil, usage("--log-level: %w", err)
	}
	log := slog.New(slog.NewTextHandler(a.stderr, nil))
	return launcher.Supervise(ctx, f.name, launcher.Options{Cluster: c, Out: f.out, Log: log, Record: tapes, Prometheus: f.watch(), LogLevel: level})
}

// dropTail deletes what the nodes of a cluster did last, when it has stopped and none had died; err is how it stopped.
func (a *app) dropTail(f *upFlags, sup *launcher.Supervisor, err error) error {
	st := sup.State()
	dir := filepath.Join(f.out, recordDir)
	switch {
	case st.Cluster.Recorder.Mode != configs.RecordTail:
	case err == nil && st.Deaths == 0:
		err = os.RemoveAll(dir)
	default:
		a.say("%d nodes died; what the nodes did last was kept; to re-execute it: %s", st.Deaths, howToReplay(f.out))
	}
	return err
}

func (a *app) printStates(states []launcher.State) error {
	if states == nil {
		states = []launcher.State{} // JSON [] and not null
	}
	if len(states) == 0 {
		a.say("no cluster is up")
	}
	return a.print(states, func(w io.Writer) { writeStates(w, states) })
}

func writeStates(w io.Writer, states []launcher.State) {
	if len(states) > 0 {
		fmt.Fprintln(w, "CLUSTER\tNODE\tROLE\tSTATE\tPID\tMETRICS\tADDRESS")
	}
	for _, st := range states {
		for _, n := range st.Nodes {
			state := "up"
			if !n.Alive {
				state = "ended"
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\t%s\n", st.Name, n.ID, n.Role, state, n.PID, n.Metrics, n.Addr)
		}
		fmt.Fprintf(w, "%s\tlogs and Prometheus targets: %s\n", st.Name, st.Out)
		if p := st.Prometheus; p != nil && p.Alive {
			fmt.Fprintf(w, "%s\tPrometheus: %s\n", st.Name, p.URL)
		} else if p != nil {
			fmt.Fprintf(w, "%s\tPrometheus: ended (%s), see %s\n", st.Name, p.Ended, p.Log)
		}
		if st.Dashboard != "" {
			fmt.Fprintf(w, "%s\tdashboard: %s\n", st.Name, st.Dashboard)
		}
	}
}

func (a *app) downCommand() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "down [NAME]",
		Short: "Stop a cluster that `up` started; the name may be left out if there is only one",
		Args:  cobra.MaximumNArgs(1),
		RunE: runs(func(_ *cobra.Command, args []string) error {
			if all && len(args) > 0 {
				return usage("both --all and a name, want one of them")
			}
			var states []launcher.State
			var err error
			if all {
				states, err = launcher.ListUp()
			} else {
				var st *launcher.State
				if st, err = launcher.Find(append(args, "")[0]); err == nil {
					states = []launcher.State{*st}
				}
			}
			if err != nil {
				return err
			}
			for i := range states {
				if stopErr := launcher.Down(&states[i]); stopErr != nil {
					err = errors.Join(err, stopErr)
					continue
				}
				a.say("cluster %s is down", states[i].Name)
			}
			return err
		}),
	}
	cmd.Flags().BoolVar(&all, "all", false, "stop every cluster of this user")
	return cmd
}
