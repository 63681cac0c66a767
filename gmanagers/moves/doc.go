// Package moves is what the leader of a manager does with the moves that its replicated state lists: it orders them at
// the givers, asks how far they are, proposes how they ended and lets the givers forget them.
//
// The giver drives a move, so it goes on and ends without any manager; a Mover only sees that it begins and that its end
// is taken down. It keeps nothing that matters: a new leader makes a new Mover, and Sync alone tells it all.
//
//	recorded ── Start ──> Poll … until it ended ── Propose ──> ended in the list ── Forget ──> Drop ──> not in the list
//	              │  ^      │
//	              │  └──────┴ the giver does not know it: it started again, or forgot
//	              └ refused: Forget, Look at the giver, Look at the taker ──> Propose
//
// What it does when all does not go well:
//
//   - A giver that cannot be reached is asked again, ever more slowly up to MaxPause, for as long as the manager has not
//     declared it gone: it may be switching over. That is for membership to decide, not for a patience of this package.
//   - A giver that does not know the move is ordered again: the order is idempotent there, and repeating it is right
//     whether the giver started again, has forgotten an old outcome, or never heard of it. Epochs do the rest. The
//     order names the epoch under which the giver must serve; one that serves no more, or under another epoch, refuses.
//     So a membership epoch that changed proves nothing by itself (a volume outlives its sComponent's process): it only
//     makes the Mover order again at once, and void the answers of the incarnation before.
//   - Who must hear of the move may be replaced while it goes on: the home of a vRegion's process. Then the giver is ordered again, for it
//     tells the one before, which may be dead, until it is answered. Orders may overtake each other: of two the giver obeys the one that
//     names the newer home.
//   - A giver that refuses the order knows no such move. It is told to forget it, so that no copy of the order that is
//     still under way can begin it, and then whoever serves says how the move ended: the giver, then it is undone; the
//     taker under the new epoch, then it is done; nobody, then the thing has ended or is lost. If such a copy has begun
//     the move and ended it just then, its outcome is known in this way, though not its bytes and its pause.
//   - Nobody serves it, the giver refused the order because the thing is not there (KindNotFound, KindNotOwner),
//     and both ends say that they are registered under the epochs under which the move was recorded: neither has started again or was fenced since, so nothing was lost. The thing has ended, with its process, and the
//     move is undone. It makes no difference whether it ended at the giver or, after a move that the giver has
//     forgotten, at the taker. If one of them is another now, or its epoch was not known (buffer caches), it may have
//     been there, and the thing counts as lost; so it does if a leader before had the giver forget the move, for then
//     that is why it is refused. Only a giver that forgot that it had ended a move as lost, which it
//     does if a thousand others ended before their managers asked for them, could make a loss look like an end. If an
//     end of a member's epoch is not yet known here, the state knows that what is booked under it is lost.
//   - A giver that is gone for good is not asked; the taker is. If that is gone too, the thing is lost. An end that
//     is in the list is then forgotten without the giver.
//   - If that giver is gone, or has registered again, and the taker does not serve a vRegion, it is told to adopt what it has: it
//     serves what it has in full if the home says that it was handed over, and drops it else (package mcomponent/migrate,
//     Taker.Adopting). Memory maps and processes are lost: only a giver that lives knows whether it has served them on.
//   - A thing of which the giver has nothing yet, or any more, ends as done at once if the giver is registered as it was when the move
//     was recorded (wire.MoveReq.FromMember); from then on the giver turns away who comes under an older epoch.
//   - Proposals may be lost or carried out twice; each is repeated until the list shows it. Answers to calls that were
//     given up, of a leader before or of an incarnation before, are recognised by their call number and ignored.
//
// What it expects of a giver, besides wire.MoveReq: move_forget of a move under way is refused with KindBusy; after
// move_forget of number n of a manager, move_start of that number is refused with KindStale, and no other that comes for the first time:
// orders may overtake each other. A giver that cannot tell numbers apart, as one whose things outlive its process (volumes) after a restart,
// refuses all up to n. Without that a copy of an order
// that comes after its move was undone and forgotten would begin a move that no manager knows of. Refusing one too many
// does no harm: such a move ends as undone.
//
// What it expects of its caller: answers go to the Mover that made the call; Sync only with a list that was read when
// this manager led, after every command was applied that was committed before; each call is answered, with an error
// after its deadline, which is below CallPatience.
//
// It chooses no moves (package balance does), reserves nothing, and declares nobody gone.
//
// Bounds: at most one call per move and MaxCalls in all are under way; a move is asked once per PollPause, besides six
// questions in the first 320 ms after each order, at pauses that double from FirstPoll, and the few steps from one phase to
// the next. Calls that are due wait their turn, the longest due first.
//
// Pure: no goroutines, no locks, no clock, no chance, no I/O. Called by the shell of the managers while it leads, and by
// the virtual cluster.
//
//	m := moves.New()
//	out = m.Sync(now, listed, out[:0])            // whenever the list or the members changed
//	out = m.Tick(now, out[:0])                    // at m.Next()
//	for _, e := range out {                       // perform each without waiting for it; then
//		out = m.Answered(now, e.Move, e.Call, rep, err, out[:0]) // to all but Look
//		out = m.Seen(now, e.Move, e.Call, held, err, out[:0])    // to Look
//	}
package moves
