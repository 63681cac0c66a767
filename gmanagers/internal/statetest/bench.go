package statetest

import "testing"

// BenchMembers is how many components benchmarks of placements have.
const BenchMembers = 10_000

// batch is how many placements are made between two pauses of the clock.
const batch = 512

// Placements measures apply of the bytes of commands; undo takes back what one did, beside the clock.
func Placements[R any](b *testing.B, apply func([]byte) []byte, place func() []byte, decode func([]byte) (R, error), undo func(R)) {
	b.Helper()
	for range 2 { // what is made at first use
		r, err := decode(apply(place()))
		if err != nil {
			b.Fatal(err)
		}
		undo(r)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for done := 0; done < b.N; {
		b.StopTimer()
		n := min(batch, b.N-done)
		commands, results := make([][]byte, n), make([][]byte, n)
		for i := range commands {
			commands[i] = place()
		}
		b.StartTimer()
		for i := range commands {
			results[i] = apply(commands[i])
		}
		b.StopTimer()
		for _, result := range results {
			r, err := decode(result)
			if err != nil {
				b.Fatal(err)
			}
			undo(r)
		}
		done += n
		b.StartTimer()
	}
}
