// Package admission is the two-phase commit by which a vNode gets processors, memory and storage at once or not at all.
//
// GPM coordinates, GMM and GSM take part. The process id that GPM gives is the id of the transaction:
//
//	GPM's log      INTENT ──────────────► DECISION ──────────────► END
//	                  │  PREPARE   votes ▲   │ COMMIT or FREE  done ▲
//	GMM's, GSM's log  └──────► hold ─────┘   └──────► (nothing) ────┘
//
// Every step is one replicated command, and every one may be repeated, late, or sent by two coordinators at once:
// decisions and ends are compare-and-sets on the phase in GPM's log, and the steps of a participant give the same
// answer again. So nothing here must be done once; it must only be done in the end. Who sees to that:
//
//   - Coordinator, at the leader of GPM, drives the vNodes that it was asked for, and finishes what it finds in the log
//     without a driver: an intent is aborted, a decision is carried out.
//   - Inquirer, at the leaders of GMM and GSM, asks GPM about holds that stay prepared. GPM answers by aborting what is
//     not decided, so no participant ever aborts on its own clock. There are no unprepared holds that could expire: a
//     hold is prepared by the command that makes it.
//
// waiting.go has the words of who waits for room: priorities, quotas, and who is ended for whom (Victims). The queue itself
// is in GPM's log.
//
// It holds no books: the states of gpm, gmm and gsm do, in the words of message.go. Sub-package audit compares them.
//
// Pure: no goroutines, no locks, no clock, no chance, no I/O. Called by the shell gmanagers, under its lock.
//
//	c := admission.NewCoordinator(id, grace)
//	out = c.Begin(transaction, spec, out[:0])            // the intent was applied
//	for each effect: send Step to GMM or GSM, Change to GPM, or hand Answer to whoever waits
//	out = c.Voted(wire.GMM, admission.Prepare, vote, out[:0])
//	out = c.Settled(outcome, out[:0])
//	out = c.Lost(wire.GSM, pid, err, out[:0])            // nobody knows whether it was carried out
//	out = c.Found(now, open, out[:0])                    // now and then: what the log holds
package admission
