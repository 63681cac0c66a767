package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"splitkernel/configs"
	"splitkernel/gmanagers/httpapi"
)

// Exit codes.
const (
	exitOK        = 0
	exitFailed    = 1
	exitUsage     = 2 // bad usage or configuration
	exitWrongPage = 3 // a wrong page was seen
)

// app is what every command needs.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	env            []string
	output         string // -o
	args           []string

	// kill ends when the user wants no orderly stop any more (a second Ctrl-C).
	kill context.Context
}

// codeError makes the process exit with code. A nil err has been told already.
type codeError struct {
	code int
	err  error
}

func (e *codeError) Error() string {
	if e.err == nil {
		return "told already"
	}
	return e.err.Error()
}

func (e *codeError) Unwrap() error { return e.err }

// usage marks an error as bad usage.
func usage(format string, args ...any) error {
	return &codeError{exitUsage, fmt.Errorf(format, args...)}
}

// Main runs one command line and gives the exit code.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := &app{stdin: stdin, stdout: stdout, stderr: stderr, env: os.Environ(), args: args}
	ctx, kill, stop := signals(stderr)
	defer stop()
	a.kill = kill
	root := a.root()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	return a.exitCode(root.ExecuteContext(ctx))
}

// exitCode tells of an error and gives its exit code. What a command did not return itself comes from the parsing of the
// command line, so it is bad usage.
func (a *app) exitCode(err error) int {
	if err == nil {
		return exitOK
	}
	code := exitUsage
	var ran *ranError
	if errors.As(err, &ran) {
		code = exitFailed
	}
	var faults *configs.FaultsError
	if errors.As(err, &faults) {
		code = exitUsage
	}
	var coded *codeError
	if errors.As(err, &coded) {
		code = coded.code
	}
	if coded == nil || coded.err != nil {
		var p *httpapi.Problem
		if errors.As(err, &p) && a.output == "json" {
			_ = a.print(p, nil) // for programs; people read what follows
		}
		fmt.Fprintln(a.stderr, "splitkernel: "+strings.TrimRight(err.Error(), "\n"))
	}
	return code
}

// ranError is an error of a command that was started, in contrast to one of the command line.
type ranError struct{ err error }

func (e *ranError) Error() string { return e.err.Error() }
func (e *ranError) Unwrap() error { return e.err }

// runs wraps the body of a command.
func runs(body func(cmd *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if err := body(cmd, args); err != nil {
			return &ranError{err}
		}
		return nil
	}
}

// signals gives a context that the first SIGINT or SIGTERM ends, and one that the second ends.
func signals(stderr io.Writer) (first, second context.Context, stop func()) {
	first, cancelFirst := context.WithCancelCause(context.Background())
	second, cancelSecond := context.WithCancel(context.Background())
	ch := make(chan os.Signal, 2)
	signal.Notify(ch, os.Interrupt, syscall.SIGTERM)
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for n := 0; ; n++ {
			select {
			case sig := <-ch:
				if n == 0 {
					cancelFirst(fmt.Errorf("stopped by a signal (%s)", sig))
					continue
				}
				fmt.Fprintln(stderr, "splitkernel: killing what is left")
				cancelSecond()
			case <-done:
				return
			}
		}
	}()
	return first, second, func() {
		signal.Stop(ch)
		close(done)
		<-ended
		cancelFirst(nil)
		cancelSecond()
	}
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "splitkernel",
		Short: "A splitkernel of processes on one machine: compute, memory and storage components that meet in messages",
		Long: `splitkernel runs a disaggregated operating system's components as processes (pComponents with processors and a small
ExCache, mComponents with memory, sComponents with disks, and three replicated managers) and replays the memory and
block accesses of real programs on them, every page checked.

Data goes to stdout, talk to stderr. Exit codes: 0 done, 1 failed, 2 bad usage or configuration, 3 a wrong page was seen.`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cmd.Help()
		},
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case cmd.Annotations[csvOutput] != "" && a.output == csvOutput:
			case cmd.Annotations[csvOutput] != "" && a.output != "table" && a.output != "json":
				return usage("--output: %q, want one of csv, json, table", a.output)
			case a.output != "table" && a.output != "json":
				return usage("--output: %q, want one of json, table", a.output)
			}
			return nil
		},
	}
	root.PersistentFlags().StringVarP(&a.output, "output", "o", "table", "how to print data: table or json, or csv where a command says so")
	root.AddCommand(a.runCommand(), a.simulateCommand(), a.calibrateCommand(), a.predictCommand(), a.sweepCommand(), a.compareCommand(), a.reportCommand(), a.reproduceCommand(), a.fuzzCommand(), a.upCommand(), a.statusCommand(), a.downCommand(), a.topCommand(), a.auditCommand(), a.vnodeCommand(), a.eventsCommand(), a.explainCommand(), a.moveCommand(), a.faultCommand(), a.chaosCommand(), a.superviseCommand(), a.nodeCommand(),
		a.traceCommand(), a.mrcCommand(), a.adviseCommand(), a.studyCommand(), a.configCommand(), a.versionCommand())
	for _, c := range root.Commands() {
		hasSub := c.HasSubCommands()
		if hasSub && c.RunE == nil { // `splitkernel trace nonsense` must not exit with 0
			c.Args = cobra.ArbitraryArgs
			c.RunE = func(cmd *cobra.Command, args []string) error {
				if len(args) > 0 {
					return usage("%s: unknown command %q, see `%s --help`", cmd.CommandPath(), args[0], cmd.CommandPath())
				}
				return cmd.Help()
			}
		}
	}
	return root
}
