package membership

import (
	"splitkernel/gmanagers/internal/codec"
	"splitkernel/netlayer/wire"
)

// Status is a member with what the answering manager heard of it.
type Status struct {
	Member wire.Member
	Load   wire.Load
	AgeMS  int64 // since its last heartbeat; -1 if none was heard under its present epoch
	Alive  bool  // heard of within its lease
	State  State // only an active one that is alive is a candidate for placement
	// Unreachable says that it is not heard of and others reach it: the answering manager, while it leads, does not declare
	// it dead.
	Unreachable bool
}

// GroupStatus is one replica's view of one manager's Raft group.
type GroupStatus struct {
	Manager       wire.Manager
	Node          wire.NodeID // the replica that answers
	Leader        wire.NodeID // as it knows; empty if it knows none
	Term          uint64
	Applied       uint64 // index of the last entry applied here
	LeaderChanges uint64 // changes of leader seen here since this replica started, the first election not counted
	Ready         bool   // the replica serves and knows a leader
}

// QueryKind says what a Query asks. Kinds below 16 are the same at every manager; members and group are answered by its
// shell, the others by its state.
type QueryKind uint8

// The kinds that every manager answers. Numbers are wire numbers.
const (
	QueryMembers  QueryKind = 1  // → Page[Status], by id; Query.From.Node
	QueryGroup    QueryKind = 2  // → GroupStatus
	QueryEvents   QueryKind = 3  // → events.Page; after number Query.ID, at most Query.Limit
	QueryStanding QueryKind = 4  // → wire.Standing of Query.Node under epoch Query.ID
	QueryMoves    QueryKind = 5  // → Page[movelist.Move], by number, those that ended last and those that are listed; Query.From.ID
	QueryHolds    QueryKind = 6  // → movelist.Holds of Query.Node
	QueryListing  QueryKind = 16 // → Page of the listing of the manager's package, by id; Query.ID selects one, 0 all; Query.From.ID, at GMM with the vRegion as Part
)

// Query is the body of wire.QueryReq.Query of all three managers.
type Query struct {
	Kind  QueryKind
	ID    uint64
	Limit uint64
	Node  wire.NodeID
	From  Cursor // of the kinds that are answered with a Page; Limit bounds its items
}

// QueryVersion is the format version of queries and their answers.
const QueryVersion uint8 = 1

// Encode encodes the query.
func (q Query) Encode() []byte { return codec.Encode(QueryVersion, q) }

// DecodeQuery decodes a query.
func DecodeQuery(b []byte) (Query, error) {
	var q Query
	err := codec.Decode(b, QueryVersion, "query", &q)
	return q, err
}

// EncodeAnswer encodes the answer to a query.
func EncodeAnswer(v any) []byte { return codec.Encode(QueryVersion, v) }

// DecodeAnswer decodes the answer to a query into v, a pointer to what its kind promises.
func DecodeAnswer(b []byte, v any) error {
	return codec.Decode(b, QueryVersion, "answer to a query", v)
}
