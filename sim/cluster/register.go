package cluster

import (
	"time"

	"splitkernel/sim/tasks"
)

// asked is what a table of tasks or machines says under a name, for the table of the same trace that says what was used.
type asked struct {
	id   tasks.ID
	size tasks.Size
	next time.Duration // when its next fragment begins
	mhz  float64       // of all its processors; 0 = not told
	used bool          // the other table has it, too
}

// register is what one table says to another, by name. Who only numbers names uses number alone, and neither add nor find.
type register struct {
	names
	rows []asked
	key  []byte
}

// add keeps what is said under a name; fresh says that it is the first time, else what was said then is replaced.
func (r *register) add(a asked, name ...string) (fresh bool, err error) {
	n, fresh, err := r.number(string(r.join(name)))
	if err != nil {
		return false, err
	}
	if fresh {
		r.rows = append(r.rows, a)
	} else {
		r.rows[n-1] = a
	}
	return fresh, nil
}

// next is the number that a new name gets.
func (r *register) next() uint64 { return uint64(len(r.of)) + 1 }

// find gives what was said under a name, or nil.
func (r *register) find(name ...string) *asked {
	n, ok := r.of[string(r.join(name))]
	if !ok {
		return nil
	}
	return &r.rows[n-1]
}

// join makes one name of the parts of one, which have no line feeds.
func (r *register) join(parts []string) []byte {
	r.key = r.key[:0]
	for i, p := range parts {
		if i > 0 {
			r.key = append(r.key, '\n')
		}
		r.key = append(r.key, p...)
	}
	return r.key
}
