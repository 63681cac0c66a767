package e2e

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"splitkernel/netlayer/wire"
	"splitkernel/sim/node"
)

// armedName is the file in a cluster's folder that says at which step a manager kills itself, and how long after it began.
const armedName = "armed"

// programEnv tells nodes that are this test binary where the program is.
const programEnv = "SK_E2E_PROGRAM"

// asNode is the life of this test binary as a node of a cluster, with the command line that launchers use. A manager is what
// `splitkernel node` runs, except that it kills itself, as kill -9 would, where a test says; other nodes are the program.
func asNode(args []string) int {
	fail := func(err error) int {
		fmt.Fprintln(os.Stderr, "node:", err)
		return 1
	}
	if len(args) != 3 || args[1] != "--config" {
		return fail(fmt.Errorf("arguments %q, want node --config FILE", args))
	}
	cfg, err := node.ReadConfig(args[2])
	if err != nil {
		return fail(err)
	}
	if cfg.Node.Role != wire.RoleManager {
		program := os.Getenv(programEnv)
		return fail(syscall.Exec(program, append([]string{program}, args...), os.Environ()))
	}
	in, err := node.Inherit()
	if err != nil {
		return fail(err)
	}
	cfg.Node.Manager.OnStep = suicide(filepath.Join(cfg.RuntimeDir, armedName))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := node.Run(ctx, cfg, in, os.Stdin, slog.New(slog.NewJSONHandler(os.Stderr, nil))); err != nil {
		return fail(err)
	}
	return 0
}

// suicide kills this process at the step that the file names. Whoever takes the file away first does, so one process dies of it.
func suicide(armed string) func(context.Context, string) {
	return func(ctx context.Context, step string) {
		text, err := os.ReadFile(armed)
		if err != nil {
			return // nobody is to die
		}
		name, after, _ := strings.Cut(string(text), "\n")
		if name != step || os.Remove(armed) != nil {
			return
		}
		d, err := time.ParseDuration(after)
		if err != nil {
			panic(fmt.Sprintf("%s says %q", armed, text))
		}
		die := func() { syscall.Kill(os.Getpid(), syscall.SIGKILL) }
		if d > 0 { // while the step is under way
			time.AfterFunc(d, die)
			return
		}
		die()
		<-ctx.Done() // the signal comes at once
	}
}
