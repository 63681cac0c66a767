package arch

import "strings"

// module is the path of this module.
const module = "splitkernel"

// Levels of packages; lower never imports higher.
const (
	levelVocabulary = 0
	levelCore       = 1 // pure
	levelNet        = 2 // netlayer, its transports, and the callers' half of the managers
	levelShell      = 3 // component shells and managers, never each other
	levelConfigs    = 4
	levelSim        = 5
	levelMain       = 6
)

// vocabularies import nothing of this module: the wire's, that of the flight recorder, those of the
// hardware models, that of what runs on a cluster, and the faults that are put in on purpose for tests.
var vocabularies = []string{"netlayer/wire", "netlayer/tape", "netlayer/canary", "sim/units", "sim/fifo", "sim/tasks"}

// cores are the pure packages; what lies below one is pure too.
var cores = []string{
	"netlayer/session", "netlayer/link", "netlayer/heat", "netlayer/given", "netlayer/taped",
	"pcomponent/excache", "pcomponent/policy", "pcomponent/prefetch", "pcomponent/fault", "pcomponent/handover", "pcomponent/slowest", "pcomponent/checkpoint", "pcomponent/blockio",
	"mcomponent/vregion", "mcomponent/pagestore", "mcomponent/buffercache", "mcomponent/pairindex", "mcomponent/tapes",
	"mcomponent/replica", "mcomponent/recovery", "mcomponent/erasure", "mcomponent/migrate", "mcomponent/cachemove",
	"scomponent/volume", "scomponent/iosched", "scomponent/replica", "scomponent/migrate",
	"gmanagers/gpm", "gmanagers/gmm", "gmanagers/gsm", "gmanagers/placement", "gmanagers/admission", "gmanagers/membership",
	"gmanagers/apart", "gmanagers/balance", "gmanagers/events", "gmanagers/lost", "gmanagers/restart", "gmanagers/moves", "gmanagers/movelist", "gmanagers/weigh",
	"gmanagers/redundancy", "gmanagers/repair",
	"gmanagers/internal/codec", "gmanagers/internal/dedup",
	"gmanagers/internal/statetest",
	"scomponent/device", "sim/hardware", "sim/generate", "sim/faults", "sim/mrc/stack",
	"scomponent/device", "sim/hardware", "sim/generate", "sim/faults",
	"sim/study/packing",
	"scomponent/device", "sim/hardware", "sim/generate", "sim/faults", "sim/mrc/stack",
	"sim/study/packing", "sim/study/mttf", "sim/study/cost", "sim/study/locality",
}

// instruments are the cores that those of other rooms may import: they measure what is in an entry of such a core, put on a
// tape what it is told, remember what its shell gives away, or say which of some lines is to leave, and know nothing of it. The
// policies of replacement are those of the ExCache and of the buffer cache alike (docs/decisions.md).
var instruments = []string{"netlayer/heat", "netlayer/given", "netlayer/taped", "pcomponent/policy"}

// composed are cores that put together what cores of other rooms offer.
var composed = []string{"sim/hardware"}

// alsoPure are held to the rules of cores, although they are none: the event clock, and the vocabularies of the recorder and of models.
var alsoPure = []string{"netlayer/tape", "sim/vtime", "sim/units", "sim/fifo", "sim/tasks"}

// shells are the packages of level 3: the rooms themselves and what they keep beside their cores.
var shells = []string{
	"pcomponent", "mcomponent", "scomponent", "gmanagers",
	"scomponent/blockdev", "gmanagers/internal/raftsm", "gmanagers/internal/ledger", "gmanagers/httpapi",
}

// virtual are the packages of sim that see levels 0 and 1 only, because they are the other world in which cores live.
var virtual = []string{"sim/vtime", "sim/vcluster"}

// level gives the level of a package by its folder, or false for one that the plan does not know.
func level(pkg string) (int, bool) {
	switch {
	case pkg == "":
		return levelMain, true
	case withinAny(pkg, vocabularies):
		return levelVocabulary, true
	case isCore(pkg):
		return levelCore, true
	case within(pkg, "netlayer"), pkg == "gmanagers/client":
		return levelNet, true
	case contains(shells, pkg):
		return levelShell, true
	case within(pkg, "configs"):
		return levelConfigs, true
	case within(pkg, "sim"):
		return levelSim, true
	}
	return 0, false
}

func isCore(pkg string) bool { return withinAny(pkg, cores) }

func isPure(pkg string) bool { return isCore(pkg) || withinAny(pkg, alsoPure) }

// room is the top folder of a package.
func room(pkg string) string {
	top, _, _ := strings.Cut(pkg, "/")
	return top
}

func within(pkg, dir string) bool { return pkg == dir || strings.HasPrefix(pkg, dir+"/") }

func withinAny(pkg string, dirs []string) bool {
	for _, d := range dirs {
		if within(pkg, d) {
			return true
		}
	}
	return false
}

func contains(list []string, s string) bool {
	for _, v := range list {
		if v == s {
			return true
		}
	}
	return false
}

// importers says where a library may be imported: in a package or below it, or in files of some names.
var importers = []struct {
	library string
	dir     string   // "" is anywhere
	files   []string // nil is any
}{
	{"github.com/spf13/viper", "configs", []string{"load.go"}},
	{"github.com/lni/dragonboat", "gmanagers", nil},
	{"github.com/vmihailenco/msgpack", "netlayer/wire", nil},
	{"github.com/parquet-go/parquet-go", "sim", []string{"parquet.go", "parquet_test.go"}}, // sim/experiment writes it, sim/cluster reads it
	{"modernc.org/sqlite", "sim/cluster", []string{"sqlite_driver.go"}},
	{"github.com/klauspost/reedsolomon", "mcomponent/erasure", []string{"coder.go"}},
	{"github.com/charmbracelet", "sim/top", nil},
	{"github.com/prometheus", "", []string{"metrics.go", "metrics_test.go"}},
}

// bannedImports are what a pure core may not import, with what lies below.
var bannedImports = []string{"net", "os", "sync", "context", "log", "syscall", "io/ioutil", "runtime"}

// allowedOf are the only names that a core may use of a package: durations, and chance that somebody else has seeded.
var allowedOf = map[string][]string{
	"time":         {"Duration", "Nanosecond", "Microsecond", "Millisecond", "Second", "Minute", "Hour"},
	"math/rand":    {"New", "NewSource", "NewZipf", "Rand", "Source", "Source64", "Zipf"},
	"math/rand/v2": {"New", "NewPCG", "NewChaCha8", "NewZipf", "Rand", "Source", "PCG", "ChaCha8", "Zipf"},
	"crypto/rand":  {},
}
