package trace

import "fmt"

// foldBits are the bits of a page's number.
const foldBits = 64 - PageShift

// keyPages makes numbers of pages of ids that are keys.
type keyPages struct {
	numbers map[uint64]uint64 // dense; nil = folded
}

// newKeyPages is what a setting of idKey says; ok = false is another value.
func newKeyPages(id string) (k *keyPages, ok bool) {
	switch id {
	case "key":
		return &keyPages{}, true
	case "dense":
		return &keyPages{numbers: map[uint64]uint64{}}, true
	}
	return nil, false
}

// foldKey makes the number of a page of a key: itself below 2^52. Of n hashed keys, some n²/2^53 pairs fall together.
func foldKey(id uint64) uint64 { return (id ^ id>>foldBits) & maxPage }

// page is the page of a key.
func (k *keyPages) page(id uint64) (uint64, error) {
	if k.numbers == nil {
		return foldKey(id), nil
	}
	n, ok := k.numbers[id]
	if !ok {
		if len(k.numbers) >= MaxDenseKeys {
			return 0, fmt.Errorf("more than %d different ids, expected at most that for id=dense (id=key takes any number)", MaxDenseKeys)
		}
		n = uint64(len(k.numbers))
		k.numbers[id] = n
	}
	return n, nil
}

// stated is what a header says.
func (k *keyPages) stated() string {
	if k.numbers == nil {
		return "id: a key, folded into the number of a page"
	}
	return "id: a key, numbered in order of first appearance"
}
