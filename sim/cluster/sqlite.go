package cluster

import (
	"database/sql"
	"encoding/binary"
	"fmt"
	"io"
	"net/url"
	"os"
	"strconv"
	"time"

	"splitkernel/sim/tasks"
	"splitkernel/sim/trace"
)

// azurePacking reads the Azure trace for packing (Hadary et al., "Protean", OSDI 2020; AzureTracesForPacking2020.md of AzurePublicDataset): table vm has the
// virtual machines with fractions of days, vmType for each type and machine the share of it.
type azurePacking struct {
	g     *group
	paths []string
	path  string
	db    *sql.DB
	rows  *sql.Rows
	n     uint64
	start uint64 // n at the beginning of the file
	stay  uint64
	none  int64 // without a row for the machine
	on    int64 // machineId
}

func openAzurePacking(g *group) (parser, error) {
	a := &azurePacking{g: g, paths: g.paths, on: -1}
	if m := g.spec.key("machine", ""); m != "" {
		var err error
		if a.on, err = strconv.ParseInt(m, 10, 63); err != nil || a.on < 0 {
			return nil, fmt.Errorf("--format: machine: %q, want the machineId of a machine", m)
		}
	}
	return a, nil
}

func (a *azurePacking) openNext() (err error) {
	a.path, a.paths, a.start = a.paths[0], a.paths[1:], a.n
	fail := func(what string, err error) error {
		return fmt.Errorf("%s: %s: %w, expected the SQLite file of the Azure trace for packing, with tables vm and vmType", a.path, what, err)
	}
	if err := wholeSQLite(a.path); err != nil {
		return fail("open", err)
	}
	name := url.URL{Scheme: "file", Opaque: (&url.URL{Path: a.path}).EscapedPath(), RawQuery: "mode=ro&immutable=1"}
	if a.db, err = sql.Open("sqlite", name.String()); err != nil {
		return fail("open", err)
	}
	a.db.SetMaxOpenConns(1)
	on := a.on
	if on < 0 {
		if err := a.db.QueryRow(`SELECT min(machineId) FROM vmType`).Scan(&on); err != nil {
			return fail("vmType", err)
		}
	}
	if err := a.db.QueryRow(`SELECT count(*) FROM vm WHERE vmTypeId NOT IN (SELECT vmTypeId FROM vmType WHERE machineId = ?)`, on).Scan(&a.none); err != nil {
		return fail("vm", err)
	}
	a.rows, err = a.db.Query(`SELECT vm.rowid, vm.starttime, vm.endtime, vm.priority, t.core, t.memory FROM vm JOIN vmType t ON t.vmTypeId = vm.vmTypeId AND t.machineId = ? ORDER BY vm.rowid`, on)
	if err != nil {
		return fail("vm", err)
	}
	a.on = on
	return nil
}

// wholeSQLite finds a file that is cut off by its header (sqlite.org/fileformat.html, 1.3): reading what is left might not.
func wholeSQLite(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	var head [100]byte
	if _, err := io.ReadFull(f, head[:]); err != nil {
		return fmt.Errorf("cut off within its header: %w", err)
	}
	page := int64(binary.BigEndian.Uint16(head[16:]))
	if page == 1 {
		page = 1 << 16
	}
	pages := int64(binary.BigEndian.Uint32(head[28:]))
	known := binary.BigEndian.Uint32(head[24:]) == binary.BigEndian.Uint32(head[92:]) // else the number of pages is an old writer's
	if known && info.Size() < page*pages {
		return fmt.Errorf("cut off: %d bytes, expected %d pages of %d", info.Size(), pages, page)
	}
	return nil
}

func (a *azurePacking) next(out []tasks.Event) ([]tasks.Event, error) {
	for {
		if a.rows == nil {
			if len(a.paths) == 0 {
				return out, io.EOF
			}
			if err := a.openNext(); err != nil {
				return out, err
			}
		}
		if a.rows.Next() {
			break
		}
		if err := a.rows.Err(); err != nil {
			return out, fmt.Errorf("%s: vm %d: %w", a.path, a.n-a.start+1, err)
		}
		a.close()
	}
	a.n++
	row := uint64(0)
	bad := func(err error) error {
		return &trace.BadRecord{Path: a.path, Unit: "table vm: row", N: row, Err: err}
	}
	var from, to sql.NullFloat64
	var priority sql.NullInt64
	var core, memory sql.NullFloat64
	if err := a.rows.Scan(&row, &from, &to, &priority, &core, &memory); err != nil {
		return out, bad(fmt.Errorf("%w, expected numbers", err))
	}
	const days = float64(24 * time.Hour)
	const most = 1e5 // days, more than a century
	if !from.Valid || !(from.Float64 >= -most && from.Float64 <= most) || !core.Valid || !memory.Valid || !(core.Float64 >= 0 && core.Float64 <= 1e3) || !(memory.Float64 >= 0 && memory.Float64 <= 1e3) {
		return out, bad(fmt.Errorf("start %v, core %v, memory %v, expected days and fractions of a machine", from, core, memory))
	}
	e := tasks.Event{
		Kind: tasks.TaskComes, ID: a.g.id(a.n), At: time.Duration(from.Float64 * days), Lasts: tasks.Unknown, Priority: 1 - int32(min(max(priority.Int64, 0), 1)),
		Size: tasks.Size{
			Cores:  fraction(int64(core.Float64*tasks.One+1e-6), a.g.spec.Cores),
			Memory: fraction(int64(memory.Float64*tasks.One+1e-6), a.g.spec.Memory),
		},
	}
	switch {
	case !to.Valid:
		a.stay++
	case !(to.Float64 >= from.Float64 && to.Float64 <= most):
		return out, bad(fmt.Errorf("it ends on day %v and begins on day %v", to.Float64, from.Float64))
	default:
		e.Lasts = time.Duration((to.Float64 - from.Float64) * days)
	}
	if err := e.Size.Check(); err != nil {
		return out, bad(err)
	}
	return append(out, e), nil
}

func (a *azurePacking) header(h *Header) {
	h.Units.CoresAreFractions, h.Units.MemoryIsFraction = a.g.spec.Cores == 0, a.g.spec.Memory == 0
	h.assume("units: 1.0 is the machine with machineId %d (machine=ID; cores=N,memory=SIZE says what that is)", a.on)
	h.counted(a.stay, "tasks: %d have no end and stay")
	h.counted(uint64(a.none), "tasks: %d are of a type that does not go onto that machine and are left out")
}

func (a *azurePacking) close() {
	if a.rows != nil {
		a.rows.Close()
		a.rows = nil
	}
	if a.db != nil {
		a.db.Close()
		a.db = nil
	}
}
