package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"splitkernel/sim/launcher"
	"splitkernel/sim/node"
)

const (
	// levelTimeout bounds a question to a node for the level of its log.
	levelTimeout = 2 * time.Second
	// maxLevelAnswer bounds its answer, in bytes.
	maxLevelAnswer = 4 << 10
	// levelsAtOnce is how many nodes are asked at a time.
	levelsAtOnce = 16
)

// nodeLevel is the level of the log of a node.
type nodeLevel struct {
	Node  string `json:"node"`
	Level string `json:"level"`
}

func (a *app) nodeLogLevelCommand() *cobra.Command {
	var on string
	cmd := &cobra.Command{
		Use:   "log-level [LEVEL [ID...]]",
		Short: "Show the level of the nodes' logs, or change it while they run",
		Long: `log-level prints how much the nodes of a running cluster write into their logs; with a level, debug, info, warn or error, it
changes that at once, at all nodes or at those that are named, until they are started again. With debug every request that fails is told with its
call id. The managers need not answer.`,
		RunE: runs(func(cmd *cobra.Command, args []string) error {
			level := ""
			if len(args) > 0 {
				if _, err := node.ParseLogLevel(args[0]); err != nil {
					return usage("%w", err)
				}
				level, args = args[0], args[1:]
			}
			st, err := launcher.Find(on)
			if err != nil {
				return err
			}
			chosen, err := nodesNamed(st, args)
			if err != nil {
				return err
			}
			r := &remote{st: st, client: http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
			levels := []nodeLevel{}
			for _, n := range chosen {
				l, lerr := r.logLevel(cmd.Context(), n, level)
				if lerr != nil {
					err = errors.Join(err, lerr)
					continue
				}
				levels = append(levels, nodeLevel{n.ID, l})
			}
			return errors.Join(a.print(levels, func(w io.Writer) {
				fmt.Fprintln(w, "NODE\tLOG LEVEL")
				for _, l := range levels {
					fmt.Fprintf(w, "%s\t%s\n", l.Node, l.Level)
				}
			}), err)
		}),
	}
	onFlag(cmd, &on)
	return cmd
}

// changedLevels asks all nodes of a cluster and gives those whose log has another level than at its start. Who does not answer is left out: why is told elsewhere.
func changedLevels(ctx context.Context, st *launcher.State) (out []nodeLevel) {
	r := &remote{st: st, client: http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	levels := make([]string, len(st.Nodes))
	var asking sync.WaitGroup
	slots := make(chan struct{}, levelsAtOnce)
	for i, n := range st.Nodes {
		slots <- struct{}{}
		asking.Go(func() {
			defer func() { <-slots }()
			levels[i], _ = r.logLevel(ctx, n, "")
		})
	}
	asking.Wait()
	for i, l := range levels {
		if l != "" && l != node.LevelName(st.LogLevel) {
			out = append(out, nodeLevel{st.Nodes[i].ID, l})
		}
	}
	return out
}

// nodesNamed finds nodes by their ids; without ids all.
func nodesNamed(st *launcher.State, ids []string) (out []launcher.NodeInfo, err error) {
	if len(ids) == 0 {
		return st.Nodes, nil
	}
	for _, id := range ids {
		i := slices.IndexFunc(st.Nodes, func(n launcher.NodeInfo) bool { return n.ID == id })
		if i < 0 {
			var known []string
			for _, n := range st.Nodes {
				known = append(known, n.ID)
			}
			return nil, usage("no node %q in cluster %s, want some of %s", id, st.Name, strings.Join(known, ", "))
		}
		out = append(out, st.Nodes[i])
	}
	return out, nil
}

// logLevel asks a node for the level of its log, and changes it first if one is given.
func (r *remote) logLevel(ctx context.Context, n launcher.NodeInfo, level string) (string, error) {
	if !n.Alive || n.Metrics == "" {
		return "", fmt.Errorf("node %s does not run", n.ID)
	}
	fail := func(err error) (string, error) { return "", fmt.Errorf("log level of node %s: %w", n.ID, err) }
	ctx, cancel := context.WithTimeout(ctx, levelTimeout)
	defer cancel()
	method, body := http.MethodGet, []byte(nil)
	if level != "" {
		method = http.MethodPut
		body, _ = json.Marshal(node.LogLevel{Level: level}) // a string always can be
	}
	q, err := http.NewRequestWithContext(ctx, method, "http://"+n.Metrics+node.LogLevelPath, bytes.NewReader(body))
	if err != nil {
		return fail(err)
	}
	if t := r.st.Cluster.Token; t != "" {
		q.Header.Set("Authorization", "Bearer "+t)
	}
	res, err := r.client.Do(q)
	if err != nil {
		return fail(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxLevelAnswer))
	if err != nil {
		return fail(err)
	}
	if res.StatusCode != http.StatusOK {
		return fail(fmt.Errorf("HTTP status %d: %.200s", res.StatusCode, bytes.TrimSpace(text)))
	}
	var l node.LogLevel
	if err := json.Unmarshal(text, &l); err != nil {
		return fail(err)
	}
	return l.Level, nil
}
