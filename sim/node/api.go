package node

import (
	"log/slog"

	"splitkernel/gmanagers/client"
	"splitkernel/gmanagers/httpapi"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/replay"
)

// newAPI is the HTTP interface of a manager. It asks the managers as anybody does, through gm.
func newAPI(cfg *Config, gm *client.Client, mon *monitor, log *slog.Logger) (*httpapi.API, error) {
	return httpapi.New(httpapi.Options{
		Client: gm, Managers: cfg.clientOptions(log).Managers, Net: cfg.peerOptions(log), Node: cfg.Node.ID, Cluster: cfg.Node.Cluster,
		Token: cfg.Node.Token, AnyHost: !mon.loopback(), Progress: progress,
	})
}

// states are those of the API by those of a replay.
var states = map[string]string{
	replay.StateRunning: "running", replay.StateDone: "done", replay.StateFailed: "failed", replay.StateMoved: httpapi.StateMoved,
}

// progress reads what the host of a pComponent says of a process.
func progress(status []byte) (p httpapi.Progress, err error) {
	var s replay.Status
	if err := wire.Unmarshal(status, &s); err != nil {
		return p, err
	}
	p = httpapi.Progress{State: states[s.State], References: s.Done, Steps: s.Steps, StepsTotal: s.Whole, Hits: s.Hits, BlockRequests: s.Blocks, Ended: s.Result != nil}
	if s.Result != nil {
		p.Error = s.Result.Error
	}
	return p, nil
}
