package vregion

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"splitkernel/mcomponent/tapes"
	"splitkernel/netlayer/heat"
	"splitkernel/netlayer/tape"
	"splitkernel/netlayer/wire"
)

// HomeTapeKind is the kind of the tapes of Home.
const HomeTapeKind = "mcomponent/vregion/home"

// HomeTapeHead says how to make the home of a tape anew: its head, by wire.Marshal.
type HomeTapeHead struct {
	Node    wire.NodeID
	Options Options
}

// New makes the home that the tape began with.
func (h *HomeTapeHead) New() (*Home, error) {
	if err := h.Options.Validate(); err != nil {
		return nil, err
	}
	return NewHome(h.Options), nil
}

// HomeInputKind says which call a record holds. Numbers are those of the format: explicit, never reused.
type HomeInputKind uint8

// The inputs. Movable, Settled, ClientOf, Export, HomeStatus, HomeRecovered, Parts, Backups, CheckMap, Absent, Holdings and Stats are none: they change nothing, and what their
// callers make of their answers comes as an input.
const (
	HomeOpen       HomeInputKind = 1
	HomeMmap       HomeInputKind = 2
	HomeMunmap     HomeInputKind = 3
	HomeBrk        HomeInputKind = 4
	HomeOwners     HomeInputKind = 5
	HomeExit       HomeInputKind = 6
	HomeSwitch     HomeInputKind = 7
	HomeDone       HomeInputKind = 8
	HomeFence      HomeInputKind = 9
	HomeRegistered HomeInputKind = 10
	HomePass       HomeInputKind = 11
	HomeDrop       HomeInputKind = 12
	HomeFreeze     HomeInputKind = 13
	HomeThaw       HomeInputKind = 14
	HomeLose       HomeInputKind = 15
	HomeForget     HomeInputKind = 16
	HomeArrive     HomeInputKind = 17
	HomeDepart     HomeInputKind = 18
	HomeInstall    HomeInputKind = 19
	HomeHeat       HomeInputKind = 20
	HomeConfigure  HomeInputKind = 21
	HomeBackup     HomeInputKind = 22
	HomeTakeOver   HomeInputKind = 23
	HomeDropBackup HomeInputKind = 24
	HomeOpenBacked HomeInputKind = 25
	HomeCut        HomeInputKind = 26
	HomeRollback   HomeInputKind = 27
)

var homeInputNames = []string{"", "open", "mmap", "munmap", "brk", "owners", "exit", "switch", "done", "fence", "registered", "pass", "drop", "freeze", "thaw",
	"lose", "forget", "arrive", "depart", "install", "heat", "configure", "backup", "take_over", "drop_backup", "open_backed", "cut", "rollback"}

func (k HomeInputKind) String() string {
	if int(k) < len(homeInputNames) {
		return homeInputNames[k]
	}
	return fmt.Sprintf("input(%d)", uint8(k))
}

// HomeInput is one call of Home, and what came out of it. Which fields are set depends on the kind, as the parameters of the
// method of that name say.
type HomeInput struct {
	Kind   HomeInputKind
	Call   uint64
	Open   wire.ProcessOpenReq
	Mmap   wire.MmapReq
	Munmap wire.MunmapReq
	Brk    wire.BrkReq
	Owners wire.OwnersReq
	Exit   wire.ProcessExitReq
	Switch wire.RegionSwitchReq
	Cut    wire.ProcessCutReq
	Back   wire.ProcessRollbackReq
	ID     uint64 // of done
	Result Result // of done
	Move   wire.MoveReq
	Map    Map
	PID    wire.PID
	Epoch  wire.Epoch
	Node   wire.NodeID // who passes, where it goes or where it comes from
	Why    string      // of a fence; of take_over where this mComponent is reached
	Config wire.HomeConfig
	Backup wire.HomeBackupReq
	Over   wire.HomeRecoverReq
	Since  time.Duration // of heat

	Effects []EffectKind
	Sum     uint32
}

// String names the input, for people.
func (in *HomeInput) String() string {
	s := in.Kind.String()
	switch in.Kind {
	case HomeOpen, HomeOpenBacked:
		s += fmt.Sprintf(" pid=%d epoch=%d", in.Open.PID, in.Open.Epoch)
	case HomeMmap:
		s += fmt.Sprintf(" pid=%d addr=%#x length=%d", in.Mmap.PID, in.Mmap.Addr, in.Mmap.Length)
	case HomeMunmap:
		s += fmt.Sprintf(" pid=%d addr=%#x length=%d", in.Munmap.PID, in.Munmap.Addr, in.Munmap.Length)
	case HomeBrk:
		s += fmt.Sprintf(" pid=%d end=%#x", in.Brk.PID, in.Brk.End)
	case HomeOwners:
		s += fmt.Sprintf(" pid=%d addr=%#x length=%d", in.Owners.PID, in.Owners.Addr, in.Owners.Length)
	case HomeExit:
		s += fmt.Sprintf(" pid=%d", in.Exit.PID)
	case HomeSwitch:
		s += fmt.Sprintf(" pid=%d region=%d owner=%s epoch=%d", in.Switch.PID, in.Switch.Owner.Region, in.Switch.Owner.Node, in.Switch.Owner.Epoch)
	case HomeDone:
		s += fmt.Sprintf(" request=%d", in.ID)
		if in.Result.Owner.Node != "" {
			s += fmt.Sprintf(" owner=%s epoch=%d", in.Result.Owner.Node, in.Result.Owner.Epoch)
		}
		if in.Result.Err != nil {
			s += fmt.Sprintf(" error=%q", in.Result.Err.Error())
		}
	case HomeFence:
		s += fmt.Sprintf(" why=%q", in.Why)
	case HomeRegistered:
		s += fmt.Sprintf(" epoch=%d", in.Epoch)
	case HomePass:
		s += fmt.Sprintf(" pid=%d to=%s epoch=%d", in.Move.PID, in.Move.To, in.Move.Epoch)
	case HomeInstall:
		s += fmt.Sprintf(" pid=%d epoch=%d", in.Map.PID, in.Epoch)
	case HomeCut:
		s += fmt.Sprintf(" pid=%d checkpoint=%d", in.Cut.PID, in.Cut.Cut.Number)
	case HomeRollback:
		s += fmt.Sprintf(" pid=%d epoch=%d checkpoint=%d", in.Back.PID, in.Back.Epoch, in.Back.Cut.Number)
	case HomeConfigure:
		s += fmt.Sprintf(" pid=%d epoch=%d config=%d backup=%s", in.Config.PID, in.Config.Epoch, in.Config.Config, in.Config.Backup.Node)
	case HomeBackup:
		s += fmt.Sprintf(" pid=%d epoch=%d config=%d seq=%d part=%d", in.Backup.Copy.PID, in.Backup.HomeEpoch, in.Backup.Config, in.Backup.Seq, in.Backup.Copy.Part)
	case HomeTakeOver:
		s += fmt.Sprintf(" pid=%d epoch=%d", in.Over.Config.PID, in.Over.Config.Epoch)
	case HomeHeat:
	default:
		s += fmt.Sprintf(" pid=%d epoch=%d", in.PID, in.Epoch)
	}
	if in.Call != 0 {
		s += fmt.Sprintf(" call=%d", in.Call)
	}
	return s
}

// code goes over a record: kind byte, call, the fields of the kind, the kinds of the effects, checksum (4 bytes).
func (in *HomeInput) code(c *tape.Coder) {
	if tape.Num(c, &in.Kind); c.Reads() {
		*in = HomeInput{Kind: in.Kind, Effects: in.Effects[:0]}
	}
	tape.Num(c, &in.Call)
	switch in.Kind {
	case HomeOpen, HomeOpenBacked:
		tapes.Message(c, &in.Open)
	case HomeMmap:
		tapes.Message(c, &in.Mmap)
	case HomeMunmap:
		tapes.Message(c, &in.Munmap)
	case HomeBrk:
		tapes.Message(c, &in.Brk)
	case HomeOwners:
		tapes.Message(c, &in.Owners)
	case HomeExit:
		tapes.Message(c, &in.Exit)
	case HomeSwitch:
		tapes.Message(c, &in.Switch)
	case HomeCut:
		tapes.Message(c, &in.Cut)
	case HomeRollback:
		tapes.Message(c, &in.Back)
	case HomeDone:
		tape.Num(c, &in.ID)
		tapes.Message(c, &in.Result.Owner)
		tapes.Message(c, &in.Result.Config)
		tapes.Message(c, &in.Result.Home)
		tape.Num(c, &in.Result.Freed)
		tapes.Error(c, &in.Result.Err)
	case HomeFence:
		tape.Text(c, &in.Why)
	case HomePass:
		tape.Text(c, &in.Node)
		tapes.Message(c, &in.Move)
	case HomeInstall:
		tapes.Message(c, &in.Map)
		tape.Num(c, &in.Epoch)
	case HomeHeat:
		tape.Int(c, &in.Since)
	case HomeConfigure:
		tapes.Message(c, &in.Config)
	case HomeBackup:
		tapes.Message(c, &in.Backup)
		tape.Text(c, &in.Node)
	case HomeTakeOver:
		tapes.Message(c, &in.Over)
		tape.Text(c, &in.Why)
	case HomeRegistered, HomeDrop, HomeDropBackup, HomeFreeze, HomeThaw, HomeLose, HomeForget, HomeArrive, HomeDepart:
		tape.Num(c, &in.PID)
		tape.Num(c, &in.Epoch)
		tape.Text(c, &in.Node)
	default:
		c.Fail("input %d, which this version does not know", in.Kind)
	}
	tapes.Kinds(c, &in.Effects)
	c.Word(&in.Sum)
}

// Read takes a record apart.
func (in *HomeInput) Read(b []byte) error {
	return tape.Decode(b, in.code)
}

// sum adds what came out to in: the kinds of the effects, and a checksum of all their fields.
func (in *HomeInput) sum(s tape.Sum, out []Effect) {
	in.Effects = in.Effects[:0]
	for _, e := range out {
		in.Effects = append(in.Effects, e.Kind)
		s = tapes.SumError(s, e.Err)
		e.Err = nil
		s = tapes.SumMessage(s, &e)
	}
	in.Sum = s.Word()
}

// Apply makes the call that in holds, and gives what came out as the record would hold it. It panics where the method
// panics: the state does not allow such a call.
func (h *Home) Apply(in *HomeInput) (got HomeInput) {
	var out []Effect
	var err error
	s := tape.Sum(0)
	switch in.Kind {
	case HomeOpen:
		err = h.Open(in.Open)
	case HomeOpenBacked:
		out = h.OpenBacked(in.Call, in.Open, nil)
	case HomeMmap:
		out = h.Mmap(in.Call, in.Mmap, nil)
	case HomeMunmap:
		out = h.Munmap(in.Call, in.Munmap, nil)
	case HomeBrk:
		out = h.Brk(in.Call, in.Brk, nil)
	case HomeOwners:
		out = h.Owners(in.Call, in.Owners, nil)
	case HomeExit:
		out = h.Exit(in.Call, in.Exit, nil)
	case HomeSwitch:
		out = h.Switch(in.Call, in.Switch, nil)
	case HomeCut:
		out = h.Cut(in.Call, in.Cut, nil)
	case HomeRollback:
		out = h.Rollback(in.Call, in.Back, nil)
	case HomeDone:
		out = h.Done(in.ID, in.Result, nil)
	case HomeFence:
		h.Fence(in.Why)
	case HomeRegistered:
		h.Registered(in.Epoch)
	case HomePass:
		err = h.Pass(in.Node, in.Move)
	case HomeDrop:
		out, err = h.Drop(in.PID, in.Epoch, nil)
	case HomeFreeze:
		err = h.Freeze(in.PID, in.Epoch, in.Node)
	case HomeThaw:
		h.Thaw(in.PID, in.Epoch)
	case HomeLose:
		h.Lose(in.PID)
	case HomeForget:
		h.Forget(in.PID, in.Epoch)
	case HomeArrive:
		err = h.Arrive(in.PID, in.Node)
	case HomeDepart:
		h.Depart(in.PID)
	case HomeInstall:
		h.Install(in.Map, in.Epoch)
	case HomeConfigure:
		out, err = h.Configure(in.Config, nil)
	case HomeBackup:
		out, err = h.Backup(in.Backup, in.Node, nil)
	case HomeTakeOver:
		out, err = h.TakeOver(in.Over, in.Why, nil)
	case HomeDropBackup:
		h.DropBackup(in.PID, in.Epoch)
	case HomeHeat:
		h.Heat(in.Since, heat.NewTop(1))
		s = h.sumHeat()
	}
	got.Kind = in.Kind
	got.sum(tapes.SumError(s, err), out)
	return got
}

// sorted gives the processes that live here by their ids.
func (h *Home) sorted() []*process {
	list := make([]*process, 0, len(h.procs))
	for _, p := range h.procs {
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b *process) int { return cmp.Compare(a.pid, b.pid) })
	return list
}

// sumHeat is a checksum of the rates that Heat has read.
func (h *Home) sumHeat() (s tape.Sum) {
	for _, p := range h.sorted() {
		s = p.calls.Sum(s.Uint(uint64(p.pid)))
	}
	return s
}

// TapedHome is a Home whose inputs are recorded. Without a tape it is the Home: each input costs one branch more.
type TapedHome struct {
	*Home
	tape tape.Tape // nil: off
	in   HomeInput
	c    tape.Coder
}

// Record begins a tape, before the first input.
func (h *TapedHome) Record(t tape.Tape) { h.tape = t }

// put records what h.in holds, and what came out. Only the fields of the kind are set, and call: the rest is from records before.
func (h *TapedHome) put(kind HomeInputKind, call uint64, s tape.Sum, out []Effect) {
	h.in.Kind, h.in.Call = kind, call
	h.in.sum(s, out)
	h.c.Write(h.c.Written()[:0])
	h.in.code(&h.c)
	if h.tape.Record(h.c.Written()) {
		h.tape.State(h.AppendState(nil)) // it may be large, and is seldom wanted
	}
}

// plain records an input that names a process, and its error.
func (h *TapedHome) plain(kind HomeInputKind, pid wire.PID, epoch wire.Epoch, node wire.NodeID, err error) {
	if h.tape != nil {
		h.in.PID, h.in.Epoch, h.in.Node = pid, epoch, node
		h.put(kind, 0, tapes.SumError(0, err), nil)
	}
}

// called records an input that has effects: those of out behind n.
func (h *TapedHome) called(kind HomeInputKind, call uint64, n int, out []Effect) []Effect {
	h.put(kind, call, tapes.SumError(0, nil), out[n:])
	return out
}

func (h *TapedHome) Open(req wire.ProcessOpenReq) error {
	err := h.Home.Open(req)
	if h.tape != nil {
		h.in.Open = req
		h.put(HomeOpen, 0, tapes.SumError(0, err), nil)
	}
	return err
}

func (h *TapedHome) Mmap(call uint64, req wire.MmapReq, out []Effect) []Effect {
	n := len(out)
	if out = h.Home.Mmap(call, req, out); h.tape == nil {
		return out
	}
	h.in.Mmap = req
	return h.called(HomeMmap, call, n, out)
}

func (h *TapedHome) Munmap(call uint64, req wire.MunmapReq, out []Effect) []Effect {
	n := len(out)
	if out = h.Home.Munmap(call, req, out); h.tape == nil {
		return out
	}
	h.in.Munmap = req
	return h.called(HomeMunmap, call, n, out)
}

func (h *TapedHome) Brk(call uint64, req wire.BrkReq, out []Effect) []Effect {
	n := len(out)
	if out = h.Home.Brk(call, req, out); h.tape == nil {
		return out
	}
	h.in.Brk = req
	return h.called(HomeBrk, call, n, out)
}

func (h *TapedHome) Owners(call uint64, req wire.OwnersReq, out []Effect) []Effect {
	n := len(out)
	if out = h.Home.Owners(call, req, out); h.tape == nil {
		return out
	}
	h.in.Owners = req
	return h.called(HomeOwners, call, n, out)
}

func (h *TapedHome) Exit(call uint64, req wire.ProcessExitReq, out []Effect) []Effect {
	n := len(out)
	if out = h.Home.Exit(call, req, out); h.tape == nil {
		return out
	}
	h.in.Exit = req
	return h.called(HomeExit, call, n, out)
}

func (h *TapedHome) Switch(call uint64, req wire.RegionSwitchReq, out []Effect) []Effect {
	n := len(out)
	if out = h.Home.Switch(call, req, out); h.tape == nil {
		return out
	}
	h.in.Switch = req
	return h.called(HomeSwitch, call, n, out)
}

func (h *TapedHome) Cut(call uint64, req wire.ProcessCutReq, out []Effect) []Effect {
	n := len(out)
	if out = h.Home.Cut(call, req, out); h.tape == nil {
		return out
	}
	h.in.Cut = req
	return h.called(HomeCut, call, n, out)
}

func (h *TapedHome) Rollback(call uint64, req wire.ProcessRollbackReq, out []Effect) []Effect {
	n := len(out)
	if out = h.Home.Rollback(call, req, out); h.tape == nil {
		return out
	}
	h.in.Back = req
	return h.called(HomeRollback, call, n, out)
}

func (h *TapedHome) Done(id uint64, res Result, out []Effect) []Effect {
	n := len(out)
	if out = h.Home.Done(id, res, out); h.tape == nil {
		return out
	}
	h.in.ID, h.in.Result = id, res
	return h.called(HomeDone, 0, n, out)
}

func (h *TapedHome) Fence(why string) {
	h.Home.Fence(why)
	if h.tape != nil {
		h.in.Why = why
		h.called(HomeFence, 0, 0, nil)
	}
}

func (h *TapedHome) Pass(self wire.NodeID, req wire.MoveReq) error {
	err := h.Home.Pass(self, req)
	if h.tape != nil {
		h.in.Node, h.in.Move = self, req
		h.put(HomePass, 0, tapes.SumError(0, err), nil)
	}
	return err
}

func (h *TapedHome) Install(m Map, epoch wire.Epoch) {
	h.Home.Install(m, epoch)
	if h.tape != nil {
		h.in.Map, h.in.Epoch = m, epoch
		h.called(HomeInstall, 0, 0, nil)
	}
}

func (h *TapedHome) Heat(dt time.Duration, top *heat.Top) {
	h.Home.Heat(dt, top)
	if h.tape != nil {
		h.in.Since = dt
		h.put(HomeHeat, 0, tapes.SumError(h.sumHeat(), nil), nil)
	}
}

func (h *TapedHome) Registered(e wire.Epoch) {
	h.Home.Registered(e)
	h.plain(HomeRegistered, 0, e, "", nil)
}

func (h *TapedHome) Drop(pid wire.PID, upTo wire.Epoch, out []Effect) ([]Effect, error) {
	n := len(out)
	out, err := h.Home.Drop(pid, upTo, out)
	if h.tape != nil {
		h.in.PID, h.in.Epoch, h.in.Node = pid, upTo, ""
		h.put(HomeDrop, 0, tapes.SumError(0, err), out[n:])
	}
	return out, err
}

func (h *TapedHome) Freeze(pid wire.PID, epoch wire.Epoch, to wire.NodeID) error {
	err := h.Home.Freeze(pid, epoch, to)
	h.plain(HomeFreeze, pid, epoch, to, err)
	return err
}

func (h *TapedHome) Thaw(pid wire.PID, epoch wire.Epoch) {
	h.Home.Thaw(pid, epoch)
	h.plain(HomeThaw, pid, epoch, "", nil)
}

func (h *TapedHome) Lose(pid wire.PID) {
	h.Home.Lose(pid)
	h.plain(HomeLose, pid, 0, "", nil)
}

func (h *TapedHome) Forget(pid wire.PID, epoch wire.Epoch) {
	h.Home.Forget(pid, epoch)
	h.plain(HomeForget, pid, epoch, "", nil)
}

func (h *TapedHome) Arrive(pid wire.PID, from wire.NodeID) error {
	err := h.Home.Arrive(pid, from)
	h.plain(HomeArrive, pid, 0, from, err)
	return err
}

func (h *TapedHome) Depart(pid wire.PID) {
	h.Home.Depart(pid)
	h.plain(HomeDepart, pid, 0, "", nil)
}

func (h *TapedHome) Configure(cfg wire.HomeConfig, out []Effect) ([]Effect, error) {
	n := len(out)
	out, err := h.Home.Configure(cfg, out)
	if h.tape != nil {
		h.in.Config = cfg
		h.put(HomeConfigure, 0, tapes.SumError(0, err), out[n:])
	}
	return out, err
}

func (h *TapedHome) Backup(req wire.HomeBackupReq, self wire.NodeID, out []Effect) ([]Effect, error) {
	n := len(out)
	out, err := h.Home.Backup(req, self, out)
	if h.tape != nil {
		h.in.Backup, h.in.Node = req, self
		h.put(HomeBackup, 0, tapes.SumError(0, err), out[n:])
	}
	return out, err
}

func (h *TapedHome) TakeOver(req wire.HomeRecoverReq, addr string, out []Effect) ([]Effect, error) {
	n := len(out)
	out, err := h.Home.TakeOver(req, addr, out)
	if h.tape != nil {
		h.in.Over, h.in.Why = req, addr
		h.put(HomeTakeOver, 0, tapes.SumError(0, err), out[n:])
	}
	return out, err
}

func (h *TapedHome) DropBackup(pid wire.PID, upTo wire.Epoch) {
	h.Home.DropBackup(pid, upTo)
	h.plain(HomeDropBackup, pid, upTo, "", nil)
}

func (h *TapedHome) OpenBacked(call uint64, req wire.ProcessOpenReq, out []Effect) []Effect {
	n := len(out)
	if out = h.Home.OpenBacked(call, req, out); h.tape == nil {
		return out
	}
	h.in.Open = req
	return h.called(HomeOpenBacked, call, n, out)
}
