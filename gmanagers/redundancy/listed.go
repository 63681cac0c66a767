package redundancy

import (
	"cmp"
	"fmt"
	"slices"

	"splitkernel/netlayer/wire"
)

// Part names what has copies: a vRegion of a process, or its home.
type Part struct {
	PID    wire.PID
	Home   bool
	Region wire.RegionNo
}

func (p Part) String() string {
	if p.Home {
		return fmt.Sprintf("the home of process %d", p.PID)
	}
	return fmt.Sprintf("vRegion %d of process %d", p.Region, p.PID)
}

// compare orders parts by process, the home first.
func (p Part) compare(o Part) int {
	rank := func(p Part) int {
		if p.Home {
			return 0
		}
		return 1
	}
	return cmp.Or(cmp.Compare(p.PID, o.PID), cmp.Compare(rank(p), rank(o)), cmp.Compare(p.Region, o.Region))
}

// Stage says what a part needs.
type Stage uint8

// The stages, the most urgent first. Numbers are those of tapes.
const (
	Recover   Stage = 1 // whoever serves it now does not have everything
	Configure Stage = 2 // its owner does not know its holders, or one of them is filled
	Tend      Stage = 3 // it has too few holders, or one that is to leave
)

var stageNames = []string{"none", "recover", "configure", "tend"}

func (s Stage) String() string { return stageNames[min(int(s), len(stageNames)-1)] }

// Listed is a part that is not settled, as the books have it.
type Listed struct {
	Part
	Stage    Stage
	Node     wire.NodeID // who serves it, or will
	Addr     string
	Member   wire.Epoch // of its membership
	Epoch    wire.Epoch // of the ownership, or of the home
	OldEpoch wire.Epoch // of Recover: of who served it last
	Config   uint64
	Policy   wire.MemoryPolicy
	Holders  []wire.Holder // of a home at most one, its backup
	Sources  []wire.Holder // of Recover: who has what is to be recovered
	Via      wire.NodeID   // of Recover of a vRegion: the home of the process
	ViaAddr  string
	Known    bool // the books know that the owner has the configuration
	Served   bool // the books know that it is served
	// Process and Client are of Recover of a home: the epoch of its process and where its pComponent listens; zero if not known.
	Process wire.Epoch
	Client  string
}

// same reports whether nothing has changed that an order tells or that its answer is compared with.
func (l *Listed) same(o *Listed) bool {
	return l.Stage == o.Stage && l.Node == o.Node && l.Addr == o.Addr && l.Member == o.Member && l.Epoch == o.Epoch && l.OldEpoch == o.OldEpoch &&
		l.Config == o.Config && l.Via == o.Via && l.ViaAddr == o.ViaAddr && l.Known == o.Known && l.Served == o.Served &&
		l.Process == o.Process && l.Client == o.Client && slices.Equal(l.Holders, o.Holders) && slices.Equal(l.Sources, o.Sources)
}

// RegionConfig is the configuration of a vRegion.
func (l *Listed) RegionConfig() wire.RegionConfig {
	return wire.RegionConfig{PID: l.PID, Region: l.Region, Epoch: l.Epoch, Config: l.Config, Policy: l.Policy, Holders: l.Holders}
}

// RegionRecover is the order to recover a vRegion.
func (l *Listed) RegionRecover() wire.RegionRecoverReq {
	return wire.RegionRecoverReq{
		Config: l.RegionConfig(), OldEpoch: l.OldEpoch, Sources: l.Sources, Self: l.Node, Member: l.Member, Via: l.Via, ViaAddr: l.ViaAddr,
		TimeoutMS: uint32(Patience.Milliseconds()),
	}
}

// HomeConfig is the configuration of a home.
func (l *Listed) HomeConfig() wire.HomeConfig {
	c := wire.HomeConfig{PID: l.PID, Epoch: l.Epoch, Config: l.Config}
	if len(l.Holders) > 0 {
		c.Backup = l.Holders[0]
	}
	return c
}

// HomeRecover is the order to take over as the home.
func (l *Listed) HomeRecover() wire.HomeRecoverReq {
	return wire.HomeRecoverReq{Config: l.HomeConfig(), OldEpoch: l.OldEpoch, Self: l.Node, Member: l.Member, Process: l.Process, ClientAddr: l.Client}
}

// Report is what the owner or the home says of a part, whichever message asked it.
type Report struct {
	State     wire.RecoverState // of Recover
	Config    uint64            // of Configure: the newest that it has
	InSync    []wire.NodeID     // of Configure: holders that have everything, ascending
	Done      uint64            // pages that were recovered, or copied
	Known     uint64            // of how many, as far as is known
	Lost      uint64            // of Recover: pages of which only the version survived
	LostPages []wire.PageNo     // the first of them, ascending
	Text      string
}

// Recovering makes the report of an answer to RegionRecover.
func Recovering(r wire.RegionRecoverRep) Report {
	return Report{State: r.State, Done: r.Done, Known: r.Known, Lost: r.Lost, LostPages: r.LostPages, Text: r.Text}
}

// Configured makes the report of an answer to RegionConfig.
func ConfiguredAs(r wire.RegionConfigRep) Report {
	return Report{Config: r.Config, InSync: r.InSync, Done: r.Copied, Known: r.Known, Text: r.Text}
}

// HomeRecovering makes the report of an answer to HomeRecover.
func HomeRecovering(r wire.HomeRecoverRep) Report { return Report{State: r.State, Text: r.Text} }

// HomeConfigured makes the report of an answer to HomeConfig.
func (l *Listed) HomeConfigured(r wire.HomeConfigRep) Report {
	rep := Report{Config: r.Config, Text: r.Text}
	if r.InSync && len(l.Holders) > 0 {
		rep.InSync = []wire.NodeID{l.Holders[0].Node}
	}
	return rep
}

// Verb says what a Change tells.
type Verb uint8

// The verbs. Numbers are wire numbers, never reused.
const (
	Configured Verb = 1 // Epoch, Config, InSync: the owner has the configuration, and these holders are in sync
	Served     Verb = 2 // Epoch, FencedMS: whoever got it serves it
	Recovered  Verb = 3 // Epoch, FencedMS, Lost, LostPages: it has everything
	Failed     Verb = 4 // Epoch, Text: what is left does not suffice
	Tended     Verb = 5 // look for holders again
	Progress   Verb = 6 // Done, Known: of the process, in all that is recovered or filled
)

var verbNames = []string{"none", "configured", "served", "recovered", "failed", "tended", "progress"}

func (v Verb) String() string { return verbNames[min(int(v), len(verbNames)-1)] }

// Change is what is proposed to the books. Each is a compare-and-set on what it names; fields that its verb does not name are zero.
type Change struct {
	Verb   Verb
	Part   Part
	Epoch  wire.Epoch
	Config uint64
	InSync []wire.NodeID
	// Absent, of Configured of a home, says that nobody has asked for memory there yet: then its backup has all that there is. The home gets
	// the configuration with its first vRegion.
	Absent    bool
	Done      uint64
	Known     uint64
	Lost      uint64
	LostPages []wire.PageNo // at most wire.MaxLostNamed
	FencedMS  uint64        // of Served and Recovered: how long ago everybody who has a copy was told
	Text      string        // at most MaxText bytes
}

const (
	// MaxBatch bounds the changes of one command.
	MaxBatch = 64
	// MaxText bounds the text of a change, which is replicated, in bytes.
	MaxText = 512
)
