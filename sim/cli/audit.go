package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"splitkernel/gmanagers/admission/audit"
	"splitkernel/gmanagers/client"
	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/launcher"
)

const (
	// auditReadings is how often a difference must be seen: what is under way differs for a moment.
	auditReadings = 5
	// auditPause lies between two readings. Together they outlast the second after which leaders finish what nobody drives.
	auditPause = 500 * time.Millisecond
	// holdingsTimeout is how long a component may take to tell what it holds.
	holdingsTimeout = time.Second
	// auditTimeout bounds an audit.
	auditTimeout = 30 * time.Second
)

// auditReport is what an audit found.
type auditReport struct {
	Cluster     string             `json:"cluster"`
	VNodes      int                `json:"vnodes"`
	Regions     int                `json:"vregions"`
	Volumes     int                `json:"volumes"`
	Components  int                `json:"components"` // that told what they hold
	Differences []audit.Difference `json:"differences"`
}

func (a *app) auditCommand() *cobra.Command {
	var on string
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Compare the books of the three managers with each other and with what the components hold; exit code 1 on any difference",
		Args:  cobra.NoArgs,
		RunE: runs(func(cmd *cobra.Command, _ []string) error {
			st, err := launcher.Find(on)
			if err != nil {
				return err
			}
			rep, err := a.audit(cmd.Context(), st)
			if err != nil {
				return fmt.Errorf("audit of %s: %w", st.Name, err)
			}
			err = a.print(rep, func(w io.Writer) {
				for i, d := range rep.Differences {
					if i == 0 {
						fmt.Fprintln(w, "WHERE\tPROCESS\tDIFFERENCE")
					}
					fmt.Fprintf(w, "%s\t%d\t%s\n", d.Where, d.PID, d.Text)
				}
			})
			if n := len(rep.Differences); err == nil && n > 0 {
				return fmt.Errorf("audit of %s: %d differences", st.Name, n)
			}
			if err == nil {
				a.say("the books of %s agree: %d vNodes, %d vRegions, %d volumes, %d components", st.Name, rep.VNodes, rep.Regions, rep.Volumes, rep.Components)
			}
			return err
		}),
	}
	cmd.Flags().StringVar(&on, "on", "", "cluster that `up` has started (default: the only one)")
	return cmd
}

// audit reads the books of a running cluster until they agree, or auditReadings times.
func (a *app) audit(ctx context.Context, st *launcher.State) (*auditReport, error) {
	ctx, cancel := context.WithTimeout(ctx, auditTimeout)
	defer cancel()
	net := st.Cluster.Netlayer.Peer
	net.Cluster, net.Token, net.Role, net.Node = st.ClusterID, st.Cluster.Token, wire.RoleClient, "audit"
	net.Log = slog.New(slog.DiscardHandler) // who does not answer is told in the report
	o := client.DefaultOptions()
	o.Net = net
	peers := map[wire.NodeID]*netlayer.Peer{}
	for _, n := range st.Nodes {
		if n.Role == wire.RoleManager.String() {
			o.Managers = append(o.Managers, client.Manager{ID: wire.NodeID(n.ID), Addr: netlayer.Addr(n.Addr)})
		} else {
			peers[wire.NodeID(n.ID)] = netlayer.NewPeer(netlayer.Addr(n.Addr), net)
		}
	}
	gm, err := client.New(o)
	if err != nil {
		return nil, err
	}
	defer func() {
		gm.Close()
		for _, p := range peers {
			p.Close()
		}
	}()
	var rep *auditReport
	for reading := range auditReadings {
		b, err := readBooks(ctx, gm, peers)
		if err != nil {
			return nil, err
		}
		diff := audit.Compare(b)
		if reading > 0 {
			diff = audit.Persisting(rep.Differences, diff)
		}
		rep = &auditReport{Cluster: st.Name, VNodes: len(b.Processes), Volumes: len(b.Volumes), Components: len(b.Held), Differences: diff}
		for _, h := range b.Homes {
			rep.Regions += len(h.Regions)
		}
		if len(diff) == 0 {
			rep.Differences = []audit.Difference{} // JSON [] and not null
			return rep, nil
		}
		select {
		case <-time.After(auditPause):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	return rep, nil
}

// readBooks asks the managers for their books and every component for what it holds.
func readBooks(ctx context.Context, gm *client.Client, peers map[wire.NodeID]*netlayer.Peer) (audit.Books, error) {
	b, err := gm.Books(ctx)
	if err != nil {
		return b, err
	}
	var mu sync.Mutex
	var asking sync.WaitGroup
	var errs []error
	b.Held = []wire.HoldingsRep{}
	for id, p := range peers {
		asking.Go(func() {
			var h wire.HoldingsRep
			ctx, cancel := context.WithTimeout(ctx, holdingsTimeout)
			defer cancel()
			err := p.Control(ctx, wire.OpHoldings, 0, &wire.HoldingsReq{}, &h)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				b.Held = append(b.Held, h)
			case errors.Is(err, wire.ErrBadRequest): // it holds more than fits into a reply
				errs = append(errs, fmt.Errorf("%s: %w", id, err))
			} // who does not answer and is registered is a difference
		})
	}
	asking.Wait()
	return b, errors.Join(errs...)
}
