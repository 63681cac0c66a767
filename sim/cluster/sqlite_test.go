package cluster

import (
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestAzurePacking: a database with the tables of the description, a name with a blank and a question mark, and damage.
func TestAzurePacking(t *testing.T) {
	if raceEnabled {
		t.Skip("the driver is not built for the race detector: make test runs this without it")
	}
	p := filepath.Join(t.TempDir(), "packing trace?.sqlite")
	made := filepath.Join(t.TempDir(), "made.sqlite")
	db, err := sql.Open("sqlite", made)
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range []string{
		`CREATE TABLE vmType (id INTEGER, vmTypeId INTEGER, machineId INTEGER, core REAL, memory REAL, hdd REAL, ssd REAL, nic REAL)`,
		`CREATE TABLE vm (vmId INTEGER, tenantId INTEGER, vmTypeId INTEGER, priority INTEGER, starttime REAL, endtime REAL)`,
		`INSERT INTO vmType VALUES (1, 10, 0, 0.5, 0.25, 0, 0, 0), (2, 10, 1, 0.25, 0.125, 0, 0, 0), (3, 11, 1, 1, 1, 0, 0, 0)`,
		`INSERT INTO vm VALUES (1, 1, 10, 0, 0.5, 1.5), (2, 1, 10, 1, -1.0, NULL), (3, 1, 11, 1, 2.0, 3.0), (4, 2, 10, 0, 3.0, 2.0)`,
	} {
		if _, err := db.Exec(q); err != nil {
			t.Fatal(err)
		}
	}
	db.Close()
	if err := os.Rename(made, p); err != nil {
		t.Fatal(err)
	}
	list, h, err := all("auto:skip-bad=1", p)
	if want := "+2@0 0.5c 0.25f 0g for ?; +1@129600 0.5c 0.25f 0g for 86400 p1"; err != nil || show(list, h) != want || h.Bad != 1 || !strings.Contains(h.FirstBad, "it ends on day 2 and begins on day 3") {
		t.Errorf("%v, %+v\ngot  %s\nwant %s", err, h, show(list, h), want)
	}
	if !strings.Contains(strings.Join(h.Assumed, "\n"), "1 are of a type that does not go onto that machine") {
		t.Errorf("%+v", h.Assumed)
	}
	if list, h, err = all("auto:skip-bad=1,machine=1,cores=64,memory=256GiB", p); err != nil || len(list) != 3 || !strings.Contains(show(list, h), "+3@259200 64c 262144M 0g for 86400") {
		t.Errorf("%s, %v", show(list, h), err)
	}
	if _, _, err = all("", p); err == nil || !strings.Contains(err.Error(), "table vm: row 4: it ends on day 2") {
		t.Error(err)
	}
	whole, err := os.ReadFile(p)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []int{1, 3} {
		if _, _, err := all("auto:skip-bad=1", write(t, "cut.sqlite", string(whole[:len(whole)*part/4]))); err == nil || !strings.Contains(err.Error(), "cut.sqlite") {
			t.Errorf("cut off: %v", err)
		}
	}
}
