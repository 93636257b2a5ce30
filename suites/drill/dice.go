package drill

import (
	"hash/fnv"
	"math/rand/v2"

	"github.com/onsi/ginkgo/v2"
)

// Dice makes this experiment's random choices. They follow from the run's seed and the
// spec's name, so that the spec alone, with that seed, chooses the same again.
func (d *Drill) Dice() *rand.Rand {
	if d.dice == nil {
		d.dice = diceOf(ginkgo.GinkgoRandomSeed(), d.experiment.Name)
	}
	return d.dice
}

func diceOf(seed int64, name string) *rand.Rand {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name))
	return rand.New(rand.NewPCG(uint64(seed), h.Sum64()))
}
