// Package given is what a component remembers of the moves that it gives: those under way, and those that ended and that no manager
// has told it to forget. An order that comes again begins nothing, and neither does one that comes late, after its move was forgotten.
//
// It knows nothing of what moves: a Move only says how far it is. The shells of mComponents have one, and the components of virtual
// time.
//
// Homes is what a pComponent remembers of the homes of processes that are not there yet.
//
// Pure: no goroutines, no locks, no clock. Who calls has a lock of its own, under which Move.Status may be called.
//
//	err := book.Start(req, func() (M, error) { … begin it … })   // move_start
//	s, err := book.Status(ref)                                  // move_status
//	err := book.Forget(ref)                                     // move_forget
package given
