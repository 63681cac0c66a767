package launcher

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// brokenEnv makes the stand-in end at its start with these words.
const brokenEnv = "LAUNCHER_TEST_PROMETHEUS"

// standIn is what this test binary is under the name of prometheus: it answers that it is ready, at the address that it was given, and needs no package
// to be installed. The real one runs in sim/e2e.
func standIn() {
	if words := os.Getenv(brokenEnv); words != "" {
		fmt.Fprintln(os.Stderr, words)
		os.Exit(7)
	}
	flags := map[string]string{}
	for _, arg := range os.Args[1:] {
		name, value, _ := strings.Cut(arg, "=")
		flags[name] = value
	}
	data := flags["--storage.tsdb.path"]
	if _, err := os.Stat(flags["--config.file"]); err != nil || os.MkdirAll(data, 0o700) != nil || os.WriteFile(filepath.Join(data, "wal"), nil, 0o600) != nil {
		fmt.Fprintln(os.Stderr, "no configuration, or no folder of data", err)
		os.Exit(1)
	}
	http.HandleFunc("/-/ready", func(http.ResponseWriter, *http.Request) {})
	fmt.Fprintln(os.Stderr, http.ListenAndServe(flags["--web.listen-address"], nil))
	os.Exit(1)
}

// putStandIn puts the stand-in on the PATH. With words it ends with them.
func putStandIn(t *testing.T, words string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(self, filepath.Join(dir, "prometheus")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	t.Setenv(brokenEnv, words)
}

// diesAlone kills the Prometheus of a cluster: the cluster goes on and says so.
func diesAlone(t *testing.T, st *State) {
	t.Helper()
	if st.Prometheus == nil || !st.Prometheus.Alive || !strings.HasPrefix(st.Prometheus.URL, "http://127.0.0.1:") {
		t.Fatalf("Prometheus: %+v, want one that runs", st.Prometheus)
	}
	get(t, st.Prometheus.URL+"/-/ready")
	if entries, err := os.ReadDir(filepath.Join(st.Dir, "prometheus")); err != nil || len(entries) == 0 {
		t.Errorf("its data are not in the cluster's folder: %v, %v", entries, err)
	}
	if err := syscall.Kill(st.Prometheus.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	var now *State
	eventually(t, "the cluster says that its Prometheus has ended", func() bool {
		var err error
		if now, err = Find(st.Name); err != nil {
			t.Fatal(err)
		}
		return !now.Prometheus.Alive
	})
	if now.Prometheus.Ended != "signal: killed" || now.Deaths != 0 {
		t.Errorf("Prometheus ended by %q, and %d nodes died, want that it was killed and no node died", now.Prometheus.Ended, now.Deaths)
	}
	for _, n := range now.Nodes {
		if !n.Alive {
			t.Errorf("%s has ended, too", n.ID)
		}
	}
}

// TestPrometheusThatCannotStart: what is in the way is said, and before any node is started as far as it can be known then.
func TestPrometheusThatCannotStart(t *testing.T) {
	dir := ownTemp(t)
	putStandIn(t, "")
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for addr, want := range map[string]string{
		"127.0.0.1:0":           "",
		"localhost:0":           "",
		"[::1]:bad":             "the address of Prometheus",
		"9090":                  `the address "9090" of Prometheus is none, want as in 127.0.0.1:9090`,
		":9090":                 "not on loopback",
		"0.0.0.0:9090":          "not on loopback",
		"example.org:9090":      "not on loopback",
		taken.Addr().String():   "in use by another program, want a free one",
		"127.0.0.1:9090:notone": "is none",
	} {
		err := (&Prometheus{Addr: addr}).Check()
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", addr, err, want)
		}
	}

	t.Setenv(brokenEnv, "no scraping today")
	_, err = Start(context.Background(), Options{Cluster: load(t, clusterFile(t, "unix")), Out: t.TempDir(), Executable: program, Prometheus: &Prometheus{Addr: "127.0.0.1:0"}})
	if err == nil || !strings.Contains(err.Error(), "Prometheus ended while starting (exit status 7)") || !strings.Contains(err.Error(), "no scraping today") {
		t.Errorf("a Prometheus that ends at its start: %v", err)
	}
	empty(t, dir)

	t.Setenv("PATH", t.TempDir())
	if err := (&Prometheus{}).Check(); err == nil || !strings.Contains(err.Error(), "apt-get install --no-install-recommends prometheus") {
		t.Errorf("without the program: %v, want how to install it", err)
	}
}
