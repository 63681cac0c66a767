package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"splitkernel/configs"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/faults"
	"splitkernel/sim/launcher"
	"splitkernel/sim/report"
)

const (
	// chaosLeast and chaosMost bound the faults of one round.
	chaosLeast = 3
	chaosMost  = 8
	// chaosIdle is how many rounds may fail, one after the other, in which no fault happened.
	chaosIdle = 3
	// booksPatience is how long the books may take to agree after a run: who was declared dead joins again, leftovers are swept.
	booksPatience = 30 * time.Second
	booksPause    = 250 * time.Millisecond
	// lastWords is what a node that hangs has to write the stacks of its goroutines.
	lastWords = 2 * time.Second
)

// The outcomes of a round.
const (
	chaosOK     = "ok"
	chaosWrong  = "wrong page"
	chaosLost   = "lost"   // somebody says by name that something acknowledged is lost
	chaosFailed = "failed" // a process did not end well, or a node died of its own
	chaosHang   = "hang"
	chaosBooks  = "books" // managers and components still disagree
)

// chaosRound is one run with faults.
type chaosRound struct {
	Round   int      `json:"round"`
	Seed    uint64   `json:"seed"`
	Faults  []string `json:"faults"`
	Done    int      `json:"faults_done"` // those that did happen
	Seconds float64  `json:"seconds"`
	Outcome string   `json:"outcome"`
	Error   string   `json:"error,omitempty"`
	Folder  string   `json:"folder,omitempty"` // report, logs and record; of a round that was ok it is deleted
	Repeat  string   `json:"repeat,omitempty"`

	happened []faults.Fault
	roles    map[wire.NodeID]wire.Role // of the components of its cluster
}

// chaosReport is what chaos found.
type chaosReport struct {
	Faults     int            `json:"faults"`
	ByKind     map[string]int `json:"faults_by_kind"`
	ByTarget   map[string]int `json:"faults_by_target"` // "kill mcomponent": those that are of one component
	Rounds     int            `json:"rounds"`
	Seconds    float64        `json:"seconds"`
	WrongPages uint64         `json:"wrong_pages"`
	Lost       int            `json:"lost"`
	Hangs      int            `json:"hangs"`
	Failures   []chaosRound   `json:"failures"`
	Commit     string         `json:"commit"`
}

type chaosFlags struct {
	configFlags
	faults   int
	seed     uint64
	minutes  float64
	patience time.Duration
	out      string
}

func (a *app) chaosCommand() *cobra.Command {
	f := chaosFlags{faults: 200, seed: 1, patience: 3 * time.Minute}
	cmd := &cobra.Command{
		Use:   "chaos [WORKLOAD...]",
		Short: "Run a workload on real processes again and again while random faults happen; nothing may be lost",
		Long: `chaos starts clusters of real processes, one after the other, and has a workload (the next of those named; default: programs) run on each while three to eight
random faults happen, drawn by the seed from those through which the cluster keeps its promise (docs/failures.md): kill -9, SIGSTOP, partitions,
lost and late messages, slow disks. Every page and block is checked; afterwards the books of the managers must agree with what the components hold.
Each run is recorded: of one that fails the folder is kept, with the commands that repeat and re-execute it. Exit code 3 after a wrong page, 1 after any other failure.`,
		Args: cobra.ArbitraryArgs,
		RunE: runs(func(cmd *cobra.Command, args []string) error {
			if f.faults < 1 || f.minutes < 0 || f.patience < time.Second {
				return usage("--faults %d --minutes %g --patience %v: want at least 1, 0 and 1s", f.faults, f.minutes, f.patience)
			}
			if len(args) == 0 {
				args = []string{workloadArg(nil)}
			}
			return a.chaos(cmd.Context(), &f, args)
		}),
	}
	f.configFlags.add(cmd)
	cmd.Flags().IntVar(&f.faults, "faults", f.faults, "rounds are made until so many faults have happened")
	cmd.Flags().Uint64Var(&f.seed, "seed", f.seed, "seed of the first round; each later one has the next")
	cmd.Flags().Float64Var(&f.minutes, "minutes", 0, "begin no round after so many minutes (0: no limit)")
	cmd.Flags().DurationVar(&f.patience, "patience", f.patience, "a run that takes longer hangs")
	cmd.Flags().StringVar(&f.out, "out", "", "folder for the rounds that fail (default: runs/chaos-TIME)")
	return cmd
}

func (a *app) chaos(ctx context.Context, f *chaosFlags, workloads []string) error {
	for _, workload := range workloads { // before the first round
		w, c, err := a.loadRun(&runFlags{configFlags: f.configFlags}, workload)
		if err == nil {
			err = a.addFaults(&faultFlags{}, workload, w, c)
		}
		if err == nil {
			err = momentsLive(w)
		}
		if err != nil {
			return err
		}
	}
	out, err := makeOut(f.out, "chaos")
	if err != nil {
		return err
	}
	rep := chaosReport{ByKind: map[string]int{}, ByTarget: map[string]int{}, Failures: []chaosRound{}, Commit: commit()}
	began, idle := time.Now(), 0
	for rep.Faults < f.faults && (f.minutes == 0 || time.Since(began).Minutes() < f.minutes) {
		r, sum, err := a.chaosRound(ctx, f, workloads[rep.Rounds%len(workloads)], rep.Rounds, filepath.Join(out, fmt.Sprintf("seed-%d", f.seed+uint64(rep.Rounds))))
		if err != nil {
			return err
		}
		rep.Rounds++
		rep.Faults += r.Done
		if sum != nil {
			rep.WrongPages += sum.Total.IntegrityErrors
			rep.Lost += len(sum.Lost)
			for _, x := range r.happened {
				rep.ByKind[x.Kind.String()]++
				if role, ok := r.roles[x.Node.ID]; ok {
					rep.ByTarget[x.Kind.String()+" "+role.String()]++
				}
			}
		}
		a.say("round %d, seed %d: %d of %d faults, %.1f s, %s", r.Round, r.Seed, r.Done, len(r.Faults), r.Seconds, r.Outcome)
		if r.Outcome == chaosOK {
			continue
		}
		if r.Outcome == chaosHang {
			rep.Hangs++
		}
		rep.Failures = append(rep.Failures, *r)
		a.say("%s\n%s\nto repeat it: %s", strings.Join(r.Faults, "\n"), r.Error, r.Repeat)
		if idle++; r.Done > 0 {
			idle = 0
		} else if idle == chaosIdle {
			a.say("%d rounds one after the other failed before any fault happened: it is not because of faults", idle)
			break
		}
	}
	rep.Seconds = time.Since(began).Seconds()
	if len(rep.Failures) == 0 {
		os.Remove(out) // it is empty
	}
	if err := a.print(&rep, func(w io.Writer) { rep.table(w) }); err != nil {
		return err
	}
	switch n := len(rep.Failures); {
	case rep.WrongPages > 0:
		return &codeError{exitWrongPage, fmt.Errorf("%d wrong pages were seen", rep.WrongPages)}
	case n > 0:
		return fmt.Errorf("%d of %d rounds failed: see %s", n, rep.Rounds, out)
	}
	return nil
}

func (r *chaosReport) table(w io.Writer) {
	fmt.Fprintf(w, "faults\trounds\tseconds\twrong pages\tlost\thangs\tfailed rounds\n")
	fmt.Fprintf(w, "%d\t%d\t%.0f\t%d\t%d\t%d\t%d\n\n", r.Faults, r.Rounds, r.Seconds, r.WrongPages, r.Lost, r.Hangs, len(r.Failures))
	for _, x := range []struct {
		name   string
		counts map[string]int
	}{{"fault", r.ByKind}, {"of which", r.ByTarget}} {
		fmt.Fprintf(w, "%s\ttimes\n", x.name)
		for _, k := range slices.Sorted(maps.Keys(x.counts)) {
			fmt.Fprintf(w, "%s\t%d\n", k, x.counts[k])
		}
	}
}

// chaosRound makes one run. Its error is of what keeps any round from being made.
func (a *app) chaosRound(ctx context.Context, f *chaosFlags, workload string, no int, out string) (*chaosRound, *report.Summary, error) {
	seed := f.seed + uint64(no)
	rf := &runFlags{configFlags: f.configFlags, name: fmt.Sprintf("chaos-%d", os.Getpid()), out: out, seed: seed}
	rf.set = append(slices.Clone(f.set), "workload.seed="+strconv.FormatUint(seed, 10))
	w, c, err := a.loadRun(rf, workload)
	if err != nil {
		return nil, nil, err
	}
	p, chance := promiseTo(w, c), rand.New(rand.NewPCG(seed, 0x6368616f73))
	for _, x := range faults.Draw(chance, &p, chaosLeast+chance.IntN(chaosMost-chaosLeast+1)) {
		rf.faults = append(rf.faults, x.String())
	}
	if err := a.addFaults(&rf.faultFlags, workload, w, c); err != nil {
		return nil, nil, err
	}
	if rf.out, err = makeOut(out, ""); err != nil {
		return nil, nil, err
	}
	r := &chaosRound{Round: no, Seed: seed, Faults: w.Faults, Outcome: chaosOK, Folder: rf.out, Repeat: rf.again(workload)}
	r.roles = map[wire.NodeID]wire.Role{}
	for _, n := range p.Nodes {
		r.roles[n.ID] = n.Role
	}
	began := time.Now()
	sum, err := a.chaosRun(ctx, rf, c, w, f.patience, r)
	r.Seconds = time.Since(began).Seconds()
	if ctx.Err() != nil {
		return nil, nil, context.Cause(ctx)
	}
	if sum != nil {
		for _, x := range sum.Faults {
			if x.State != report.FaultDone {
				continue
			}
			f, err := faults.Parse(x.Fault)
			if err != nil {
				return nil, nil, err
			}
			r.Done++
			r.happened = append(r.happened, f)
		}
	}
	switch {
	case r.Outcome == chaosHang:
	case wrongPage(err):
		r.Outcome = chaosWrong
	case sum != nil && len(sum.Lost) > 0:
		r.Outcome, err = chaosLost, errors.Join(err, errors.New(strings.Join(sum.Lost, "\n")))
	case err != nil && r.Outcome == chaosOK:
		r.Outcome = chaosFailed
	}
	if err != nil {
		r.Error = err.Error()
	}
	if r.Outcome == chaosOK {
		r.Folder, r.Repeat = "", ""
		return r, sum, os.RemoveAll(rf.out)
	}
	return r, sum, nil
}

// chaosRun makes the run, waits for the books to agree, and stops the cluster. What it says goes to a file in the folder of the run.
func (a *app) chaosRun(ctx context.Context, f *runFlags, c *configs.Cluster, w *configs.Workload, patience time.Duration, r *chaosRound) (*report.Summary, error) {
	said, err := os.Create(filepath.Join(f.out, "said.txt"))
	if err != nil {
		return nil, err
	}
	defer said.Close()
	quiet := *a
	quiet.stdout, quiet.stderr, quiet.output = said, said, ""
	log := slog.New(slog.NewJSONHandler(said, nil)).With("node", "run")
	rec, traces, err := beginRecord(ctx, f.out, c, w, nil)
	if err != nil {
		return nil, err
	}
	t, err := quiet.target(ctx, f, c, rec.tape, w.Seed, log)
	if err != nil {
		return nil, err
	}
	running, cancel := context.WithCancel(ctx)
	hang := time.AfterFunc(patience, func() {
		r.Outcome = chaosHang
		for _, n := range t.nodes() {
			syscall.Kill(n.PID, syscall.SIGQUIT) // it writes the stacks of its goroutines to its log, and ends
		}
		time.AfterFunc(lastWords, cancel)
	})
	sum, err := quiet.replay(running, f, w, traces, t, log)
	if !hang.Stop() {
		<-running.Done() // what it began is over
	}
	cancel()
	if sum != nil {
		err = errors.Join(err, quiet.printSummary(sum, f.out))
	}
	if err = outcome(sum, err); err == nil && r.Outcome == chaosOK {
		if err = quiet.booksAgree(ctx, f.name, t); err != nil {
			r.Outcome = chaosBooks
		}
	}
	if stopErr := t.stop(a.kill); stopErr != nil {
		err = errors.Join(err, stopErr)
	}
	died := t.died()
	if len(died) > 0 && err == nil {
		err = fmt.Errorf("%s died of its own", strings.Join(died, ", "))
	}
	rec.keep = err != nil
	return sum, errors.Join(err, rec.end(&quiet, err, died))
}

// booksAgree has everything heal that went wrong, and waits until managers and components agree on who has what.
func (a *app) booksAgree(ctx context.Context, name string, t *target) error {
	ctx, cancel := context.WithTimeout(ctx, booksPatience)
	defer cancel()
	if err := t.heal(ctx, nil); err != nil {
		return fmt.Errorf("end all faults: %w", err)
	}
	tick := time.NewTicker(booksPause)
	defer tick.Stop()
	var differ []string // when the books were read last
	for {
		st, err := launcher.Find(name)
		if err != nil {
			return err
		}
		rep, err := a.audit(ctx, st)
		if err == nil {
			if differ = differ[:0]; len(rep.Differences) == 0 {
				return nil
			}
			for _, d := range rep.Differences {
				differ = append(differ, fmt.Sprintf("%s, process %d: %s", d.Where, d.PID, d.Text))
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			if len(differ) > 0 { // reading them once more was cut off
				err = errors.New(strings.Join(differ, "\n"))
			}
			return fmt.Errorf("after %v the books still differ: %w", booksPatience, err)
		}
	}
}

// again is the command that makes this run once more.
func (f *runFlags) again(workload string) string {
	words := []string{"splitkernel", "run", workload}
	if f.cluster != "" {
		words = append(words, "--cluster", f.cluster)
	}
	for _, s := range f.set {
		words = append(words, "--set", s)
	}
	for _, s := range f.faults {
		words = append(words, "--fault", s)
	}
	for i, s := range words {
		words[i] = quoted(s)
	}
	return strings.Join(words, " ")
}
