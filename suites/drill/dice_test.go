package drill

import "testing"

func TestDiceFollowFromSeedAndName(t *testing.T) {
	throws := func(seed int64, name string) [8]uint64 {
		var all [8]uint64
		dice := diceOf(seed, name)
		for n := range all {
			all[n] = dice.Uint64()
		}
		return all
	}
	first := throws(7, "a")
	if again := throws(7, "a"); again != first {
		t.Error("the same seed and name gave other choices")
	}
	if throws(8, "a") == first || throws(7, "b") == first {
		t.Error("another seed or name gave the same choices")
	}
}
